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

import ipaddress
import socket
from typing import Any, Final

import attrs
from twisted.internet import defer, interfaces
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.protocols.policies import ProtocolWrapper
from twisted.python import log, reflect
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.config import UNLIMITED, GroupOptions
from xtcp_twisted.engine import Pool
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor import reasons
from xtcp_twisted.reactor.addresses import toTwisted
from xtcp_twisted.reactor.decisions import Decisions, answer, deciderOf
from xtcp_twisted.reactor.logctx import LazyContext
from xtcp_twisted.reactor.reader import Event
from xtcp_twisted.reactor.served import DrivenGroup, ServedGroup, Stage, TransportTable, ordinaryOptions
from xtcp_twisted.reactor.transport import XTCPTransport

#: Rows of the engine's table that one call of `ListeningGroup.drain` looks at.
ROWS_PER_DRAIN: Final = 8_192

#: What a port listens on.
Address = IPv4Address | IPv6Address | UNIXAddress


@attrs.frozen(kw_only=True)
class Binding:
    """Where and how a group listens."""

    #: The port; 0 takes a free one, and is that of a Unix socket.
    port: int = 0
    #: "" for all addresses of the engine, "0.0.0.0" for all of IPv4, "::" for all of
    #: IPv6, or one of its addresses.
    interface: str = ""
    #: The group's name in snapshots.
    name: str | None = None
    #: Other groups that say so too may have the same port (P06).
    share: bool = False
    #: The path of a Unix socket, in the place of port and interface (P31).
    path: str | None = None
    #: Permissions of its file.
    mode: int = 0o600
    options: GroupOptions = attrs.field(factory=GroupOptions)
    #: "::" is for clients of IPv4, too, as it is for sockets of Linux.
    dual: bool = False

    @property
    def address(self) -> str | None:
        """The one address, or None for all of the family."""
        return None if self.interface in ("", "0.0.0.0", "::") else self.interface

    @property
    def domain(self) -> int:
        """The family; AF_UNSPEC for both of IP."""
        if self.path is not None:
            return socket.AF_UNIX
        if not self.interface or (self.dual and self.interface == "::"):
            return socket.AF_UNSPEC
        return socket.AF_INET6 if ":" in self.interface else socket.AF_INET


