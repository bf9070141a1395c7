"""Outgoing connections of ordinary protocols (P09), as Twisted's own clients and their connectors make them.

Until the handshake is complete a connector has an `Attempt` for a transport;
then it has an `XTCPClientTransport`.  All outgoing connections with the same
options are in one group of the engine, which listens to nobody.

Knows the engine's groups, transports and Twisted's connectors; must not know stacks.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import BaseConnector
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import ILoggingContext
from twisted.internet.protocol import Protocol
from twisted.python import log
from twisted.python.failure import Failure

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.engine import Pool
from xtcp_twisted.errors import AddressInUse, AddressNotAvailable, LocalError
from xtcp_twisted.reactor import reasons
from xtcp_twisted.reactor.addresses import toTwisted
from xtcp_twisted.reactor.served import ServedGroup, Stage, ordinaryOptions
from xtcp_twisted.reactor.surface import DISCONNECTED, STEPPING, YOUNG
from xtcp_twisted.reactor.transport import XTCPTransport


class XTCPClientTransport(XTCPTransport):
    """A connection that we opened; its connector hears of the end after its protocol."""

    __slots__ = ("connector",)

    _tlsClientDefault = True

    def __init__(
        self,
        server: ClientGroup,
        cd: int,
        protocol: Any,
        peer: tuple[str, int],
        host: IPv4Address | IPv6Address,
        connector: Connector,
    ) -> None:
        super().__init__(server, cd, protocol, peer, host, 0)
        self.connector: Connector | None = connector

    def begin(self) -> None:
        """Tell the protocol; unlike a server's, a connection that its `connectionMade` fails is lost."""
        self._flags |= YOUNG
        self._guard(self.protocol.makeConnection, self)

    def settle(self) -> None:
        """As the base class."""
        if not self._flags & STEPPING:
            self._flags &= ~YOUNG
        super().settle()

    def _flushed(self) -> None:
        """As the base class; what `connectionMade` has ended ends a turn later.

        A server in this process has the turn after ours to hear of the connection, and
        must hear of it before we hear of the end, as it does with sockets.
        """
        if self._flags & YOUNG:
            self._flags &= ~(YOUNG | STEPPING)
            self._step()
        else:
            super()._flushed()

    def connectionLost(self, reason: Failure) -> None:
        """As the base class; then the factory is told."""
        if self._flags & DISCONNECTED:
            return
        super().connectionLost(reason)
        connector, self.connector = self.connector, None
        if connector is not None:
            self._log(connector.connectionLost, reason)

    def __repr__(self) -> str:
        return f"<{XTCPClientTransport} to {self.addr} at {id(self):x}>"

    @property
    def addr(self) -> tuple[str, int]:
        """The server's ``(host, port)``."""
        return self.client

    def logPrefix(self) -> str:
        """Protocol and "client", as Twisted's client transports have it."""
        protocol = self.application
        name = protocol.logPrefix() if ILoggingContext.providedBy(protocol) else type(protocol).__name__
        return f"{name},client"

    logstr = property(logPrefix)


class Attempt:
    """What a connector has instead of a transport while it is connecting.

    :param host: the server's address, where the connector's place has a name that was looked up already.
    """

    connected = disconnected = disconnecting = 0
    logstr = "Uninitialized"

    def __init__(self, group: ClientGroup, connector: Connector, host: str | None = None) -> None:
        self.connector = connector
        self.addr = connector.place
        self._group = group
        self._cd = -1
        self._over = False
        group.attempts.add(self)
        host = host or connector.place[0]
        if isIPAddress(host) or isIPv6Address(host):
            self._open(host)
        else:
            # The factory hears of the attempt before the resolver does.
            group.later(self._resolve, host)

    def _resolve(self, host: str) -> None:
        if not self._over:
            found = maybeDeferred(self.connector.reactor.resolve, host)
            found.addCallbacks(self._open, self.failIfNotConnected)

    def _open(self, host: str) -> None:
        """Let the engine send its SYN; who is to blame if it refuses to is told in the next turn."""
        if self._over:
            return
        try:
            self._cd = self._group.begin(self, host)
        except LocalError as refused:
            kind = error.ConnectError
            if isinstance(refused, AddressInUse | AddressNotAvailable):
                kind = error.ConnectBindError
            blame = kind(refused.errno, str(refused))  # type: ignore[no-untyped-call]
            self._group.later(self.failIfNotConnected, blame)

    def failIfNotConnected(self, reason: Failure | BaseException) -> None:
        """Give up, and tell the connector why; nothing if that was done, or the connection is there."""
        if self._over:
            return
        self._over = True
        self._group.drop(self, self._cd)
        self.connector.connectionFailed(reason if isinstance(reason, Failure) else Failure(reason))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        self.failIfNotConnected(error.ConnectError(string=str(reason.value)))

    def letGo(self) -> None:
        """Let the engine end the attempt, and tell nobody."""
        self._group.drop(self, self._cd)

    def logPrefix(self) -> str:
        """As Twisted's clients that have no protocol yet."""
        return self.logstr

    def succeeded(self) -> None:
        """The connection is there: this attempt can fail no more."""
        self._over = True
        self._group.attempts.discard(self)


