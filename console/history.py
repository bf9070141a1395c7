"""The past in a fixed amount of memory.

A `History` is a table of numbers, a row per second, that forgets the oldest; a
`Ribbon` the pressure of the last half hour as spans.

Knows the figures that it makes; must not know what the columns mean.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Final

from xtcp_console.figures import Series, Span

#: How far back a ribbon reaches, seconds.
RIBBON_S: Final = 1_800

#: A column: its path into the tick, and whose it is, so that the next one in a row has its own.
Column = tuple[str, Hashable]


class History:
    """A ring of rows.

    A column lives as long as every row has it; so the memory in use is that of the
    columns of the last row, whatever came before.

    :param capacity: rows that it keeps.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._times = self._empty()
        self._columns: dict[Column, array[float]] = {}
        self._next = 0
        self._rows = 0

    def _empty(self) -> array[float]:
        return array("d", [math.nan]) * self.capacity

    def add(self, t: float, values: Mapping[Column, float | None]) -> None:
        """Append a row.  Columns that it does not name are forgotten; None is kept as NaN.

        :param t: Unix time.
        """
        for column in self._columns.keys() - values.keys():
            del self._columns[column]
        for column, value in values.items():
            cells = self._columns.get(column)
            if cells is None:
                cells = self._columns[column] = self._empty()
            cells[self._next] = math.nan if value is None else value
        self._end_row(t)

    def gap(self, t: float) -> None:
        """Append a row in which nothing is known."""
        for cells in self._columns.values():
            cells[self._next] = math.nan
        self._end_row(t)

    def _end_row(self, t: float) -> None:
        self._times[self._next] = t
        self._next = (self._next + 1) % self.capacity
        self._rows = min(self._rows + 1, self.capacity)

    def since(self, start: float, columns: Iterable[Column] | None = None) -> Series:
        """The rows from `start`, a Unix time, on.

        :param columns: those wanted; None for all.
        """
        times = self._last(self._times, self._rows)
        skipped = bisect_left(times, start)
        rows = self._rows - skipped
        wanted = self._columns if columns is None else self._columns.keys() & set(columns)
        return Series(
            times=times[skipped:],
            columns={column[0]: self._last(self._columns[column], rows) for column in wanted},
        )

    def _last(self, cells: array[float], rows: int) -> tuple[float, ...]:
        begin = self._next - rows
        if begin >= 0:
            return tuple(cells[begin : self._next])
        return (*cells[begin:], *cells[: self._next])


class Ribbon:
    """Pressure over the last half hour."""

    def __init__(self) -> None:
        self._spans: deque[Span] = deque()

    def add(self, start: float, end: float, state: str) -> None:
        """Note the worst state met from `start` to `end`, Unix times."""
        if self._spans and (last := self._spans[-1]).state == state and last.end == start:
            self._spans[-1] = Span(last.start, end, state)
        else:
            self._spans.append(Span(start, end, state))
        while self._spans[0].end <= end - RIBBON_S:
            self._spans.popleft()

    def until(self, now: float) -> tuple[Span, ...]:
        """The spans of the half hour before `now`."""
        begin = now - RIBBON_S
        return tuple(
            span if span.start >= begin else Span(begin, span.end, span.state)
            for span in self._spans
            if span.end > begin
        )
