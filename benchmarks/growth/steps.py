"""Everything that a server of very many connections has to do now and then, each timed.

A step gets a `Site`: a crowd whose connections are all open and idle.  It leaves as many
open as it has found, or none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
from twisted.internet import task

from benchmarks.crowd import ACK, FIN, RST, Crowd, number_of, reply, segment
from benchmarks.growth.stopwatch import Lap, settle
from xtcp_console.model import Model, Usage
from xtcp_twisted.config import SWEEP_S
from xtcp_twisted.engine import Engine, Group
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.status import pieces

REQUEST: Final = bytes(range(256)) * 4
#: Messages of one turn, and turns.
INFLIGHT, EXCHANGES = 100, 50
#: Looks at what takes a moment; the least counts.
LOOKS: Final = 5
#: A turn is made at least so often when time passes, seconds.
_HEARTBEAT: Final = 0.5


class Server(GroupProtocol):
    """Answers each message with the same bytes."""

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        send = self.group.send
        for cd, data in messages:
            send(cd, data)


class Time:
    """The engine's clock, which a step moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """A crowd, and the numbers of its clients.

    :param connections: how many are open.
    """

    def __init__(self, connections: int) -> None:
        self.connections = connections
        self.time = Time()
        self.protocol = Server()
        self.crowd = Crowd(None, connections, self.time)
        self.stack, self.engine = self.crowd.stack, self.crowd.stack.engine
        self.opening: list[Lap] = []
        self._first = 0
        self.listen()

    def listen(self) -> None:
        """Serve the port, as at the start."""
        self.protocol = Server()
        self.stack.listen(self.protocol, Binding(port=7))

    @property
    def group(self) -> Group:
        """The engine's group."""
        group = self.protocol.group.engineGroup
        assert isinstance(group, Group)
        return group

    @property
    def cds(self) -> list[int]:
        """Of all connections, which are idle."""
        cds = self.group.quiet(rows=1 << 24)[0]
        if len(cds) != self.connections:
            raise AssertionError(f"{len(cds)} of {self.connections} connections are idle")
        return cds

    def open(self, parts: int = 10) -> list[Lap]:
        """All clients come; what the server took, in so many parts of equal size."""
        laps = [Lap() for _ in range(parts)]
        batch = 256
        for number in range(0, self.connections, batch):
            lap = laps[number * parts // self.connections]
            first, last = self._first + number, self._first + min(number + batch, self.connections)
            self.crowd.deliver(segment(client, 0, 0, 2) for client in range(first, last))
            settle(self.crowd, lap, reply)
        self._first += self.connections
        if self.engine.connections != self.connections:
            raise AssertionError(f"{self.engine.connections} connections, not {self.connections}")
        return laps

    def pass_time(
        self, seconds: float, lap: Lap, answer: Callable[[bytes], bytes | None] | None = None
    ) -> None:
        """So much time passes, in which the clients say what they answer, or nothing."""
        end = self.time.now + seconds
        while self.time.now < end:
            due = self.engine.poll_at()
            self.time.now = min(end, due if due is not None else end, self.time.now + _HEARTBEAT)
            settle(self.crowd, lap, answer)

    def forget(self) -> None:
        """Whatever is left of connections that were closed ends."""
        self.pass_time(400, Lap())


#: A step: what it is called, and the laps that it makes of a site, with names of their own.
Step = Callable[[Site], Iterator[tuple[str, Lap]]]


def least(call: Callable[[], object]) -> Lap:
    """The least of some calls."""
    laps = []
    for _ in range(LOOKS):
        laps.append(Lap())
        with laps[-1].one():
            call()
    return min(laps, key=lambda lap: lap.total)


def messages(site: Site) -> Iterator[tuple[str, Lap]]:
    """Requests of random connections."""
    chosen, lap = random.Random(1), Lap()
    cds = site.cds
    for _ in range(EXCHANGES):
        site.crowd.request(site.group, chosen.sample(cds, min(INFLIGHT, len(cds))), REQUEST)
        settle(site.crowd, lap, reply)
    yield "a message", attrs.evolve(lap, total=lap.total / (EXCHANGES * min(INFLIGHT, len(cds))))


def looks(site: Site) -> Iterator[tuple[str, Lap]]:
    """What statistics ask."""
    engine = site.engine
    yield "Engine.snapshot", least(engine.snapshot)
    line = Lap()
    parts = pieces(engine.snapshot())
    while True:
        with line.one():
            if next(parts, None) is None:
                break
    yield "line of the status socket", line
    yield "Engine.counters", least(engine.counters)
    yield "len(group)", least(lambda: len(site.protocol.group))


@attrs.frozen
class _Source:
    engine: Engine
    failure: None = None


def console(site: Site) -> Iterator[tuple[str, Lap]]:
    """The console's second, and its census, by its own clock."""
    clock = task.Clock()
    model = Model(_Source(site.engine), clock, clock=site.time, usage=lambda: Usage(0, 0, 0.0))
    model.start()
    second = Lap()
    for _ in range(LOOKS):
        site.time.now += 1
        with second.one():
            model._turn()  # noqa: SLF001  # what its loop calls, timed by itself
    census = Lap()
    for _ in range(500):
        with census.one():
            clock.advance(0.01)
    model.stop()
    yield "the console's second", attrs.evolve(second, total=second.total / LOOKS)
    yield "its census", census


def round_of_the_hand(site: Site) -> Iterator[tuple[str, Lap]]:
    """Idle time: one round of the clock hand."""
    lap = Lap()
    site.pass_time(SWEEP_S, lap)
    yield "a round of the clock hand", lap


def broadcast(site: Site) -> Iterator[tuple[str, Lap]]:
    """One message to all, and their acknowledgements; then one that nobody acknowledges."""
    call, lap = Lap(), Lap()
    with call.one():
        reached = site.group.broadcast(REQUEST)
    if reached != site.connections:
        raise AssertionError(f"a broadcast reached {reached} of {site.connections}")
    sent = settle(site.crowd, lap, reply)
    if sent != site.connections:
        raise AssertionError(f"{sent} packets for {site.connections} connections")
    yield "a broadcast: the call", call
    yield "a broadcast: packets and acknowledgements", lap
    lost = Lap()
    site.group.broadcast(REQUEST)
    settle(site.crowd, Lap())
    site.pass_time(3, lost)
    yield "their timers, when nobody acknowledges", lost
    site.pass_time(30, Lap(), reply)


def one(site: Site) -> Iterator[tuple[str, Lap]]:
    """One connection is closed, its client agrees, and another one comes."""
    lap, opened = Lap(), Lap()
    count = 100
    cds = random.Random(2).sample(site.cds, count)
    for cd in cds:
        with lap.one():
            site.protocol.group.finish(cd)
        settle(site.crowd, lap, goodbye)
    yield "one is closed", attrs.evolve(lap, total=lap.total / count)
    for number in range(count):
        site.crowd.deliver([segment(8_000_000 + number, 0, 0, 2)])
        settle(site.crowd, opened, reply)
    yield "one is opened", attrs.evolve(opened, total=opened.total / count)


def goodbye(packet: bytes) -> bytes | None:
    """A client that closes when it is told that the server does."""
    return reply(packet, FIN | ACK if packet[33] & FIN else ACK)


def finish(site: Site) -> Iterator[tuple[str, Lap]]:
    """The application finishes all, in one turn."""
    yield from _all(site, "finish", site.protocol.group.finish)


def abort(site: Site) -> Iterator[tuple[str, Lap]]:
    """The application resets all, in one turn."""
    yield from _all(site, "abort", site.protocol.group.abort)


def _all(site: Site, name: str, end: Callable[[int], object]) -> Iterator[tuple[str, Lap]]:
    call, lap = Lap(), Lap()
    cds = site.cds
    with call.one():
        for cd in cds:
            end(cd)
    del cds
    settle(site.crowd, lap, goodbye)
    yield f"{name} all: the calls", call
    yield f"{name} all: turns", lap


def reset_by_clients(site: Site) -> Iterator[tuple[str, Lap]]:
    """All clients are gone at once."""
    lap = Lap()
    cds, batch = site.cds, 4_096
    for number in range(0, len(cds), batch):
        for cd in cds[number : number + batch]:
            info = site.group.info(cd)
            client = number_of(*info.peer)
            site.crowd.link.deliver(segment(client, info.rcv_nxt, info.snd_nxt, RST | ACK))
        settle(site.crowd, lap)
    yield "all clients reset", lap


def close_group(site: Site) -> Iterator[tuple[str, Lap]]:
    """The engine's group is closed in order."""
    yield from _closed(site, "group closed", site.group.close)


def abort_group(site: Site) -> Iterator[tuple[str, Lap]]:
    """The engine's group is closed by resets."""
    yield from _closed(site, "group aborted", lambda: site.group.close(abort=True))


def close_pool(site: Site) -> Iterator[tuple[str, Lap]]:
    """The pool is closed."""
    yield from _closed(site, "pool closed", site.crowd.pool.close)
    site.crowd.pool = site.stack.createPool("benchmark", 32 << 20)


def _closed(site: Site, name: str, close: Callable[[], object]) -> Iterator[tuple[str, Lap]]:
    call, lap = Lap(), Lap()
    with call.one():
        close()
    settle(site.crowd, lap, goodbye)
    ports: list[Any] = list(site.stack.stage.ports)
    for port in ports:
        port._gd = -1  # noqa: SLF001  # its group was taken away behind its back
        site.stack.stage.ports.discard(port)
    yield f"{name}: the call", call
    yield f"{name}: turns", lap


def drain(site: Site) -> Iterator[tuple[str, Lap]]:
    """The stack's drain, as at the orderly end of a server."""
    lap, drained = Lap(), list[Any]()
    site.stack.drain(600).addCallback(drained.append)
    while not drained:
        site.crowd.reactor.rightNow += 0.02
        site.time.now += 0.02
        settle(site.crowd, lap, goodbye)
    if drained != [True]:
        raise AssertionError("not drained")
    yield "drain", lap


def shutdown(site: Site) -> Iterator[tuple[str, Lap]]:
    """What follows a drain that took too long: FIN to all, a second, and the end of the engine."""
    call, lap, over = Lap(), Lap(), list[Any]()
    with call.one():
        site.stack.shutdown().addCallback(over.append)
    while not over:
        site.crowd.reactor.rightNow += 0.02
        site.time.now += 0.02
        settle(site.crowd, lap, goodbye)
    yield "shutdown: the call", call
    yield "shutdown: turns", lap


def stop(site: Site) -> Iterator[tuple[str, Lap]]:
    """The end at once: a reset for each."""
    call = Lap()
    with call.one():
        site.stack.stop()
    yield "stop at once", call


#: In this order; those of the second row leave no connection, those of the third no engine.
LASTING: Final[tuple[Step, ...]] = (messages, looks, console, round_of_the_hand, one, broadcast)
EMPTYING: Final[tuple[Step, ...]] = (
    finish, abort, reset_by_clients, close_group, abort_group, close_pool, drain,
)  # fmt: skip
ENDING: Final[tuple[Step, ...]] = (shutdown, stop)
