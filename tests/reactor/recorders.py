"""Group protocols that write down what they are called with, and clients of theirs."""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure

from tests.reactor.world import Peer, World
from xtcp_twisted.reactor.groups import GroupProtocol


class Recorder(GroupProtocol):
    """Writes down what it is called with."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []
        self.messages: list[list[tuple[int, bytes]]] = []
        self.losses: list[tuple[int, Failure]] = []
        self.closed: list[Failure] = []

    @property
    def cds(self) -> list[int]:
        return [cd for batch in self.made for cd in batch]

    @property
    def data(self) -> list[bytes]:
        return [data for batch in self.messages for _, data in batch]

    def connectionsMade(self, cds: list[int]) -> None:
        self.made.append(list(cds))

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        self.messages.append(list(messages))
        super().messagesReceived(messages)

    def connectionsLost(self, losses: list[tuple[int, Failure]]) -> None:
        self.losses += losses

    def groupClosed(self, reason: Failure) -> None:
        self.closed.append(reason)


class Upper(Recorder):
    """The shortest useful one; fails for b"fail"."""

    def messageReceived(self, cd: int, data: bytes) -> None:
        if data == b"fail":
            raise ZeroDivisionError
        self.group.send(cd, data.upper())


def opened(world: World, protocol: GroupProtocol, n: int = 1, **options: Any) -> list[Peer]:
    port = world.listen(protocol, **options)
    return [world.client(port).opened() for _ in range(n)]


def drain(world: World, client: Peer) -> None:
    """A client that reads again, until nothing comes."""
    world.turn()
    for _ in range(20_000):
        if not client.take():
            return
        client.ack()
        world.turn()
    raise AssertionError("no end")
