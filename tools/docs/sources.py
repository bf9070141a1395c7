"""Where a name of the package is defined, found by reading its files as text.

``tcp.input.segment_arrives`` is a function of ``xtcp_twisted/tcp/input.pyx``;
``config.GroupOptions.sack`` a field of a class.  What is not in the package is
looked for beside it: ``examples.echo.Echo``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "xtcp_twisted"
SUFFIXES = (".pyx", ".pxd", ".py")


def defining_file(root: Path, name: str) -> str | None:
    """The file, relative to `root`, that defines `name` (without the package's own); None if none does."""
    parts = name.split(".")
    for folder in (root / PACKAGE, root):
        for length in range(len(parts) - 1, 0, -1):
            stem = folder.joinpath(*parts[:length])
            for candidate in [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]:
                if candidate.is_file() and _defines(candidate, tuple(parts[length:])):
                    return str(candidate.relative_to(root))
    return None


def unknown(root: Path, names: Iterable[str]) -> Iterator[str]:
    """For each of `names` that nothing defines, that it is so, and what is called like it."""
    for name in names:
        if defining_file(root, name) is None:
            others = " or ".join(namesakes(root, name)) or "nothing"
            yield f"{name}, which is not in the package; {others} is called like it"


def namesakes(root: Path, name: str) -> list[str]:
    """Names of the package whose last part is that of `name`: where what was moved has gone."""
    last = name.rpartition(".")[2]
    files = sorted(path for suffix in SUFFIXES for path in (root / PACKAGE).rglob(f"*{suffix}"))
    modules = [
        ".".join(path.relative_to(root / PACKAGE).with_suffix("").parts)
        for path in files
        if _defines(path, (last,))
    ]
    return [f"{module}.{last}" for module in dict.fromkeys(modules)]


@cache
def _text(path: Path) -> str:
    return path.read_text()


def _defines(path: Path, names: tuple[str, ...]) -> bool:
    """Whether the file has the definition of a function, class, field or constant `names`, nested by dots."""
    text = _text(path)
    for name in names[:-1]:
        match = re.search(
            rf"^(?:cdef )?(?:packed )?(?:class|struct) {name}\b.*?(?=^\S|\Z)", text, re.M | re.S
        )
        if match is None:
            return False
        text = match[0]
    name = re.escape(names[-1])
    return bool(
        re.search(rf"^\s*(?:async )?(?:cdef|cpdef|def)\b[^\n=]*?\b{name}\(", text, re.M)
        or re.search(rf"^\s*(?:cdef )?class {name}\b", text, re.M)
        or re.search(rf"^\s*{name}\b(?: = |: )", text, re.M)
    )
