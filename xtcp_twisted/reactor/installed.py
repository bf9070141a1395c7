"""``--reactor=xtcp``: Twisted's epoll reactor whose TCP goes through an XTCP stack.

`listenTCP` and `connectTCP` are redirected; `listenSSL`, `connectSSL`, every
endpoint and every application follow, since all of them end there.  UNIX sockets,
UDP, processes, files and adopted descriptors stay the kernel's.

The stack is the reactor's default one: that which runs, else the one that the
process's configuration describes (`locate`), started when the first port or
connection needs it, so after a daemon's fork.

Loopback addresses are special, because the kernel's are of use to other processes
and the engine's cannot be:

* A port at a loopback address is the kernel's, unless the table ``[reactor]`` says
  ``loopback = "engine"``; then only this process can connect to it.
* A connection to a loopback address goes to a port of the engine in this process, if
  there is one, and inside the engine: no link sees it.  Otherwise it is the kernel's, so a
  database at 127.0.0.1 stays reachable.  A name is looked up first.

Knows stacks and Twisted's reactors; must not know how a stack is configured or started.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import error, tcp
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import _Binding
from twisted.internet.main import installReactor
from twisted.python.failure import Failure

from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor import selectables
from xtcp_twisted.reactor.client import Attempt, Connector
from xtcp_twisted.reactor.loading import load
from xtcp_twisted.reactor.locate import configuration, locate
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.reactor_settings import ReactorSettings
from xtcp_twisted.reactor.served import Stage
from xtcp_twisted.reactor.stack import DEFAULT, XTCPStack, running, stacksOf
from xtcp_twisted.reactor.transport import XTCPTransport


def _isAddress(host: str) -> bool:
    return isIPAddress(host) or isIPv6Address(host)


def _isLoopback(host: str) -> bool:
    return _isAddress(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback


class XTCPReactor(EPollReactor):
    """An epoll reactor that gives TCP to its default stack.

    :ivar settings: the table ``[reactor]``; read when it is first needed.
    """

    _settings: ReactorSettings | None = None

    @property
    def settings(self) -> ReactorSettings:
        """The table ``[reactor]`` of the process's configuration; read when it is first needed."""
        if self._settings is None:
            try:
                path = configuration(DEFAULT)
            except ConfigurationError:
                return ReactorSettings()  # whoever needs a stack is told
            self._settings = load(path, groups=False).reactor
        return self._settings

    def stack(self) -> XTCPStack:
        """The stack that ports and connections get; it is started if it does not run yet.

        :raises ConfigurationError: there is no configuration to start one from, or it is refused.
        :raises XTCPError: its link cannot be opened.
        """
        return locate(self, DEFAULT, finish=False)

    # -- IReactorTCP -------------------------------------------------------------

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen, as `IReactorTCP.listenTCP` says.

        :param backlog: for the kernel; the engine's is ``engine.max_half_open``.
        :raises CannotListenError: the port is taken, or the address is not the engine's.
        :raises XTCPError: there is no stack, and none can be started.
        """
        number, place = _placeOf(port, interface)
        if _isLoopback(place) and self.settings.loopback == "kernel":
            return EPollReactor.listenTCP(self, port, factory, backlog, interface)
        binding = Binding(port=number, interface=place or "0.0.0.0", dual=True)
        return self.stack().listen(factory, binding, self.settings.pool)

    def connectTCP(
        self, host: str, port: Any, factory: Any, timeout: float = 30.0, bindAddress: Any = None
    ) -> Any:
        """Connect, as `IReactorTCP.connectTCP` says.

        :raises XTCPError: the address needs a stack, there is none, and none can be started.
        """
        connector = ReactorConnector(self, host, _portOf(port), bindAddress, factory, timeout)
        connector.connect()
        return connector

    def kernelConnects(self, host: str, port: int) -> bool:
        """Whether a connection to `port` of `host`, an address, is the kernel's."""
        if not _isLoopback(host):
            return False
        stack = running(self, DEFAULT)
        return stack is None or not stack.serves(host, port)

    # -- who waits, and the end ------------------------------------------------------

    def getReaders(self) -> list[Any]:
        """The reactor's own, and what the stacks have without descriptors."""
        return [*EPollReactor.getReaders(self), *self._ofStacks(selectables.readers)]

    def getWriters(self) -> list[Any]:
        """As `getReaders`."""
        return [*EPollReactor.getWriters(self), *self._ofStacks(selectables.writers)]

    def _ofStacks(self, of: Callable[[Stage], list[Any]]) -> list[Any]:
        return [one for stack in stacksOf(self) for one in of(stack.stage)]

    def removeReader(self, reader: Any) -> None:
        """A transport of a stack stops reading."""
        if isinstance(reader, XTCPTransport):
            reader.stopReading()
        else:
            EPollReactor.removeReader(self, reader)

    def removeAll(self) -> list[Any]:
        """Stop watching all readers and writers."""
        return [*EPollReactor.removeAll(self), *self._ofStacks(selectables.letGo)]

    def disconnectAll(self) -> None:
        """Tell all readers and writers that the reactor ends; the stacks end, too."""
        EPollReactor.disconnectAll(self)
        for stack in stacksOf(self):
            stack.stop()


