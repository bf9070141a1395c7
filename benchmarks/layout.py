"""A table as text for a terminal and as markdown for a page.

Knows nothing of what it says.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from benchmarks.figures import Spread


@attrs.frozen
class Table:
    """A heading, and rows of words below columns; the first column is the row's name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> Iterator[str]:
        """Line by line, in columns."""
        cells = (self.columns, *self.rows)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        yield self.title
        for row in cells:
            name, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            yield "  ".join((f"  {name.strip():{widths[0]}}", *rest)).rstrip()

    def markdown(self) -> Iterator[str]:
        """Line by line, below a heading of the third level."""
        yield f"### {self.title}"
        yield ""
        yield from self.grid()

    def grid(self) -> Iterator[str]:
        """The same without the heading."""
        for row in (self.columns, ("---", *("--:" for _ in self.columns[1:])), *self.rows):
            yield f"| {' | '.join(row)} |"


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def median(spread: Spread | None, digits: int = 0) -> str:
    """The median alone."""
    return number(None if spread is None else spread.median, digits)


def extent(spread: Spread | None, digits: int = 0) -> str:
    """From the least to the greatest."""
    return "-" if spread is None else f"{number(spread.low, digits)} .. {number(spread.high, digits)}"


def whole(spread: Spread, digits: int = 2) -> str:
    """The median, and from where to where."""
    return f"{median(spread, digits)} ({extent(spread, digits)})"
