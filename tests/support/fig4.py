"""An application server on a net: it blocks in virtual time.

    host = Host(net)
    with host.server() as server:
        server.xtcp_initialize(1 << 20)
        ...
    host.at(0.25, lambda: client.send(b"hello"))
    server.xtcp_select(1, readgds, None, 1.0)      # returns at 0.25

While it waits, what was planned with `at` happens and the engine has its turns
exactly when `poll_at` asks for them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from xtcp_twisted.api import ApplicationServer

if TYPE_CHECKING:
    from .net import Net


class Host:
    """The machine that application servers run on.

    :ivar waits: for how long each wait was asked for, None for ever.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.waits: list[float | None] = []
        self._plan: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def server(self) -> ApplicationServer:
        return ApplicationServer(self.net.engine, clock=self._clock, wait=self._wait)

    def at(self, seconds: float, happens: Callable[[], object]) -> None:
        """Let something happen so many seconds from now, while an application waits."""
        heapq.heappush(self._plan, (self.net.now + seconds, next(self._order), happens))

    def _clock(self) -> float:
        self.net.collect()
        return self.net.now

    def _wait(self, fd: int, timeout_s: float | None) -> None:
        self.net.collect()
        self.waits.append(timeout_s)
        if self.net.link.pending:
            return
        ends = [self.net.engine.poll_at(), self._plan[0][0] if self._plan else None]
        if timeout_s is not None:
            ends.append(self.net.now + timeout_s)
        times = [end for end in ends if end is not None]
        assert times, "nothing would ever end this wait"
        self.net.now = max(self.net.now, min(times))
        while self._plan and self._plan[0][0] <= self.net.now:
            heapq.heappop(self._plan)[2]()
