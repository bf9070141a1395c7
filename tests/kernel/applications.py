"""Applications that go wrong, and one that lets its clients wait."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from twisted.internet.protocol import Protocol

from xtcp_twisted.reactor.groups import GroupProtocol


class Fails(Protocol):
    """Echoes, and raises for lines that ask for it."""

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"fail"):
            raise ZeroDivisionError("as the client wished")
        assert self.transport is not None
        self.transport.write(data)


class GroupFails(GroupProtocol):
    """The same for a group."""

    def messageReceived(self, cd: int, data: bytes) -> None:
        if data.startswith(b"fail"):
            raise ZeroDivisionError("as the client wished")
        self.group.send(cd, data)


class BatchFails(GroupProtocol):
    """Raises without having looked at the batch."""

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        raise ZeroDivisionError(len(messages))


class Dam(GroupProtocol):
    """Takes nothing until the gate opens; answers each stream by the SHA-256 of all of it."""

    groups: ClassVar[list[Dam]] = []

    def __init__(self) -> None:
        self.open = False
        self.sums: dict[int, hashlib._Hash] = {}
        self.groups.append(self)

    def connectionMade(self, cd: int) -> None:
        self.sums[cd] = hashlib.sha256()
        if not self.open:
            self.group.pause(cd)

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.sums[cd].update(data)

    def connectionsHalfClosed(self, cds: list[int]) -> None:
        for cd in cds:
            self.group.send(cd, self.sums.pop(cd).digest())
            self.group.shutdown(cd)

    def release(self) -> None:
        self.open = True
        for cd in self.sums:
            self.group.resume(cd)


class Gate(Protocol):
    """Opens the dams for whoever connects."""

    def connectionMade(self) -> None:
        for dam in Dam.groups:
            dam.release()