@implementer(interfaces.IListeningPort, interfaces.ILoggingContext)
class ListeningGroup(DrivenGroup):
    """`IListeningPort` over one group of the engine.

    :param stage: the reader and what else all ports of an engine share.
    :param pool: the pool that the group is opened in.
    :param binding: where it listens.
    :param factory: who serves the connections.
    """

    connected = False
    disconnected = False
    disconnecting = False
    #: Where the next call of `drain` goes on.
    _drainAt = 0
    #: For the log only; a TLS wrapper sets its own.
    _type = "TCP"

    def __init__(self, stage: Stage, pool: Pool, binding: Binding, factory: Any) -> None:
        self.reader = stage.reader
        self._stage = stage
        self.factory = factory
        self.binding = binding
        self._pool = pool
        self._host: Address | None = None
        self._stopping: defer.Deferred[None] | None = None

    def __repr__(self) -> str:
        where = f"on {self._where}" if self.connected else "(not listening)"
        return f"<{type(self)} of {type(self.factory)} {where}>"

    @property
    def reactor(self) -> Any:
        """The reactor that drives the stack."""
        return self.reader.reactor

    @property
    def port(self) -> int:
        """The port that was asked for."""
        return self.binding.port

    @property
    def interface(self) -> str:
        """The address that was asked for."""
        return self.binding.interface

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
            raise CannotListenError(binding.interface, binding.path or binding.port, refused) from refused
        self._host = self._place()
        log.msg(f"{self._factoryName()} starting on {self._where}")
        self.connected, self.disconnected = True, False
        self._started()

    def _open(self, binding: Binding) -> None:
        if not 0 <= binding.port <= 65_535:
            raise OverflowError("the port must be from 0 to 65535")
        if self._stage.stopped:
            raise LocalError("the XTCP stack has stopped")
        options = self._groupOptions(binding.options)
        if binding.path is not None:
            self.group = self._pool.open_group(
                binding.port,
                domain=binding.domain,
                path=binding.path,
                mode=binding.mode,
                name=binding.name,
                options=options,
            )
        else:
            self.group = self._pool.open_group(
                binding.port,
                address=binding.address,
                domain=binding.domain,
                name=binding.name,
                share=binding.share,
                options=options,
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
        """The port is closed, for whatever `reason`: tell the log and the factory."""
        if not self.connected:
            return
        log.msg(f"({self._type} Port {self._where} Closed)")
        self.connected, self.disconnected = False, True
        try:
            self._ceased()
        finally:
            self.disconnecting = False
            self._closeIfEmpty()

    @property
    def _where(self) -> object:
        """For the log and for people: the port, or the path."""
        return self.group.port or self.group.address

    def _place(self) -> Address:
        if self.binding.path is not None:
            return UNIXAddress(self.group.address)
        return toTwisted((self.binding.interface or "0.0.0.0", self.group.port))

    def getHost(self) -> Address:
        """The address that is listened on.

        :raises RuntimeError: the port has never listened.
        """
        if self._host is None:
            raise RuntimeError("this port does not listen yet")
        return self._host

    # -- what the stack and subclasses use ------------------------------------------

    def stackStopped(self, reason: Failure) -> None:
        """The engine is about to go: end all connections, for this `reason`, and the port."""
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

    def drain(self) -> bool:
        """Accept nothing more, and close connections that are in the middle of nothing.

        A call looks at a part of them and the next one at what follows.

        :return: True when there is none left.
        """
        if self._gd < 0:
            return True
        self.group.stop_listening()
        cds, self._drainAt = self.group.quiet(self._drainAt, ROWS_PER_DRAIN)
        for cd in cds:
            self._closeQuiet(cd)
        return self._isEmpty()

    def letGo(self) -> None:
        """Accept nothing more, and tell nobody yet; whoever asked for that tells by `connectionLost`."""
        self.group.stop_listening()
        self._stage.ports.discard(self)

    def serves(self, host: str, port: int) -> bool:
        """Whether connections to `port` of `host`, an address, are this port's."""
        if (
            not self.connected
            or self.disconnecting
            or self.binding.path is not None
            or self.group.port != port
        ):
            return False
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if self.binding.domain not in (socket.AF_UNSPEC, family):
            return False
        here = self.binding.address
        return here is None or ipaddress.ip_address(here) == ipaddress.ip_address(host)

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

    @property
    def decides(self) -> bool:
        """Whether the factory decides about each request before its handshake."""
        return False

    def _decidedElsewhere(self) -> bool:
        """Whether a factory that shares the port decides; ports that share post no credits unasked."""
        return self.binding.share and any(
            isinstance(port, ListeningGroup)
            and port.decides
            and port.connected
            and port.binding.share
            and port.group.port == self.group.port
            for port in self._stage.ports
        )

    def _groupOptions(self, options: GroupOptions) -> GroupOptions:
        return options

    def _started(self) -> None:
        raise NotImplementedError

    def _ceased(self) -> None:
        raise NotImplementedError

    def _isEmpty(self) -> bool:
        raise NotImplementedError

    def _closeQuiet(self, cd: int) -> None:
        raise NotImplementedError

    def turn(self, events: list[Event], limit: int, context: LazyContext) -> bool:
        """See `xtcp_twisted.reactor.reader.Driver.turn`; `context` is that of the log."""
        raise NotImplementedError


class XTCPPort(ServedGroup, ListeningGroup):
    """A port whose connections are served by an ordinary `IProtocolFactory`."""

    def __init__(self, stage: Stage, pool: Pool, binding: Binding, factory: Any) -> None:
        ListeningGroup.__init__(self, stage, pool, binding, factory)
        ServedGroup.__init__(self, stage, self._tableOf(stage))
        decider = deciderOf(factory)
        self._decisions = None if decider is None else Decisions(self, decider)
        #: Connections accepted so far; their session numbers.
        self.sessionno = 0

    @property
    def decides(self) -> bool:
        """Whether the factory, or one that it wraps, decides about each request."""
        return self._decisions is not None

    def _pending(self, pendingId: int) -> None:
        """There is no credit: ask the decider; without one, accept."""
        if self._decisions is None:
            if not self._decidedElsewhere():
                answer(self.group, True, pendingId)
            return
        try:
            address = self._addressOf(self.group.requester(pendingId))
        except LocalError:
            return  # the request has timed out, or the port has stopped
        self._decisions.ask(pendingId, address)

    def _established(self, cd: int) -> None:
        """Build the protocol and connect it, as `twisted.internet.tcp.Port.doRead` does."""
        group = self.group
        try:
            peer = group.peer(cd)
            host = self._hostOf(group.local(cd))
        except LocalError:
            return  # reset before anybody was told of it
        try:
            protocol = self.factory.buildProtocol(self._addressOf(peer))
        except BaseException:  # noqa: BLE001  # as Twisted's reactors do
            log.err()
            self._end(group.abort, cd)
            return
        if protocol is None:
            self._end(group.finish, cd)
            return
        if self._gd < 0:
            return  # it has ended the stack
        transport = self._transport(cd, protocol, peer, host)
        self.sessionno += 1
        self._enter(transport)
        try:
            protocol.makeConnection(transport)
        except BaseException:  # noqa: BLE001  # logged only: the connection stays, as Twisted's does
            log.err()

    def _tableOf(self, stage: Stage) -> TransportTable:
        return stage.table

    def _transport(self, cd: int, protocol: Any, peer: tuple[str, int], host: Any) -> XTCPTransport:
        return XTCPTransport(self, cd, protocol, peer, host, self.sessionno)

    def _emptied(self) -> None:
        if not self.connected:
            # Not now: the transport is about to close its connection.
            self.later(self._closeIfEmpty)

    def stackStopped(self, reason: Failure) -> None:
        """As the base class; every transport is told the reason."""
        self._endAll(reason)
        super().stackStopped(reason)

    def _close(self, reason: Failure) -> None:
        """As the base class; nobody waits for decisions any more."""
        super()._close(reason)
        if self._decisions is not None:
            self._decisions.close()

    def _groupOptions(self, options: GroupOptions) -> GroupOptions:
        """Without a decider: accept all, inside the engine."""
        options = ordinaryOptions(options)
        if options.accept_credits or self.binding.share or self.decides:
            return options
        return attrs.evolve(options, accept_credits=UNLIMITED)

    def _started(self) -> None:
        self.factory.doStart()

    def _ceased(self) -> None:
        self.factory.doStop()

    def _isEmpty(self) -> bool:
        return not self._live

    def _closeQuiet(self, cd: int) -> None:
        transport = self._table.get(cd)
        if transport is None:
            self._end(self.group.finish, cd)
        elif transport.quiet:
            closing: Any = transport
            protocol = transport.protocol
            while isinstance(protocol, ProtocolWrapper):  # TLS says goodbye by itself
                closing, protocol = protocol, protocol.wrappedProtocol
            closing.loseConnection()
