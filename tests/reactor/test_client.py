"""Outgoing connections of ordinary protocols: what Twisted's own client endpoints do, in the same order."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from support.peer import Client
from twisted.internet import defer, error, interfaces
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint

pytestmark = pytest.mark.feature("P09")

SERVER, SERVER_V6 = "198.51.100.7", "2001:db8:c::7"


def peer_of(world: World) -> Client:
    """The scripted server whom the engine's newest SYN is for."""
    world.turn()
    syn = world.strays.pop()
    peer = Client(world, group=None, port=syn.sport, ip=syn.dst, sport=syn.dport, server=syn.src)
    peer.arrived(syn)
    peer.expect("S", seq=0)
    return peer


def answered(world: World) -> Client:
    """The same, when it has accepted and the engine knows."""
    peer = peer_of(world)
    peer.answer()
    world.turn()
    peer.expect("A", ack=1, data=peer.received)
    return peer


def endpoint(world: World, host: str = SERVER, **arguments: Any) -> XTCPClientEndpoint:
    return XTCPClientEndpoint(world.stack, host, 80, **arguments)


def connected(world: World, protocol: Protocol) -> Client:
    made = endpoint(world).connect(factoryOf(protocol))
    peer = answered(world)
    assert outcome(made) is protocol
    return peer


