"""Group protocols: one object for all connections of a group.

This is the way to a million connections.  Per turn of the reactor the protocol
gets at most a handful of calls, each with a batch, and nothing of Python exists per
connection but what the application itself keeps.

Knows the engine's groups and ports; must not know stacks or configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.config import UNLIMITED, GroupOptions
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.engine.surface import ConnectionGroup
from xtcp_twisted.errors import GroupClosed, LocalError, StaleConnection, StalePending
from xtcp_twisted.reactor import reasons
from xtcp_twisted.reactor.batches import hand
from xtcp_twisted.reactor.interfaces import IGroupAcceptor, IGroupProtocol, IGroupSignals, IGroupTransport
from xtcp_twisted.reactor.logctx import LazyContext
from xtcp_twisted.reactor.port import ListeningGroup
from xtcp_twisted.reactor.reader import Event

_ESTABLISHED: Final = int(EventKind.ESTABLISHED)
_WRITABLE: Final = int(EventKind.WRITABLE)
_STALLED: Final = int(EventKind.STALLED)
_PENDING: Final = int(EventKind.PENDING)
_URGENT: Final = int(EventKind.URGENT)
_SOFT_ERROR: Final = int(EventKind.SOFT_ERROR)
_ENDS: Final = frozenset(int(kind) for kind in ENDS)

#: Ends of connections that the protocol has closed itself of which one turn tells.
LOSSES_PER_TURN: Final = 4_096
#: So many promised connections are kept in mind before the failed ones are sought out.
_MANY_PROMISED: Final = 1_024


@implementer(IGroupTransport)
class GroupTransport:
    """See `IGroupTransport`.  Calls on the hot path are the engine's own methods."""

    __slots__ = (
        "_port",
        "broadcast",
        "credit",
        "engineGroup",
        "info",
        "local",
        "pause",
        "peer",
        "refuse",
        "send",
        "sendMany",
        "setKeepAlive",
        "setNoDelay",
        "setOptions",
        "setUser",
        "setUserTimeout",
        "shutdown",
        "user",
    )

    def __init__(self, group: ConnectionGroup, port: GroupPort) -> None:
        self._port = port
        self.engineGroup = group
        self.broadcast = group.broadcast
        self.credit = group.credit
        self.info = group.info
        self.local = group.local
        self.pause = group.pause
        self.peer = group.peer
        self.refuse = group.refuse
        self.send = group.send
        self.sendMany = group.send_many
        self.setKeepAlive = group.set_keepalive
        self.setNoDelay = group.set_nodelay
        self.setOptions = group.set_options
        self.setUser = group.set_user
        self.setUserTimeout = group.set_user_timeout
        self.shutdown = group.shutdown
        self.user = group.user

    def __len__(self) -> int:
        return self._port.live

    def __bool__(self) -> bool:
        return True  # a group without connections is a group

    def __repr__(self) -> str:
        return f"<GroupTransport {self.name!r} on {self.port}: {len(self)} connections>"

    @property
    def name(self) -> str:
        return self.engineGroup.name

    @property
    def port(self) -> int:
        return self.engineGroup.port

    @property
    def options(self) -> GroupOptions:
        return self.engineGroup.options

    def connect(
        self, remote: tuple[str, int], local: tuple[str, int] | None = None, *, timeout: float | None = None
    ) -> int:
        cd = self.engineGroup.connect(remote, local, timeout_s=timeout)
        self._port.connecting(cd)
        return cd

    def accept(self, pendingId: int, into: GroupTransport | None = None) -> int:
        group = self if into is None else into
        cd = self.engineGroup.accept(pendingId, group.engineGroup)
        group._port.promised(cd)  # noqa: SLF001  # of the same class
        return cd

    def need(self, cd: int, n: int) -> None:
        self.engineGroup.need(cd, n)
        self._port.again()

    def consume(self, parts: Iterable[tuple[int, int, int]]) -> list[int]:
        refused = self.engineGroup.consume(parts)
        self._port.again()
        return refused

    def resume(self, cd: int) -> None:
        self.engineGroup.resume(cd)
        self._port.again()

    def finish(self, cd: int) -> None:
        self.engineGroup.finish(cd)
        self._port.ended(cd, reasons.DONE)

    def abort(self, cd: int) -> None:
        self.engineGroup.abort(cd)
        self._port.ended(cd, reasons.ABORTED)


