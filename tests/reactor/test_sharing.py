"""Shared ports in a reactor (P06): a group protocol decides for all of them, by the address of the peer."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import implementer

from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.config import GroupOptions
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.interfaces import IGroupAcceptor
from xtcp_twisted.reactor.port import Binding, ListeningGroup

pytestmark = pytest.mark.feature("P06")


class Named(GroupProtocol):
    """Answers with its name."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.made = 0

    def connectionMade(self, cd: int) -> None:
        self.made += 1

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.group.send(cd, self.name)


@implementer(IGroupAcceptor)
class Decider(Named):
    """Keeps the peers of one network, and gives others to another group."""

    other: GroupProtocol

    def connectionsPending(self, requests: list[tuple[int, tuple[str, int]]]) -> None:
        for pendingId, (host, _) in requests:
            if host.startswith("198.51.100."):
                self.group.accept(pendingId)
            elif host.startswith("203.0.113."):
                self.group.accept(pendingId, into=self.other.group)
            else:
                self.group.refuse(pendingId)


def shared(world: World, factory: Any, **options: Any) -> ListeningGroup:
    binding = Binding(port=7, share=True, options=GroupOptions(**options))
    return world.stack.listen(factory, binding)


@pytest.mark.parametrize("first", [0, 1])
def test_a_protocol_decides_for_all_groups_of_the_port(world: World, first: int) -> None:
    decider, other = Decider(b"decider"), Named(b"other")
    decider.other = other
    port, _ = (shared(world, protocol) for protocol in (decider, other)[:: 1 - 2 * first])
    ours, theirs, nobodys = (
        world.client(port, ip=ip) for ip in ("198.51.100.7", "203.0.113.7", "192.0.2.77")
    )
    for client in (ours, theirs, nobodys):
        client.syn()
    world.turn()
    nobodys.expect("RA", seq=0, ack=1)
    for client, name in ((ours, b"decider"), (theirs, b"other")):
        client.expect("SA", ack=1)
        client.ack()
        world.turn()
        client.send(b"who?")
        world.turn()
        assert client.received == name
    assert (decider.made, other.made) == (1, 1)


def test_ordinary_factories_leave_the_decision_to_it(world: World) -> None:
    decider, server = Decider(b"decider"), Recorder()
    shared(world, factoryOf(server))
    port = shared(world, decider)
    client = world.client(port, ip="198.51.100.7").opened()
    client.send(b"who?")
    world.turn()
    assert client.received == b"decider"
    assert not server.connected


def test_without_anybody_who_decides_all_are_accepted(world: World) -> None:
    one, server = Named(b"one"), Recorder()
    shared(world, factoryOf(server), priority="high")
    port = shared(world, one)
    client = world.client(port).opened()
    client.send(b"who?")
    world.turn()
    assert server.data == b"who?"
    assert one.made == 0


def test_when_the_one_that_decides_has_stopped_the_others_accept(world: World) -> None:
    decider, other = Decider(b"decider"), Named(b"other")
    deciding = shared(world, decider)
    port = shared(world, other)
    deciding.stopListening()
    world.turns(2)
    client = world.client(port, ip="192.0.2.77").opened()
    client.send(b"who?")
    world.turn()
    assert client.received == b"other"