def outcome(deferred: defer.Deferred[Any]) -> Any:
    """What a Deferred that must have fired has fired with."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert len(results) == 1, "it has not fired"
    return results[0]


class Witness(ClientFactory):
    """Writes down what a connector tells its factory."""

    noisy = False

    def __init__(self, *protocols: Protocol | None) -> None:
        self.told: list[str] = []
        self.reasons: list[Failure] = []
        self.left = list(protocols)

    def doStart(self) -> None:
        self.told.append("start")

    def doStop(self) -> None:
        self.told.append("stop")

    def startedConnecting(self, connector: Any) -> None:
        self.told.append("connecting")

    def buildProtocol(self, addr: Any) -> Protocol | None:
        self.told.append(f"build {addr.host}:{addr.port}")
        return self.left.pop(0)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.told.append("failed")
        self.reasons.append(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.append("lost")
        self.reasons.append(reason)


# -- the good case -----------------------------------------------------------------------------


def test_the_interfaces(world: World) -> None:
    verifyObject(interfaces.IStreamClientEndpoint, endpoint(world))
    connector = world.stack.connect(SERVER, 80, Witness())
    verifyObject(interfaces.IConnector, connector)
    assert connector.getDestination() == IPv4Address("TCP", SERVER, 80)
    world.turn()
    world.strays.clear()


@pytest.mark.parametrize("host", [SERVER, SERVER_V6])
def test_an_endpoint_connects(world: World, host: str) -> None:
    client = Recorder()
    client.made = lambda p: p.transport.write(b"hello")
    made = endpoint(world, host).connect(factoryOf(client))
    peer = peer_of(world)
    assert not made.called
    peer.answer()
    world.turn()
    assert outcome(made) is client
    # What connectionMade writes leaves with the last step of the handshake.
    peer.expect("A", seq=1, ack=1, data=b"hello")
    kind = IPv6Address if ":" in host else IPv4Address
    assert client.transport.getPeer() == kind("TCP", host, 80)
    assert client.transport.getHost() == kind("TCP", peer.server, peer.port)
    assert client.transport.logPrefix() == "Recorder,client"
    peer.send(b"welcome", ack=6)
    world.turn()
    assert client.data == b"welcome"
    client.transport.loseConnection()
    world.turns(2)
    peer.expect("FA", seq=6, ack=8)
    client.reasons[0].trap(error.ConnectionDone)


def test_no_data_in_the_turn_of_connection_made(world: World) -> None:
    client = Recorder()
    endpoint(world).connect(factoryOf(client))
    peer = peer_of(world)
    peer.answer(b"220 at once")
    world.turn()
    assert client.transport is not None
    assert client.data == b""
    world.turn()
    assert client.data == b"220 at once"


def test_the_order_in_which_a_factory_is_told(world: World) -> None:
    """protocol.connectionLost, then clientConnectionLost, then doStop."""
    client, factory = Recorder(), Witness()
    factory.left = [client]
    client.lost = lambda _: factory.told.append("protocol lost")
    connector = world.stack.connect(SERVER, 80, factory)
    assert factory.told == ["start", "connecting"]
    peer = answered(world)
    assert connector.transport is client.transport
    peer.rst()
    world.turns(3)
    assert factory.told[2:] == [f"build {SERVER}:80", "protocol lost", "lost", "stop"]
    factory.reasons[0].trap(error.ConnectionLost)
    assert connector.state == "disconnected"


def test_a_connector_connects_again(world: World) -> None:
    """As ReconnectingClientFactory does."""

    class Again(Witness):
        def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
            super().clientConnectionLost(connector, reason)
            connector.connect()

    first, second = Recorder(), Recorder()
    factory = Again(first, second)
    world.stack.connect(SERVER, 80, factory)
    answered(world).rst()
    world.turns(3)
    answered(world)
    assert second.transport.connected
    assert factory.told.count("start") == 1
    assert "stop" not in factory.told


def test_disconnect_closes(world: World) -> None:
    client = Recorder()
    connector = world.stack.connect(SERVER, 80, Witness(client))
    peer = answered(world)
    connector.disconnect()
    world.turns(2)
    peer.expect("FA", seq=1)
    client.reasons[0].trap(error.ConnectionDone)


def test_a_name_is_looked_up(world: World) -> None:
    asked: list[str] = []
    found: defer.Deferred[str] = defer.Deferred()

    def resolve(name: str) -> defer.Deferred[str]:
        asked.append(name)
        return found

    world.reactor.resolve = resolve  # type: ignore[attr-defined]
    made = endpoint(world, "chat.example").connect(factoryOf(Recorder()))
    world.turn()
    assert (asked, world.strays) == (["chat.example"], [])
    found.callback(SERVER)
    answered(world)
    assert isinstance(outcome(made), Recorder)


def test_the_engines_side_may_be_chosen(world: World) -> None:
    world.stack.connect(SERVER, 80, Witness(), bindAddress=("192.0.2.1", 5_000))
    assert peer_of(world).port == 5_000


# -- what goes wrong -----------------------------------------------------------------------------


def test_refused(world: World) -> None:
    made = endpoint(world).connect(factoryOf())
    peer_of(world).rst(flags="RA", seq=0, ack=1)
    world.turn()
    outcome(made).trap(error.ConnectionRefusedError)


def test_reset_in_the_turn_in_which_it_was_accepted(world: World) -> None:
    """Nobody was told that it was there, so it never was; other connections of the turn are."""
    made = endpoint(world).connect(factoryOf(Recorder()))
    other = endpoint(world).connect(factoryOf(Recorder()))
    late, hasty = peer_of(world), peer_of(world)
    for peer in (hasty, late):
        peer.answer()
    hasty.rst()
    world.turn()
    refused = outcome(made)
    refused.trap(error.ConnectError)
    assert refused.value.osError == errno.ECONNRESET
    assert outcome(other).transport.connected


def test_nobody_answers(world: World) -> None:
    """The time of Twisted's clients: 30 s; nothing is left afterwards."""
    made = endpoint(world).connect(factoryOf())
    peer = peer_of(world)
    world.reactor.advance(29.9)
    assert not made.called
    world.reactor.advance(0.2)
    outcome(made).trap(error.TimeoutError)
    world.advance(10)
    peer.expect_nothing()
    assert world.engine.snapshot().connections == 0
    assert world.reactor.getDelayedCalls() == []


def test_nobody_answers_and_the_engine_gives_up(world: World) -> None:
    made = endpoint(world, timeout=None, options=GroupOptions(connect_timeout_s=2)).connect(factoryOf())
    peer_of(world)
    world.advance(2.1)
    outcome(made).trap(error.TCPTimedOutError)


def test_cancelling(world: World) -> None:
    made = endpoint(world).connect(factoryOf())
    peer = peer_of(world)
    made.cancel()
    outcome(made).trap(error.ConnectingCancelledError)
    world.advance(5)
    peer.expect_nothing()
    peer.answer()
    world.turn()
    peer.expect_reset(seq=1)
    assert world.reactor.getDelayedCalls() == []


def test_cancelling_while_the_name_is_looked_up(world: World) -> None:
    found: defer.Deferred[str] = defer.Deferred()
    world.reactor.resolve = lambda _: found  # type: ignore[attr-defined]
    made = endpoint(world, "chat.example").connect(factoryOf())
    world.turn()
    made.cancel()
    found.callback(SERVER)
    world.turn()
    outcome(made).trap(error.ConnectingCancelledError)
    assert world.strays == []


