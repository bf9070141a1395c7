"""A second signal while a service stops.

Twisted's reactors stop at the first SIGTERM or SIGINT and wait for what their services
still do; a second one is an error to them.  Knows reactors only.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

#: Who waits for an end: a reactor, and what a second signal calls there.
_waiting: Final[list[tuple[Any, Callable[[], None]]]] = []
#: The reactor's handlers, which come back when nobody waits any more.
_replaced: Final[dict[signal.Signals, Any]] = {}


@contextmanager
def secondSignal(reactor: Any, f: Callable[[], None]) -> Iterator[None]:
    """Call `f` in the reactor for each SIGTERM or SIGINT, as far as they are the reactor's to handle.

    Several may wait at a time: a signal is for all of them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere
        return
    entry = (reactor, f)
    _waiting.append(entry)
    _replace(reactor)
    try:
        yield
    finally:
        _waiting.remove(entry)
        if not _waiting:
            _restore()


def _replace(reactor: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(number)
        if getattr(handler, "__self__", None) is reactor:
            _replaced[number] = handler
            signal.signal(number, _tell)


def _restore() -> None:
    while _replaced:
        signal.signal(*_replaced.popitem())


def _tell(*_: Any) -> None:
    for reactor, f in _waiting:
        reactor.callFromThread(f)
