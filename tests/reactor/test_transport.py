"""What Twisted's own TCP transports do, ordinary protocols get here, in the same order."""

from __future__ import annotations

import errno
import gc
import weakref
from typing import Any

import pytest
from twisted.internet import error, interfaces
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.world import ANY, Peer, Recorder, World, factoryOf
from xtcp_twisted.reactor.interfaces import IConnectionSignals, IXTCPTransport


def connect(world: World, protocol: Protocol, **options: Any) -> Peer:
    """A peer whose connection `protocol` serves."""
    return world.client(world.listen(factoryOf(protocol), **options)).opened()


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        self.halves.append("write")


# -- delivery ------------------------------------------------------------------------------


@pytest.mark.feature("P15", "P24")
def test_the_acknowledgement_rides_on_the_answer(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: p.transport.write(data.upper())
    client = connect(world, server)
    client.send(b"hello")
    world.turn()
    client.expect("A", ack=6, data=b"HELLO")
    client.expect_nothing()


@pytest.mark.feature("P14")
def test_the_acknowledgement_waits_for_an_answer_that_comes_later(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: world.reactor.callLater(0.02, p.transport.write, data.upper())
    client = connect(world, server)
    client.send(b"hello")
    world.turn()
    client.expect_nothing()
    world.now += 0.02
    world.reactor.advance(0.02)
    world.turn()
    client.expect("A", ack=6, data=b"HELLO")
    client.ack()
    world.advance(0.1)
    client.expect_nothing()


@pytest.mark.feature("P14")
def test_what_is_not_answered_is_acknowledged_when_the_bound_is_over(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    client.send(b"hello")
    world.turn()
    client.expect_nothing()
    world.advance(0.041)
    client.expect("A", ack=6)
    assert world.receive_used == 0


def test_no_data_in_the_turn_of_connection_made(world: World) -> None:
    """ClientCreator, hence FTP, relies on a pass over the delayed calls between the two."""
    order: list[str] = []
    server = Recorder()
    server.made = lambda p: world.reactor.callLater(0, order.append, "callLater")
    server.got = lambda p, data: order.append("data")
    client = world.client(world.listen(factoryOf(server)))
    client.syn()
    world.turn()
    client.expect("SA")
    client.ack()
    client.send(b"one")
    world.turn()
    assert order == []
    world.turn()
    assert order == ["callLater", "data"]
    assert server.data == b"one"


def test_data_and_end_of_the_first_turn_keep_their_order(world: World) -> None:
    server = Recorder()
    client = world.client(world.listen(factoryOf(server)))
    client.syn()
    world.turn()
    client.expect("SA")
    client.ack()
    client.fin(b"last words")
    world.turns(4)
    assert server.data == b"last words"
    server.reasons[0].trap(error.ConnectionDone)


def test_a_delivery_has_at_most_256_kib(world: World) -> None:
    server = Recorder()
    client = connect(world, server, weight=8)  # that one connection may hold so much
    server.transport.pauseProducing()
    for _ in range(200):
        client.send(b"x" * 1400)
        world.turn()
        client.take()
    server.transport.resumeProducing()
    world.turns(4)
    assert len(server.data) == 200 * 1400
    assert list(map(len, server.chunks)) == [262_144, 200 * 1400 - 262_144]


def test_nothing_is_delivered_while_paused(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: p.transport.pauseProducing()
    client = connect(world, server)
    client.send(b"one")
    world.turn()
    client.send(b"two")
    world.turns(3)
    assert server.data == b"one"
    server.transport.resumeProducing()
    world.turn()
    assert server.data == b"onetwo"


def test_a_neighbour_may_pause_it_within_the_batch(world: World) -> None:
    """A proxy pauses the other side from its own dataReceived; that must hold at once."""
    one, two = Recorder(), Recorder()
    port = world.listen(factoryOf(one, two))
    clients = [world.client(port).opened() for _ in range(2)]
    one.got = lambda p, data: two.transport.pauseProducing()
    two.got = lambda p, data: one.transport.pauseProducing()
    for client in clients:
        client.send(b"x")
    world.turns(3)
    assert sorted([one.data, two.data]) == [b"", b"x"]
    one.transport.resumeProducing()
    two.transport.resumeProducing()
    world.turns(2)
    assert (one.data, two.data) == (b"x", b"x")


def test_nothing_is_delivered_after_lose_connection(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: p.transport.loseConnection()
    client = connect(world, server)
    client.send(b"one")
    world.turn()
    client.send(b"two")
    world.turns(3)
    assert server.chunks == [b"one"]


# -- writing ---------------------------------------------------------------------------------


def test_what_is_written_between_lose_connection_and_the_flush_is_sent(world: World) -> None:
    server = Recorder()

    def made(p: Recorder) -> None:
        p.transport.write(b"one ")
        p.transport.loseConnection()
        p.transport.write(b"two")

    server.made = made
    client = connect(world, server)
    world.turns(2)
    assert client.received == b"one two"
    server.reasons[0].trap(error.ConnectionDone)


def test_a_large_write_arrives_as_the_peer_makes_room(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    payload = bytes(range(256)) * 12_000
    server.transport.write(payload)
    server.transport.loseConnection()
    for _ in range(20_000):
        world.turn()
        if client.inbox:
            client.take()
            client.ack()
        elif server.reasons:
            break
    world.turns(2)
    assert client.received == payload
    server.reasons[0].trap(error.ConnectionDone)


def test_write_sequence(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    server.transport.writeSequence([b"a", b"", b"bc"])
    world.turn()
    client.expect("A", data=b"abc")


@pytest.mark.parametrize("bad", ["text", bytearray(b"x"), memoryview(b"x"), None, 1])
def test_only_bytes_can_be_written(world: World, bad: Any) -> None:
    server = Recorder()
    connect(world, server)
    with pytest.raises(TypeError, match="Data must be bytes"):
        server.transport.write(bad)
    with pytest.raises(TypeError, match="Data must be bytes"):
        server.transport.writeSequence([b"x", bad])


def test_writing_in_connection_lost_is_ignored(world: World) -> None:
    server = Recorder()

    def lost(p: Recorder) -> None:
        p.transport.write(b"x")
        p.transport.loseConnection()
        p.transport.abortConnection()

    server.made = lambda p: p.transport.loseConnection()
    server.lost = lost
    client = connect(world, server)
    world.turns(4)
    assert len(server.reasons) == 1
    assert client.received == b""


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


# -- exceptions -----------------------------------------------------------------------------------


def fail(*_: object) -> None:
    raise ZeroDivisionError


def test_an_exception_in_data_received_costs_that_connection(world: World, logged: Logged) -> None:
    bad, good = Recorder(), Recorder()
    bad.got = fail
    good.got = lambda p, data: p.transport.write(data)
    port = world.listen(factoryOf(bad, good))
    clients = [world.client(port).opened() for _ in range(2)]
    for client in clients:
        client.send(b"x")
    world.turns(2)
    bad.reasons[0].trap(ZeroDivisionError)
    assert len(logged.take(ZeroDivisionError)) == 1
    assert good.reasons == []
    clients[1].expect("A", data=b"x")


def test_an_exception_acknowledges_nothing_under_the_application_policy(world: World, logged: Logged) -> None:
    server = Recorder()
    server.got = fail
    client = connect(world, server, ack_policy="application")
    client.send(b"order")
    world.turns(2)
    client.expect_reset(seq=1)
    assert len(logged.take(ZeroDivisionError)) == 1


def test_an_exception_in_connection_made_leaves_the_connection(world: World, logged: Logged) -> None:
    """As twisted.internet.tcp.Port does: logged, no more."""
    server = Recorder()
    server.made = fail
    client = connect(world, server)
    assert len(logged.take(ZeroDivisionError)) == 1
    client.send(b"x")
    world.turn()
    assert server.data == b"x"


def test_an_exception_in_connection_lost_is_logged(world: World, logged: Logged) -> None:
    server = Recorder()
    server.lost = fail
    client = connect(world, server)
    client.fin()
    world.turns(2)
    assert len(logged.take(ZeroDivisionError)) == 1
    assert "F" in client.take()[-1].flags


def test_an_exception_in_a_producer_costs_that_connection(world: World, logged: Logged) -> None:
    server = Recorder()
    client = connect(world, server)

    class Bad:
        resumeProducing = staticmethod(fail)
        stopProducing = staticmethod(lambda: None)
        pauseProducing = staticmethod(lambda: None)

    server.transport.registerProducer(Bad(), True)
    server.transport.write(b"x" * 262_145)
    while client.rcv_nxt <= 262_145:
        client.ack()
        world.turn()
    world.turn()
    server.reasons[0].trap(ZeroDivisionError)
    assert len(logged.take(ZeroDivisionError)) == 1


# -- producers --------------------------------------------------------------------------------------


class Producer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


def test_a_streaming_producer_is_paused_past_256_kib_and_resumed_when_empty(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    producer = Producer()
    server.transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="never unregistered"):
        server.transport.registerProducer(Producer(), True)
    server.transport.write(b"x" * 262_144)
    assert producer.calls == []
    server.transport.write(b"x")
    assert producer.calls == ["pause"]
    for _ in range(400):
        world.turn()
        if client.inbox:
            client.take()
            client.ack()
    assert producer.calls == ["pause", "resume"]
    assert len(client.received) == 262_145


def test_a_producer_that_writes_to_a_connection_that_has_ended_is_paused(world: World) -> None:
    """Else one that writes until it is paused would do so for ever."""
    server = Recorder()
    client = connect(world, server)
    producer = Producer()
    server.transport.registerProducer(producer, True)
    client.rst()
    world.turn()
    assert server.reasons == []
    server.transport.write(b"x")
    assert producer.calls == ["pause"]
    world.turn()
    assert producer.calls == ["pause", "stop"]


def test_a_pull_producer_is_asked_whenever_the_buffer_is_empty(world: World) -> None:
    server = Recorder()
    client = connect(world, server)

    class Pull(Producer):
        def resumeProducing(self) -> None:
            super().resumeProducing()
            if len(self.calls) == 4:
                server.transport.unregisterProducer()
                server.transport.loseConnection()
            else:
                server.transport.write(b"%d" % len(self.calls))

    producer = Pull()
    server.transport.registerProducer(producer, False)
    world.turns(6)
    assert producer.calls == ["resume"] * 4
    assert client.received == b"123"
    server.reasons[0].trap(error.ConnectionDone)


def test_lose_connection_waits_for_a_paused_producer(world: World) -> None:
    server = Recorder()
    client = connect(world, server, port=9)
    producer = Producer()
    server.transport.registerProducer(producer, False)
    server.transport.loseConnection()
    world.turns(3)
    assert server.reasons == []
    server.transport.write(b"late")
    server.transport.unregisterProducer()
    world.turns(3)
    assert client.received == b"late"
    server.reasons[0].trap(error.ConnectionDone)


def test_a_producer_is_stopped_when_the_connection_is_lost(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    producer, late = Producer(), Producer()
    server.transport.registerProducer(producer, True)
    client.rst()
    world.turns(2)
    assert producer.calls == ["stop"]
    server.transport.registerProducer(late, True)
    assert late.calls == ["stop"]


# -- the surface ------------------------------------------------------------------------------------


def test_interfaces(world: World) -> None:
    server = Recorder()
    connect(world, server)
    for interface in (
        IXTCPTransport,
        interfaces.ITCPTransport,
        interfaces.IConsumer,
        interfaces.IPushProducer,
        interfaces.ILoggingContext,
        interfaces.ISystemHandle,
        interfaces.IHalfCloseableDescriptor,
    ):
        assert verifyObject(interface, server.transport)


def test_group_and_cd(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    transport = server.transport
    assert transport.group.peer(transport.cd) == client.key


def test_names(world: World) -> None:
    server = Recorder()
    connect(world, server)
    transport = server.transport
    assert str(transport) == "<Recorder #0 on 7>"
    assert transport.logPrefix() == transport.logstr == "Recorder,0,198.51.100.7"
    assert (transport.sessionno, transport.hostname) == (0, "198.51.100.7")


@pytest.mark.requirement("RFC 9293 MUST-17", "RFC 9293 MUST-24")
def test_options_of_one_connection(world: World) -> None:
    """As of a socket's, both are off at first; the engine does what they say."""
    server = Recorder()
    connect(world, server)
    transport = server.transport
    for on in (False, True, False):
        if on or server.transport.getTcpNoDelay():
            transport.setTcpNoDelay(int(on))
            transport.setTcpKeepAlive(int(on))
        assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (on, on)
        info = transport.group.info(transport.cd)
        assert (info.nagle, info.keepalive) == (not on, on)


@pytest.mark.parametrize("nagle", [False, True])
def test_the_groups_options_are_the_first_choice(world: World, nagle: bool) -> None:
    server = Recorder()
    connect(world, server, nagle=nagle, keepalive_s=60)
    assert server.transport.getTcpNoDelay() is not nagle
    assert server.transport.getTcpKeepAlive()


@pytest.mark.requirement("RFC 9293 SHLD-7")
def test_writes_of_later_turns_wait_for_an_acknowledgement_until_told_otherwise(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    for piece in (b"a", b"b", b"c"):
        server.transport.write(piece)
        world.turn()
    client.expect("A", data=b"a")
    client.expect_nothing()
    server.transport.setTcpNoDelay(True)
    world.turn()
    client.expect("A", data=b"bc")
    server.transport.write(b"d")
    world.turn()
    client.expect("A", data=b"d")


def test_options_of_a_connection_that_has_ended_are_of_no_consequence(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    client.rst()
    server.transport.setTcpNoDelay(True)
    world.turn()
    server.transport.setTcpKeepAlive(True)
    world.turn()
    server.transport.setTcpNoDelay(False)
    assert not server.transport.getTcpNoDelay()


@implementer(IConnectionSignals)
class Attentive(Recorder):
    """Wants to hear of what needs no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, int]] = []

    def urgentAnnounced(self, length: int) -> None:
        self.heard.append(("urgent", length))

    def connectionTroubled(self, error: int) -> None:
        self.heard.append(("troubled", error))


@pytest.mark.requirement("RFC 9293 MUST-32", "RFC 9293 MUST-33", "RFC 9293 SHLD-9")
def test_urgent_data_and_trouble_are_told_to_who_wants_to_hear(world: World) -> None:
    server = Attentive()
    client = connect(world, server)
    client.send(b"stop!", "AU", urgent=4)
    world.turn()
    assert server.heard == [("urgent", 4)]
    assert server.data == b"stop!"
    server.transport.write(b"answer")
    world.advance(10)
    assert server.heard[1:] == [("troubled", errno.ETIMEDOUT)]


def test_what_waits_for_a_paused_protocol_comes_before_the_urgent_data(world: World) -> None:
    server = Attentive()
    client = connect(world, server)
    server.transport.pauseProducing()
    client.send(b"first")
    world.turn()
    client.send(b"stop!", "AU", urgent=5)
    world.turn()
    assert server.heard == [("urgent", 10)]
    server.transport.resumeProducing()
    world.turn()
    world.turn()
    assert server.data == b"firststop!"


def test_who_does_not_want_to_hear_of_it_gets_the_data(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    client.send(b"stop!", "AU", urgent=4)
    world.turn()
    assert server.data == b"stop!"


def test_the_handle_knows_names_and_no_descriptor(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    handle = server.transport.getHandle()
    assert handle.getpeername() == client.key
    assert handle.getsockname() == ("192.0.2.1", 7)
    assert handle.fileno() == -1
    with pytest.raises(OSError, match="options of the group"):
        handle.setsockopt(1, 2, 3)


def test_foreign_attributes_can_be_set(world: World) -> None:
    """startTLS and applications do so; until then there is no dictionary."""
    server = Recorder()
    connect(world, server)
    server.transport.bufferSize = 500
    assert server.transport.bufferSize == 500


def test_the_answer_of_any_length_comes_whole(world: World) -> None:
    server = Recorder()
    server.got = lambda p, data: p.transport.write(data * 3)
    client = connect(world, server)
    client.send(b"abc")
    world.turn()
    client.expect("A", data=ANY)
    assert client.received == b"abcabcabc"
