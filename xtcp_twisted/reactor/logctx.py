"""One logging context per reactor turn instead of one per event.

`twisted.python.log.callWithLogger` costs about 2 us per event: it makes the
prefix, copies the context and pushes it, although hardly any event logs
anything.  One turn of the engine has many events, so it pushes ONE context whose
"system" is computed only when somebody looks.

Knows Twisted's legacy log context; must not know what the events are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.python import context, log


class LogOwner(Protocol):
    """Whoever an event belongs to."""

    def logPrefix(self) -> str: ...


class LazyContext(dict[Any, Any]):
    """Twisted's log context, whose "system" is made on demand from `current`.

    :ivar current: who is being served; the reader sets it before each event.
    """

    __slots__ = ("current",)

    current: LogOwner

    def __missing__(self, key: object) -> str:
        if key == "system":
            try:
                return self.current.logPrefix()
            except Exception:  # noqa: BLE001  # a prefix that fails must not cost the event
                return "(buggy logPrefix method)"
        raise KeyError(key)

    def __bool__(self) -> bool:
        return True  # the log takes an empty context for none at all

    def get(self, key: object, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def copy(self) -> dict[Any, Any]:
        """What the log keeps: an ordinary dictionary with "system" filled in."""
        return {**self, "system": self["system"]}


def callWithLazyContext(owner: LogOwner, f: Callable[[LazyContext], None]) -> None:
    """Run ``f(context)`` with a `LazyContext` pushed whose `current` is `owner`."""
    lazy = LazyContext(context.get(log.ILogContext) or {})
    lazy.pop("system", None)
    lazy.current = owner
    context.call({log.ILogContext: lazy}, f, lazy)