def test_a_name_that_nobody_knows(world: World) -> None:
    world.reactor.resolve = lambda _: defer.fail(error.DNSLookupError())  # type: ignore[attr-defined]
    made = endpoint(world, "nowhere.example").connect(factoryOf())
    world.turn()
    outcome(made).trap(error.DNSLookupError)


@pytest.mark.parametrize("bind", [("192.0.2.1", 5_000), ("203.0.113.1", 0)])
def test_a_source_that_cannot_be(world: World, bind: tuple[str, int]) -> None:
    """In the next turn: connect has returned by then."""
    world.stack.connect(SERVER, 80, Witness(), bindAddress=("192.0.2.1", 5_000))
    made = endpoint(world, bindAddress=bind).connect(factoryOf())
    assert not made.called
    world.turn()
    outcome(made).trap(error.ConnectBindError)
    world.strays.clear()


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1"])
def test_a_destination_that_cannot_be(world: World, host: str) -> None:
    made = endpoint(world, host).connect(factoryOf())
    world.turn()
    failure = outcome(made)
    failure.trap(error.ConnectError)
    assert host in str(failure.value)


def test_stop_connecting(world: World) -> None:
    factory = Witness()
    connector = world.stack.connect(SERVER, 80, factory)
    peer_of(world)
    connector.stopConnecting()
    assert factory.told == ["start", "connecting", "failed", "stop"]
    factory.reasons[0].trap(error.UserError)
    with pytest.raises(error.NotConnectingError):
        connector.stopConnecting()
    assert world.engine.snapshot().connections == 0


def test_no_protocol(world: World) -> None:
    made = endpoint(world).connect(factoryOf(None))
    peer = answered(world)
    outcome(made).trap(error.NoProtocol)
    world.turns(2)
    peer.expect("FA", seq=1)


def test_a_factory_that_fails(world: World, logged: Logged) -> None:
    class Fails(Witness):
        def buildProtocol(self, addr: Any) -> Protocol | None:
            raise ZeroDivisionError

    factory = Fails()
    world.stack.connect(SERVER, 80, factory)
    peer = peer_of(world)
    peer.answer()
    world.turn()
    assert len(logged.take(ZeroDivisionError)) == 1
    assert factory.told[-2:] == ["failed", "stop"]
    factory.reasons[0].trap(error.ConnectError)
    peer.expect_reset(seq=1)


def test_a_protocol_that_fails_in_connection_made(world: World, logged: Logged) -> None:
    """Unlike a server's, such a connection is lost, as Twisted's is."""

    def fail(_: Recorder) -> None:
        raise ZeroDivisionError

    client, factory = Recorder(), Witness()
    client.made = fail
    factory.left = [client]
    world.stack.connect(SERVER, 80, factory)
    peer = peer_of(world)
    peer.answer()
    world.turns(2)
    assert len(logged.take(ZeroDivisionError)) == 1
    client.reasons[0].trap(ZeroDivisionError)
    assert factory.told[-2:] == ["lost", "stop"]
    assert "F" in peer.take()[-1].flags


def test_the_end_of_the_stack(world: World) -> None:
    client, factory = Recorder(), Witness()
    connected(world, client)
    world.stack.connect(SERVER, 81, factory)
    peer_of(world)
    named = Witness()
    world.reactor.resolve = lambda _: defer.Deferred()  # type: ignore[attr-defined]
    world.stack.connect("chat.example", 80, named)
    world.turn()
    world.stack.stop()
    client.reasons[0].trap(error.ConnectionLost)
    factory.reasons[0].trap(error.ConnectError)
    named.reasons[0].trap(error.ConnectError)
    failed = endpoint(world).connect(factoryOf())
    assert isinstance(outcome(failed), Failure)


def test_connections_with_the_same_options_share_a_group(world: World) -> None:
    for options in (GroupOptions(), GroupOptions(), GroupOptions(ack_policy="immediate")):
        world.stack.connect(SERVER, 80, Witness(), options=options)
    world.turn()
    world.strays.clear()
    groups = world.stack.pool().groups()
    assert sorted(len(group) for group in groups) == [1, 2]
    assert {group.name for group in groups} == {"im:outgoing"}
