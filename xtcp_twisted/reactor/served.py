"""One group of the engine whose connections have transports and ordinary protocols.

Ports (`port`) and the groups of outgoing connections (`client`) differ in how a
connection comes about; how its events and data reach its transport is here.

Knows the engine's groups, the reader and transports; must not know factories.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.python.failure import Failure

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.engine.surface import ConnectionGroup
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor import reasons
from xtcp_twisted.reactor.addresses import toTwisted
from xtcp_twisted.reactor.logctx import LazyContext
from xtcp_twisted.reactor.reader import Event, XTCPReader
from xtcp_twisted.reactor.transport import XTCPTransport

#: The part of a connection id that is its row in the engine's table; the bit above it is set in those of
#: Unix-socket connections, whose rows are counted apart.
SLOT: Final = 0x7FFF_FFFF

#: The longest `dataReceived`, as of Twisted's own transports, and how many of them one connection gets in a
#: turn: a turn costs as much as 20 KB.
PIECE: Final = 65_536
PIECES: Final = 4

# Plain integers: an event is compared with each of them.
_PENDING: Final = int(EventKind.PENDING)
_ESTABLISHED: Final = int(EventKind.ESTABLISHED)
_SIGNALS: Final = frozenset(map(int, (EventKind.WRITABLE, EventKind.URGENT, EventKind.SOFT_ERROR)))
_ENDS: Final = frozenset(int(kind) for kind in ENDS)


def ordinaryOptions(options: GroupOptions) -> GroupOptions:
    """Of a group of ordinary protocols: Nagle's algorithm is on, as for sockets, if nothing is said."""
    return attrs.evolve(options, nagle=True) if options.nagle is None else options


class TransportTable:
    """Transports of all groups of one engine that have one kind of rows, by the row of their connection.

    An array of pointers (8 bytes a row), because a dictionary entry costs 110.

    :ivar live: transports in it.
    :ivar ended: transports that were in it.
    """

    __slots__ = ("ended", "live", "rows")

    def __init__(self) -> None:
        self.rows: list[XTCPTransport | None] = []
        self.live = 0
        self.ended = 0

    def put(self, transport: XTCPTransport) -> None:
        """Enter a transport under its connection id."""
        row = transport.cd & SLOT
        if row >= len(self.rows):
            self.rows.extend([None] * (row + 1 - len(self.rows)))
        self.rows[row] = transport
        self.live += 1

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
        self.live -= 1
        self.ended += 1
        return True


class Stoppable(Protocol):
    """What the end of a stack ends: a port, or a group of outgoing connections."""

    def stackStopped(self, reason: Failure) -> None: ...


@attrs.define(eq=False)
class Stage:
    """What all served groups of one engine share."""

    reader: XTCPReader
    table: TransportTable = attrs.field(factory=TransportTable)
    #: The same for Unix-socket connections.
    unixTable: TransportTable = attrs.field(factory=TransportTable)
    #: Those whose groups are open.
    ports: set[Stoppable] = attrs.field(factory=set)
    #: The stack is ending: no port is opened any more.
    stopped: bool = False

    @property
    def live(self) -> int:
        """Transports of connections that are open."""
        return self.table.live + self.unixTable.live

    @property
    def ended(self) -> int:
        """Transports of connections that have ended, since the start."""
        return self.table.ended + self.unixTable.ended


class DrivenGroup:
    """A group of the engine that the reader drives; its `turn` is a subclass's."""

    group: ConnectionGroup
    reader: XTCPReader
    _gd = -1

    def logPrefix(self) -> str:
        """The "system" of what is logged for the group."""
        raise NotImplementedError

    @property
    def clock(self) -> Any:
        """The reactor, for who needs delayed calls."""
        return self.reader.reactor

    def later(self, f: Callable[..., None], *args: Any) -> None:
        """Call in the next turn."""
        self.reader.later(f, *args)

    def again(self) -> None:
        """Look for data in the next turn even if the engine reports none."""
        if self._gd >= 0:
            self.reader.again(self._gd)


