"""The discard and generator services (RFC 863, RFC 864), as `benchmarks/programs/bulk.h` says.

As ordinary Twisted protocols, which XTCP and Twisted's own reactor serve alike,
and as XTCP group protocols.  What arrives is counted and its beginning compared;
what is sent is made anew for each write, as by an application that has
something to say.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from xtcp_twisted.reactor.groups import GroupProtocol

PERIOD: Final = 251
#: What one write is given, bytes: about 64 KiB.
BLOCK: Final = PERIOD * 261
#: So much of a piece that arrives is compared.
COMPARED: Final = 64
#: The stream, from any phase on.
PATTERN: Final = bytes(range(PERIOD)) * (2 * 261)


class Tally:
    """What one stream has received: its bytes, and whether every piece continued the one before."""

    __slots__ = ("right", "total")

    def __init__(self) -> None:
        self.total = 0
        self.right = True

    def add(self, data: bytes) -> None:
        """Count a piece."""
        if not PATTERN.startswith(data[:COMPARED], self.total % PERIOD):
            self.right = False
        self.total += len(data)

    def answer(self) -> bytes:
        """The line for the client: the count, negative when something was wrong."""
        return b"%d\n" % (self.total if self.right else -self.total)


def block(position: int) -> bytes:
    """The next bytes of the stream."""
    phase = position % PERIOD
    return PATTERN[phase : phase + BLOCK]


@implementer(IHalfCloseableProtocol)
class Discard(Protocol):
    """Takes everything, and says at the end how much it was."""

    transport: Any

    def connectionMade(self) -> None:
        """Begin to count."""
        self.tally = Tally()

    def dataReceived(self, data: bytes) -> None:
        """Count it."""
        self.tally.add(data)

    def readConnectionLost(self) -> None:
        """The client has sent all."""
        self.transport.write(self.tally.answer())
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """We have."""


@implementer(IPushProducer)
class Generate(Protocol):
    """Sends until the client hangs up."""

    transport: Any

    def connectionMade(self) -> None:
        """Begin to write; the transport says when it is enough."""
        self.position = 0
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """There is room."""
        self.paused = False
        while not self.paused:
            self.transport.write(block(self.position))
            self.position += BLOCK

    def pauseProducing(self) -> None:
        """There is none."""
        self.paused = True

    stopProducing = pauseProducing


class DiscardGroup(GroupProtocol):
    """`Discard` as a group protocol."""

    def __init__(self) -> None:
        self.tallies: dict[int, Tally] = {}

    def connectionMade(self, cd: int) -> None:
        """Begin to count."""
        self.tallies[cd] = Tally()

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        """What came in this turn."""
        for cd, data in messages:
            self.tallies[cd].add(data)

    def connectionsHalfClosed(self, cds: list[int]) -> None:
        """These clients have sent all."""
        for cd in cds:
            self.group.send(cd, self.tallies[cd].answer())
            self.group.finish(cd)

    def connectionLost(self, cd: int, reason: object) -> None:
        """Forget it."""
        self.tallies.pop(cd, None)


class GenerateGroup(GroupProtocol):
    """`Generate` as a group protocol."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}

    def connectionMade(self, cd: int) -> None:
        """Begin."""
        self.positions[cd] = 0
        self._fill(cd)

    def connectionsWritable(self, cds: list[int]) -> None:
        """There is room."""
        for cd in cds:
            self._fill(cd)

    def _fill(self, cd: int) -> None:
        """Send until the engine takes a short count."""
        position, taken = self.positions[cd], BLOCK
        while taken == BLOCK:
            taken = self.group.send(cd, block(position))
            position += taken
        self.positions[cd] = position

    def connectionLost(self, cd: int, reason: object) -> None:
        """Forget it."""
        self.positions.pop(cd, None)
