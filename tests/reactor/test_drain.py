"""The orderly end: what is in flight is finished, the new is refused, then everything is closed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer, error, interfaces
from twisted.internet.protocol import Factory
from zope.interface import implementer

from tests.reactor.test_client import answered, endpoint, outcome
from tests.reactor.test_tls import Pair, settle
from tests.reactor.world import Peer, Recorder, World, factoryOf
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.port import Binding


class Group(GroupProtocol):
    """Acknowledges when a test does; keeps what it has heard."""

    autoAcknowledge = False

    def __init__(self) -> None:
        self.asked: list[tuple[int, bytes]] = []
        self.lost: list[Any] = []
        self.closed: list[Any] = []

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.asked.append((cd, data))

    def connectionLost(self, cd: int, reason: Any) -> None:
        self.lost.append(reason.type)

    def groupClosed(self, reason: Any) -> None:
        self.closed.append(reason.type)


class Draining:
    """A drain that was begun; every look of it is a step."""

    def __init__(self, world: World, limit: float = 10.0) -> None:
        self.world = world
        self.over: list[bool] = []
        world.stack.drain(limit).addCallback(self.over.append)
        world.turns(3)

    def step(self, seconds: float = 0.02) -> None:
        """What has come is taken, then connections are looked at."""
        self.world.turn()
        self.world.reactor.advance(seconds)
        self.world.turns(3)


def closed(client: Peer) -> bool:
    return any("F" in segment.flags for segment in client.take())


@pytest.mark.parametrize("serve", [Group, lambda: factoryOf(Recorder(), Recorder())])
def test_who_is_in_the_middle_of_nothing_is_closed_at_once(world: World, serve: Callable[[], Any]) -> None:
    port = world.listen(serve())
    clients = [world.client(port).opened() for _ in range(2)]
    draining = Draining(world)
    assert [closed(client) for client in clients] == [True, True]
    draining.step()
    assert draining.over == [True]


def test_new_connections_are_refused(world: World) -> None:
    server = Recorder()
    port = world.listen(factoryOf(server))
    client = world.client(port).opened()
    client.send(b"slow")
    world.turn()
    draining = Draining(world)
    late = world.client(port)
    late.syn()
    world.turn()
    late.expect_reset(seq=0)
    assert server.connected and draining.over == []


def test_an_ordinary_protocol_finishes_its_answer(world: World) -> None:
    """It has the request, and it alone knows when the answer comes."""
    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    client.send(b"request")
    world.turn()
    draining = Draining(world)
    draining.step(5)
    assert not closed(client) and server.reasons == [] and draining.over == []
    server.transport.write(b"answer")
    world.turn()
    assert client.received == b"answer"
    draining.step()
    assert server.reasons == []
    client.ack()
    draining.step()
    assert closed(client)
    assert [reason.type for reason in server.reasons] == [error.ConnectionDone]
    draining.step()
    assert draining.over == [True]


def test_a_group_protocol_finishes_what_it_has_not_acknowledged(world: World) -> None:
    protocol = Group()
    client = world.client(world.listen(protocol)).opened()
    client.send(b"request")
    world.turn()
    draining = Draining(world)
    draining.step(5)
    [(cd, data)] = protocol.asked
    protocol.group.send(cd, b"answer", len(data))
    world.turn()
    assert client.received == b"answer"
    client.ack()
    draining.step()
    assert closed(client)
    assert protocol.lost == [error.ConnectionDone]
    draining.step()
    assert draining.over == [True]


def test_a_large_answer_arrives_whole(world: World) -> None:
    """More than the engine takes at once waits with the transport."""
    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    client.send(b"request")
    world.turn()
    answer = os.urandom(3_000_000)  # of a transmit buffer of 4 MiB
    server.transport.write(answer)
    draining = Draining(world)
    while not draining.over:
        client.ack()
        draining.step()
    assert client.received == answer
    assert [reason.type for reason in server.reasons] == [error.ConnectionDone]


def test_a_producer_may_finish(world: World) -> None:
    @implementer(interfaces.IPushProducer)
    class Producer:
        def resumeProducing(self) -> None: ...
        def pauseProducing(self) -> None: ...
        def stopProducing(self) -> None: ...

    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    server.transport.registerProducer(Producer(), True)
    draining = Draining(world)
    draining.step(1)
    assert not closed(client)
    server.transport.unregisterProducer()
    draining.step()
    assert closed(client)


def test_the_limit_ends_it(world: World) -> None:
    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    client.send(b"request")
    world.turn()
    draining = Draining(world, limit=1)
    draining.step(0.5)
    assert draining.over == []
    draining.step(0.5)
    assert draining.over == [False]
    assert server.reasons == [], "what to do with it is left to the caller"


def test_the_end_of_the_stack_ends_it(world: World) -> None:
    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    client.send(b"request")
    world.turn()
    draining = Draining(world)
    world.stack.stop()
    world.reactor.advance(0.02)
    assert draining.over == [False]
    assert [reason.type for reason in server.reasons] == [error.ConnectionLost]


def test_connections_of_our_own_stay_for_what_is_in_flight(world: World) -> None:
    """A server that has to ask another one before it can answer."""
    server, ours = Recorder(), Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    connecting = endpoint(world).connect(factoryOf(ours))
    other = answered(world)
    assert outcome(connecting) is ours
    client.send(b"request")
    world.turn()
    draining = Draining(world)
    draining.step(1)
    ours.transport.write(b"question")
    world.turn()
    assert other.received == b"question"
    assert ours.reasons == [] and draining.over == []
    server.transport.write(b"answer")
    world.turn()
    assert client.received == b"answer"
    client.ack()
    draining.step()
    draining.step()
    assert draining.over == [True]
    assert ours.reasons == []


def test_a_port_that_had_stopped_is_drained_too(world: World) -> None:
    """As strports' services do, which stop beside the stack's own."""
    server = Recorder()
    port = world.listen(factoryOf(server))
    client = world.client(port).opened()
    done: list[object] = []
    defer.maybeDeferred(port.stopListening).addCallback(done.append)
    draining = Draining(world)
    assert done == [None]
    assert closed(client)
    draining.step()
    assert draining.over == [True]


def test_many_are_closed_in_slices(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xtcp_twisted.reactor.port.ROWS_PER_DRAIN", 3)
    protocol = Group()
    port = world.listen(protocol)
    clients = [world.client(port).opened() for _ in range(10)]
    draining = Draining(world)
    assert [closed(client) for client in clients] == [True] * 3 + [False] * 7
    while not draining.over:
        draining.step()
    assert protocol.lost == [error.ConnectionDone] * 10


def test_nothing_to_drain_is_over_at_once(world: World) -> None:
    world.listen(Factory())
    assert Draining(world).over == [True]


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL .* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("pair", ["secure", "started"])
def test_tls_says_goodbye_by_itself(world: World, pair: str) -> None:
    """From the start or begun later: the client sees the end of TLS, not a stream that was cut off."""
    ends = Pair.secure(world) if pair == "secure" else Pair.plain(world).started()
    ends.client.transport.write(b"request")
    settle(world)
    ends.server.transport.write(b"answer")
    settle(world)
    draining = Draining(world)
    while not draining.over:
        settle(world)
        draining.step()
    assert ends.client.data == b"answer"
    assert [reason.type for reason in ends.client.reasons] == [error.ConnectionDone]


@pytest.mark.feature("P31")
@pytest.mark.parametrize("grouped", [False, True])
def test_local_clients_are_finished_as_well(world: World, tmp_path: Path, grouped: bool) -> None:
    server, protocol = Recorder(), Group()
    path = str(tmp_path / "s")
    world.stack.listen(protocol if grouped else factoryOf(server), Binding(path=path))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(path)
        world.turns(4)
        client.sendall(b"request")
        world.turns(4)
        draining = Draining(world)
        draining.step(5)
        assert draining.over == []
        if grouped:
            protocol.group.send(protocol.asked[0][0], b"answer", len(b"request"))
        else:
            server.transport.write(b"answer")
        for _ in range(4):
            draining.step()
        assert draining.over == [True]
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""
