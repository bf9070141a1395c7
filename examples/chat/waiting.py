"""A queue of rows that wait equally long, on one delayed call for all of them.

Knows nothing of what they wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python import log

from examples.chat.flat import Lists, column

#: Rows whose time is up that are served in one turn of the reactor, and when the next ones are.
_SLICE: Final = 256
_NEXT_S: Final = 0.01


class Waiting:
    """Rows that wait, first in first out.

    :param rows: how many rows there are.
    :param delay_s: how long each waits, seconds.
    :param clock: a reactor.
    :param due: called with a row whose time is up, which does not wait any more; an exception
        is logged and costs the others nothing.
    """

    def __init__(self, rows: int, delay_s: float, clock: IReactorTime, due: Callable[[int], object]) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self._due = due
        self._queue = Lists(0, rows)
        self._until = column("d", rows)
        self._waits = column("B", rows)
        self._call: IDelayedCall | None = None

    def __contains__(self, row: int) -> bool:
        return bool(self._waits[row])

    def __len__(self) -> int:
        return self._queue.count(0)

    def add(self, row: int) -> None:
        """Let `row` wait from now on; nothing changes for one that waits."""
        if self._waits[row]:
            return
        self._waits[row] = 1
        self._until[row] = self._clock.seconds() + self._delay_s
        self._queue.append(0, row)
        if self._call is None:
            self._call = self._clock.callLater(self._delay_s, self._wake)

    def discard(self, row: int) -> None:
        """`row` does not wait any more, if it did."""
        if self._waits[row]:
            self._waits[row] = 0
            self._queue.remove(0, row)

    def stop(self) -> None:
        """Nobody's time will be up."""
        for row in self._queue.nodes(0):
            self.discard(row)
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _wake(self) -> None:
        for _ in range(_SLICE):
            row = self._queue.first(0)
            if not row or self._until[row] > self._clock.seconds():
                break
            self.discard(row)
            try:
                self._due(row)
            except Exception:  # noqa: BLE001  # as a reactor does
                log.err()
        self._call = None
        row = self._queue.first(0)
        if row:
            delay_s = max(_NEXT_S, self._until[row] - self._clock.seconds())
            self._call = self._clock.callLater(delay_s, self._wake)