class ReactorConnector(Connector):
    """A connector that decides when the address is known whether the engine or the kernel connects.

    :ivar given: the argument `bindAddress` of `connectTCP`.
    """

    reactor: XTCPReactor

    def __init__(
        self,
        reactor: XTCPReactor,
        host: str,
        port: int,
        bindAddress: Any,
        factory: Any,
        timeout: float | None,
    ) -> None:
        near = bindAddress
        if isinstance(bindAddress, _Binding):
            near = bindAddress._address, bindAddress._port  # noqa: SLF001  # it has no other reading
        super().__init__((host, port), near, factory, timeout, reactor)
        self.given = bindAddress

    def _makeTransport(self) -> Any:
        if _isAddress(self.host):
            return self.transportTo(self.host)
        return Lookup(self)

    def connect(self) -> None:
        """As the base class; it fails for want of a stack before the factory hears of it."""
        if _isAddress(self.host) and not self.reactor.kernelConnects(self.host, self.port):
            self.reactor.stack()
        super().connect()

    def transportTo(self, address: str) -> Any:
        """What connects to the address."""
        if self.reactor.kernelConnects(address, self.port):
            return tcp.Client(address, self.port, self.given, self, self.reactor)
        group = self.reactor.stack().clientGroup(self.reactor.settings.pool)
        return Attempt(group, self, address)


class Lookup:
    """What a connector has instead of a transport while the server's name is looked up."""

    def __init__(self, connector: ReactorConnector) -> None:
        self.connector = connector
        self._heir: Any = None
        self._over = False
        # The factory hears of the attempt before the resolver does.
        connector.reactor.callLater(0, self._ask)

    def _ask(self) -> None:
        if not self._over:
            found = maybeDeferred(self.connector.reactor.resolve, self.connector.host)
            found.addCallback(self._found).addErrback(self.failIfNotConnected)

    def _found(self, address: str) -> None:
        if not self._over:
            self._heir = self.connector.transport = self.connector.transportTo(address)

    def failIfNotConnected(self, reason: Failure | BaseException) -> None:
        """Give up, whoever connects by now."""
        if self._heir is not None:
            self._heir.failIfNotConnected(reason)
        elif not self._over:
            self._over = True
            self.connector.connectionFailed(reason if isinstance(reason, Failure) else Failure(reason))


def _placeOf(port: Any, interface: str) -> tuple[int, str]:
    """Port and address of `listenTCP`'s arguments.

    :raises ValueError: a `Binding` and an interface say two things.
    """
    number = port
    if isinstance(port, _Binding):
        number, address = port._port, port._address or ""  # noqa: SLF001  # it has no other reading
        if interface and address != interface:
            raise ValueError(
                f"the port is bound to {address!r}, but the interface is {interface!r}; give one of them"
            )
        interface = address
    return number, "127.0.0.1" if interface == "localhost" else interface


def _portOf(port: Any) -> int:
    """A port, or the name of a service, as a number.

    :raises ServiceNameUnknownError: no service has this name.
    """
    if not isinstance(port, str):
        return int(port)
    try:
        return socket.getservbyname(port, "tcp")
    except OSError as unknown:
        raise error.ServiceNameUnknownError(string=f"{unknown} ({port!r})") from None


def install() -> None:
    """Make an `XTCPReactor` the reactor of this process."""
    reactor: Any = XTCPReactor  # untyped, as its base class is
    installReactor(reactor())
