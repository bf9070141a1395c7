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
from typing import TYPE_CHECKING, Any

from xtcp_twisted.api import ApplicationServer, xtcp_cd

if TYPE_CHECKING:
    from .net import Net
    from .peer import Client


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


def asked(net: Net, server: ApplicationServer, gd: int, **options: Any) -> Client:
    """A peer whose SYN is here and undecided."""
    client = net.client(server.group(gd), **options)
    client.syn()
    assert server.xtcp_select(0, None, None, 0) == 0
    return client


def connected(net: Net, server: ApplicationServer, gd: int, **options: Any) -> Client:
    """A peer that was accepted by `xtcp_accept`."""
    client = asked(net, server, gd, **options)
    client.cd = server.xtcp_accept(gd)
    assert client.cd > 0
    server.xtcp_select(0, None, None, 0)
    net.collect()
    client.expect("SA", ack=1)
    client.ack()
    server.xtcp_select(0, None, None, 0)
    net.collect()
    return client


def received(server: ApplicationServer, gd: int, size: int = 1_000) -> tuple[int, bytes] | int:
    """What `xtcp_recv` stores, or the errno that it returns."""
    place, buf = xtcp_cd(), bytearray(size)
    count = server.xtcp_recv(gd, place, buf)
    return (place.value, bytes(buf[:count])) if count >= 0 else count
