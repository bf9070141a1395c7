"""The reader: when there is a turn, what it may cost, and what happens when the engine cannot go on."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.descriptors import open_descriptors
from twisted.internet import error, interfaces
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.python import log
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.config import EngineConfig, MiB
from xtcp_twisted.errors import LinkError
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import XTCPStack


def readable(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def test_interfaces(world: World) -> None:
    assert verifyObject(interfaces.IReadDescriptor, world.stack.reader)
    assert verifyObject(interfaces.ILoggingContext, world.stack.reader)


# -- in real reactors ---------------------------------------------------------------------------


@pytest.fixture(params=[EPollReactor, SelectReactor])
def reactor(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    for reader in list(made._internalReaders):
        made._removeInternalReader(reader)
        reader.connectionLost(None)
    if hasattr(made, "_poller"):
        made._poller.close()


def makeStack(reactor: Any) -> XTCPStack:
    config = EngineConfig(addresses=("192.0.2.1",), arena_limit=256 * MiB, transmit_buffer=MiB)
    stack = XTCPStack(reactor, MemoryLink(1500), config)
    stack.createPool("im", MiB)
    stack.start()
    return stack


def test_an_idle_engine_is_invisible(reactor: Any) -> None:
    stack = makeStack(reactor)
    stack.listen(factoryOf(), Binding(port=7))
    for _ in range(5):
        reactor.iterate(0)
    assert reactor.getDelayedCalls() == []
    assert reactor.removeAll() == []
    stack.stop()


def test_an_idle_engine_sleeps(reactor: Any) -> None:
    """Nothing to do: the descriptor is not readable, so the reactor is not woken."""
    stack = makeStack(reactor)
    stack.listen(factoryOf(), Binding(port=7))
    for _ in range(5):
        reactor.iterate(0)
    assert not readable(stack.reader.fileno())
    stack.stop()


def test_work_asked_for_outside_of_a_turn_makes_one(reactor: Any) -> None:
    stack = makeStack(reactor)
    for _ in range(5):
        reactor.iterate(0)
    calls: list[int] = []
    stack.reader.later(calls.append, 1)
    assert readable(stack.reader.fileno())
    reactor.iterate(0)
    assert calls == [1]
    stack.stop()


def test_what_is_put_off_in_a_turn_waits_for_the_next(reactor: Any) -> None:
    stack = makeStack(reactor)
    order: list[str] = []

    def first() -> None:
        order.append("first")
        stack.reader.later(order.append, "second")
        reactor.callLater(0, order.append, "delayed")

    stack.reader.later(first)
    reactor.iterate(0)
    assert order == ["first"]
    reactor.iterate(0)
    reactor.iterate(0)
    assert order == ["first", "delayed", "second"]
    stack.stop()


def test_a_stopped_stack_leaves_no_descriptor(reactor: Any) -> None:
    before = open_descriptors()
    stack = makeStack(reactor)
    stack.listen(factoryOf(), Binding(port=7))
    reactor.iterate(0)
    stack.stop()
    stack.stop()
    assert stack.reader.fileno() == -1
    assert open_descriptors() == before


def test_a_reactor_without_internal_readers_serves_too(world: World) -> None:
    class Plain:
        """Only what IReactorFDSet promises."""

        running = False

        def __init__(self) -> None:
            self.readers: list[Any] = []

        def addReader(self, reader: Any) -> None:
            self.readers.append(reader)

        def removeReader(self, reader: Any) -> None:
            self.readers.remove(reader)

        def addSystemEventTrigger(self, *_: object) -> None:
            pass

    reactor = Plain()
    stack = makeStack(reactor)
    assert reactor.readers == [stack.reader]
    stack.stop()
    assert reactor.readers == []


# -- the cost of a turn -----------------------------------------------------------------------


def test_a_turn_is_bounded_and_goes_on_in_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtcp_twisted.reactor.reader.MESSAGES_PER_TURN", 2)
    servers = [Recorder() for _ in range(5)]
    port = world.listen(factoryOf(*servers))
    clients = [world.client(port).opened() for _ in servers]
    world.turn()
    for client in clients:
        client.send(b"x")
    world.turn()
    assert sum(len(server.chunks) for server in servers) == 2
    assert readable(world.stack.reader.fileno())
    world.turns(3)
    assert [server.data for server in servers] == [b"x"] * 5


def test_events_beyond_the_bound_come_in_the_next_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtcp_twisted.reactor.reader.EVENTS_PER_TURN", 2)
    servers = [Recorder() for _ in range(5)]
    port = world.listen(factoryOf(*servers))
    clients = [world.client(port) for _ in servers]
    for client in clients:
        client.syn()
    world.turn()
    for client in clients:
        client.expect("SA")
        client.ack()
    world.turn()
    assert sum(server.connected for server in servers) == 2
    assert readable(world.stack.reader.fileno())
    world.turns(3)
    assert all(server.connected for server in servers)


@pytest.mark.feature("P05")
def test_groups_of_a_higher_priority_are_served_first(world: World) -> None:
    order: list[str] = []

    class Noting(Recorder):
        def dataReceived(self, data: bytes) -> None:
            order.append(data.decode())

    clients = {}
    for priority in ("normal", "low", "high"):
        port = world.listen(factoryOf(Noting()), 0, priority=priority)
        clients[priority] = world.client(port).opened()
    world.turn()
    for priority in ("low", "normal", "high", "low"):
        clients[priority].send(priority.encode())
    world.turn()
    assert order == ["high", "normal", "lowlow"]


# -- logging -----------------------------------------------------------------------------------


def test_what_a_protocol_logs_names_it(world: World) -> None:
    systems: list[str] = []
    server = Recorder()
    server.got = lambda p, data: log.msg("said", data=data)

    def observe(event: dict[str, Any]) -> None:
        if "data" in event:
            systems.append(event["system"])

    client = world.client(world.listen(factoryOf(server))).opened()
    log.addObserver(observe)
    client.send(b"x")
    world.turns(2)
    log.removeObserver(observe)
    assert systems == ["Recorder,0,198.51.100.7"]


# -- the end of the link -------------------------------------------------------------------------


def test_a_lost_link_loses_connections_and_spares_the_reactor(world: World, logged: Logged) -> None:
    server = Recorder()
    world.client(world.listen(factoryOf(server))).opened()

    class Gone:
        """An engine whose link has gone away."""

        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def begin_turn(self, now: float) -> int:
            raise LinkError("xtcp0: the device is gone")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._engine, name)

    world.stack.reader.engine = Gone(world.engine)  # type: ignore[assignment]
    critical: list[str] = []
    told: list[bool] = []
    world.stack.whenFailed = lambda: told.append(world.stack.stopped and server.reasons != [])

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_level") is not None and event["log_level"].name == "critical":
            critical.append(event["error"].args[0])

    log.addObserver(observe)
    world.turns(3)
    log.removeObserver(observe)
    (reason,) = server.reasons
    reason.trap(error.ConnectionLost)
    assert "the device is gone" in str(reason.value)
    assert critical == ["xtcp0: the device is gone"]
    assert (world.stack.stopped, world.stack.failure) == (True, "xtcp0: the device is gone")
    assert told == [True], "once, after everybody else"
    assert world.reactor.readers == []
    logged.events.clear()


def test_the_clock_is_the_monotonic_one(reactor: Any) -> None:
    stack = makeStack(reactor)
    reactor.iterate(0)
    assert abs(stack.engine.snapshot().time - time.monotonic()) < 60
    stack.stop()
