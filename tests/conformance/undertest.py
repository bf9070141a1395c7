"""What Twisted's own tests of transports need to know about a stack: where it listens, and how to reach it.

Each subclass of `UnderTest` is one way to use XTCP; `groups` makes Twisted's test
classes for it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.test.connectionmixins import EndpointCreator

from xtcp_twisted.config import MiB
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint, XTCPServerEndpoint
from xtcp_twisted.reactor.loading import structure
from xtcp_twisted.reactor.opening import openStack
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import stackFor

#: A stack that leads nowhere, for a process that talks to itself.
TABLES: dict[str, Any] = {
    "link": {"kind": "memory"},
    "engine": {
        "addresses": ["10.77.0.2", "fd77::2"],
        "max_connections": 1_024,
        "arena_limit": 512 * MiB,
        "transmit_buffer": 64 * MiB,
    },
    "pool": [{"name": "main", "receive_buffer": 16 * MiB}],
    "reactor": {"loopback": "engine"},
}

#: The same on a device of this namespace.
TUN = {
    **TABLES,
    "link": {"addresses": ["10.77.0.1/16", "fd77::1/64"]},
}

EPOLL = "twisted.internet.epollreactor.EPollReactor"
ASYNCIO = "twisted.internet.test.reactormixins.AsyncioSelectorReactor"


class UnderTest(EndpointCreator):
    """One way to use XTCP.

    :cvar name: for the names of the test classes.
    :cvar reactors: fully qualified names.
    :cvar interface: where it listens.
    :cvar peerHost: where its clients come from.
    :cvar redirects: whether `listenTCP` and `connectTCP` of the reactors go to the stack.
    :cvar kernelClients: whether its clients are sockets of the kernel.
    """

    name = ""
    reactors: tuple[str, ...] = ()
    interface = "127.0.0.1"
    peerHost = "127.0.0.1"
    redirects = False
    kernelClients = False
    tables = TABLES

    def prepare(self, reactor: Any) -> None:
        """Start the stack, before a test looks at what is logged."""
        openStack(reactor, structure(self.tables, groups=False))

    def listen(self, reactor: Any, factory: Any, port: int = 0, interface: str | None = None) -> Any:
        """An `IListeningPort`, at once."""
        raise NotImplementedError

    def connect(self, reactor: Any, factory: Any, port: int) -> Any:
        """An `IConnector`, at once."""
        raise NotImplementedError


class KernelStack(UnderTest):
    """Twisted's own TCP, for comparison."""

    name = "Kernel"
    reactors = (EPOLL, ASYNCIO)
    redirects = True

    def prepare(self, reactor: Any) -> None:
        """Nothing: its ports and connections need no more than the reactor."""

    def server(self, reactor: Any) -> Any:
        return TCP4ServerEndpoint(reactor, 0, interface=self.interface)

    def client(self, reactor: Any, serverAddress: Any) -> Any:
        return TCP4ClientEndpoint(reactor, self.interface, serverAddress.port)

    def listen(self, reactor: Any, factory: Any, port: int = 0, interface: str | None = None) -> Any:
        return reactor.listenTCP(port, factory, interface=self.interface if interface is None else interface)

    def connect(self, reactor: Any, factory: Any, port: int) -> Any:
        return reactor.connectTCP(self.interface, port, factory)


class ReactorStack(KernelStack):
    """The installed reactor; the configuration describes its stack, and the first use starts it."""

    name = "Reactor"
    reactors = ("xtcp_twisted.reactor.installed.XTCPReactor",)


class EndpointStack(UnderTest):
    """Endpoints of a stack on reactors that know nothing of it."""

    name = "Endpoints"
    reactors = (EPOLL, ASYNCIO)

    def server(self, reactor: Any) -> Any:
        return XTCPServerEndpoint(stackFor(reactor), 0, self.interface)

    def client(self, reactor: Any, serverAddress: Any) -> Any:
        return XTCPClientEndpoint(stackFor(reactor), self.interface, serverAddress.port)

    def listen(self, reactor: Any, factory: Any, port: int = 0, interface: str | None = None) -> Any:
        binding = Binding(port=port, interface=self.interface if interface is None else interface)
        return stackFor(reactor).listen(factory, binding)

    def connect(self, reactor: Any, factory: Any, port: int) -> Any:
        return stackFor(reactor).connect(self.interface, port, factory)


class KernelClients(EndpointStack):
    """Servers of a stack on a TUN device, clients of the kernel: for a process in a namespace of its own."""

    name = "KernelClients"
    reactors = (EPOLL,)
    interface = "10.77.0.2"
    peerHost = "10.77.0.1"
    kernelClients = True
    tables = TUN

    def client(self, reactor: Any, serverAddress: Any) -> Any:
        return TCP4ClientEndpoint(reactor, self.interface, serverAddress.port)

    def connect(self, reactor: Any, factory: Any, port: int) -> Any:
        return reactor.connectTCP(self.interface, port, factory)
