"""Reads a source tree as text and says where it breaks the project's rules.

Python files are parsed with `ast`; Cython files have no parser to import, so
they are read as text: strings and comments are blanked first, then statements
are recognised by their first words and blocks by their indentation.

A rule takes a `Tree` and returns its findings as sentences, none when all is
well.  The rules know nothing of pytest; `tests/test_architecture.py` runs them
on the project and proves on small made-up trees that each of them can fail.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

MAX_FILE_LINES = 500
#: What else has this limit, besides the package files.
LONG_TOO = ("tests/**/*.py", "console/static/**/*.css", "console/static/**/*.js", "console/templates/*.html")
MAX_FUNCTION_LINES = 60

#: The floor of each part; the longest matching prefix counts.
FLOORS = {
    "xtcp_twisted": 0,
    "xtcp_twisted.checks": 0,
    "xtcp_twisted.config": 0,
    "xtcp_twisted.errors": 0,
    "xtcp_twisted.wire": 0,
    "xtcp_twisted.link": 1,
    "xtcp_twisted.memory": 1,
    "xtcp_twisted.tcp": 2,
    "xtcp_twisted.engine": 3,
    "xtcp_twisted.answers": 4,
    "xtcp_twisted.api": 4,
    "xtcp_twisted.application": 4,
    "xtcp_twisted.locations": 0,
    "xtcp_twisted.selecting": 4,
    "xtcp_twisted.serving": 4,
    "xtcp_twisted.reactor": 4,
    "twisted.plugins": 5,
    "xtcp_console": 5,
    "xtcp_twisted.cli": 5,
    "xtcp_twisted.demo": 5,
    "xtcp_twisted.lab": 5,
    "xtcp_twisted.tap": 5,
    "xtcp_twisted.testing": 5,
}
#: The lowest floor that may import what others wrote.
FOREIGN_FLOORS = {
    "twisted": 4,
    "zope": 4,
    "flask": 5,
    "flask_limiter": 5,
    "flask_wtf": 5,
    "itsdangerous": 5,
    "markupsafe": 5,
    "werkzeug": 5,
    "wtforms": 5,
}
#: The floor from which on a module may read a clock; below, `now` is an argument.
FIRST_FLOOR_WITH_CLOCK = 4
#: The floor from which on a module may print: command line tools.
FIRST_FLOOR_WITH_PRINT = 5

#: What reads a clock all the same: pcapng stamps are times of day.
CLOCK_READERS = {"xtcp_twisted.link.capture"}
CLOCK_MODULES = {"datetime", "libc.time", "time"}
CLOCK_CALLS = re.compile(r"\b(clock_gettime|gettimeofday|clock|monotonic|perf_counter)(_ns)?\s*\(")

#: Folder in the repository -> name under which it is imported.
PACKAGES = {"xtcp_twisted": "xtcp_twisted", "console": "xtcp_console", "twisted": "twisted"}

CYTHON_SUFFIXES = {".pyx", ".pxd"}
PYTHON_SUFFIXES = {".py", ".pyi"}


@dataclass(frozen=True)
class Import:
    """One name that a file imports, absolute; `runtime` is false for types only."""

    target: str
    line: int
    runtime: bool = True


@dataclass(frozen=True)
class Function:
    """A function of a Cython file: its signature on one line, and where it stands."""

    name: str
    signature: str
    line: int
    lines: int


@dataclass
class Source:
    """One file of the tree."""

    path: Path
    shown: str
    module: str
    text: str

    @property
    def is_cython(self) -> bool:
        return self.path.suffix in CYTHON_SUFFIXES

    @property
    def package(self) -> str:
        """What a relative import counts from."""
        return self.module if self.path.stem == "__init__" else self.module.rpartition(".")[0]

    @cached_property
    def code(self) -> str:
        """The text with the contents of strings and comments blanked."""
        return blanked(self.text)

    @cached_property
    def imports(self) -> list[Import]:
        found = cython_imports(self) if self.is_cython else python_imports(self)
        return list(found)


@dataclass
class Tree:
    """The package files below `root`.

    :ivar root: the repository, or a made-up one.
    """

    root: Path
    sources: list[Source] = field(init=False)

    def __post_init__(self) -> None:
        self.sources = [
            Source(path, str(path.relative_to(self.root)), self._module(path, folder, name), path.read_text())
            for folder, name in PACKAGES.items()
            for path in sorted((self.root / folder).rglob("*"))
            if path.suffix in CYTHON_SUFFIXES | PYTHON_SUFFIXES
        ]
        self.modules = {source.module for source in self.sources}

    def _module(self, path: Path, folder: str, name: str) -> str:
        parts = path.relative_to(self.root / folder).with_suffix("").parts
        return ".".join((name, *(part for part in parts if part != "__init__")))

    def resolve(self, target: str) -> str | None:
        """The module of this tree that `target` names or is a name of, if any."""
        while target and target not in self.modules:
            target = target.rpartition(".")[0]
        return target or None


# --- Reading ------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<long>(?P<quotes>\"{3}|'{3})(?:\\.|.)*?(?P=quotes))
      | (?P<short>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.VERBOSE | re.DOTALL,
)


def blanked(text: str) -> str:
    """`text` with strings and comments replaced by blanks, line for line."""
    return _TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def statements(code: str) -> Iterator[tuple[int, str]]:
    """Logical lines of blanked code as (number of the first line, text)."""
    held, first = "", 0
    for number, line in enumerate(code.splitlines(), 1):
        first = first or number
        held += line.rstrip().removesuffix("\\") + " "
        if line.rstrip().endswith("\\") or sum(map(held.count, "([{")) > sum(map(held.count, ")]}")):
            continue
        if held.strip():
            yield first, held.rstrip()
        held, first = "", 0


def absolute(source: Source, module: str) -> str:
    """`module` as written in `source`, leading dots resolved."""
    name = module.lstrip(".")
    if name == module:
        return module
    base = source.package.split(".")
    base = base[: len(base) - (len(module) - len(name) - 1)]
    return ".".join([*base, name] if name else base)


_FROM = re.compile(r"\s*from\s+([\w.]+)\s+c?import\s+(.*)")
_IMPORT = re.compile(r"\s*c?import\s+(.*)")


def cython_imports(source: Source) -> Iterator[Import]:
    for line, statement in statements(source.code):
        if match := _FROM.fullmatch(statement):
            module = absolute(source, match[1])
            for name in match[2].strip().strip("()").split(","):
                if name.strip():
                    yield Import(f"{module}.{name.split()[0]}", line)
        elif match := _IMPORT.fullmatch(statement):
            for name in match[1].split(","):
                yield Import(name.split()[0], line)


def python_imports(source: Source) -> Iterator[Import]:
    tree = ast.parse(source.text, source.shown)
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        runtime = source.path.suffix == ".py" and id(node) not in types_only
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, runtime)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(source, "." * node.level + (node.module or ""))
            for alias in node.names:
                yield Import(f"{module}.{alias.name}", node.lineno, runtime)


_CALLABLE = re.compile(
    r"""(?:(?P<kind>cdef|cpdef)\s+(?:(?:inline|public|api)\s+)*
           (?:(?P<type>[\w.\s*&\[\]]*?[\s*&\]]))?
         | (?:async\s+)?def\s+)
        (?P<name>\w+)\s*\(""",
    re.VERBOSE,
)


def cython_functions(source: Source) -> Iterator[tuple[Function, re.Match[str]]]:
    """Every `def`, `cdef` and `cpdef` function, defined or only declared."""
    lines = source.code.splitlines()
    for line, statement in statements(source.code):
        match = _CALLABLE.match(statement.strip())
        if match is None or match["type"] in ("class ", "struct ", "enum "):
            continue
        indent = len(statement) - len(statement.lstrip())
        last = line
        if statement.endswith(":"):
            last = block_end(lines, line, indent)
        yield Function(match["name"], statement.strip(), line, last - line + 1), match


def block_end(lines: list[str], first: int, indent: int) -> int:
    """The last line, from 1, of the block that a header on line `first` opens."""
    last, depth = first, 0
    for number in range(first, len(lines) + 1):
        line = lines[number - 1]
        inside = number == first or depth > 0 or len(line) - len(line.lstrip()) > indent
        if not line.strip():
            continue
        if not inside and not (number > first and line.strip().startswith(")")):
            break
        depth += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        last = number
    return last


# --- The rules ----------------------------------------------------------------


def floor(module: str) -> int | None:
    """The floor of a module; None when the table does not know it."""
    prefix = module
    while prefix:
        if prefix in FLOORS and (prefix != "xtcp_twisted" or module == "xtcp_twisted"):
            return FLOORS[prefix]
        prefix = prefix.rpartition(".")[0]
    return None


def homeless_modules(tree: Tree) -> list[str]:
    """Every module has a floor."""
    return [
        f"{source.shown}: no floor in the table" for source in tree.sources if floor(source.module) is None
    ]


def upward_imports(tree: Tree) -> list[str]:
    """Imports run downward only."""
    found = []
    for source in tree.sources:
        own = floor(source.module)
        for imported in source.imports:
            target = tree.resolve(imported.target)
            other = floor(target) if target else FOREIGN_FLOORS.get(imported.target.split(".")[0])
            if own is not None and other is not None and other > own:
                found.append(
                    f"{source.shown}:{imported.line}: floor {own} imports {imported.target} of floor {other}"
                )
    return found


def import_cycles(tree: Tree) -> list[str]:
    """No module imports itself, through others either; imports for types alone do not count."""
    edges: dict[str, set[str]] = {module: set() for module in tree.modules}
    for source in tree.sources:
        targets = {tree.resolve(imported.target) for imported in source.imports if imported.runtime}
        edges[source.module] |= {target for target in targets if target and target != source.module}
    found: list[str] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for target in sorted(edges[module]):
                visit(target, [*path, module])
            done.add(module)

    for module in sorted(edges):
        visit(module, [])
    return found


def long_files(tree: Tree) -> list[str]:
    """A file of the package, of the tests, or of what the console shows has at most 500 lines."""
    lines = {source.shown: len(source.text.splitlines()) for source in tree.sources}
    for pattern in LONG_TOO:
        for path in sorted(tree.root.glob(pattern)):
            lines[str(path.relative_to(tree.root))] = len(path.read_text("utf-8").splitlines())
    return [f"{shown}: {count} lines" for shown, count in lines.items() if count > MAX_FILE_LINES]


def long_functions(tree: Tree) -> list[str]:
    """A function has at most 60 lines, docstring and signature included."""
    found = []
    for source in tree.sources:
        if source.is_cython:
            spans = [
                (function.name, function.line, function.lines) for function, _ in cython_functions(source)
            ]
        else:
            spans = [
                (node.name, node.lineno, (node.end_lineno or 0) - node.lineno + 1)
                for node in ast.walk(ast.parse(source.text))
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
        found += [
            f"{source.shown}:{line}: {name} has {lines} lines"
            for name, line, lines in spans
            if lines > MAX_FUNCTION_LINES
        ]
    return found


def missing_stubs(tree: Tree) -> list[str]:
    """Every compiled module has a .pyi."""
    return [
        f"{source.shown}: no {source.path.stem}.pyi"
        for source in tree.sources
        if source.path.suffix == ".pyx" and not source.path.with_suffix(".pyi").exists()
    ]


_PYTHON_TYPES = {
    *("bytearray", "bytes", "dict", "frozenset", "list", "memoryview", "object", "set"),
    *("slice", "str", "tuple", "type"),
}
_EXTENSION_TYPE = re.compile(r"^\s*(?:cdef|ctypedef)\s+(?:public\s+)?class\s+(\w+)", re.MULTILINE)


def undeclared_error_channels(tree: Tree) -> list[str]:
    """A cdef function that returns a C value says how it fails: `noexcept` or `except`.

    One that returns an object fails as every Python function does, and Cython
    accepts no clause there.
    """
    classes = {
        name for source in tree.sources if source.is_cython for name in _EXTENSION_TYPE.findall(source.code)
    }
    found = []
    for source in tree.sources:
        if not source.is_cython:
            continue
        for function, match in cython_functions(source):
            kind = (match["type"] or "object").strip()
            if match["kind"] is None or kind.rpartition(".")[2] in _PYTHON_TYPES | classes:
                continue
            if not re.search(r"\b(noexcept|except)\b", function.signature.rpartition(")")[2]):
                found.append(
                    f"{source.shown}:{function.line}: {function.name} has neither noexcept nor except"
                )
    return found


def prints(tree: Tree) -> list[str]:
    """Nothing below the command line tools prints."""
    return [
        f"{source.shown}:{number}: print"
        for source in tree.sources
        if (floor(source.module) or 0) < FIRST_FLOOR_WITH_PRINT
        for number, line in enumerate(source.code.splitlines(), 1)
        if re.search(r"(?<![\w.])print\s*\(", line)
    ]


def clocks(tree: Tree) -> list[str]:
    """The engine and what is below it read no clock, not in verbatim C either."""
    found = []
    for source in tree.sources:
        if (floor(source.module) or 0) >= FIRST_FLOOR_WITH_CLOCK or source.module in CLOCK_READERS:
            continue
        for imported in source.imports:
            parents = {imported.target, imported.target.rpartition(".")[0]}
            if parents & CLOCK_MODULES:
                found.append(f"{source.shown}:{imported.line}: imports {imported.target}")
        found += [
            f"{source.shown}:{number}: reads a clock"
            for number, line in enumerate(source.text.splitlines(), 1)
            if CLOCK_CALLS.search(line)
        ]
    return found


def asserted_sizes(layout: str) -> dict[str, int]:
    """What the `_Static_assert`s of a verbatim C block say: struct -> bytes."""
    pattern = r"_Static_assert\s*\(\s*sizeof\s*\(\s*(?:struct\s+)?(\w+?)(?:_t|_s)?\s*\)\s*==\s*(\d+)"
    return {name: int(size) for name, size in re.findall(pattern, layout)}


RULES = (
    homeless_modules,
    upward_imports,
    import_cycles,
    long_files,
    long_functions,
    missing_stubs,
    undeclared_error_channels,
    prints,
    clocks,
)