class ServedGroup(DrivenGroup):
    """Turns of one group: connections, data, ends.

    Subclasses say what is done with a request (`_pending`), a new connection
    (`_established`), one that failed before it was one (`_failed`), and when the last
    transport has gone (`_emptied`).
    """

    def __init__(self, stage: Stage, table: TransportTable) -> None:
        self._table = table
        self._fresh: list[XTCPTransport] = []
        self._hosts: dict[tuple[str, int], IPv4Address | IPv6Address] = {}
        #: Transports in the table.
        self._live = 0

    def turn(self, events: list[Event], limit: int, context: LazyContext) -> bool:
        """Take new connections, deliver, then tell of ends (each transport hears one thing a turn)."""
        ends = []
        for kind, cd, detail in events:
            if kind == _ESTABLISHED:
                if self._gd >= 0:  # else the protocol before it has ended the stack
                    context.current = self
                    self._established(cd)
            elif kind == _PENDING:
                self._pending(cd)
            elif kind in _SIGNALS:
                transport = self._table.get(cd)
                if transport is not None:
                    context.current = transport
                    transport.signalled(kind, detail)
            elif kind in _ENDS:
                ends.append((cd, kind, detail))
        more = self._gd >= 0 and self._deliver(limit, context)
        for cd, kind, detail in ends:
            transport = self._table.get(cd)
            if transport is None:
                self._failed(cd, detail)
            else:
                self.forget(transport)
                transport.ended(reasons.reasonOf(kind, detail))
        return more

    def _deliver(self, limit: int, context: LazyContext) -> bool:
        """What has come for each readable connection, up to four pieces; True when there is more."""
        if not self.group.notified:
            return False  # or it is held back (P05): DATA will tell of it
        batch = self.group.recv_batch(limit, PIECE)
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
                    if len(data) == PIECE:
                        self._deliverMore(transport)
        if self._gd < 0:
            return False
        if served:
            self.group.done(served)
        return self.group.readable > 0

    def _deliverMore(self, transport: XTCPTransport) -> None:
        """What follows a whole piece: not its end, nor anything after the protocol has paused or closed."""
        cd = transport.cd
        for _ in range(PIECES - 1):
            if self._gd < 0:
                return
            # What is held is sought from its first byte on, each time.
            self.group.done([(cd, b"")])
            data = self.group.recv_more(cd, PIECE)
            if data is None or not transport.received(data):
                return

    def _enter(self, transport: XTCPTransport) -> None:
        """A transport has its connection; data follows in the next turn at the earliest."""
        self._live += 1
        self._table.put(transport)
        if not self._fresh:
            self.later(self._settle)
        self._fresh.append(transport)

    def _settle(self) -> None:
        """Data may be delivered to the connections of the turn before."""
        fresh, self._fresh = self._fresh, []
        for transport in fresh:
            transport.settle()

    def _hostOf(self, local: tuple[str, int]) -> IPv4Address | IPv6Address:
        host = self._hosts.get(local)
        if host is None:
            host = self._hosts[local] = self._addressOf(local)
        return host

    def _addressOf(self, endpoint: tuple[str, int]) -> Any:
        """What Twisted calls ``(host, port)`` of the engine."""
        return toTwisted(endpoint)

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
        if not self._live:
            self._emptied()

    def _endAll(self, reason: Failure) -> None:
        """Every transport is told the reason."""
        for transport in list(self._table.rows):
            owner: object = transport.server if transport is not None else None
            if transport is not None and owner is self:
                transport.connectionLost(reason)

    def _pending(self, pendingId: int) -> None:
        raise NotImplementedError

    def _established(self, cd: int) -> None:
        raise NotImplementedError

    def _failed(self, cd: int, detail: int) -> None:
        """Nothing: a connection without a transport is nobody's any more."""

    def _emptied(self) -> None:
        raise NotImplementedError