@implementer(IGroupProtocol)
class GroupProtocol:
    """Base class of group protocols; override what is of interest.

    The shortest useful one answers in `messageReceived`::

        class Upper(GroupProtocol):
            def messageReceived(self, cd, data):
                self.group.send(cd, data.upper())

    :ivar group: the `IGroupTransport`, from `makeGroup` on.
    """

    group: GroupTransport
    #: None: acknowledge when `messagesReceived` returns, except under the `application` policy.
    autoAcknowledge: bool | None = None

    def makeGroup(self, group: GroupTransport) -> None:
        """Keep the group and call `groupOpened`."""
        self.group = group
        self.groupOpened()

    def groupOpened(self) -> None:
        """The group listens; `group` is set."""

    def groupClosed(self, reason: Failure) -> None:
        """Everything is over."""

    def connectionsMade(self, cds: list[int]) -> None:
        """Call `connectionMade` for each."""
        for cd in cds:
            self.connectionMade(cd)

    def connectionMade(self, cd: int) -> None:
        """A connection is there; a greeting may be sent."""

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        """Call `messageReceived` for each."""
        for cd, data in messages:
            self.messageReceived(cd, data)

    def messageReceived(self, cd: int, data: bytes) -> None:
        """Data has arrived on one connection."""

    def connectionsHalfClosed(self, cds: list[int]) -> None:
        """Finish them: most servers have nothing to say to a peer that has said all."""
        for cd in cds:
            self.group.finish(cd)

    def connectionsWritable(self, cds: list[int]) -> None:
        """Nothing: for protocols that keep what a short `send` left."""

    def connectionsStalled(self, cds: list[int]) -> None:
        """Nothing: what could not be broadcast to them is lost for them."""

    def connectionsLost(self, losses: list[tuple[int, Failure]]) -> None:
        """Call `connectionLost` for each."""
        for cd, reason in losses:
            self.connectionLost(cd, reason)

    def connectionLost(self, cd: int, reason: Failure) -> None:
        """A connection has ended, for this `reason`; its id means nothing any more."""


