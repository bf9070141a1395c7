"""A handler of a group protocol that ends the stack, in a turn that has something for each handler."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import implementer

from tests.reactor.world import World
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.interfaces import IGroupAcceptor, IGroupSignals

#: In the order of a turn.
HANDLERS = (
    "connectionsPending",
    "connectionsMade",
    "connectionsUrgent",
    "connectionsTroubled",
    "messagesReceived",
    "connectionsHalfClosed",
    "connectionsStalled",
    "connectionsWritable",
    "connectionsLost",
)


@implementer(IGroupAcceptor, IGroupSignals)
class Ender(GroupProtocol):
    """Ends the stack in one of its handlers; keeps which were called."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.last = ""
        self.known: list[int] = []
        self.calls: list[str] = []
        for name in HANDLERS:
            setattr(self, name, lambda batch, name=name: self.called(name, batch))

    def called(self, name: str, batch: list[Any]) -> None:
        self.calls.append(name)
        if name == "connectionsMade":
            self.known += batch
        if name == "connectionsPending":
            for pending_id, _ in batch:
                self.group.accept(pending_id)
        if name == self.last:
            self.world.stack.stop()

    def groupClosed(self, reason: object) -> None:
        self.calls.append("groupClosed")


def busy_turn(world: World, last: str) -> list[str]:
    """The calls of a turn that has something for each handler, `last` of which ends the stack."""
    protocol = Ender(world)
    port: Any = world.listen(protocol)
    clients = [world.client(port) for _ in range(5)]
    for client in clients:
        client.syn()
        world.turn()
        client.expect("SA", seq=0, ack=1)
    for client in clients[:4]:
        client.ack()
    world.turn()
    first = protocol.known[0]
    told = [(int(kind), first, 0) for kind in (EventKind.SOFT_ERROR, EventKind.STALLED, EventKind.WRITABLE)]
    turn = port.turn
    port.turn = lambda events, limit, context: turn(events + told, limit, context)
    clients[0].send(b"hello")
    clients[1].fin()
    clients[2].rst()
    clients[3].send(b"abc", "AU", urgent=3)
    clients[4].ack()
    world.client(port).syn()
    protocol.calls.clear()
    protocol.last = last
    world.reactor.turn()
    return protocol.calls


def test_the_order_of_a_turn(world: World) -> None:
    assert busy_turn(world, "") == list(HANDLERS)


@pytest.mark.parametrize("last", HANDLERS)
def test_nothing_is_called_after_the_end_of_the_group(world: World, last: str) -> None:
    """And nothing is logged as an error, which the fixture sees to."""
    assert busy_turn(world, last) == [*HANDLERS[: HANDLERS.index(last) + 1], "groupClosed"]
