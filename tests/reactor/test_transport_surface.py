"""What a transport of an ordinary protocol provides: names, options, urgent data, the handle."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from twisted.internet import error, interfaces
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.reactor.world import ANY, Recorder, World, connect, factoryOf
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor.interfaces import IConnectionSignals, IXTCPTransport

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


@pytest.mark.feature("P21")
@pytest.mark.requirement("RFC 9293 MUST-21")
@pytest.mark.parametrize(
    "timeout, before, after",
    [(3, 2.5, 3.5), (0, 1_000, None), (None, 49, 51)],
    ids=["own", "none", "group's"],
)
def test_the_user_timeout_of_one_connection(
    world: World, timeout: float | None, before: float, after: float | None
) -> None:
    server = Recorder()
    connect(world, server, user_timeout_s=50)
    server.transport.setUserTimeout(1)
    server.transport.setUserTimeout(timeout)
    server.transport.write(b"anybody?")
    world.turn()
    world.advance(before)
    assert server.reasons == []
    if after is not None:
        world.advance(after - before)
        server.reasons[0].trap(error.ConnectionLost)


@pytest.mark.parametrize("wrong", [0.5, -1, "long", True, float("nan")])
def test_a_user_timeout_that_is_none(world: World, wrong: Any) -> None:
    server = Recorder()
    connect(world, server)
    with pytest.raises(LocalError, match="give seconds from 1 to 1,000,000, 0 for no limit"):
        server.transport.setUserTimeout(wrong)


def test_options_of_a_connection_that_has_ended_are_of_no_consequence(world: World) -> None:
    server = Recorder()
    client = connect(world, server)
    client.rst()
    server.transport.setTcpNoDelay(True)
    server.transport.setUserTimeout(5)
    world.turn()
    server.transport.setTcpKeepAlive(True)
    server.transport.setUserTimeout(None)
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
    with pytest.raises(OSError, match="use info"):
        handle.getsockopt(1, 2)


def test_the_handle_leads_to_the_engine(world: World) -> None:
    server = Recorder()
    connect(world, server)
    handle = server.transport.getHandle()
    assert (handle.group, handle.cd) == (server.transport.group, server.transport.cd)
    assert handle.info() == handle.group.info(handle.cd)


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


def test_what_a_descriptor_would_have(world: World) -> None:
    server = Recorder()
    port = world.listen(factoryOf(server))
    client = world.client(port).opened()
    transport: Any = server.transport
    assert transport.reactor is port.reactor is world.reactor
    assert (transport.fileno(), port.port, port.interface) == (-1, 7, "")
    transport.startWriting()
    assert transport.writing
    transport.stopWriting()
    transport.write(b"sent all the same")
    world.turns(2)
    client.expect("PA", data=b"sent all the same")
    assert not transport.writing


def test_nothing_of_the_turn_of_an_abort_leaves(world: World) -> None:
    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    world.turn()
    assert server.transport is not None
    server.transport.write(b"not sent")
    server.transport.abortConnection()  # type: ignore[attr-defined]
    server.transport.write(b"nor this")
    assert server.reasons == []
    world.turns(2)
    client.expect("RA")
    server.reasons[0].trap(error.ConnectionAborted)


def test_a_pull_producer_hears_that_what_was_written_before_it_has_left(world: World) -> None:
    server = Recorder()
    world.client(world.listen(factoryOf(server))).opened()
    resumed: list[str] = []

    class Silent:
        def resumeProducing(self) -> None:
            resumed.append("resume")

        def stopProducing(self) -> None:
            resumed.append("stop")

    transport: Any = server.transport
    transport.write(b"before")
    transport.registerProducer(Silent(), False)
    assert resumed == ["resume"]
    world.turns(3)
    assert resumed == ["resume", "resume"]
