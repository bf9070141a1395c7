"""Twisted's own test classes of stream transports, with the hooks that they ask for.

`classesFor(stack)` makes the test cases of one `UnderTest`.  A test that cannot
apply to it is skipped with a reason of `REASONS`; nothing else is.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from conformance.undertest import UnderTest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.test import test_newtls, test_tcp, test_tls
from twisted.internet.test.connectionmixins import ConnectionTestsMixin, StreamClientTestsMixin
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.internet.test.test_tcp import TCPCreator
from twisted.test.test_tcp import MyClientFactory, MyServerFactory

from xtcp_twisted.reactor.stack import stacksOf

#: Why a test does not apply; docs/twisted.md has them, too.
REASONS = {
    "descriptors": "a connection has no descriptor, so the lack of descriptors refuses none",
    "redirects": "calls listenTCP or connectTCP of the reactor, which go to the kernel here",
    "readers": "looks for the transport among the readers of the reactor, which does not know it here",
    "kernel": "its client is a socket of the kernel, which cannot reach the loopback addresses of an engine",
    "ipv6": "it wants the client's address over IPv6, and the lab's are asked for over IPv4",
    "scope": "it listens at a link-local address, which an engine has none of",
}


class Builder(ReactorBuilder):
    """A `ReactorBuilder` of reactors that have a stack."""

    stack: UnderTest
    #: Not the reactor provides TCP, but the stack.
    requiredInterfaces: Any = None
    #: Of a reactor's run, seconds.
    timeout = 60

    def setUp(self) -> None:
        super().setUp()
        # Some tests name the module's TCPCreator instead of an attribute of the class.
        for module in (test_tcp, test_newtls):
            self.patch(module, "TCPCreator", lambda: self.stack)

    def buildReactor(self) -> Any:
        reactor = super().buildReactor()
        self.stack.prepare(reactor)

        def stop() -> None:
            for stack in stacksOf(reactor):
                stack.stop()

        self.addCleanup(stop)
        return reactor


class Stream(Builder, ConnectionTestsMixin, StreamClientTestsMixin):
    """Transports of both sides, and connectors."""

    _port: Any = None

    def listen(self, reactor: Any, factory: Any) -> Any:
        self._port = self.stack.listen(reactor, factory)
        return self._port

    def connect(self, reactor: Any, factory: Any) -> Any:
        return self.stack.connect(reactor, factory, self._port.getHost().port if self._port else 1)


class Abort(Builder, test_tcp.AbortConnectionMixin):
    """abortConnection."""


class Reading(Builder, test_tcp.TCPConnectionTestsBuilder):
    """Pausing, resuming, half close."""

    requiredInterfaces = None


class Writing(test_tcp.TCPTransportServerAddressTestMixin, test_tcp.WriteSequenceTestsMixin, Builder):
    """writeSequence, producers, what a server's transport is called."""

    requiredInterfaces = None

    def getConnectedClientAndServer(self, reactor: Any, interface: Any, addressFamily: Any) -> Any:
        server, client = MyServerFactory(), MyClientFactory()
        made, lost = [], []
        for factory in (client, server):
            factory.protocolConnectionMade = Deferred()
            factory.protocolConnectionLost = Deferred()
            made.append(factory.protocolConnectionMade)
            lost.append(factory.protocolConnectionLost)
        here = "::1" if addressFamily == socket.AF_INET6 else None
        port = self.stack.listen(reactor, server, 0, here)
        ready: Deferred[Any] = Deferred()

        def stop(result: object) -> object:
            reactor.stop()
            return result

        gatherResults(lost).addBoth(stop)
        gatherResults(made).addCallback(lambda both: ready.callback((*both, port)))
        self.reach(reactor, client, port, here)
        return ready

    def reach(self, reactor: Any, factory: Any, port: Any, host: str | None) -> None:
        """Connect to a port, at the usual address or another one."""
        usual, self.stack.interface = self.stack.interface, host or self.stack.interface
        try:
            self.stack.connect(reactor, factory, port.getHost().port)
        finally:
            self.stack.interface = usual

    def _testServerAddress(self, interface: str, addressFamily: Any, addressClass: Any) -> Any:
        # Twisted's tests have 127.0.0.1, and a link-local address of the machine.
        interface = self.stack.peerHost if addressFamily == socket.AF_INET else "::1"
        return super()._testServerAddress(interface, addressFamily, addressClass)


class Ports(Builder, test_tcp.TCPPortTestsMixin, test_tcp.StreamTransportTestsMixin):
    """Listening ports."""

    requiredInterfaces = None

    def getListeningPort(self, reactor: Any, factory: Any, port: int = 0, interface: str = "") -> Any:
        if interface in ("", "127.0.0.1"):
            interface = self.stack.interface
        return self.stack.listen(reactor, factory, port, interface)

    def connectToListener(self, reactor: Any, address: Any, factory: Any) -> Any:
        return self.stack.connect(reactor, factory, address.port)


