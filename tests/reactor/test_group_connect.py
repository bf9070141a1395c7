"""Group protocols that open connections themselves: told of each once, whether it was made or not."""

from __future__ import annotations

import pytest
from twisted.internet import error
from twisted.python.failure import Failure

from tests.reactor.test_client import SERVER, answered, peer_of
from tests.reactor.world import World
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.port import ListeningGroup

pytestmark = pytest.mark.feature("P09")


class Caller(GroupProtocol):
    """Writes down what it is told."""

    port: ListeningGroup

    def __init__(self) -> None:
        self.made: list[int] = []
        self.data: list[tuple[int, bytes]] = []
        self.losses: list[tuple[int, Failure]] = []

    def connectionMade(self, cd: int) -> None:
        self.made.append(cd)

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.data.append((cd, data))
        self.group.send(cd, data.upper())

    def connectionsLost(self, losses: list[tuple[int, Failure]]) -> None:
        self.losses += losses


@pytest.fixture
def caller(world: World) -> Caller:
    caller = Caller()
    caller.port = world.listen(caller)
    return caller


def test_a_connection_as_any_other(world: World, caller: Caller) -> None:
    cd = caller.group.connect((SERVER, 80))
    assert caller.group.send(cd, b"hello") == 5
    assert len(caller.group) == 1
    peer = answered(world)
    assert peer.received == b"hello"
    assert (caller.made, len(caller.group)) == ([cd], 1)
    peer.send(b"welcome", ack=6)
    world.turn()
    assert caller.data == [(cd, b"welcome")]
    peer.expect("A", ack=8, data=b"WELCOME")
    peer.rst()
    world.turn()
    [(lost, reason)] = caller.losses
    assert lost == cd
    reason.trap(error.ConnectionLost)
    assert len(caller.group) == 0


def test_refused(world: World, caller: Caller) -> None:
    cd = caller.group.connect((SERVER, 80))
    peer_of(world).rst(flags="RA", seq=0, ack=1)
    world.turn()
    [(lost, reason)] = caller.losses
    assert (lost, caller.made, len(caller.group)) == (cd, [], 0)
    reason.trap(error.ConnectionRefusedError)


def test_nobody_answers(world: World, caller: Caller) -> None:
    caller.group.connect((SERVER, 80), timeout=1.5)
    peer_of(world)
    world.advance(1.6)
    [(_, reason)] = caller.losses
    reason.trap(error.TCPTimedOutError)
    assert (caller.made, len(caller.group)) == ([], 0)


@pytest.mark.parametrize("how, kind", [("finish", error.ConnectionDone), ("abort", error.ConnectionAborted)])
def test_giving_up(world: World, caller: Caller, how: str, kind: type[Exception]) -> None:
    """Told once, in a later turn, as of every connection that the protocol ends itself."""
    cd = caller.group.connect((SERVER, 80))
    peer_of(world)
    getattr(caller.group, how)(cd)
    assert caller.losses == []
    world.turns(2)
    [(lost, reason)] = caller.losses
    assert (lost, len(caller.group)) == (cd, 0)
    reason.trap(kind)


def test_what_cannot_be_is_refused_at_once(world: World, caller: Caller) -> None:
    with pytest.raises(LocalError):
        caller.group.connect(("224.0.0.1", 80))
    world.turn()
    assert (caller.losses, len(caller.group)) == ([], 0)


def test_accepted_and_opened_in_one_group(world: World, caller: Caller) -> None:
    client = world.client(caller.port).opened()
    mine = caller.group.connect((SERVER, 80))
    answered(world)
    assert len(caller.group) == len(caller.made) == 2
    client.rst()
    world.turn()
    assert (len(caller.group), caller.made[1]) == (1, mine)
