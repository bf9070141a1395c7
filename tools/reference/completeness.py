"""What the reference lacks: public names without a docstring, parameters of which nothing is said.

A parameter is described where it is named: in the docstring of its function, of a method
that this one overrides or implements or refers to, or of the class, for what is the same in
all its methods.  What Twisted's interfaces ask for is described there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from docutils import nodes
from docutils.core import publish_doctree
from pydoctor import model
from twisted.python.reflect import namedAny
from zope.interface import implementedBy
from zope.interface.interface import InterfaceClass

from tools.reference.public import ALL, PUBLIC

_REFERENCE: Final = re.compile(r"`([A-Za-z_][\w.]*)`")


def findings(system: Any) -> list[str]:
    """Sentences about what is missing, none when nothing is.

    :param system: a `Reference` that `build` has made.
    """
    found = []
    for module, names in PUBLIC.items():
        found += [
            f"{module} has no {name}, which tools/reference/public.py lists"
            for name in names
            if names != ALL and system.objForFullName(f"{module}.{name}") is None
        ]
    for ob in system.allobjects.values():
        if _isPublic(ob):
            found += _lacks(ob)
    return sorted(found)


def _isPublic(ob: Any) -> bool:
    """Whether applications use it, by its name; fields and special methods are described with their class."""
    if ob.name.startswith("_") or ob.name.endswith(".setter"):
        return False
    if isinstance(ob, model.Attribute) and not isinstance(ob.parent, model.Module):
        return ob.kind is model.DocumentableKind.PROPERTY and _isPublic(ob.parent)
    while ob is not None:
        if ob.privacyClass is not model.PrivacyClass.PUBLIC:
            return False
        ob = ob.parent
    return True


def _lacks(ob: Any) -> Iterator[str]:
    if isinstance(ob, model.Function) and _isTwisteds(ob):
        return
    if _isQuoted(ob.docstring or ""):
        yield f"{ob.fullName()} has lines that are indented and no code; end the line before them with '::'"
    said = " ".join(_said(ob))
    if not said.strip():
        yield f"{ob.fullName()} has no docstring"
    elif isinstance(ob, model.Function) and ob.signature is not None:
        said += " ".join(text for source in ob.docsources() for text in _said_of_classes(source.parent))
        for name in ob.signature.parameters:
            if name != "self" and not re.search(rf"\b{name}\b", said):
                yield f"{ob.fullName()} does not say what `{name}` is"


def _isQuoted(text: str) -> bool:
    """Whether reStructuredText takes some of a docstring for a quotation."""
    tree = publish_doctree(text, settings_overrides={"report_level": 5})  # pydoctor tells what is wrong in it
    return any(tree.findall(nodes.block_quote))


def _said(ob: Any, follow: bool = True) -> Iterator[str]:
    """The docstrings of an object, of what it overrides, and of what these refer to."""
    for source in ob.docsources():
        text = source.docstring or ""
        yield text
        for name in _REFERENCE.findall(text) if follow else ():
            other = _resolved(ob, name)
            if isinstance(other, model.Function) and other is not ob:
                yield from _said(other, follow=False)
                yield from _said_of_classes(other.parent)


def _said_of_classes(owner: Any) -> Iterator[str]:
    """The docstrings of a class and of its bases; of a module its own."""
    for kind in owner.mro() if isinstance(owner, model.Class) else [owner]:
        yield kind.docstring or ""


def _resolved(ob: Any, name: str) -> Any:
    """What a reference leads to, in the class of a method first."""
    while ob is not None:
        found = ob.resolveName(name)
        if found is not None:
            return found
        ob = ob.parent
    return None


def _isTwisteds(method: Any) -> bool:
    """Whether a class or an interface of Twisted's has this method, and so says what it is for."""
    if not isinstance(method.parent, model.Class):
        return False
    made: Any = namedAny(method.parent.fullName())
    implemented: Any = implementedBy
    kinds = [*made.__mro__, *implemented(made).flattened()] if isinstance(made, type) else made.__sro__
    return any(kind.__module__.startswith("twisted.") and _has(kind, method.name) for kind in kinds)


def _has(kind: Any, name: str) -> bool:
    return name in (kind if isinstance(kind, InterfaceClass) else vars(kind))
