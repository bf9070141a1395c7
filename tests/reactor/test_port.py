"""Listening ports: accepting, stopping, starting again, and being refused."""

from __future__ import annotations

import re

import pytest
from twisted.internet import error, interfaces
from twisted.internet.protocol import Factory
from zope.interface.verify import verifyObject

from tests.reactor.conftest import Logged
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor.endpoints import XTCPServerEndpoint
from xtcp_twisted.reactor.stack import stackFor


class Counting(Factory):
    """Counts doStart and doStop as Twisted calls them."""

    noisy = False
    protocol = Recorder

    def __init__(self) -> None:
        self.calls: list[str] = []

    def startFactory(self) -> None:
        self.calls.append("start")

    def stopFactory(self) -> None:
        self.calls.append("stop")


def test_interfaces(world: World) -> None:
    port = world.listen(Counting())
    assert verifyObject(interfaces.IListeningPort, port)
    assert verifyObject(interfaces.ILoggingContext, port)
    assert verifyObject(interfaces.IStreamServerEndpoint, XTCPServerEndpoint(world.stack, 8))


def test_the_endpoint_listens(world: World) -> None:
    made = []
    XTCPServerEndpoint(world.stack, 5222, name="chat").listen(factoryOf(Recorder())).addCallback(made.append)
    (port,) = made
    assert (port.getHost().host, port.getHost().port) == ("0.0.0.0", 5222)
    assert port.group.name == "chat"
    world.client(port).opened()
    assert len(port.group) == 1


@pytest.mark.parametrize(
    "port, interface, why",
    [(7, "", "port 7 is taken by group"), (8, "203.0.113.9", "203.0.113.9"), (65_536, "", "0 to 65535")],
)
def test_the_endpoint_fails_with_cannot_listen(world: World, port: int, interface: str, why: str) -> None:
    world.listen(Counting())
    failures = []
    endpoint = XTCPServerEndpoint(world.stack, port, interface)
    endpoint.listen(Counting()).addErrback(failures.append)
    (failure,) = failures
    refused = failure.value
    assert isinstance(refused, error.CannotListenError)
    assert (refused.port, refused.interface) == (port, interface)
    assert re.search(why, str(refused), re.IGNORECASE)


def test_a_free_port_is_found(world: World) -> None:
    port = world.listen(Counting(), 0)
    assert port.getHost().port > 0


def test_established_connections_outlive_the_port(world: World) -> None:
    server = Recorder()
    port = world.listen(factoryOf(server))
    client = world.client(port).opened()
    stopped: list[None] = []
    port.stopListening().addCallback(stopped.append)
    assert stopped == []
    world.turn()
    assert stopped == [None]
    late = world.client(port)
    late.syn()
    world.turn()
    late.expect_reset(seq=0)
    server.transport.write(b"still here")
    world.turn()
    client.expect("A", data=b"still here")
    client.ack()
    client.fin()
    world.turns(3)
    server.reasons[0].trap(error.ConnectionDone)
    assert port.group.closed


def test_a_port_without_connections_closes_its_group(world: World) -> None:
    factory = Counting()
    port = world.listen(factory)
    group = port.group
    port.stopListening()
    world.turn()
    assert group.closed
    assert factory.calls == ["start", "stop"]
    assert "not listening" in repr(port)


def test_a_port_can_listen_again(world: World) -> None:
    """With connections of before, and as the same port number."""
    before, after = Recorder(), Recorder()
    port = world.listen(factoryOf(before, after))
    old = world.client(port).opened()
    port.stopListening()
    world.turn()
    port.startListening()
    world.client(port).opened()
    assert after.connected
    before.transport.write(b"both")
    world.turn()
    old.expect("A", data=b"both")


def test_a_port_whose_group_has_gone_can_listen_again(world: World) -> None:
    factory = Counting()
    port = world.listen(factory)
    port.stopListening()
    world.turn()
    port.startListening()
    world.client(port).opened()
    assert factory.calls == ["start", "stop", "start"]


def test_what_stop_factory_raises_fails_the_deferred(world: World) -> None:
    factory = Counting()

    def refuse() -> None:
        raise ZeroDivisionError

    factory.stopFactory = refuse  # type: ignore[method-assign]
    port = world.listen(factory)
    failures = []
    port.stopListening().addErrback(failures.append)
    world.turn()
    failures[0].trap(ZeroDivisionError)
    factory.stopFactory = lambda: None  # type: ignore[method-assign]
    port.startListening()


def test_build_protocol_may_decline(world: World) -> None:
    client = world.client(world.listen(factoryOf(None))).opened()
    world.turn()
    assert "F" in client.take()[-1].flags


