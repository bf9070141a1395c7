"""Which tests carry a marker such as ``@pytest.mark.requirement("RFC 9293 MUST-8")``.

Test files are read, not imported: that takes a second, and needs neither a built
package nor a browser.  A marker counts for the function or class below it, for
one case of a parametrised test (``pytest.param(..., marks=...)``), and for a
whole module as ``pytestmark``.  A test of the suite compares this with what
pytest itself has collected.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Marked:
    """What carries a marker.

    :ivar path: of the test file, relative to the repository.
    :ivar name: ``test_x``, ``TestClass`` (all its tests), ``TestClass.test_x``; empty for a whole module.
    """

    path: str
    name: str

    def covers(self, path: str, name: str) -> bool:
        """Whether the test `name` of the file `path` is meant."""
        return self.path == path and (not self.name or f"{name}.".startswith(f"{self.name}."))

    @property
    def shown(self) -> str:
        """Its file and what is marked there, as a page shows it: ``test_input.TestClass.test_x``."""
        file = posixpath.basename(self.path).removesuffix(".py")
        return f"{file}.{self.name}" if self.name else file


class MarkerError(Exception):
    """A marker that says nothing: it stands on no test, or its arguments are no plain strings."""


def marked(root: Path, marker: str) -> dict[str, list[Marked]]:
    """The tests below ``root/tests`` that carry `marker`, by each of its arguments.

    :raise MarkerError: for a marker that cannot be read or stands where no test is.
    """
    found: dict[str, list[Marked]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text()
        if f"mark.{marker}" not in text:
            continue
        shown = str(path.relative_to(root))
        for name, argument in _in_body(ast.parse(text).body, "", marker, shown):
            places = found.setdefault(argument, [])
            if Marked(shown, name) not in places:
                places.append(Marked(shown, name))
    return found


def _in_body(body: list[ast.stmt], owner: str, marker: str, shown: str) -> Iterator[tuple[str, str]]:
    """(name of what is marked, argument) for the statements of a module or a class."""
    for node in body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
        ):
            for argument in _arguments(node.value, marker, shown):
                yield owner, argument
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{owner}.{node.name}" if owner else node.name
            for decorator in node.decorator_list:
                for argument in _arguments(decorator, marker, shown):
                    if not node.name.startswith("Test" if isinstance(node, ast.ClassDef) else "test"):
                        raise MarkerError(
                            f"{shown}: {name} carries the marker of {argument!r} and is no test"
                        )
                    yield name, argument
            if isinstance(node, ast.ClassDef):
                yield from _in_body(node.body, name, marker, shown)


def _arguments(expression: ast.expr, marker: str, shown: str) -> Iterator[str]:
    """The arguments of each ``pytest.mark.<marker>(...)`` within an expression."""
    for node in ast.walk(expression):
        if not (isinstance(node, ast.Attribute) and node.attr == marker and _is_mark(node.value)):
            continue
        calls = [n for n in ast.walk(expression) if isinstance(n, ast.Call) and n.func is node]
        if not calls or not calls[0].args:
            raise MarkerError(f"{shown}:{node.lineno}: the marker {marker} names nothing")
        for argument in calls[0].args:
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise MarkerError(f"{shown}:{node.lineno}: the marker {marker} takes plain strings only")
            yield argument.value


def _is_mark(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "mark"
