"""Counting a million connections beside the traffic.

The engine counts in slices; this decides when each slice runs: in turns of the
reactor of its own, with pauses in which packets are served, and none longer than
about a millisecond.

Knows the engine's census; must not know what pages make of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import task

from xtcp_console import figures
from xtcp_twisted import engine
from xtcp_twisted.errors import EngineClosed

#: Upper edges of the columns of idle time, seconds.
EDGES_S: Final = (1, 10, 60, 600, 3_600)
#: A slice is over when it has taken so long, seconds ...
SLICE_S: Final = 0.0005
#: ... which is looked at after so many rows of the engine's tables: some 0.1 ms.
ROWS: Final = 4_096
#: Between two slices, seconds.
PAUSE_S: Final = 0.01


class CensusTaker:
    """Takes a census of an engine when told to.

    :param reactor: an `IReactorTime` provider.
    :param wall: Unix time.
    :param stopwatch: seconds of a clock that runs on while a slice runs.
    :ivar latest: the last complete census.
    """

    def __init__(
        self, reactor: Any, wall: Callable[[], float], stopwatch: Callable[[], float] = time.perf_counter
    ) -> None:
        self.latest: figures.Census | None = None
        self._wall = wall
        self._stopwatch = stopwatch
        self._census: engine.Census | None = None
        self._slices = task.LoopingCall(self._slice)
        self._slices.clock = reactor

    @property
    def busy(self) -> bool:
        """Whether a census is under way."""
        return self._census is not None

    def begin(self, of: engine.Engine) -> None:
        """Start to count the connections of an open engine; the census under way is given up."""
        self.give_up()
        self._census = of.census(EDGES_S)
        self._slices.start(PAUSE_S, now=False)

    def give_up(self) -> None:
        """Stop counting; the last complete census stays."""
        if self._census is not None:
            self._census = None
            self._slices.stop()

    def _slice(self) -> None:
        census = self._census
        assert census is not None
        end = self._stopwatch() + SLICE_S
        try:
            while not census.advance(ROWS):
                if self._stopwatch() >= end:
                    return
        except EngineClosed:
            self.give_up()
            return
        self.give_up()
        self.latest = figures.Census(at=self._wall(), edges_s=EDGES_S, rows=census.counts, total=census.total)