def test_an_exception_in_build_protocol_is_a_reset(world: World, logged: Logged) -> None:
    port = world.listen(factoryOf())
    client = world.client(port).opened()
    client.expect_reset(seq=1)
    assert len(logged.take(IndexError)) == 1
    assert len(port.group) == 0


def test_sessions_are_numbered(world: World) -> None:
    servers = [Recorder() for _ in range(3)]
    port = world.listen(factoryOf(*servers))
    for _ in servers:
        world.client(port).opened()
    assert [server.transport.sessionno for server in servers] == [0, 1, 2]


@pytest.mark.feature("P08")
def test_requests_beyond_the_credits_are_accepted_one_by_one(world: World) -> None:
    servers = [Recorder() for _ in range(3)]
    port = world.listen(factoryOf(*servers), accept_credits=1)
    for _ in servers:
        world.client(port).opened()
    assert all(server.connected for server in servers)


def test_a_pool_that_does_not_exist_is_named(world: World) -> None:
    failures = []
    XTCPServerEndpoint(world.stack, 8, pool="ims", options=GroupOptions()).listen(Counting()).addErrback(
        failures.append
    )
    assert "no pool is called 'ims'; there are: 'im'" in str(failures[0].value)


# -- the stack ---------------------------------------------------------------------------------


def test_a_stack_is_found_by_reactor_and_name(world: World) -> None:
    assert stackFor(world.reactor) is world.stack
    with pytest.raises(LocalError, match="no XTCP stack called 'other' runs"):
        stackFor(world.reactor, "other")
    world.stack.stop()
    with pytest.raises(LocalError):
        stackFor(world.reactor)


def test_the_end_of_the_reactor_is_connection_lost(world: World) -> None:
    servers = [Recorder(), Recorder()]
    factory = Counting()
    factory.buildProtocol = lambda addr: servers.pop()  # type: ignore[method-assign]
    kept = list(servers)
    port = world.listen(factory)
    clients = [world.client(port).opened() for _ in kept]
    world.reactor.fireShutdown()
    for server in kept:
        (reason,) = server.reasons
        reason.trap(error.ConnectionLost)
    world.collect()
    for client in clients:
        assert "F" in client.take()[-1].flags
    assert factory.calls == ["start", "stop"]
    assert world.reactor.readers == []
    assert world.engine.closed


def test_shutdown_waits_for_the_peers_to_say_goodbye(world: World) -> None:
    server = Recorder()
    client = world.client(world.listen(factoryOf(server))).opened()
    done: list[None] = []
    world.stack.shutdown(5).addCallback(done.append)
    world.turn()
    assert "F" in client.take()[-1].flags
    assert done == []
    client.fin()
    world.turn()
    world.reactor.advance(0.02)
    assert done == [None]
    assert world.engine.closed


def test_shutdown_waits_no_longer_than_the_grace(world: World) -> None:
    world.client(world.listen(factoryOf(Recorder()))).opened()
    done: list[None] = []
    world.stack.shutdown(0.1).addCallback(done.append)
    world.reactor.pump([0.05] * 3)
    assert done == [None]


def test_what_waits_for_a_port_may_end_the_stack(world: World) -> None:
    """As the services of a reactor that shuts down do: the port was the last that it waited for."""
    world.listen(Counting()).stopListening().addCallback(lambda _: world.stack.stop())
    world.turn()
    assert world.engine.closed
    assert world.reactor.readers == []


@pytest.mark.parametrize("event", ["made", "got", "lost"])
def test_a_protocol_may_end_the_stack(world: World, event: str) -> None:
    """Two have something to hear in the turn; one of them ends it."""
    servers = [Recorder(), Recorder()]
    for server in servers:
        setattr(server, event, lambda *_: world.stack.stop())
    port = world.listen(factoryOf(*servers))
    if event == "made":
        clients = [world.client(port) for _ in servers]
        for client in clients:
            client.syn()
        world.turn()
        for client in clients:
            client.expect("SA", seq=0, ack=1)
            client.ack()
    else:
        clients = [world.client(port).opened() for _ in servers]
        for client in clients:
            client.send(b"x") if event == "got" else client.fin()
    world.turn()
    assert world.engine.closed
    heard = [server for server in servers if server.connected]
    assert [len(server.reasons) for server in heard] == [1] * len(heard)
    assert heard


def test_a_connection_that_is_reset_in_the_turn_in_which_it_is_made(world: World) -> None:
    """Nobody hears of it, nothing is logged, and the port goes on."""
    server = Recorder()
    port = world.listen(factoryOf(server))
    hasty = world.client(port)
    hasty.syn()
    world.turn()
    hasty.expect("SA")
    hasty.ack()
    hasty.rst()
    world.turns(2)
    assert server.transport is None
    client = world.client(port).opened()
    client.send(b"hello")
    world.turn()
    assert server.data == b"hello"
    assert len(port.group) == 1
