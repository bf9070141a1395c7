"""A listening port: one engine group, and an ordinary factory behind it.

`ListeningGroup` is what every port has in common, whether a factory or a group
protocol (`groups`) stands behind it: opening the group, `IListeningPort`, and the
rule that established connections outlive their port.  The group therefore stays
when the port stops; it only stops listening, and is closed when its last
connection is gone.

Knows the engine's groups, the reader and transports; must not know stacks,
configuration or group protocols.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet import defer, interfaces
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError
from twisted.python import log, reflect
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.config import UNLIMITED, GroupOptions
from xtcp_twisted.engine import Group, Pool
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor import reasons
from xtcp_twisted.reactor.addresses import pack, toTwisted
from xtcp_twisted.reactor.logctx import LazyContext
from xtcp_twisted.reactor.reader import Event, XTCPReader
from xtcp_twisted.reactor.transport import XTCPTransport

#: The part of a connection id that is its row in the engine's table.
SLOT: Final = 0xFFFF_FFFF

#: Most bytes that the engine gives of one connection at once; with so many, there may be more.
CHUNK: Final = 65_536

# Plain integers: an event is compared with each of them.
_PENDING: Final = int(EventKind.PENDING)
_ESTABLISHED: Final = int(EventKind.ESTABLISHED)
_WRITABLE: Final = int(EventKind.WRITABLE)
_EOF: Final = int(EventKind.EOF)
_ENDS: Final = frozenset(int(kind) for kind in ENDS)


@attrs.frozen(kw_only=True)
class Binding:
    """Where and how a group listens."""

    #: The port; 0 takes a free one.
    port: int
    #: "" for all addresses of the engine, "0.0.0.0" for all of IPv4, "::" for all of
    #: IPv6, or one of its addresses.
    interface: str = ""
    #: The group's name in snapshots.
    name: str | None = None
    #: Other groups that say so too may have the same port (P06).
    share: bool = False
    options: GroupOptions = attrs.field(factory=GroupOptions)

    @property
    def address(self) -> str | None:
        """The one address, or None for all of the family."""
        return None if self.interface in ("", "0.0.0.0", "::") else self.interface

    @property
    def domain(self) -> int:
        """The family; AF_UNSPEC for both."""
        if not self.interface:
            return socket.AF_UNSPEC
        return socket.AF_INET6 if ":" in self.interface else socket.AF_INET


class TransportTable:
    """Transports of all ports of one engine, by the row of their connection.

    An array of pointers (8 bytes a row), because a dictionary entry costs 110.
    """

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: list[XTCPTransport | None] = []

    def put(self, transport: XTCPTransport) -> None:
        """Enter a transport under its connection id."""
        row = transport.cd & SLOT
        if row >= len(self.rows):
            self.rows.extend([None] * (row + 1 - len(self.rows)))
        self.rows[row] = transport

    def get(self, cd: int) -> XTCPTransport | None:
        """The transport of this connection; None if it has none any more."""
        row = cd & SLOT
        transport = self.rows[row] if row < len(self.rows) else None
        return transport if transport is not None and transport.cd == cd else None

    def remove(self, transport: XTCPTransport) -> bool:
        """Take it out; False when it was out already."""
        row = transport.cd & SLOT
        if row >= len(self.rows) or self.rows[row] is not transport:
            return False
        self.rows[row] = None
        return True


@attrs.define(eq=False)
class Stage:
    """What all ports of one engine share."""

    reader: XTCPReader
    table: TransportTable = attrs.field(factory=TransportTable)
    #: Those whose groups are open.
    ports: set[ListeningGroup] = attrs.field(factory=set)


@implementer(interfaces.IListeningPort, interfaces.ILoggingContext)
class ListeningGroup:
    """`IListeningPort` over one group of the engine.

    :param stage: the reader and what else all ports of an engine share.
    :param pool: the pool that the group is opened in.
    :param binding: where it listens.
    :param factory: who serves the connections.
    """

    connected = False
    disconnected = False
    disconnecting = False
    #: For the log only; a TLS wrapper sets its own.
    _type = "XTCP"

    group: Group

    def __init__(self, stage: Stage, pool: Pool, binding: Binding, factory: Any) -> None:
        self.reader = stage.reader
        self._stage = stage
        self.factory = factory
        self.binding = binding
        self._pool = pool
        self._gd = -1
        self._host: IPv4Address | IPv6Address | None = None
        self._stopping: defer.Deferred[None] | None = None

    def __repr__(self) -> str:
        where = f"on {self._host.port}" if self.connected and self._host else "(not listening)"
        return f"<{type(self)} of {type(self.factory)} {where}>"

    def logPrefix(self) -> str:
        """The class of the factory, as Twisted's ports have it."""
        return str(reflect.qual(type(self.factory)))

    # -- IListeningPort ----------------------------------------------------------

    def startListening(self) -> None:
        """Open the group, or let it listen again after `stopListening`.

        :raises CannotListenError: the port is taken, or the address is not the engine's.
        """
        binding = self.binding
        try:
            if self._gd >= 0:
                self.group.listen()
            else:
                self._open(binding)
        except (LocalError, OverflowError) as refused:
            raise CannotListenError(binding.interface, binding.port, refused) from refused
        self._host = toTwisted((binding.interface or "0.0.0.0", self.group.port))
        log.msg(f"{self._factoryName()} starting on {self.group.port}")
        self.connected, self.disconnected = True, False
        self._started()

    def _open(self, binding: Binding) -> None:
        if not 0 <= binding.port <= 65_535:
            raise OverflowError("the port must be from 0 to 65535")
        self.group = self._pool.open_group(
            binding.port,
            address=binding.address,
            domain=binding.domain,
            name=binding.name,
            share=binding.share,
            options=self._groupOptions(binding.options),
        )
        self._gd = self.group.fileno()
        self.reader.add(self._gd, self)
        self._stage.ports.add(self)

    def stopListening(self) -> defer.Deferred[None]:
        """Accept nothing more; connections that exist go on.

        :return: fires in a later turn, when the port is free; fails with what
            the factory's `stopFactory` raises.
        """
        if not self.connected:
            return defer.succeed(None)
        if self._stopping is None:
            self.disconnecting = True
            self.group.stop_listening()
            self._stopping = defer.Deferred()
            self.reader.later(self._stopped)
        return self._stopping

    loseConnection = stopListening

    def _stopped(self) -> None:
        done, self._stopping = self._stopping, None
        if done is None:
            return  # the stack has stopped meanwhile
        try:
            self.connectionLost(None)
        except BaseException:  # noqa: BLE001  # belongs to whoever waits
            done.errback(Failure())
        else:
            done.callback(None)

    def connectionLost(self, reason: Failure | None) -> None:
        """The port is closed: tell the log and the factory."""
        if not self.connected:
            return
        log.msg(f"({self._type} Port {self.group.port} Closed)")
        self.connected, self.disconnected = False, True
        try:
            self._ceased()
        finally:
            self.disconnecting = False
            self._closeIfEmpty()

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address that is listened on.

        :raises RuntimeError: the port has never listened.
        """
        if self._host is None:
            raise RuntimeError("this port does not listen yet")
        return self._host

    # -- what the stack and subclasses use ------------------------------------------

    def later(self, f: Callable[..., None], *args: Any) -> None:
        """Call in the next turn."""
        self.reader.later(f, *args)

    def again(self) -> None:
        """Look for data in the next turn even if the engine reports none."""
        if self._gd >= 0:
            self.reader.again(self._gd)

    def stackStopped(self, reason: Failure) -> None:
        """The engine is about to go: end all connections and the port."""
        if self._gd < 0:
            return
        try:
            if self.connected:
                self.connectionLost(reason)
        except Exception:  # noqa: BLE001  # what stopFactory raises must not keep the rest from closing
            log.err()
        done, self._stopping = self._stopping, None
        if done is not None:
            done.callback(None)
        self._close(reason)

    def _closeIfEmpty(self) -> None:
        """The last connection of a port that has stopped takes the group with it."""
        if self._gd >= 0 and not self.connected and self._isEmpty():
            self._close(reasons.DONE)

    def _close(self, reason: Failure) -> None:
        if self._gd >= 0:
            self.reader.discard(self._gd)
            self._gd = -1
            self._stage.ports.discard(self)
            self.group.close()

    def _factoryName(self) -> str:
        if interfaces.ILoggingContext.providedBy(self.factory):
            return str(self.factory.logPrefix())
        return type(self.factory).__name__

    def _groupOptions(self, options: GroupOptions) -> GroupOptions:
        return options

    def _started(self) -> None:
        raise NotImplementedError

    def _ceased(self) -> None:
        raise NotImplementedError

    def _isEmpty(self) -> bool:
        raise NotImplementedError

    def turn(self, events: list[Event], limit: int, context: LazyContext) -> bool:
        raise NotImplementedError


class XTCPPort(ListeningGroup):
    """A port whose connections are served by an ordinary `IProtocolFactory`."""

    def __init__(self, stage: Stage, pool: Pool, binding: Binding, factory: Any) -> None:
        super().__init__(stage, pool, binding, factory)
        self._table = stage.table
        self._fresh: list[XTCPTransport] = []
        self._hosts: dict[tuple[str, int], IPv4Address | IPv6Address] = {}
        #: Transports in the table; when none is left, a stopped port closes its group.
        self._live = 0
        #: Connections accepted so far; their session numbers.
        self.sessionno = 0

    def turn(self, events: list[Event], limit: int, context: LazyContext) -> bool:
        """Accept, deliver, then tell of ends (each transport hears one thing a turn)."""
        ends = []
        more = False
        for kind, cd, detail in events:
            if kind == _ESTABLISHED:
                context.current = self
                self._established(cd)
            elif kind == _PENDING:
                self._pending(cd)
            elif kind == _WRITABLE:
                transport = self._table.get(cd)
                if transport is not None:
                    context.current = transport
                    transport.writable()
            elif kind in _ENDS:
                ends.append((cd, reasons.reasonOf(kind, detail)))
            elif kind == _EOF:
                more = True
        if self._gd >= 0:
            more = self._deliver(limit, context) or more
        for cd, reason in ends:
            transport = self._table.get(cd)
            if transport is not None:
                self.forget(transport)
                transport.ended(reason)
        return more

    def _deliver(self, limit: int, context: LazyContext) -> bool:
        """One chunk for each readable connection; True when there may be more."""
        batch = self.group.recv_batch(limit)
        more = len(batch) == limit
        rows = self._table.rows
        size = len(rows)
        served = []
        for message in batch:
            cd, data = message
            row = cd & SLOT
            transport = rows[row] if row < size else None
            if transport is not None and transport.cd == cd:
                context.current = transport
                if transport.received(data):
                    served.append(message)
            more = more or len(data) >= CHUNK
        if served and self._gd >= 0:
            self.group.done(served)
        return more

    def _pending(self, pendingId: int) -> None:
        """No credit was left; a factory cannot be asked before the handshake, so accept."""
        try:
            self.group.accept(pendingId)
        except LocalError:
            pass  # the request has timed out, or the port has stopped

    def _established(self, cd: int) -> None:
        """Build the protocol and connect it, as `twisted.internet.tcp.Port.doRead` does."""
        group = self.group
        try:
            peer = group.peer(cd)
            host = self._hostOf(group.local(cd))
            protocol = self.factory.buildProtocol(toTwisted(peer))
        except BaseException:  # noqa: BLE001  # as Twisted's reactors do
            log.err()
            self._end(group.abort, cd)
            return
        if protocol is None:
            self._end(group.finish, cd)
            return
        transport = XTCPTransport(self, cd, protocol, pack(peer), host, self.sessionno)
        self.sessionno += 1
        self._live += 1
        self._table.put(transport)
        if not self._fresh:
            self.later(self._settle)
        self._fresh.append(transport)
        try:
            protocol.makeConnection(transport)
        except BaseException:  # noqa: BLE001  # logged only: the connection stays, as Twisted's does
            log.err()

    def _settle(self) -> None:
        """Data may be delivered to the connections of the turn before."""
        fresh, self._fresh = self._fresh, []
        for transport in fresh:
            transport.settle()

    def _hostOf(self, local: tuple[str, int]) -> IPv4Address | IPv6Address:
        host = self._hosts.get(local)
        if host is None:
            host = self._hosts[local] = toTwisted(local)
        return host

    def _end(self, call: Callable[[int], None], cd: int) -> None:
        try:
            call(cd)
        except LocalError:
            pass  # ended in the meantime

    def forget(self, transport: XTCPTransport) -> None:
        """A transport is about to let go of its connection, or the engine has done so."""
        if not self._table.remove(transport):
            return
        self._live -= 1
        if not self._live and not self.connected:
            # Not now: the transport is about to close its connection.
            self.later(self._closeIfEmpty)

    def stackStopped(self, reason: Failure) -> None:
        """As the base class; every transport is told the reason."""
        for transport in list(self._table.rows):
            if transport is not None and transport.server is self:
                transport.connectionLost(reason)
        super().stackStopped(reason)

    def _groupOptions(self, options: GroupOptions) -> GroupOptions:
        """A factory cannot be asked before the handshake: accept without asking."""
        return options if options.accept_credits else attrs.evolve(options, accept_credits=UNLIMITED)

    def _started(self) -> None:
        self.factory.doStart()

    def _ceased(self) -> None:
        self.factory.doStop()

    def _isEmpty(self) -> bool:
        return not self._live
