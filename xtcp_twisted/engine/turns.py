"""Whose turn it is in an engine: the calls of Fig. 4 come one at a time, from whatever thread.

An engine is not made to be called by two threads at once, and lets others run
while it takes packets in.  So each call has a turn.  A second thread waits until
it is over; the same thread can only be a signal handler that interrupted the
call, which would wait for itself, and is refused.

Knows threads; knows no calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xtcp_twisted.errors import EngineBusy


class Turns:
    """``with turns:`` is one turn; EngineBusy inside of another one of the same thread."""

    __slots__ = ("_lock", "_taken")

    def __init__(self) -> None:
        # It can be taken twice by a thread, so that a signal handler never waits for what it interrupts.
        self._lock = threading.RLock()
        self._taken = False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._taken:
            self._lock.release()
            raise EngineBusy(
                "a call was interrupted to make this one; let a signal handler set a flag, and call when it"
                " is over"
            )
        self._taken = True

    def __exit__(self, *raised: object) -> None:
        self._taken = False
        self._lock.release()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let others have turns meanwhile."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
