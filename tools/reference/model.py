"""pydoctor's system, told what is public and where references to others lead.

References to Twisted, zope and the standard library are looked up in what is installed, so
that one to a name which is not there any more is an error, as it is for names of this
project; nothing is fetched.
"""

from __future__ import annotations

import builtins
import importlib
import re
import sys
from functools import cache
from typing import Any, Final

from pydoctor.model import Documentable, Module, PrivacyClass, System
from twisted.python.reflect import namedAny
from zope.interface.interface import InterfaceClass

from tools.reference.public import ALL, PUBLIC

_TWISTED: Final = "https://docs.twisted.org/en/stable/api/"
_PYTHON: Final = "https://docs.python.org/3/library/"
_ZOPE: Final = "https://zopeinterface.readthedocs.io/en/latest/api/"

#: Where names that stand alone are looked for: those that every reader of Twisted's code knows.
_WELL_KNOWN: Final = (
    "twisted.internet.defer",
    "twisted.internet.error",
    "twisted.internet.interfaces",
    "twisted.internet.protocol",
    "twisted.internet.task",
    "twisted.python.failure",
)
#: A reference, in contrast to other code: it has a class in it, or begins with one of these packages.
_REFERENCE: Final = re.compile(r"(?:(?:xtcp_twisted|twisted)\.|(?:\w+\.)*[A-Z]+[a-z])[\w.]*\Z")
_UNKNOWN: Final = re.compile(r'Cannot find link target for "([^"]*)"(?:, resolved from "([^"]*)")?')
_NO_INTERFACE: Final = re.compile(r'Class "([^"]*)" is not an interface')
_AMBIGUOUS: Final = re.compile(r"ambiguous ref to (\S+),")


class Elsewhere:
    """What pydoctor asks for links to what others document."""

    def getLink(self, name: str) -> str | None:
        """The address of a name of others; None: they have no such name."""
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name) or name.startswith("xtcp_twisted"):
            return None
        if name.startswith(("twisted.", "zope.")) or name.partition(".")[0] in sys.stdlib_module_names:
            return _address(name)
        if not re.match(r"[A-Z]+[a-z]", name):
            return None
        if hasattr(builtins, name):
            return f"{_PYTHON}exceptions.html#{name}"
        return next(filter(None, (_address(f"{place}.{name}") for place in _WELL_KNOWN)), None)


@cache
def _address(name: str) -> str | None:
    """The address of the documentation of a full name, if that is installed."""
    module, rest = _module(name)
    if module is None or not _has(module, rest):
        return None
    where = module.__name__
    if name.startswith("twisted."):
        first, _, member = ".".join(rest).partition(".")
        page = f"{where}.{first}" if first[:1].isupper() else where
        anchor = member if page != where else first
        return f"{_TWISTED}{page}.html" + (f"#{anchor}" if anchor else "")
    if name.startswith("zope."):
        return _ZOPE
    return f"{_PYTHON}{where}.html#{name}"


def _module(name: str) -> tuple[Any, list[str]]:
    """The module that the longest beginning of a name is, and what is left of the name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            return importlib.import_module(".".join(parts[:length])), parts[length:]
        except ImportError:
            continue
    return None, parts


def _has(owner: Any, names: list[str]) -> bool:
    for name in names:
        try:
            owner = (
                owner[name]
                if hasattr(owner, "names") and name in owner.names(all=True)
                else getattr(owner, name)
            )
        except (AttributeError, KeyError):
            return False
    return True


def _hasPublic(module: str) -> bool:
    """Whether a module, or one of a package, has public names."""
    return any(names for name, names in PUBLIC.items() if name == module or name.startswith(f"{module}."))


class Reference(System):  # type: ignore[misc]  # pydoctor has no types
    """The system of this project."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.intersphinx: Any = Elsewhere()
        #: The warnings, as pydoctor words them.
        self.warnings_said: list[str] = []

    def privacyClass(self, ob: Documentable) -> PrivacyClass:
        """As pydoctor, but that a module's names are public only if they are listed."""
        if isinstance(ob.parent, Module) and not isinstance(ob, Module):
            names = PUBLIC.get(ob.parent.fullName(), ())
            if names != ALL and ob.name not in names:
                return PrivacyClass.PRIVATE
        if isinstance(ob, Module) and not _hasPublic(ob.fullName()):
            return PrivacyClass.PRIVATE
        if ob.name.startswith("__") and not ob.docstring:
            return PrivacyClass.PRIVATE
        return super().privacyClass(ob)

    def msg(
        self,
        section: str,
        msg: str,
        thresh: int = 0,
        topthresh: int = 100,
        nonl: bool = False,
        wantsnl: bool = True,
        once: bool = False,
    ) -> None:
        """Say it, unless it is about a word that is code and no reference, or pydoctor errs."""
        interface = _NO_INTERFACE.search(msg)
        if interface is not None and isinstance(namedAny(interface[1]), InterfaceClass):
            return  # one that extends an interface of Twisted's
        found = _UNKNOWN.search(msg) or _AMBIGUOUS.search(msg)
        if found is not None and not _REFERENCE.match(found[found.lastindex or 1]):
            return
        if thresh < 0:
            self.warnings_said.append(msg)
        super().msg(section, msg, thresh, topthresh, nonl, wantsnl, once)
