"""Request and answer: a group protocol whose handler returns the answer, now or later.

A request is acknowledged together with its answer, so a client whose server dies in
between still holds the request.  One request of a connection is served at a time, in the
order in which they came; those that a client sends ahead wait, unacknowledged, in the
shared receive buffer, and when its share of that is full its window closes.  So there
is at most one Deferred for each connection, whatever the client does.

Knows groups and framings; must not know ports or engines.
"""

from __future__ import annotations

from collections.abc import Coroutine
from inspect import iscoroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.reactor.frames import ENDED, FramedGroupProtocol
from xtcp_twisted.reactor.framing import TOO_LONG, LengthPrefixFraming, LineFraming
from xtcp_twisted.reactor.groups import GroupTransport
from xtcp_twisted.reactor.interfaces import IRequestGroupProtocol

#: What a handler may return.
Answer = bytes | None | Deferred[Any] | Coroutine[Any, Any, Any]


@implementer(IRequestGroupProtocol)
class RequestGroupProtocol(FramedGroupProtocol):
    """Base class of group protocols that answer; override `messageReceived`.

    ::

        class Shop(LineRequestGroupProtocol):
            async def messageReceived(self, cd, request):
                row = await self.pool.runQuery(PRICE, (request.decode(),))
                return b"%d" % row[0]

    Without a framing each message is a request, which is right for clients that wait for the
    answer before they ask again, and whose requests fit a segment.  See `IRequestGroupProtocol`.
    """

    _log = Logger()
    # Each Deferred that fires has what is behind its request cut again.
    _most = 4_096

    def makeGroup(self, group: GroupTransport) -> None:
        """As the base class."""
        #: What is awaited, by connection; these are paused.
        self._awaited: dict[int, Deferred[Any]] = {}
        super().makeGroup(group)

    def groupClosed(self, reason: Failure) -> None:
        """Nobody waits for answers any more."""
        super().groupClosed(reason)
        self._cancel(list(self._awaited))

    def connectionsLost(self, losses: list[tuple[int, Failure]]) -> None:
        """As the base class; nobody waits for these answers any more."""
        if self._awaited:
            self._cancel([cd for cd, _ in losses])
        super().connectionsLost(losses)

    def _cancel(self, cds: list[int]) -> None:
        for cd in cds:
            awaited = self._awaited.pop(cd, None)
            if awaited is not None:
                try:
                    awaited.cancel()
                except Exception:  # noqa: BLE001  # the others are cancelled all the same
                    self._log.failure("A request could not be cancelled")

    # -- requests ------------------------------------------------------------------------

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        """Serve the requests of each connection, one at a time."""
        for cd, data in messages:
            try:
                self._serve(cd, data)
            except ENDED:
                pass  # the handler has closed it, or it has ended

    def messageReceived(self, cd: int, data: bytes) -> Answer:  # type: ignore[override]
        """A request has come; return the answer."""
        return None

    def _serve(self, cd: int, data: bytes) -> None:
        requests, _, need = self.cutSome(data)
        done = 0
        for request in requests:
            if done and not self.isOpen(cd):
                return
            size = len(request) + self.overhead
            answer = self._ask(cd, request)
            if isinstance(answer, Deferred):
                self._awaited[cd] = answer.addBoth(self._fired, cd, size)
                try:
                    self.group.consume([(cd, done, 0)])
                    self.group.pause(cd)
                except ENDED:
                    self._cancel([cd])  # the handler has closed it
                return
            if answer is None:
                done += size
            elif self._answer(cd, answer, done + size):
                done = 0
            else:
                return
        if need == TOO_LONG or self.group.consume([(cd, done, need)]):
            self._exceeded(cd)

    def _ask(self, cd: int, request: bytes) -> Any:
        """What the handler says: bytes, None, a Failure, or a Deferred that has not fired."""
        try:
            answer = self.messageReceived(cd, request)
        except Exception:  # noqa: BLE001  # costs the connection, as any
            return Failure()
        if iscoroutine(answer):
            answer = Deferred.fromCoroutine(answer)
        if not isinstance(answer, Deferred):
            return answer
        fired: list[Any] = []
        answer.addBoth(fired.append)
        if fired:
            return fired[0]
        answer.addCallback(lambda _: fired[0])
        return answer

    def _fired(self, answer: Any, cd: int, size: int) -> None:
        if self._awaited.pop(cd, None) is None:
            return  # the connection has ended: nobody waits for it
        try:
            if self._answer(cd, answer, size):
                self.group.resume(cd)
        except ENDED:
            pass
        except Exception:  # noqa: BLE001  # costs the connection, as any
            self._log.failure("An answer could not be sent")
            self._abort(cd)

    def _answer(self, cd: int, answer: Any, size: int) -> bool:
        """Answer and acknowledge; whether the next request may be served."""
        if answer is not None and not isinstance(answer, bytes | Failure):
            wrong = f"the answer is {type(answer).__name__}; return bytes, None, a Deferred or a coroutine"
            answer = Failure(TypeError(wrong))
        if isinstance(answer, Failure):
            answer = self._failed(cd, answer)
            if answer is None:
                self._abort(cd)
                return False
        return self._send(cd, b"" if answer is None else self.join(answer), size)

    def _failed(self, cd: int, failure: Failure) -> bytes | None:
        try:
            return self.requestFailed(cd, failure)
        except Exception:  # noqa: BLE001  # costs the connection, as any
            self._log.failure("A failure could not be answered")
            return None

    def requestFailed(self, cd: int, failure: Failure) -> bytes | None:
        """Log it; the connection is aborted."""
        self._log.failure("A request has failed", failure)
        return None

    def _goOn(self, cd: int) -> None:
        """Everything is sent; what is awaited still comes first."""
        if cd not in self._awaited:
            self.group.resume(cd)


class LineRequestGroupProtocol(LineFraming, RequestGroupProtocol):
    """Requests and answers are lines."""

    def frameLengthExceeded(self, cd: int) -> None:
        """A line is a frame."""
        self.lineLengthExceeded(cd)

    def lineLengthExceeded(self, cd: int) -> None:
        """A line is longer than `MAX_LENGTH`; see `IFramedGroupProtocol.frameLengthExceeded`."""


class LengthPrefixedRequestGroupProtocol(LengthPrefixFraming, RequestGroupProtocol):
    """Requests and answers begin with their length."""