class Connector(BaseConnector):
    """`IConnector` of one outgoing connection; what makes its transport is a subclass's.

    :param place: ``(host, port)`` of the server; the host may be a name.
    :param bindAddress: ``(host, port)`` of the engine's side, or None.
    """

    transport: Any

    def __init__(
        self,
        place: tuple[str, int],
        bindAddress: tuple[str, int] | None,
        factory: Any,
        timeout: float | None,
        reactor: Any,
    ) -> None:
        super().__init__(factory, timeout, reactor)  # type: ignore[arg-type]  # None is allowed there, too
        self.place = place
        self.host, self.port = place
        self.bindAddress = bindAddress

    def getDestination(self) -> IPv4Address | IPv6Address:
        """The server, as it was given."""
        return toTwisted(self.place)


class XTCPConnector(Connector):
    """A `Connector` of one group of outgoing connections."""

    def __init__(self, group: ClientGroup, *args: Any) -> None:
        super().__init__(*args)
        self._group = group

    def _makeTransport(self) -> Any:
        return Attempt(self._group, self)


class ClientGroup(ServedGroup):
    """All outgoing connections of one pool that have the same options."""

    def __init__(self, stage: Stage, pool: Pool, options: GroupOptions) -> None:
        super().__init__(stage, stage.table)
        self.reader = stage.reader
        self._stage = stage
        #: All that are under way, those that still look a name up, too.
        self.attempts: set[Attempt] = set()
        self._begun: dict[int, Attempt] = {}
        self.group = pool.open_group(
            0, domain=socket.AF_UNSPEC, name=f"{pool.name}:outgoing", options=ordinaryOptions(options)
        )
        self.group.stop_listening()
        self._gd = self.group.fileno()
        stage.reader.add(self._gd, self)
        stage.ports.add(self)

    def logPrefix(self) -> str:
        """What is logged outside of any connection."""
        return "XTCPClient"

    # -- attempts ------------------------------------------------------------------

    def begin(self, attempt: Attempt, host: str) -> int:
        """Queue the SYN of an attempt; returns the id of its connection.

        :raises LocalError: the engine will not have it.
        """
        connector = attempt.connector
        cd = self.group.connect((host, connector.place[1]), connector.bindAddress)
        self._begun[cd] = attempt
        return cd

    def drop(self, attempt: Attempt, cd: int) -> None:
        """Forget an attempt; the engine does, too, if it has not yet."""
        self.attempts.discard(attempt)
        if self._begun.pop(cd, None) is not None:
            self._end(self.group.abort, cd)

    def _failed(self, cd: int, detail: int) -> None:
        attempt = self._begun.get(cd)
        if attempt is not None:
            attempt.failIfNotConnected(reasons.refusalOf(detail or errno.ECONNREFUSED))

    def _established(self, cd: int) -> None:
        """Build the protocol and connect it, as `twisted.internet.tcp.Client` does."""
        attempt = self._begun[cd]
        connector = attempt.connector
        try:
            peer = self.group.peer(cd)
            host = self._hostOf(self.group.local(cd))
        except LocalError:
            attempt.failIfNotConnected(reasons.refusalOf(errno.ECONNRESET))  # before anybody was told of it
            return
        try:
            protocol = connector.buildProtocol(toTwisted(peer))
        except BaseException:  # noqa: BLE001  # as Twisted's reactors do
            log.err()
            attempt.failIfNotConnected(error.ConnectError(string=str(Failure().value)))
            return
        if self._begun.pop(cd, None) is None:
            return  # it was given up meanwhile: by `stopConnecting`, or with the stack
        attempt.succeeded()
        transport = XTCPClientTransport(self, cd, protocol or Protocol(), peer, host, connector)
        connector.transport = transport
        self._enter(transport)
        if protocol is None:
            transport.loseConnection()
        else:
            transport.begin()

    def _pending(self, pendingId: int) -> None:
        """Nothing: nobody can ask a group that does not listen."""

    def _emptied(self) -> None:
        """The group stays, for the next connection."""

    # -- the end -------------------------------------------------------------------

    def stackStopped(self, reason: Failure) -> None:
        """The engine is about to go: attempts fail, connections are lost."""
        for attempt in list(self.attempts):
            attempt.failIfNotConnected(error.ConnectError(string=str(reason.value)))
        self._endAll(reason)
        if self._gd >= 0:
            self.reader.discard(self._gd)
            self._gd = -1
            self._stage.ports.discard(self)
            self.group.close()
