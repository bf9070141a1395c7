"""A pool that a test puts under pressure, and a client in it that is looked at.

    crowd = Crowd(make_net())
    client = crowd.client()
    crowd.fill(FROZEN)
    ...
    crowd.leave()

The crowd are clients with large windows whose data nobody acknowledges.
"""

from __future__ import annotations

from typing import Any

from xtcp_twisted.config import ALL, UNLIMITED

from .net import Net
from .peer import Client

CHUNK = 244
#: Chunks of the crowd's pool, and of the transmit buffer of `Listeners`.
CHUNKS = 1_024
#: Chunks in use that are well within a state; a crowd that holds data cannot get far into the last one.
OPEN, FROZEN, WITHHOLDING, DISCARDING = 200, 650, 800, 896
#: Below this the pool is open again: 45 %.
CALM = 460


class Crowd:
    """A pool of 256 KiB: a client of weight 8 may hold 31 KB when it is empty, 14 KB when half full.

    :param options: of the pool.
    """

    def __init__(self, net: Net, **options: Any) -> None:
        self.net = net
        self.pool = net.engine.create_pool(CHUNKS * 256, **options)
        self.group = net.group(9, pool=self.pool, weight=64, accept_credits=UNLIMITED)
        self.members = [net.client(self.group).established() for _ in range(6)]
        #: Clients that hold nothing yet, made while the pool still took connections.
        self.newcomers = [net.client(self.group).established() for _ in range(30)]
        self._ports = iter(range(100, 200))

    def client(self, **options: Any) -> Client:
        """An established client of a group of its own; without scaling its window is exact."""
        options = {"weight": 8, "window_scaling": False, "ack_policy": "immediate", **options}
        return self.net.client(self.net.group(next(self._ports), pool=self.pool, **options)).established()

    @property
    def used(self) -> int:
        """Chunks in use."""
        return self.net.engine.snapshot().pools[0].receive_buffer.used // 256

    @property
    def counters(self) -> dict[str, int]:
        """What the pressure of the pool has done."""
        return dict(self.net.engine.snapshot().pools[0].counters)

    @property
    def state(self) -> str:
        return self.net.engine.snapshot().pools[0].receive_buffer.pressure.state

    def fill(self, chunks: int) -> None:
        """The crowd sends, in turn, until so many are in use."""
        turn = 0
        while (missing := chunks - self.used) > 0:
            member = self.members[turn % len(self.members)]
            turn += 1
            assert turn < 2_000, f"{self.used} chunks is all that the crowd can fill"
            room = min(member.judge.edge - member.seq, min(missing, 5) * CHUNK) // CHUNK * CHUNK
            if room > 0:
                member.send(b"c" * room)
                self.net.turn()
            member.take()

    def leave(self, chunks: int = 0) -> None:
        """The application acknowledges, within a turn, until at most so many are in use."""
        with self.net.in_turn():
            self.group.recv_batch(100)
            for member in self.members:
                if self.used > chunks:
                    while self.group.info(member.cd).delivered < self.group.info(member.cd).held:
                        self.group.recv(1 << 20)
                    self.group.send(member.cd, b"", ackd=ALL)
        for member in self.members:
            member.take()


class Listeners:
    """Clients that acknowledge nothing, so that what is sent to them stays in the buffer."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.group = net.group(9, weight=64, accept_credits=UNLIMITED)
        self.members = [net.client(self.group).established() for _ in range(60)]
        self.idle = iter(self.members)

    def client(self, port: int, **options: Any) -> Client:
        return self.net.client(self.net.group(port, **{"weight": 8, **options})).established()

    @property
    def state(self) -> str:
        return self.net.engine.snapshot().transmit_buffer.pressure.state

    def fill(self, chunks: int) -> None:
        """Sixteen chunks each, until exactly so many are in use."""
        while self.net.transmit_used // 256 != chunks:
            member = next(self.idle)
            assert self.group.send(member.cd, b"l" * 16 * CHUNK) == 16 * CHUNK
            self.net.turn()

    def listen(self) -> None:
        """All of them acknowledge, in one turn."""
        for member in self.members:
            member.ack()
        self.net.turn()
        for member in self.members:
            member.take()


__all__ = ["CALM", "CHUNK", "CHUNKS", "DISCARDING", "FROZEN", "OPEN", "WITHHOLDING", "Crowd", "Listeners"]
