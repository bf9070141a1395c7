"""Sources as pydoctor can read them: copies of the public modules.

It reads no Cython, so the copy of a compiled module is its stub (``.pyi``), which has the
types, with the docstrings of the module itself.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final, TypeGuard

from tools.reference.public import PUBLIC

#: What Cython writes before a docstring: the signature, and an empty line.
_SIGNATURE: Final = re.compile(r"\A[\w.]+\(.*?\)(?: -> [^\n]*)?\s*(?:\n\s*\n|\Z)", re.DOTALL)


def prepare(root: Path, folder: Path, names: Iterable[str] = PUBLIC) -> Path:
    """Copy the public modules.

    :param root: the repository.
    :param folder: where copies go.
    :param names: modules to copy.
    :return: the copied package.
    :raises FileNotFoundError: a module has neither source nor stub.
    """
    for name in names:
        source = root / name.replace(".", "/")
        package = source.is_dir()
        source = source / "__init__.py" if package else source.with_suffix(".py")
        if source.exists():
            text = source.read_text("utf-8")
        else:
            stub = source.with_suffix(".pyi").read_text("utf-8")
            text = with_docstrings(stub, importlib.import_module(name))
        target = folder / name.replace(".", "/")
        target = target / "__init__.py" if package else target.with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    return folder / next(iter(names)).partition(".")[0]


def with_docstrings(stub: str, module: ModuleType) -> str:
    """The text of a stub, with the docstrings of the module that it describes."""
    tree = ast.parse(stub)
    _document(tree, module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            made = getattr(module, node.name)
            _document(node, made)
            if isinstance(node, ast.ClassDef):
                _document_members(node, made)
    return ast.unparse(ast.fix_missing_locations(tree))


def _document_members(owner: ast.ClassDef, made: type) -> None:
    for node in list(owner.body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            said = docstring(made.__dict__.get(name))
            if said and f":ivar {name}:" not in docstring(made):
                owner.body.insert(owner.body.index(node) + 1, ast.Expr(ast.Constant(said)))
        if not isinstance(node, ast.FunctionDef):
            continue
        if not any(isinstance(by, ast.Name) and by.id == "overload" for by in node.decorator_list):
            _document(node, made.__dict__.get(node.name))
        elif node.name not in {known.name for known in filter(_is_plain, owner.body)}:
            # What is said of all of them stands with what they have in common.
            common = copy.deepcopy(node)
            common.decorator_list = []
            _document(common, made.__dict__.get(node.name))
            owner.body.append(common)


def _is_plain(node: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef) and not node.decorator_list


def _document(node: ast.Module | ast.ClassDef | ast.FunctionDef, made: object) -> None:
    said = docstring(made)
    if said and ast.get_docstring(node) is None:
        node.body.insert(0, ast.Expr(ast.Constant(said)))


def docstring(made: object) -> str:
    """The docstring of a compiled object, without the signature before it; "" without any."""
    said = getattr(made, "__doc__", None) or ""
    if made is None or said == type(made).__doc__:
        return ""
    return inspect.cleandoc(_SIGNATURE.sub("", said, count=1))
