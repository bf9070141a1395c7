"""What makes a method a call of Fig. 4: errors become a negative errno and a sentence, and calls take turns.

Knows what every call has in common; `xtcp_twisted.application` has the calls.
"""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from xtcp_twisted.engine import Engine
from xtcp_twisted.errors import EngineBusy, XTCPError
from xtcp_twisted.locations import Refused


class Caller(Protocol):
    """Whose methods the calls are."""

    engine: Engine
    closed: bool
    error: str


P = ParamSpec("P")
C = TypeVar("C", bound=Caller)


def answers(call: Callable[Concatenate[C, P], int]) -> Callable[Concatenate[C, P], int]:
    """Make a call of Fig. 4 of a method: what it raises becomes a negative errno and a sentence."""

    @wraps(call)
    def answer(self: C, /, *args: P.args, **kwargs: P.kwargs) -> int:
        try:
            with self.engine.turns:
                check_usable(self)
                return call(self, *args, **kwargs)
        except XTCPError as error:
            number, self.error = error.errno, str(error)
        except MemoryError:
            number, self.error = errno.ENOMEM, "the machine has no memory left"
        except OSError as error:
            number, self.error = error.errno or errno.EIO, str(error)
        return -number

    return answer


def check_usable(server: Caller) -> None:
    """Refuse what is closed, and a thread that a reactor knows nothing of."""
    if server.closed:
        raise Refused(errno.ESHUTDOWN, "the application server is closed; make another")
    if server.engine.closed:
        raise Refused(errno.ESHUTDOWN, "the engine is closed; make another, and an application server for it")
    driver = server.engine.driver
    if driver is not None and not hasattr(driver, "xtcp_select") and _reactor_runs_elsewhere():
        raise EngineBusy("a reactor drives this engine in another thread; use its callFromThread")


def _reactor_runs_elsewhere() -> bool:
    """Whether Twisted's reactor runs in another thread than this; found without importing it."""
    reactor, threadable = (
        sys.modules.get(f"twisted.{name}") for name in ("internet.reactor", "python.threadable")
    )
    thread = getattr(threadable, "ioThread", None)
    return bool(getattr(reactor, "running", False)) and thread not in (None, threading.get_ident())
