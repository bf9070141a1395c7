"""Applications that end the port or the stack while they are being called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ClientFactory, Factory

from tests.reactor.test_decisions import Door
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.port import Binding

#: In the order in which they are called.
PLACES = ("requested", "build", "made", "data", "lost")


class Ending(Door):
    """Ends something in one of these places."""

    def __init__(self, where: str, end: Callable[[], object]) -> None:
        self.where = where
        self.end = end
        self.started = 0
        super().__init__(lambda _: self.reached("requested"))

    def reached(self, where: str) -> bool:
        if where == self.where:
            self.end()
        return True

    def doStart(self) -> None:
        self.started += 1

    def doStop(self) -> None:
        self.started -= 1

    def buildProtocol(self, addr: Any) -> Recorder:
        self.reached("build")
        made = super().buildProtocol(addr)
        made.made = lambda _: self.reached("made")  # type: ignore[method-assign]
        made.got = lambda *_: self.reached("data")  # type: ignore[method-assign]
        made.lost = lambda _: self.reached("lost")  # type: ignore[method-assign]
        return made


def visit(world: World, port: Any) -> None:
    """A client that asks, says something and resets, as far as there is somebody."""
    client = world.client(port)
    for act in (client.syn, client.ack, lambda: client.send(b"hello"), client.rst):
        if not world.stack.stopped:
            client.take()
            act()
        world.turn()
    world.turns(2)


@pytest.mark.parametrize("where", PLACES)
def test_the_stack_ends(world: World, where: str) -> None:
    """Whoever was made a connection is told its end, once; and nothing is logged as an error."""
    factory = Ending(where, world.stack.stop)
    port = world.listen(factory)
    visit(world, port)
    at = PLACES.index(where)
    assert len(factory.let_in) == (at >= PLACES.index("build"))
    for protocol in factory.let_in:
        connected = at >= PLACES.index("made")
        assert bool(protocol.connected) == connected
        assert [reason.type for reason in protocol.reasons] == [error.ConnectionLost] * connected
        assert protocol.chunks == [b"hello"] * (at >= PLACES.index("data"))
    assert factory.started == 0 and not port.connected


@pytest.mark.parametrize("where", PLACES)
def test_the_port_ends(world: World, where: str) -> None:
    """Its connection goes on; who was only asking is refused."""
    stopped: list[Any] = []
    factory = Ending(where, lambda: port.stopListening().addBoth(stopped.append))
    port = world.listen(factory)
    visit(world, port)
    assert stopped == [None]
    for protocol in factory.let_in:
        assert protocol.chunks == [b"hello"]
        assert [reason.type for reason in protocol.reasons] == [error.ConnectionLost]
    assert len(factory.let_in) == (where != "requested")
    assert factory.started == 0
    assert world.stack.stage.ports == set()


class Late(ClientFactory):
    """Ends the stack in the moment in which it is connected."""

    noisy = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.failed: list[Any] = []

    def buildProtocol(self, addr: Any) -> Recorder:
        self.world.stack.stop()
        return Recorder()

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.failed.append(reason.type)


def test_the_stack_ends_while_the_protocol_of_a_client_is_built(world: World) -> None:
    world.listen(factoryOf(Recorder()))
    factory = Late(world)
    world.stack.connect("192.0.2.1", 7, factory)
    world.turns(10)
    assert world.stack.stopped
    assert factory.failed == [error.ConnectError]


@pytest.mark.parametrize("factory", [Factory.forProtocol(Recorder), GroupProtocol()])
def test_no_port_is_opened_while_the_stack_ends(world: World, factory: Any) -> None:
    """Nobody would close it."""
    refused: list[str] = []

    def listen(_: object) -> None:
        with pytest.raises(CannotListenError) as raised:
            world.stack.listen(factory, Binding(port=99))
        refused.append(str(raised.value))

    server = Recorder()
    server.lost = listen  # type: ignore[method-assign, assignment]
    world.client(world.listen(factoryOf(server))).opened()
    world.stack.stop()
    assert refused == ["Couldn't listen on any:99: the XTCP stack has stopped."]