class ReactorClient(Builder, test_tcp.TCP4ClientTestsBuilder):
    """connectTCP over IPv4."""

    requiredInterfaces = None


class _Loopback6(TCPCreator):
    """Endpoints at ::1, where Twisted's own are at a link-local address of the machine."""

    interface = "::1"


class ReactorClient6(Builder, test_tcp.TCPClientTestsBase):
    """connectTCP over IPv6."""

    family = socket.AF_INET6
    addressClass = IPv6Address
    fakeDomainName = "::1"
    endpoints = _Loopback6()
    requiredInterfaces = None


class ReactorConnector(Builder, test_tcp.TCPConnectorTestsBuilder):
    """The life of a connector."""

    interface = "127.0.0.1"
    family = socket.AF_INET
    addressClass = IPv4Address
    requiredInterfaces = None


class AbortTLS(Builder, test_tls.AbortSSLConnectionTests):
    """abortConnection under TLS."""

    requiredInterfaces = None

    def setUp(self) -> None:
        Builder.setUp(self)


class TLSClient(Builder, test_tls.SSLClientTestsMixin):
    """connectSSL."""

    requiredInterfaces = None


class StartTLS(Builder, test_tls.StartTLSClientTestsMixin):
    """startTLS of a client."""

    requiredInterfaces = None


class TLSPort(Builder, test_tls.TLSPortTestsBuilder):
    """listenSSL."""

    requiredInterfaces = None


class TLSProducers(Builder, test_newtls.ProducerTestsMixin):
    """startTLS while a producer is registered."""

    requiredInterfaces = None


#: With any reactor; with one whose TCP goes to the stack.
ALWAYS = (Stream, Abort, Reading, Writing, Ports, TLSProducers)
REDIRECTED = (
    ReactorClient, ReactorClient6, ReactorConnector, AbortTLS, TLSClient, StartTLS, TLSPort,
)  # fmt: skip

#: Tests that end in the family of their addresses, or have it in their names.
_KERNEL = (("buildProtocol", "Address"), ("serverGetHostOn", ""), ("serverGetPeerOn", ""))
_SCOPED = (*_KERNEL, ("portGetHostOn", ""))
Applies = Callable[[UnderTest], bool]
#: Class, its tests, when they apply, why not else.
LIMITS: tuple[tuple[type, tuple[str, ...], Applies, str], ...] = (
    (Ports, ("test_closePeerOnEMFILE",), lambda _: False, "descriptors"),
    (Ports, tuple(f"test_{what}IPv4{rest}" for what, rest in _KERNEL), lambda _: False, "kernel"),
    (Ports, tuple(f"test_{what}IPv6{rest}" for what, rest in _KERNEL), lambda _: False, "kernel"),
    (Ports, tuple(f"test_{what}IPv6{rest}ScopeID" for what, rest in _SCOPED), lambda _: False, "scope"),
    (Writing, ("test_serverAddressTCP6",), lambda stack: not stack.kernelClients, "ipv6"),
    (TLSPort, ("test_closePeerOnEMFILE",), lambda _: False, "descriptors"),
    (Reading, ("test_stopStartReading",), lambda stack: stack.redirects, "redirects"),
    (Reading, ("test_resumeProducing",), lambda stack: stack.redirects, "readers"),
)


def classesFor(stack: UnderTest, extra: tuple[type, ...] = ()) -> dict[str, Any]:
    """The test cases of this way to use XTCP, by their names."""
    made: dict[str, Any] = {}
    for group in ALWAYS + (REDIRECTED if stack.redirects else ()) + extra:
        made |= casesOf(group, stack)
    return made


def casesOf(group: type, stack: UnderTest) -> dict[str, Any]:
    """The test cases of one of these classes, by their names: one for each reactor of the stack."""
    attributes: dict[str, Any] = {"stack": stack, "_reactors": stack.reactors}
    if group in ALWAYS:
        attributes["endpoints"] = stack  # the others have their own, which name the reactor's calls
    for limited, tests, applies, why in LIMITS:
        if limited is group and not applies(stack):
            attributes |= {test: _skipped(test, REASONS[why]) for test in tests}
    attributes["__module__"] = group.__module__
    made: Any = type(f"{group.__name__}_{stack.name}", (group,), attributes)
    return dict(made.makeTestCaseClasses())


def _skipped(name: str, why: str) -> Any:
    def test(self: object) -> None:
        """Skipped."""

    test.__name__ = name
    test.skip = why  # type: ignore[attr-defined]
    return test
