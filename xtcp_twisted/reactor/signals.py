"""A second signal while a service stops.

Twisted's reactors stop at the first SIGTERM or SIGINT and wait for what their services
still do; a second one is an error to them.  Knows reactors only.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def secondSignal(reactor: Any, f: Callable[[], None]) -> Iterator[None]:
    """Call `f` in the reactor for each SIGTERM or SIGINT, as far as they are the reactor's to handle."""
    ours: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if getattr(handler, "__self__", None) is reactor:
                ours[number] = handler
    for number in ours:
        signal.signal(number, lambda *_: reactor.callFromThread(f))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
