"""Applications that go wrong, one that lets its clients wait, and one that is a client itself."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from examples.chat import Chat
from examples.chat.commands import Command
from examples.chat.lines import Answer
from examples.workqueue import Job, WorkQueue
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint
from xtcp_twisted.reactor.frames import LineGroupProtocol
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.interfaces import IConnectionDecider
from xtcp_twisted.reactor.requests import LengthPrefixedRequestGroupProtocol
from xtcp_twisted.reactor.stack import stackFor


class Fails(Protocol):
    """Echoes, and raises for lines that ask for it."""

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"fail"):
            raise ZeroDivisionError("as the client wished")
        assert self.transport is not None
        self.transport.write(data)


class BrittleChat(Chat):
    """A chat with a command that is broken."""

    def __init__(self) -> None:
        super().__init__()
        self.commands.table["crash"] = Command("", "breaks", self._crash)

    def _crash(self, principal: int, text: str) -> Answer:
        raise ZeroDivisionError("the command is broken on purpose")


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


@implementer(IHalfCloseableProtocol)
class Pauses(Protocol):
    """An ordinary protocol that reads nothing until the gate opens; then it answers as a dam does."""

    waiting: ClassVar[set[Pauses]] = set()

    def connectionMade(self) -> None:
        self.sum = hashlib.sha256()
        self.waiting.add(self)
        self.half.pauseProducing()

    @property
    def half(self) -> Any:
        """The transport."""
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        self.sum.update(data)

    def readConnectionLost(self) -> None:
        self.half.write(self.sum.digest())
        self.half.loseConnection()

    def writeConnectionLost(self) -> None:
        """It closes everything at once."""


class Gate(Protocol):
    """Opens the dams for whoever connects."""

    def connectionMade(self) -> None:
        for dam in Dam.groups:
            dam.release()
        while Pauses.waiting:
            Pauses.waiting.pop().half.resumeProducing()


@implementer(IConnectionDecider)
class Bouncer(Factory):
    """Lets clients in by the last digit of their port, and greets them."""

    def connectionRequested(self, address: IPv4Address | IPv6Address) -> bool | Deferred[bool]:
        """0 and 1 enter, 2 and 3 do not, the odd ones after a while; the rest are never answered."""
        from twisted.internet import reactor

        digit = address.port % 10
        if digit > 3:
            return Deferred()
        return deferLater(cast(IReactorTime, reactor), 0.1 * (digit % 2), lambda: digit < 2)

    def buildProtocol(self, addr: object) -> Protocol:
        return Greeting()


class Greeting(Protocol):
    """The first to speak, and the last."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"come in\n")
        self.transport.loseConnection()


class Joined(Protocol):
    """One half of a relay: what it reads the other writes, no faster than that can."""

    other: Joined | None = None

    def join(self, other: Joined) -> None:
        self.other = other
        self.half.registerProducer(other.half, True)
        self.half.resumeProducing()

    @property
    def half(self) -> Any:
        """The transport."""
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        assert self.other is not None
        self.other.half.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.other is not None:
            self.half.unregisterProducer()
            self.other.half.loseConnection()


class Relay(Joined):
    """Connects its client to the server that the first message names, "HOST PORT SECONDS".

    It says what became of it.
    """

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            super().dataReceived(data)
            return
        from twisted.internet import reactor

        host, port, timeout = data.decode().split()
        self.half.pauseProducing()
        endpoint = XTCPClientEndpoint(stackFor(reactor), host, int(port), timeout=float(timeout))
        endpoint.connect(Factory.forProtocol(Joined)).addCallbacks(self.connected_to, self.refused)

    def connected_to(self, other: Joined) -> None:
        self.half.write(b"connected")
        other.join(self)
        self.join(other)

    def refused(self, reason: Failure) -> None:
        self.half.write(reason.type.__name__.encode())
        self.half.loseConnection()


class Keeps(GroupProtocol):
    """Says that it has seen a request, and never acknowledges one."""

    autoAcknowledge = False

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.group.send(cd, b"seen")


class MortalQueue(WorkQueue):
    """A work queue that is killed, once, at the moment that a file beside its database names."""

    def die(self, moment: str) -> None:
        order = Path(self._file).with_name(moment)
        if order.exists():
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def linesReceived(self, lines: list[tuple[int, bytes]]) -> None:
        self.die("received")
        super().linesReceived(lines)
        self.die("answered")

    def store(self, jobs: list[Job]) -> list[bool]:
        stored = super().store(jobs)
        self.die("committed")
        return stored

    def insert(self, cursor: sqlite3.Cursor, name: str, work: bytes) -> bool:
        fresh = super().insert(cursor, name, work)
        self.die("inserted")
        return fresh


class LongLines(LineGroupProtocol):
    """Answers each line by its length and its SHA-256."""

    MAX_LENGTH = 200_000

    def lineReceived(self, cd: int, line: bytes) -> None:
        self.sendLine(cd, f"{len(line)} {hashlib.sha256(line).hexdigest()}".encode())


class LongFrames(LengthPrefixedRequestGroupProtocol):
    """The same for frames, a moment later."""

    MAX_LENGTH = 200_000

    async def messageReceived(self, cd: int, data: bytes) -> bytes:  # type: ignore[override]
        from twisted.internet import reactor, task

        await task.deferLater(reactor, 0)  # type: ignore[arg-type]
        return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()
