"""How connections of ordinary protocols end: in order, by halves, by a reset, and what is told of it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.interfaces import IHalfCloseableProtocol
from zope.interface import implementer

from tests.reactor.conftest import Logged
from tests.reactor.world import Recorder, World, connect, factoryOf


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        self.halves.append("write")


# -- closing -----------------------------------------------------------------------------------


def test_a_delayed_call_overtakes_connection_lost(world: World) -> None:
    """twisted.protocols.ftp needs this order; 76 of its tests fail without."""
    order: list[str] = []
    server = Recorder()

    def got(p: Recorder, _: bytes) -> None:
        p.transport.loseConnection()
        world.reactor.callLater(0, order.append, "callLater")

    server.got = got
    server.lost = lambda p: order.append("lost")
    client = connect(world, server)
    client.send(b"x")
    world.turns(3)
    assert order == ["callLater", "lost"]


def test_the_end_of_the_stream_waits_a_turn_after_its_data(world: World) -> None:
    order: list[str] = []
    server = Recorder()
    server.got = lambda p, _: world.reactor.callLater(0, order.append, "callLater")
    server.lost = lambda p: order.append("lost")
    client = connect(world, server)
    client.fin(b"x")
    world.turns(3)
    assert order == ["callLater", "lost"]


def test_abort_is_never_reentrant_and_the_peer_is_reset(world: World) -> None:
    server = Recorder()
    inside: list[int] = []

    def got(p: Recorder, _: bytes) -> None:
        inside.append(1)
        p.transport.loseConnection()
        p.transport.abortConnection()
        p.transport.abortConnection()
        assert p.reasons == []
        inside.clear()

    server.got = got
    server.lost = lambda p: inside.extend(inside)
    client = connect(world, server)
    client.send(b"x")
    world.turns(3)
    assert inside == []
    (reason,) = server.reasons
    reason.trap(error.ConnectionAborted)
    client.expect_reset(seq=1)


def test_a_fin_ends_a_protocol_that_is_not_half_closeable(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    client.fin()
    world.turns(2)
    server.reasons[0].trap(error.ConnectionDone)
    assert "F" in client.take()[-1].flags
    client.ack()
    world.turn()
    assert world.engine.snapshot().connections == 0


def test_a_reset_is_connection_lost(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    client.rst()
    world.turns(2)
    server.reasons[0].trap(error.ConnectionLost)
    assert "reset" in str(server.reasons[0].value)


def test_a_peer_that_answers_no_more_is_connection_lost(world: World) -> None:
    """P21: the user timeout marks the connection down."""
    server = Recorder()
    connect(world, server, user_timeout_s=5)
    server.transport.write(b"anybody?")
    world.turn()
    world.advance(30)
    server.reasons[0].trap(error.ConnectionLost)


def test_a_paused_transport_is_not_told_of_a_reset_until_it_resumes(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    server.transport.pauseProducing()
    client.rst()
    world.turns(3)
    assert server.reasons == []
    server.transport.resumeProducing()
    world.turns(2)
    server.reasons[0].trap(error.ConnectionLost)


def test_a_paused_transport_is_not_told_of_a_fin_until_it_resumes(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    server.transport.pauseProducing()
    client.fin()
    world.turns(3)
    assert server.reasons == []
    server.transport.resumeProducing()
    world.turns(3)
    server.reasons[0].trap(error.ConnectionDone)


def test_a_paused_transport_is_told_of_a_reset_when_it_writes(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    server.transport.pauseProducing()
    client.rst()
    world.turns(2)
    server.transport.write(b"x")
    assert server.reasons == []
    world.turn()
    server.reasons[0].trap(error.ConnectionLost)


def test_addresses_survive_the_connection(world: World) -> None:
    server = Recorder()
    seen: list[Any] = []
    server.lost = lambda p: seen.extend([p.transport.getPeer(), p.transport.getHost()])
    client = connect(world, server)
    client.rst()
    world.turns(2)
    assert [(a.host, a.port) for a in seen] == [client.key, ("192.0.2.1", 7)]
    assert server.transport.client == client.key


def test_the_protocol_is_dropped(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    transport = server.transport
    client.rst()
    world.turns(2)
    reference = weakref.ref(server)
    del server
    gc.collect()
    assert reference() is None
    assert transport.protocol is None


# -- half close ----------------------------------------------------------------------------------


def test_a_half_closeable_protocol_survives_a_fin(world: World) -> None:
    server = HalfCloser()
    client = connect(world, server)
    client.fin(b"question")
    world.turns(3)
    assert (server.data, server.halves, server.reasons) == (b"question", ["read"], [])
    client.take()
    server.transport.write(b"answer")
    world.turn()
    client.expect("A", data=b"answer")
    client.ack()
    server.transport.loseConnection()
    world.turns(2)
    server.reasons[0].trap(error.ConnectionDone)


def test_a_fin_behind_more_than_one_delivery_is_not_forgotten(world: World) -> None:
    """The engine reports it once, while a turn delivers 256 KiB at most."""
    server = HalfCloser()
    client = connect(world, server, weight=8)
    server.transport.pauseProducing()
    for _ in range(200):
        client.send(b"x" * 1_400)
        world.turn()
    client.fin()
    server.transport.resumeProducing()
    world.turns(4)
    assert (len(server.data), server.halves) == (280_000, ["read"])


def test_lose_write_connection_sends_what_was_written_then_fin(world: World) -> None:
    server = HalfCloser()
    client = connect(world, server)
    server.transport.write(b"all")
    server.transport.loseWriteConnection()
    world.turns(2)
    assert client.received == b"all"
    assert "F" in client.take()[-1].flags
    assert server.halves == ["write"]
    client.ack()
    client.send(b"more")
    world.turns(2)
    assert server.data == b"more"
    server.transport.write(b"ignored")
    world.turn()
    assert client.received == b"all"


def test_lose_connection_after_both_halves_is_immediate(world: World) -> None:
    """Twisted's test_doubleHalfClose (#3037)."""
    server = HalfCloser()
    client = connect(world, server)
    client.fin()
    world.turns(2)
    server.transport.loseWriteConnection()
    world.turns(2)
    assert server.halves == ["read", "write"]
    server.transport.loseConnection()
    server.reasons[0].trap(error.ConnectionDone)


def test_an_exception_in_a_half_close_notification_ends_the_connection(world: World, logged: Logged) -> None:
    server = HalfCloser()

    def fail() -> None:
        raise ZeroDivisionError

    server.readConnectionLost = fail  # type: ignore[method-assign]
    client = connect(world, server)
    client.fin()
    world.turns(3)
    server.reasons[0].trap(ZeroDivisionError)
    assert len(logged.take(ZeroDivisionError)) == 1


@pytest.mark.parametrize("when", ["made", "got"])
def test_nothing_is_sent_of_what_is_written_after_an_abort(world: World, when: str) -> None:
    server = Recorder()

    def end(p: Recorder, *_: bytes) -> None:
        p.transport.abortConnection()
        p.transport.write(b"late")
        p.transport.writeSequence([b"later"])

    setattr(server, when, end)
    client = world.client(world.listen(factoryOf(server)))
    client.syn()
    world.turn()
    client.expect("SA")
    client.ack()
    client.send(b"x")
    world.turns(3)
    assert client.received == b""
    assert [segment.flags for segment in client.take()] == [frozenset("RA")]
    assert [reason.type for reason in server.reasons] == [error.ConnectionAborted]
