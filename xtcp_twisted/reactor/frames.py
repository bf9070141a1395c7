"""Group protocols that get frames instead of segments: `LineGroupProtocol`, `LengthPrefixedGroupProtocol`.

Part of a frame is nothing to Python: it stays in the shared receive buffer, where the
engine has it anyway, unacknowledged as far as the application is concerned, and is
offered again when there is enough of it.  So an incomplete frame costs no object, and a
million clients may each have sent half a line.

What an application keeps for a connection here is only what was sent and found no room:
while there is such a rest, nothing more is read from that connection.

Knows groups and framings; must not know ports or engines.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.config import MOST_GUARANTEED
from xtcp_twisted.errors import ConfigurationError, GroupClosed, LocalError, StaleConnection, WriteClosed
from xtcp_twisted.reactor.batches import hand
from xtcp_twisted.reactor.framing import TOO_LONG, Cut, Framing, LengthPrefixFraming, LineFraming
from xtcp_twisted.reactor.groups import GroupProtocol, GroupTransport
from xtcp_twisted.reactor.interfaces import IFramedGroupProtocol

#: What says that a connection has ended, before its end was told.
ENDED: Final = (StaleConnection, WriteClosed, GroupClosed)
#: Bytes of a rest that are tried at once.
_PIECE: Final = 65_536
#: A chunk of the receive buffer may begin with bytes of the frame before.
_CHUNK_REST: Final = 255
#: More than one connection can offer at once.
_EVERYTHING: Final = 1 << 32


@implementer(IFramedGroupProtocol)
class FramedGroupProtocol(Framing, GroupProtocol):
    """Base class of group protocols that get frames; mix a framing in before it.

    See `IFramedGroupProtocol` for what it does.  Who overrides `makeGroup`, `groupClosed`,
    `connectionsWritable` or `connectionsLost` calls the base class's, too.
    """

    #: Frames are acknowledged, not what was delivered.
    autoAcknowledge = False
    # Bytes of one connection that are cut at once, if the longest frame is not longer: of a client that
    # sends ahead, what is cut in vain, since an answer before it waits for room, must not be much.
    _most = 16_384

    def makeGroup(self, group: GroupTransport) -> None:
        """As the base class, if each frame can be held.

        :raise ConfigurationError: the framing is wrong, or the longest frame is longer than what a
            connection of this group is guaranteed in its pool.
        """
        longest, guaranteed = self.checkFraming(), group.options.guaranteed_bytes
        if longest and longest + _CHUNK_REST > guaranteed:
            raise ConfigurationError(
                f"MAX_LENGTH: {longest:,} bytes for one frame are not allowed in group {group.name!r}, whose"
                f" connections are guaranteed {guaranteed:,} of their pool; give a lower MAX_LENGTH, or the"
                f" group the option guaranteed_bytes = {longest + _CHUNK_REST:_}, at most {MOST_GUARANTEED:_}"
            )
        self._span = max(longest, self._most) if longest else _EVERYTHING
        #: Bytes of frames of this turn that come again, since an answer before them waits for room.
        self._late: dict[int, int] = {}
        #: What was sent and found no room, of connections that are paused therefore.
        self._rests: dict[int, bytearray] = {}
        super().makeGroup(group)

    def groupClosed(self, reason: Failure) -> None:
        """Nothing that is left can be sent."""
        self._rests.clear()

    # -- receiving -------------------------------------------------------------------

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        """Cut the frames off, hand them over, and acknowledge those that are done with."""
        frames: list[tuple[int, bytes]] = []
        parts: list[tuple[int, int, int]] = []
        tooLong: dict[int, int] = {}
        span = self._span
        for cd, data in messages:
            try:
                found, used, need = self.cut(data) if len(data) <= span else self.cutSome(data)
            except Exception:  # noqa: BLE001  # costs the connection, as any
                log.err()
                self._abort(cd)
                continue
            if len(found) == 1:  # as most are
                frames.append((cd, found[0]))
            else:
                frames += [(cd, frame) for frame in found]
            if need == TOO_LONG:
                tooLong[cd] = used
            else:
                parts.append((cd, used, need))
        if frames:
            failed = self._handOver(frames)
            if failed:
                parts = [part for part in parts if part[0] not in failed]
            if self._late:
                parts = self._withoutLate(parts, tooLong)
        try:
            exceeding = [*self.group.consume(parts), *tooLong]
        except GroupClosed:
            return  # the handler has ended the stack
        for cd in exceeding:
            self._exceeded(cd)

    def cutSome(self, data: bytes) -> Cut:
        """`cut` of the beginning of much data; the rest of it is needed at once."""
        if len(data) <= self._span:
            return self.cut(data)
        found, used, need = self.cut(data[: self._span])
        return found, used, 1 if used and need != TOO_LONG else need

    def _handOver(self, frames: list[tuple[int, bytes]]) -> Collection[int]:
        """Hand frames over; connections that an exception has cost."""
        _, guilty, unknown = hand(self.framesReceived, frames, lambda item: item[0])
        if not guilty and not unknown:
            return ()
        failed = {cd for cd, _ in guilty + unknown}
        for cd in failed:
            self._abort(cd)
        return failed

    def _withoutLate(
        self, parts: list[tuple[int, int, int]], tooLong: dict[int, int]
    ) -> list[tuple[int, int, int]]:
        """What was consumed if frames that come again were not; nor is what comes after them too long yet."""
        late, self._late = self._late, {}
        again = [(cd, tooLong.pop(cd), 1) for cd in late if cd in tooLong]
        return [(cd, used - late[cd], 1) if cd in late else (cd, used, n) for cd, used, n in parts + again]

    def framesReceived(self, frames: list[tuple[int, bytes]]) -> None:
        """Call `frameReceived` for each whose connection is open and owes no answer."""
        self._each(frames, self.frameReceived)

    def _each(self, frames: list[tuple[int, bytes]], received: Callable[[int, bytes], object]) -> None:
        rests, last = self._rests, -1
        for cd, frame in frames:
            if cd in rests:
                self._comesAgain(cd, frame)
            elif cd != last or self.isOpen(cd):
                received(cd, frame)
            last = cd

    def _comesAgain(self, cd: int, frame: bytes) -> None:
        """A frame is not served now: an answer before it waits for room."""
        self._late[cd] = self._late.get(cd, 0) + len(frame) + self.overhead

    def frameReceived(self, cd: int, frame: bytes) -> object:
        """A frame is complete."""

    def _exceeded(self, cd: int) -> None:
        if not self.isOpen(cd):
            return
        try:
            self.frameLengthExceeded(cd)
        except Exception:  # noqa: BLE001  # costs the connection, as any
            log.err()
        self._abort(cd)

    def frameLengthExceeded(self, cd: int) -> None:
        """Nothing: the connection is aborted."""

    # -- sending -----------------------------------------------------------------------

    def sendFrame(self, cd: int, frame: bytes) -> bool:
        """See `IFramedGroupProtocol.sendFrame`."""
        try:
            return self._send(cd, self.join(frame))
        except ENDED:
            return False

    def broadcastFrame(self, frame: bytes, cds: Iterable[int] | None = None) -> int:
        """See `IFramedGroupProtocol.broadcastFrame`."""
        rests = self._rests
        if not rests:
            return self.group.broadcast(self.join(frame), cds)
        cds = None if cds is None else list(cds)
        late = [cd for cd in (rests if cds is None else dict.fromkeys(cds)) if cd in rests]
        reached = self.group.broadcast(self.join(frame), cds, but=rests)
        if late:
            self.connectionsStalled(late)
        return reached

    def _send(self, cd: int, data: bytes, ackd: int = 0) -> bool:
        """Send all of it, now or when there is room; False when some of it waits."""
        rest = self._rests.get(cd)
        if rest is not None:
            self.group.send(cd, b"", ackd)
            rest += data
            return False
        taken = self.group.send(cd, data, ackd)
        if taken == len(data):
            return True
        self._rests[cd] = bytearray(data[taken:])
        self.group.pause(cd)
        return False

    def connectionsWritable(self, cds: list[int]) -> None:
        """Send what is left; then go on reading."""
        for cd in cds:
            if cd not in self._rests:
                continue
            try:
                if self._sendRest(cd):
                    self._goOn(cd)
            except ENDED:
                self._rests.pop(cd, None)

    def _sendRest(self, cd: int) -> bool:
        rest = self._rests[cd]
        while rest:
            piece = bytes(rest[:_PIECE])
            taken = self.group.send(cd, piece)
            del rest[:taken]
            if taken < len(piece):
                return False
        del self._rests[cd]
        return True

    def _goOn(self, cd: int) -> None:
        """Everything is sent: offer data again."""
        self.group.resume(cd)

    # -- ends --------------------------------------------------------------------------

    def isOpen(self, cd: int) -> bool:
        """Whether neither side has ended this connection."""
        try:
            self.group.user(cd)
        except LocalError:
            return False
        return True

    def connectionsLost(self, losses: list[tuple[int, Failure]]) -> None:
        """As the base class; what was left to send has no reader any more."""
        if self._rests:
            for cd, _ in losses:
                self._rests.pop(cd, None)
        super().connectionsLost(losses)

    def _abort(self, cd: int) -> None:
        try:
            self.group.abort(cd)
        except LocalError:
            pass  # the application has closed it itself, or it has ended


class LineGroupProtocol(LineFraming, FramedGroupProtocol):
    """Lines, as `twisted.protocols.basic.LineReceiver` has them, of all connections of a group.

    Override `lineReceived`, or `linesReceived` to get a whole batch::

        class Upper(LineGroupProtocol):
            def lineReceived(self, cd, line):
                self.sendLine(cd, line.upper())

    A line is done with, and acknowledged, when these return.
    """

    def framesReceived(self, frames: list[tuple[int, bytes]]) -> None:
        """Lines are frames."""
        self.linesReceived(frames)

    def linesReceived(self, lines: list[tuple[int, bytes]]) -> None:
        """`lines` are those of one turn, ``[(cd, line), ...]``, those of one connection in order.

        By default, call `lineReceived` for each whose connection is open and owes no answer.
        """
        self._each(lines, self.lineReceived)

    def lineReceived(self, cd: int, line: bytes) -> object:
        """A line has come, here without its delimiter."""

    def frameLengthExceeded(self, cd: int) -> None:
        """A line is a frame."""
        self.lineLengthExceeded(cd)

    def lineLengthExceeded(self, cd: int) -> None:
        """A line is longer than `MAX_LENGTH`; see `IFramedGroupProtocol.frameLengthExceeded`."""

    def sendLine(self, cd: int, line: bytes) -> bool:
        """Send a line; see `sendFrame`."""
        return self.sendFrame(cd, line)

    def broadcastLine(self, line: bytes, cds: Iterable[int] | None = None) -> int:
        """Send one line to many, all or `cds`; see `broadcastFrame`."""
        return self.broadcastFrame(line, cds)


class LengthPrefixedGroupProtocol(LengthPrefixFraming, FramedGroupProtocol):
    """Frames that begin with their length, as those of `twisted.protocols.basic.IntNStringReceiver`.

    Override `frameReceived`, or `framesReceived` to get a whole batch::

        class Store(LengthPrefixedGroupProtocol):
            structFormat = "!H"

            def frameReceived(self, cd, frame):
                self.sendFrame(cd, store(frame))

    A frame is done with, and acknowledged, when these return.
    """
