"""docs/features.md: each feature with the code that has it and the tests that show it.

``docs/features.toml`` has the rows, in parts; what is wrong with them is found here.
Tests name them: ``@pytest.mark.feature("P07")``.
"""

from __future__ import annotations

import itertools
import posixpath
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.docs.markers import Marked, marked
from tools.docs.sources import PACKAGE, defining_file, unknown

DATA: Final = "docs/features.toml"
PAGE: Final = "docs/features.md"
MARKER: Final = "feature"
#: The matrix has so many rows, the patent so many claims.
ROWS: Final = 38
CLAIMS: Final = 44

HEAD: Final = f"""\
# What it does, and what shows it

Every feature, the claims and figures of WO 02/091709 that it comes from, the code that has it, and the tests
that would fail without it. How the protocol itself is kept is in [compliance.md](compliance.md).

`make docs` writes this page from [{posixpath.basename(DATA)}]({posixpath.basename(DATA)}) and from the
markers of the tests (`@pytest.mark.feature("P07")`). A test fails when the page is stale, a row has no code
or no test, a claim belongs to no row, or a marker names a row that is not here.
"""

_KEYS: Final = {"title", "text", "code", "claims", "figures", "measured"}
_FIGURE: Final = re.compile(r"[1-4]|5[a-d]|6[a-i]|7")


@dataclass(frozen=True)
class Feature:
    """One row.

    :ivar claims: claims of the patent that it is part of; `figures` likewise.
    :ivar measured: what is measured because no test can show it, with the command that does.
    """

    id: str
    title: str
    text: str
    code: tuple[str, ...] = ()
    claims: tuple[int, ...] = ()
    figures: tuple[str, ...] = ()
    measured: str = ""


@dataclass(frozen=True)
class Part:
    """Rows that belong together."""

    title: str
    features: tuple[Feature, ...]


def load(root: Path) -> list[Part]:
    """All parts, in the order of the file.

    :raise ValueError: for a row that does not have the form above.
    """
    with (root / DATA).open("rb") as file:
        tables = tomllib.load(file)
    parts = []
    for table in tables.values():
        title = table.pop("title")
        parts.append(Part(title, tuple(_feature(key, row) for key, row in table.items())))
    return parts


def _feature(key: str, row: dict[str, Any]) -> Feature:
    if not {"title", "text"} <= set(row) <= _KEYS:
        raise ValueError(
            f"{DATA}: {key} has {', '.join(sorted(row))}; it needs title and text,"
            f" and may have {', '.join(sorted(_KEYS))}"
        )
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
    }
    return Feature(key, **given)


def features(root: Path) -> list[Feature]:
    """All rows."""
    return [feature for part in load(root) for feature in part.features]


def findings(root: Path) -> list[str]:
    """What is wrong with the rows, as sentences; none when all is well."""
    rows, tests = features(root), marked(root, MARKER)
    names = [row.id for row in rows]
    found = [
        f"{place.path}: {place.name or 'pytestmark'} names {stranger!r}, which is not in {DATA}"
        for stranger in sorted(set(tests) - set(names))
        for place in tests[stranger]
    ]
    wanted = [f"P{number:02}" for number in range(1, ROWS + 1)]
    if names != wanted:
        found.append(f"the rows are {', '.join(names)}; they should be P01 to P{ROWS:02}, in order")
    claimed = {claim for row in rows for claim in row.claims}
    found += [f"claim {claim} belongs to no row" for claim in range(1, CLAIMS + 1) if claim not in claimed]
    return found + [finding for row in rows for finding in _of_row(root, row, row.id in tests)]


def _of_row(root: Path, row: Feature, tested: bool) -> Iterator[str]:
    if not row.code:
        yield f"{row.id} names no code"
    if not tested:
        yield f"{row.id} has no test: none carries its marker"
    for what in unknown(root, row.code):
        yield f"{row.id} names {what}"
    for claim in row.claims:
        if not 1 <= claim <= CLAIMS:
            yield f"{row.id} names claim {claim}; there are {CLAIMS}"
    for figure in row.figures:
        if not _FIGURE.fullmatch(figure):
            yield f"{row.id} names Fig. {figure}, which is not there"


def page(root: Path) -> str:
    """The text of docs/features.md."""
    tests = marked(root, MARKER)
    parts = load(root)
    text = [HEAD]
    for part in parts:
        text.append(f"\n## {part.title}\n\n| | feature | code | tests |\n|---|---|---|---|\n")
        text += [_row(root, row, tests.get(row.id, [])) for row in part.features]
    for row in (row for part in parts for row in part.features):
        text.append(_section(root, row, tests.get(row.id, [])))
    return "".join(text)


def _row(root: Path, row: Feature, tests: list[Marked]) -> str:
    """A line of a table: files only."""
    files = dict.fromkeys(defining_file(root, name) or name for name in row.code)
    shown = [_by_file(path, list(places)) for path, places in itertools.groupby(tests, _path)]
    what = f"[{row.title}](#{_anchor(row)})"
    return f"| {row.id} | {what} | {'<br>'.join(map(_file, files))} | {'<br>'.join(shown)} |\n"


def _path(test: Marked) -> str:
    return test.path


def _file(path: str) -> str:
    return f"[{path.removeprefix(f'{PACKAGE}/').removeprefix('tests/')}](../{path})"


def _by_file(path: str, places: list[Marked]) -> str:
    """A test file, and how much of it: places that are marked, all of it if it is marked as a whole."""
    return _file(path) + (f" ({len(places)})" if all(place.name for place in places) else "")


def _section(root: Path, row: Feature, tests: list[Marked]) -> str:
    """All there is to say about a row."""
    lines = [f"\n## {_heading(row)}\n", row.text.strip()]
    if sources := _sources(row):
        lines[-1] += f" *{sources}.*"
    if row.measured:
        lines += ["", row.measured.strip()]
    lines += ["", *(f"- [`{name}`](../{defining_file(root, name)})" for name in row.code)]
    lines += [f"- {_file(path)}{_names(list(places))}" for path, places in itertools.groupby(tests, _path)]
    return "\n".join(lines) + "\n"


def _names(places: list[Marked]) -> str:
    names = [f"`{place.name}`" for place in places if place.name]
    return f": {', '.join(names)}" if names else ""


def _sources(row: Feature) -> str:
    """The claims and figures of a row."""
    claims = f"Claims {', '.join(map(str, row.claims))}" if row.claims else ""
    figures = f"Fig. {', '.join(row.figures)}" if row.figures else ""
    return "; ".join(filter(None, (claims, figures)))


def _heading(row: Feature) -> str:
    return f"{row.id}: {row.title}"


def _anchor(row: Feature) -> str:
    """How GitHub names the heading of a row's section."""
    kept = "".join(c for c in _heading(row).lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
