"""Applications that go wrong."""

from __future__ import annotations

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
