"""An engine on a MemoryLink with a clock that only the test moves.

    net = Net()
    group = net.group(port=7)
    client = net.client(group).established()
    client.send(b"hello")
    net.turn()
    assert group.recv(100) == (client.cd, b"hello")
    net.advance(0.040)
    client.expect("A", ack=6)

Nothing here waits: `advance` calls the engine exactly when `poll_at` asks for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from xtcp_twisted.config import EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine, Group, Pool
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.link import Link
from xtcp_twisted.link.memory import MemoryLink

from . import icmp
from .ladder import Ladder, describe
from .packets import Segment, read
from .peer import Client
from .virtio import Card

V4, V6 = "192.0.2.1", "2001:db8::1"
PEER_V4, PEER_V6 = "198.51.100.7", "2001:db8:c::7"
#: A time with room on both sides, exact in binary.
START = 1_000.0
#: Turns at one instant, after which an engine that asks for more is called broken.
SPIN_LIMIT = 2_000

Event = tuple[EventKind, int, int, int]


def seeded_entropy(seed: int) -> Any:
    """Keys that are the same in every run, so that a failure can be repeated."""
    import random

    return random.Random(seed).randbytes


MakeNet = Callable[..., "Net"]


class Net:
    """Engine, link and clock, and the peers that talk to them."""

    #: The latest net of the running test; conftest prints its ladder when it fails.
    running: ClassVar[list[Net]] = []
    #: Whether links have offload where a test does not say: pytest's option --offload.
    offload: ClassVar[bool] = False

    def __init__(
        self,
        *,
        mtu: int = 1500,
        start: float = START,
        seed: int = 1,
        offload: bool | None = None,
        around: Callable[[Link], Link] | None = None,
        **config: Any,
    ) -> None:
        config.setdefault("addresses", (V4, V6))
        config.setdefault("max_connections", 1_024)
        config.setdefault("max_half_open", 1_024)
        config.setdefault("max_time_wait", 1_024)
        config.setdefault("transmit_buffer", 4 * MiB)
        config.setdefault("arena_limit", 256 * MiB)
        config.setdefault("entropy", seeded_entropy(seed))
        self.mtu = mtu
        self.now = start
        offload = Net.offload if offload is None else offload
        wire = MemoryLink(mtu=mtu, offload=offload)
        #: Packets in and out; with offload, a card cuts what the engine sends.
        self.link: Any = Card(wire) if offload else wire
        #: `around` puts wrappers between the engine and its link.
        self.engine = Engine(around(wire) if around is not None else wire, EngineConfig(**config))
        self.ladder = Ladder(start)
        self.events: list[Event] = []
        self.strays: list[Segment] = []
        self.messages: list[icmp.Message] = []
        self.clients: dict[tuple[str, int, int], Client] = {}
        self._pool: Pool | None = None
        self._next_sport = 40_000
        Net.running[:] = [self]

    def close(self) -> None:
        """Close the engine; what it sends on the way out is still judged."""
        if not self.engine.closed:
            self.engine.close()
        self.collect()

    # --- pools, groups, peers -------------------------------------------------

    @property
    def pool(self) -> Pool:
        """The pool of tests that are not about pools."""
        if self._pool is None:
            self._pool = self.engine.create_pool(4 * MiB, name="test")
        return self._pool

    def group(
        self,
        port: int = 7,
        *,
        pool: Pool | None = None,
        v6: bool = False,
        address: str | None = None,
        **options: Any,
    ) -> Group:
        return (pool or self.pool).open_group(
            port,
            address=address,
            domain=socket.AF_INET6 if v6 else socket.AF_INET,
            options=GroupOptions(**options),
        )

    def client(
        self,
        group: Group | None = None,
        *,
        port: int | None = None,
        ip: str | None = None,
        sport: int | None = None,
        server: str | None = None,
        **behaviour: Any,
    ) -> Client:
        """A peer that has sent nothing yet; `behaviour` as for `Client`."""
        v6 = group.domain == socket.AF_INET6 if group is not None else ":" in (ip or "")
        if sport is None:
            sport, self._next_sport = self._next_sport, self._next_sport + 1
        return Client(
            self,
            group=group,
            port=port if port is not None else group.port if group is not None else 7,
            ip=ip or (PEER_V6 if v6 else PEER_V4),
            sport=sport,
            server=server or (group.address if group is not None else None) or (V6 if v6 else V4),
            **behaviour,
        )

    def listener(self, group: Group, **behaviour: Any) -> Client:
        """A peer that the group can connect to; see `Client.connected_to`."""
        sport, self._next_sport = self._next_sport, self._next_sport + 1
        v6 = behaviour.pop("v6", group.domain == socket.AF_INET6)
        return Client(
            self,
            group=group,
            port=0,
            ip=PEER_V6 if v6 else PEER_V4,
            sport=sport,
            server=V6 if v6 else V4,
            **behaviour,
        )

    # --- time -----------------------------------------------------------------

    def poll(self) -> int:
        """The first half of a turn: packets in, timers, events."""
        taken = self.engine.poll(self.now)
        self.gather()
        return taken

    def flush(self) -> int:
        """The second half of a turn: packets out, to their peers."""
        sent = self.engine.flush(self.now)
        self.collect()
        return sent

    def turn(self) -> None:
        """Poll, events, flush: what a reactor does, at the present time."""
        self.poll()
        self.flush()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The body runs where the application's handlers run: between poll and flush."""
        self.poll()
        yield
        self.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass: a turn for packets that wait, one whenever `poll_at` says so, and one at the end."""
        if self.link.pending:
            self.turn()
        end = self.now + seconds
        turns = 0
        while (due := self.engine.poll_at()) is not None and due <= end:
            turns = turns + 1 if due <= self.now else 0
            assert turns < SPIN_LIMIT, f"poll_at asks for {due} again and again at {self.now}"
            self.now = max(self.now, due)
            self.turn()
        self.now = end
        self.turn()

    def stall(self, seconds: float) -> None:
        """Let time pass without calling the engine, as a busy process would."""
        self.now += seconds

    # --- what comes out -------------------------------------------------------

    def gather(self) -> None:
        while batch := self.engine.events():
            for event in batch:
                kind, _, cd, detail = event
                self.ladder.note(self.now, f"{EventKind(kind).name} cd={cd:#x} detail={detail}")
                self.events.append(event)

    def collect(self) -> None:
        """Hand every packet that the engine sent to the peer it is for, through the judge."""
        for time, raw in self.link.take():
            assert abs(time - self.now) < 1e-6, f"a packet stamped {time} leaves at {self.now}"
            if icmp.is_icmp(bytes(raw)):
                self.messages.append(icmp.read(self.now, bytes(raw), self.mtu))
                continue
            segment = read(self.now, bytes(raw), self.mtu)
            client = self.clients.get((segment.dst, segment.dport, segment.sport))
            if client is None:
                self.ladder.add(
                    self.now, segment.dport, describe(segment, segment.seq, segment.ack), from_engine=True
                )
                self.strays.append(segment)
            else:
                client.arrived(segment)

    def take_events(self, *kinds: EventKind) -> list[Event]:
        """The events so far, or those of `kinds`, taken away from `self.events`."""
        taken = [e for e in self.events if not kinds or e[0] in kinds]
        self.events = [e for e in self.events if kinds and e[0] not in kinds]
        return taken

    def kinds(self) -> list[EventKind]:
        """The kinds of all events so far, taken away."""
        return [EventKind(event[0]) for event in self.take_events()]

    def expect_nothing(self) -> None:
        """No packet has gone to anybody."""
        assert not self.messages, f"unexpected: {self.messages[0]}"
        assert not self.strays, f"unexpected: {self.strays[0]}"
        for client in self.clients.values():
            client.expect_nothing()

    def inject(self, packet: bytes) -> None:
        """A packet that no `Client` answers for."""
        self.link.deliver(packet)

    def counters(self) -> dict[str, int]:
        return dict(self.engine.counters())

    @property
    def transmit_used(self) -> int:
        return self.engine.snapshot().transmit_buffer.used

    @property
    def receive_used(self) -> int:
        return sum(pool.receive_buffer.used for pool in self.engine.snapshot().pools)