class GroupPort(ListeningGroup):
    """The listening port of a group protocol."""

    #: Connections that the protocol knows of and that it has not been told the end of.
    live = 0
    #: Those of them that it began itself and whose handshakes are not complete.
    _connecting: set[int]
    _transport: GroupTransport | None = None
    _delivering = False
    _losses: list[tuple[int, Failure]]
    #: Accepted by the protocol itself, their handshakes not complete.
    _promised: set[int]
    _mostPromised = _MANY_PROMISED

    def turn(self, events: list[Event], limit: int, context: LazyContext) -> bool:
        """Accept, deliver, then tell of room and of ends."""
        made: list[int] = []
        room: dict[int, list[int]] = {_STALLED: [], _WRITABLE: []}
        signals: dict[int, list[tuple[int, int]]] = {_URGENT: [], _SOFT_ERROR: []}
        # What many were closed by in one turn is told in several.
        losses = self._losses[:LOSSES_PER_TURN]
        del self._losses[:LOSSES_PER_TURN]
        requests: list[int] = []
        for kind, cd, detail in events:
            if kind == _ESTABLISHED:
                made.append(cd)
            elif kind in _ENDS:
                losses.append((cd, self._reasonOf(cd, kind, detail)))
            elif kind in room:
                room[kind].append(cd)
            elif kind == _PENDING:
                requests.append(cd)
            elif kind in signals:
                signals[kind].append((cd, detail))
        protocol = self.factory
        if requests:
            self._pending(requests)
        if made:
            self.live += len(made) - len(self._connecting.intersection(made))
            self._connecting.difference_update(made)
            self._promised.difference_update(made)
            self._told(protocol.connectionsMade, made, unknownPay=False)
        self._signal(signals[_URGENT], signals[_SOFT_ERROR])
        self._delivering = True
        try:
            more = self._deliver(limit)
        finally:
            self._delivering = False
        self._told(protocol.connectionsStalled, room[_STALLED])
        self._told(protocol.connectionsWritable, room[_WRITABLE])
        if losses and self._gd >= 0:
            self.live -= len(losses)
            hand(protocol.connectionsLost, losses)
            self._closeIfEmpty()
        return more or bool(self._losses)

    def _signal(self, urgent: list[tuple[int, int]], troubled: list[tuple[int, int]]) -> None:
        """Tell of what needs no answer, if the protocol wants to hear of it."""
        if not (urgent or troubled) or not IGroupSignals.providedBy(self.factory):
            return
        handlers = (self.factory.connectionsUrgent, urgent), (self.factory.connectionsTroubled, troubled)
        for handler, told in handlers:
            if told and self._gd >= 0:
                _, guilty, unknown = hand(handler, told)
                for cd, _ in guilty + unknown:
                    self._fault(cd)

    def connecting(self, cd: int) -> None:
        """The protocol has begun this connection: it will hear of its end in any case."""
        self.live += 1
        self._connecting.add(cd)

    def _reasonOf(self, cd: int, kind: int, detail: int) -> Failure:
        """The reason of an end, which for a connection that was never made is why."""
        if cd in self._connecting:
            self._connecting.discard(cd)
            return reasons.refusalOf(detail)
        return reasons.reasonOf(kind, detail)

    @property
    def decides(self) -> bool:
        """Whether the protocol decides about each request."""
        return bool(IGroupAcceptor.providedBy(self.factory))

    def promised(self, cd: int) -> None:
        """The protocol has accepted this connection; nobody reports a handshake that fails."""
        self._promised.add(cd)
        if len(self._promised) > self._mostPromised:
            self._promised = {known for known in self._promised if self._isKnown(known)}
            self._mostPromised = max(self._mostPromised, 2 * len(self._promised))

    def _isKnown(self, cd: int) -> bool:
        try:
            self.group.user(cd)
        except StaleConnection:
            return False
        return True

    def _pending(self, pendingIds: list[int]) -> None:
        if self.decides:
            requests = self._requestsOf(pendingIds)
            if requests:
                hand(self.factory.connectionsPending, requests)
            return
        if self._decidedElsewhere():
            return
        for pendingId in pendingIds:  # there is no credit: nobody else decides
            try:
                self.group.accept(pendingId)
            except (StalePending, GroupClosed):
                pass  # it has been decided by who shares the port, or the port has stopped
            except LocalError:
                log.err()

    def _requestsOf(self, pendingIds: list[int]) -> list[tuple[int, tuple[str, int]]]:
        requests = []
        for pendingId in pendingIds:
            try:
                requests.append((pendingId, self.group.requester(pendingId)))
            except LocalError:
                pass  # it has timed out, or the port has stopped
        return requests

    def _deliver(self, limit: int) -> bool:
        """Deliver until nothing is told of, at most `limit` messages; True when something may be."""
        while limit > 0 and self._gd >= 0:
            batch = self.group.recv_batch(limit) if self.group.notified else []
            if not batch:
                return False  # or it is held back (P05): DATA will tell of it
            limit -= len(batch)
            closed = [cd for cd, data in batch if not data]
            if closed:
                batch = [message for message in batch if message[1]]
            if batch:
                self._messages(batch)
            if closed:
                self._told(self.factory.connectionsHalfClosed, closed)
        return self._gd >= 0

    def _messages(self, batch: list[tuple[int, bytes]]) -> None:
        served, guilty, unknown = hand(self.factory.messagesReceived, batch)
        for cd, _ in guilty + unknown:
            self._fault(cd)
        if self._gd >= 0 and self._acknowledges():
            self.group.done(served)

    def _acknowledges(self) -> bool:
        chosen = self.factory.autoAcknowledge
        return self.group.options.ack_policy != "application" if chosen is None else bool(chosen)

    def _told(
        self, handler: Callable[[list[int]], object], cds: list[int], *, unknownPay: bool = True
    ) -> None:
        """Hand over connection ids; what raises costs the connection.

        New connections whose handler tells nothing stay: nobody waits for an
        answer yet, and Twisted's connections survive their connectionMade, too.
        A handler before this one may have ended the stack, and with it the group.
        """
        if not cds or self._gd < 0:
            return
        _, guilty, unknown = hand(handler, cds)
        for cd in guilty + unknown if unknownPay else guilty:
            self._fault(cd)

    def _fault(self, cd: int) -> None:
        """An exception costs this connection."""
        try:
            self.group.abort(cd)
        except LocalError:
            return  # the handler has closed it itself, or it has ended
        self.ended(cd, reasons.ABORTED)

    def again(self) -> None:
        """As the base class; a delivery that is under way finds the data by itself."""
        if not self._delivering:
            super().again()

    def ended(self, cd: int, reason: Failure) -> None:
        """The application closed it: report that like any other end, in a later turn."""
        if cd in self._promised:
            self._promised.discard(cd)  # it was never made
            return
        self._connecting.discard(cd)
        self._losses.append((cd, reason))
        self.reader.again(self._gd)

    def _close(self, reason: Failure) -> None:
        """As the base class; the protocol is told once, not per connection."""
        if self._gd < 0:
            return
        super()._close(reason)
        transport, self._transport = self._transport, None
        if transport is not None:
            try:
                self.factory.groupClosed(reason)
            except BaseException:  # noqa: BLE001  # as Twisted's reactors do
                log.err()

    def _groupOptions(self, options: GroupOptions) -> GroupOptions:
        """Who does not decide about requests accepts them all, inside the engine."""
        if options.accept_credits or self.binding.share or self.decides:
            return options
        return attrs.evolve(options, accept_credits=UNLIMITED)

    def _started(self) -> None:
        if self._transport is None:
            self._losses = []
            self._promised = set()
            self._connecting = set()
            self._transport = GroupTransport(self.group, self)
            try:
                self.factory.makeGroup(self._transport)
            except BaseException:
                # It never knew the group, which is as if it had not been opened.
                self._transport = None
                self.connected, self.disconnected = False, True
                self._close(reasons.ABORTED)
                raise

    def _ceased(self) -> None:
        """Nothing: the protocol serves until its last connection has gone (`_close`)."""

    def _isEmpty(self) -> bool:
        return not self.live

    def _closeQuiet(self, cd: int) -> None:
        try:
            self.group.finish(cd)
        except LocalError:
            return  # it has ended meanwhile
        self.ended(cd, reasons.DONE)
