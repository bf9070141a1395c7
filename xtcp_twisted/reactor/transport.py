"""The transport of one connection of an ordinary protocol.

It does what Twisted's own TCP transport does, in the same order; where the
reasons are not obvious they stand beside the code.  What is different lies
below: there is no descriptor, `write` hands data to the engine at once and keeps
only what the engine did not take, and what was delivered counts as processed when
`dataReceived` returns; its ACK rides on what was written in it.

A million of these may exist: no attribute is made before it is needed, and what is
a number is none of Python's (`Numbers`).

Knows the engine's group and Twisted's interfaces; must not know how ports accept,
nor what a turn consists of beyond `later`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet import interfaces
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor import reasons
from xtcp_twisted.reactor.backlog import Backlog
from xtcp_twisted.reactor.interfaces import IConnectionSignals, IXTCPTransport
from xtcp_twisted.reactor.producing import Consumer
from xtcp_twisted.reactor.surface import (
    ABORTING,
    CONNECTED,
    DISCONNECTED,
    DISCONNECTING,
    DRAINING,
    ENDED,
    FRESH,
    PRODUCER_PAUSED,
    READING,
    STEPPING,
    STREAMING,
    WRITE_DISCONNECTED,
    WRITE_DISCONNECTING,
    Owner,
    flagsOf,
)

# Of the flags: what a write and what a delivery looks at.  Constants, since each message asks for them.
_WRITE_SIDE: Final = CONNECTED | WRITE_DISCONNECTED | ABORTING
_READ_SIDE: Final = FRESH | READING


@implementer(
    IXTCPTransport,
    interfaces.IConsumer,
    interfaces.IPushProducer,
    interfaces.ILoggingContext,
    interfaces.ISystemHandle,
    interfaces.IHalfCloseableDescriptor,
)
class XTCPTransport(Consumer):
    """One connection, as its protocol sees it.

    :ivar server: the port that accepted it.
    :ivar cd: its connection id in the group.
    :ivar sessionno: its number among those that its port accepted.
    :ivar protocol: the application's protocol; None when connectionLost was called.
    """

    __slots__ = ("_kept", "producer")

    # Twisted's name for who begins the handshake of `startTLS`.
    _tlsClientDefault = False

    def __init__(
        self,
        server: Owner,
        cd: int,
        protocol: Any,
        peer: tuple[str, int] | None,
        host: IPv4Address | IPv6Address,
        session: int,
    ) -> None:
        super().__init__(cd, peer, CONNECTED | READING | FRESH | flagsOf(server.group.options), session)
        self.server = server
        self.protocol = protocol
        self.producer: Any = None
        self._host = host
        self._out: Backlog | None = None
        #: Chunks, b"" for the end of the stream, and the reason of the end,
        #: that came while the protocol did not want them.
        self._kept: list[bytes | Failure] | None = None

    # -- ITransport: writing -----------------------------------------------------

    def write(self, data: bytes) -> None:
        """Queue data; it leaves at the end of this turn, as far as there is room."""
        if not isinstance(data, bytes):
            raise TypeError("Data must be bytes")
        if self._flags & _WRITE_SIDE != CONNECTED or not data:
            return
        if self._out is None and self.producer is None:
            try:
                taken = self.server.group.send(self.cd, data)
            except LocalError:
                self._tellEnd()
                return
            if taken < len(data):
                self._out = Backlog(data, taken)
            return
        self._enqueue(data)

    def _enqueue(self, data: bytes) -> None:
        """`write` where something is buffered already, or a producer wants to be counted."""
        out = self._out
        if out is None:
            out = self._out = Backlog()
        out.append(data)
        if len(out) == len(data):
            self._push(out)
        if self.producer is not None:
            if out.buffered > self.bufferSize:
                self._pauseProducer()
            if not (self._flags & PRODUCER_PAUSED and len(out)):  # else a WRITABLE event will come
                self._step()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Queue several pieces of data."""
        pieces = list(iovec)
        for piece in pieces:
            if not isinstance(piece, bytes):
                raise TypeError("Data must be bytes")
        self.write(b"".join(pieces))

    def _push(self, out: Backlog) -> bool:
        """Give the engine what is buffered; True when nothing is left."""
        try:
            return out.push(self.server.group, self.cd)
        except LocalError:
            self._tellEnd()
            return False

    def writable(self) -> None:
        """The engine has room again."""
        out = self._out
        if out is not None and len(out) and self._push(out):
            if self.producer is None or self._flags & STEPPING:
                self._step()
            else:
                self._flushed()  # as a socket that has become writable: its producer goes on at once

    def _step(self) -> None:
        """Ask for `_flushed` in the next turn."""
        if not self._flags & STEPPING:
            self._flags |= STEPPING
            self.server.later(self._flushed)

    def _flushed(self) -> None:
        """If all is written: go on with whatever waits for that.

        This is the second half of `twisted.internet.abstract.FileDescriptor.doWrite`, in its order: a
        producer first, then the close, then the half close.
        """
        self._flags &= ~STEPPING
        flags = self._flags
        if flags & DISCONNECTED:
            return
        if flags & ABORTING:
            self.connectionLost(reasons.ABORTED)
            return
        if self._out is not None:
            self._out.turned()
            if len(self._out):
                return  # a WRITABLE event will come
            self._out = None
        if self.producer is not None and (not flags & STREAMING or flags & PRODUCER_PAUSED):
            self._produce()
        elif flags & DISCONNECTING:
            self.connectionLost(reasons.DONE)
        elif flags & WRITE_DISCONNECTING and not flags & WRITE_DISCONNECTED:
            self._closeWriteSide()

    # -- ITransport and ITCPTransport: closing -------------------------------------

    def loseConnection(self, _reason: Failure = reasons.DONE) -> None:
        """Close when all is written and no producer is left."""
        flags = self._flags
        if not flags & CONNECTED or flags & (DISCONNECTING | ABORTING):
            return
        self.stopReading()
        if flags & WRITE_DISCONNECTED:
            # Nothing left to wait for; the one place where Twisted calls
            # connectionLost before loseConnection returns.
            self.connectionLost(_reason)
        else:
            self._flags |= DISCONNECTING
            self._step()

    def abortConnection(self) -> None:
        """Close by RST; connectionLost follows in the next turn, never at once."""
        if self._flags & (DISCONNECTED | ABORTING):
            return
        self.stopReading()
        self._flags |= ABORTING
        self._out = None
        self._step()
        if not self._flags & (ENDED | FRESH):
            # At once, so that what was written in this turn does not leave before the RST: TLS writes
            # its alert of an orderly end even now.  But a client that looks after its connect must find
            # it made, so not in the turn of connectionMade.
            self.server.forget(self)
            self._engine(self.server.group.abort)
            self._flags |= ENDED

    def loseWriteConnection(self) -> None:
        """Send FIN when all is written; reading goes on."""
        self._flags |= WRITE_DISCONNECTING
        self._step()

    def _closeWriteSide(self) -> None:
        # Before the notification, which may call loseConnection.
        self._flags |= WRITE_DISCONNECTED
        try:
            self.server.group.shutdown(self.cd)
        except LocalError:
            self._tellEnd()
            return
        protocol = interfaces.IHalfCloseableProtocol(self.protocol, None)
        if protocol is not None:
            self._guard(protocol.writeConnectionLost)

    def connectionLost(self, reason: Failure) -> None:
        """End this transport and tell the protocol the `reason`, once."""
        if self._flags & DISCONNECTED:
            return
        self._flags = self._flags & ~(CONNECTED | READING) | DISCONNECTED
        self._out = self._kept = None
        producer, self.producer = self.producer, None
        if producer is not None:
            self._log(producer.stopProducing)
        self._release(reason)
        if self.protocol is not None:
            self._log(self.protocol.connectionLost, reason)
            self.protocol = None  # no cycle is left for the garbage collector

    def letGo(self) -> None:
        """Close in order without telling the protocol; `connectionLost` still can."""
        self.server.forget(self)
        self._kept = None
        if not self._flags & ENDED:
            self._engine(self.server.group.finish)
        self._flags = self._flags & ~READING | ENDED

    def _release(self, reason: Failure) -> None:
        """Let the engine end the connection by itself; its FIN may take minutes."""
        self.server.forget(self)
        if self._flags & ENDED:
            return
        group = self.server.group
        # A request that made the application fail was not processed.  Where the
        # client keeps what is not acknowledged, it must not be.
        failed = not reason.check(*_ORDERLY)
        abort = self._flags & ABORTING or (failed and group.options.ack_policy == "application")
        try:
            (group.abort if abort else group.finish)(self.cd)
        except LocalError:
            pass  # it has ended in the meantime; its event finds nobody

    # -- ITLSTransport ---------------------------------------------------------------

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Let TLS lie between this connection and its protocol; see `xtcp_twisted.reactor.tls.start`."""
        from xtcp_twisted.reactor import tls  # pyOpenSSL is an extra

        tls.start(self, contextFactory, normal)

    # -- IPushProducer, and the switches that FileDescriptor has -----------------------

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`, the end of the connection included."""
        self.stopReading()

    def resumeProducing(self) -> None:
        """Deliver again, from the next turn on."""
        if self._flags & CONNECTED and not self._flags & DISCONNECTING:
            self.startReading()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def startReading(self) -> None:
        """As `resumeProducing`, also while closing."""
        if self._flags & (READING | DISCONNECTED | ABORTING):
            return
        self._flags |= READING
        if not self._flags & ENDED:
            self._engine(self.server.group.resume)
            self.server.again()
        if self._kept:
            self._drainLater()

    def stopReading(self) -> None:
        """As `pauseProducing`."""
        if not self._flags & READING:
            return
        self._flags &= ~READING
        # What comes for a connection that is closing is not wanted later either.
        if not self._flags & (ENDED | DISCONNECTED):
            self._engine(self.server.group.pause)

    def startWriting(self) -> None:
        """Look in the next turn what there is to do, as a reactor would."""
        self._step()

    def stopWriting(self) -> None:
        """Nothing: what was written is the engine's already."""

    # -- what the port calls -----------------------------------------------------------

    def received(self, data: bytes) -> bool:
        """`data`, or b"" at the end of the stream, has come from the engine.

        :return: True when the protocol had it, so that it may be acknowledged.
        """
        flags = self._flags
        if flags & _READ_SIDE == READING and self._kept is None:
            if not data:
                self._deliver(data)
                return True
            # As `_guard`, without two calls for each message.
            try:
                self.protocol.dataReceived(data)
            except BaseException as raised:  # noqa: BLE001  # as Twisted's reactors do
                self._fault(raised)
            return True
        if not flags & (DISCONNECTED | DISCONNECTING | ABORTING):
            if self._kept is None:
                self._kept = []
            self._kept.append(data)
        return False

    def _deliver(self, data: bytes) -> None:
        if not data:
            self.stopReading()
            self.readConnectionLost(reasons.DONE)
            return
        self._guard(self.protocol.dataReceived, data)

    def signalled(self, kind: int, detail: int) -> None:
        """An event of this `kind`: WRITABLE; or URGENT or SOFT_ERROR and its `detail`, if wanted."""
        if kind == EventKind.WRITABLE:
            self.writable()
            return
        protocol = IConnectionSignals(self.protocol, None)
        if protocol is None or self._flags & DISCONNECTED:
            return
        if kind == EventKind.SOFT_ERROR:
            self._guard(protocol.connectionTroubled, detail)
            return
        # What is kept here comes first.
        kept = sum(len(item) for item in self._kept or () if isinstance(item, bytes))
        self._guard(protocol.urgentAnnounced, kept + detail)

    def settle(self) -> None:
        """A turn lies between connectionMade and now: deliver what came with it."""
        self._flags &= ~FRESH
        if self._kept:
            self._drain()

    def _drainLater(self) -> None:
        if not self._flags & DRAINING:
            self._flags |= DRAINING
            self.server.later(self._drain)

    def _drain(self) -> None:
        """Deliver one thing that was kept, the rest in later turns."""
        self._flags &= ~DRAINING
        kept = self._kept
        if not kept or self._flags & DISCONNECTED:
            return
        if not self._flags & READING:
            if isinstance(kept[0], Failure) and self._flags & (DISCONNECTING | WRITE_DISCONNECTING):
                self.connectionLost(kept[0])
            return
        item = kept.pop(0)
        if not kept:
            self._kept = None
        else:
            self._drainLater()
        if isinstance(item, Failure):
            self.connectionLost(item)
        else:
            self._deliver(item)
            if self._kept is None and not self._flags & (ENDED | DISCONNECTED):
                self.server.group.done(((self.cd, item),))

    def ended(self, reason: Failure) -> None:
        """The engine reported the end, for this `reason`.  It has forgotten the connection already.

        The protocol is told a turn later, since data may have been delivered in
        this one; and while it neither reads nor writes it is not told at all, as
        a socket that is in nobody's select set is not.
        """
        self._flags |= ENDED
        if self._kept is None:
            self._kept = []
        self._kept.append(reason)
        writing = self._out is not None or self._flags & (DISCONNECTING | WRITE_DISCONNECTED)
        if self._flags & READING:
            self._drainLater()
        elif writing:
            self.server.later(self.connectionLost, reason)

    def _tellEnd(self) -> None:
        """Something was written to a connection that has ended: now it must be told."""
        if not self._flags & (DISCONNECTED | ABORTING):
            reason = self._kept[-1] if self._kept else reasons.RESET
            self._out = None
            self.server.later(self.connectionLost, reason if isinstance(reason, Failure) else reasons.RESET)
            self._pauseProducer()  # nothing is counted any more that would stop it

    def readConnectionLost(self, reason: Failure) -> None:
        """The peer sends no more: only a half-closeable protocol survives that."""
        protocol = interfaces.IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            self.connectionLost(reason)
        else:
            self._guard(protocol.readConnectionLost)

    def writeConnectionLost(self, reason: Failure) -> None:
        """Part of `IHalfCloseableDescriptor`; nothing here calls it."""
        self.connectionLost(reason)

    # -- application code ---------------------------------------------------------------

    def _guard(self, f: Callable[..., object], *args: object) -> bool:
        """Call the application; what it raises costs this connection.  True if it returned."""
        try:
            f(*args)
        except BaseException as raised:  # noqa: BLE001  # as Twisted's reactors do
            self._fault(raised)
            return False
        return True

    def _fault(self, raised: BaseException) -> None:
        """The application has raised, and pays; called while the exception is handled."""
        log.err()
        self.connectionLost(Failure(raised))

    def _log(self, f: Callable[..., object], *args: object) -> None:
        """Call the application; what it raises is logged."""
        try:
            f(*args)
        except BaseException:  # noqa: BLE001  # as Twisted's reactors do
            log.err()


_ORDERLY: Final = tuple(f.type for f in (reasons.DONE, reasons.RESET, reasons.ABORTED))
