"""Two engines against each other over a bad network, on one virtual clock.

    pair = Pair(seed=3, loss=0.01, delay=0.025)
    pair.near.write(b"...")
    pair.run(until=lambda: len(pair.far.received) == n)

`near` has the ImpairedLink, for what it sends and what it receives; between it
and `far` packets change hands without delay.  `near` connects, `far` accepts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.link.impair import ImpairedLink
from xtcp_twisted.link.memory import MemoryLink

from .virtio import Card

NEAR, FAR = "192.0.2.1", "198.51.100.7"
NEAR_PORT, FAR_PORT = 7, 40_000
START = 1_000.0
SPIN_LIMIT = 10_000


class Side:
    """One engine with one connection, and an application that takes and gives bytes.

    :param offload: the link leaves segmentation and checksums to a card; not an option of the group.
    """

    def __init__(
        self, address: str, port: int, *, seed: int, impairments: dict[str, Any] | None, **options: Any
    ) -> None:
        offload = options.pop("offload", False)
        wire = MemoryLink(mtu=1500, offload=offload)
        #: Packets in and out; with offload, a card cuts what leaves and merges what comes.
        self.wire: Any = Card(wire, gro=True) if offload else wire
        self.link = ImpairedLink(wire, **impairments) if impairments is not None else wire
        self.engine = Engine(
            self.link,
            EngineConfig(
                addresses=(address,),
                max_connections=16,
                max_half_open=16,
                max_time_wait=16,
                transmit_buffer=64 * MiB,
                arena_limit=512 * MiB,
                entropy=random.Random(seed).randbytes,
            ),
        )
        self.pool = self.engine.create_pool(64 * MiB)
        options.setdefault("accept_credits", UNLIMITED)
        options.setdefault("ack_policy", "immediate")
        options.setdefault("user_timeout_s", 0)
        self.group = self.pool.open_group(port, options=GroupOptions(**options))
        self.cd = -1
        self.queued = bytearray()
        self.received = bytearray()
        self.ends: list[EventKind] = []

    def write(self, data: bytes) -> None:
        """Bytes to send, as the transmit buffer takes them."""
        self.queued += data

    def turn(self, now: float) -> None:
        """Packets in, what the application does with them, packets out."""
        self.engine.poll(now)
        while batch := self.engine.events():
            for kind, _, cd, _ in batch:
                if kind == EventKind.ESTABLISHED:
                    self.cd = cd
                elif kind in (EventKind.RESET, EventKind.DOWN):
                    self.ends.append(EventKind(kind))
        while (got := self.group.recv(1 << 20)) is not None:
            self.received += got[1]
            self.group.send(got[0], b"", ackd=ALL)
        if self.cd >= 0 and self.queued and not self.ends:
            del self.queued[: self.group.send(self.cd, bytes(self.queued[: 1 << 18]))]
        self.engine.flush(now)

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.engine.counters())

    def deliver(self, packets: list[bytes]) -> None:
        """What the other side sent, at once."""
        if isinstance(self.wire, Card):
            self.wire.deliver_all(packets)
            return
        for packet in packets:
            self.wire.deliver(packet)

    def close(self) -> None:
        self.group.close(abort=True)
        self.pool.close()
        self.engine.close()


class Pair:
    """Two connected sides; `impairments` are ImpairedLink's.

    :param crossed: both connect, so that their SYNs cross: simultaneous open.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        near: dict[str, Any] | None = None,
        far: dict[str, Any] | None = None,
        crossed: bool = False,
        **impairments: Any,
    ) -> None:
        self.now = START
        self.near = Side(NEAR, NEAR_PORT, seed=seed, impairments={"seed": seed, **impairments}, **near or {})
        self.far = Side(FAR, FAR_PORT, seed=seed + 1, impairments=None, **far or {})
        self.near.group.connect((FAR, FAR_PORT), (NEAR, NEAR_PORT))
        if crossed:
            self.far.group.connect((NEAR, NEAR_PORT), (FAR, FAR_PORT))
        self.run(until=lambda: self.near.cd >= 0 and self.far.cd >= 0)

    def close(self) -> None:
        self.near.close()
        self.far.close()

    # --- time -----------------------------------------------------------------

    def _exchange(self) -> None:
        """Both sides' turns at this instant, until neither has anything to say."""
        for _ in range(SPIN_LIMIT):
            self.near.turn(self.now)
            self.far.deliver([raw for _, raw in self.near.wire.take()])
            moved = self.far.wire.pending
            self.far.turn(self.now)
            self.near.deliver([raw for _, raw in self.far.wire.take()])
            if not moved and not self.near.wire.pending:
                return
        raise AssertionError(f"the engines talk for ever at {self.now}")

    def run(self, until: Callable[[], bool], *, limit: float = 600.0) -> float:
        """Let time pass until something holds; the seconds it took.

        :param limit: seconds after which the test has failed.
        """
        begin = self.now
        spins = 0
        self._exchange()
        while not until():
            dues = [d for d in (self.near.engine.poll_at(), self.far.engine.poll_at()) if d is not None]
            assert dues, "both engines wait for ever"
            spins = spins + 1 if min(dues) <= self.now else 0
            assert spins < SPIN_LIMIT, f"a turn is asked for again and again at {self.now}"
            self.now = max(self.now, min(dues))
            assert self.now - begin < limit, f"not done after {limit} s"
            self._exchange()
        return self.now - begin
