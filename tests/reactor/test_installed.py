"""The reactor of ``--reactor=xtcp``: what is the engine's, what the kernel's, and who is told of the end.

The reactors here are real ones, on a link that leads nowhere: they talk to themselves.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import error, interfaces, tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.tcp import makeBinding
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.client import XTCPClientTransport
from xtcp_twisted.reactor.installed import XTCPReactor
from xtcp_twisted.reactor.port import XTCPPort
from xtcp_twisted.reactor.stack import DEFAULT, running

CONFIG = """
[link]
kind = "memory"
[engine]
addresses = ["10.77.0.2", "fd77::2"]
max_connections = 64
arena_limit = "64 MiB"
transmit_buffer = "1 MiB"
[[pool]]
name = "main"
receive_buffer = "1 MiB"
"""
Make = Callable[..., Any]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Make]:
    """A maker of reactors for a configuration; None: there is none."""
    made: list[Any] = []
    monkeypatch.chdir(tmp_path)

    def one(loopback: str | None = "kernel") -> Any:
        if loopback is None:
            monkeypatch.delenv("XTCP_CONFIG", raising=False)
        else:
            path = tmp_path / "stack.toml"
            path.write_text(f'{CONFIG}[reactor]\nloopback = "{loopback}"\n', "utf-8")
            monkeypatch.setenv("XTCP_CONFIG", str(path))
        made.append(XTCPReactor())  # type: ignore[no-untyped-call]
        return made[-1]

    yield one
    for reactor in made:
        for reader in list(reactor._internalReaders):
            reactor.removeReader(reader)
            reader.connectionLost(None)
        reactor._internalReaders.clear()
        reactor.disconnectAll()
        for call in reactor.getDelayedCalls():
            call.cancel()
        reactor._poller.close()
    gc.collect()


class Talk(Protocol):
    """Says its word, and writes down what comes."""

    def __init__(self, word: bytes = b"") -> None:
        self.word = word
        self.heard = b""
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        if self.word:
            self.transport.write(self.word)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.factory.heard(self)  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class Client(ClientFactory):
    noisy = False

    def __init__(self, reactor: Any, heard: Callable[[Talk], object]) -> None:
        self.reactor = reactor
        self.heard = heard
        self.failure: Failure | None = None
        self.talk = Talk()

    def buildProtocol(self, addr: Any) -> Talk:
        self.talk.factory = self
        return self.talk

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failure = reason
        self.reactor.stop()


class Server(Factory):
    noisy = False

    def __init__(self) -> None:
        self.talks: list[Talk] = []

    def buildProtocol(self, addr: Any) -> Talk:
        self.talks.append(Talk(b"welcome"))
        return self.talks[-1]


def run(reactor: Any) -> None:
    """Until somebody stops it, at most 20 s."""
    late: list[int] = []
    limit = reactor.callLater(20, lambda: (late.append(1), reactor.stop()))
    reactor.run(installSignalHandlers=False)
    assert not late, "nothing has stopped the reactor"
    limit.cancel()


def visit(reactor: Any, host: str, port: int) -> tuple[Client, Any]:
    """Connect, hear the server's word, and stop; the client and its connector's transport of then."""
    transports: list[Any] = []
    factory = Client(reactor, lambda talk: (transports.append(talk.transport), reactor.stop()))
    connector = reactor.connectTCP(host, port, factory, timeout=20)
    verifyObject(interfaces.IConnector, connector)
    run(reactor)
    return factory, transports[0] if transports else None


def test_it_is_what_reactors_are(make: Make) -> None:
    reactor = make()
    verifyObject(interfaces.IReactorTCP, reactor)
    verifyObject(interfaces.IReactorSSL, reactor)
    verifyObject(interfaces.IReactorFDSet, reactor)


def test_nothing_is_opened_before_it_is_needed(make: Make) -> None:
    reactor = make()
    assert running(reactor, DEFAULT) is None
    reactor.listenTCP(0, Server(), interface="127.0.0.1")
    assert running(reactor, DEFAULT) is None
    port = reactor.listenTCP(0, Server())
    assert running(reactor, DEFAULT) is not None
    assert isinstance(port, XTCPPort)
    assert port.getHost() == IPv4Address("TCP", "0.0.0.0", port.getHost().port)


@pytest.mark.parametrize("interface", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("loopback, kind", [("kernel", tcp.Port), ("engine", XTCPPort)])
def test_who_listens_at_a_loopback_address(make: Make, interface: str, loopback: str, kind: type) -> None:
    reactor = make(loopback)
    port = reactor.listenTCP(0, Server(), interface=interface)
    assert type(port) is kind
    family = IPv6Address if ":" in interface else IPv4Address
    assert port.getHost() == family("TCP", interface.replace("localhost", "127.0.0.1"), port.getHost().port)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "10.77.0.2"])
def test_a_connection_to_a_port_of_the_engine(make: Make, host: str) -> None:
    reactor = make()
    server = Server()
    port = reactor.listenTCP(0, server)
    client, transport = visit(reactor, host, port.getHost().port)
    assert client.talk.heard == b"welcome"
    assert isinstance(transport, XTCPClientTransport)
    expected = host.replace("localhost", "127.0.0.1")
    assert transport.getPeer() == IPv4Address("TCP", expected, port.getHost().port)


def test_both_families_at_the_wildcard_of_ipv6(make: Make) -> None:
    reactor = make()
    port = reactor.listenTCP(0, Server(), interface="::")
    assert port.getHost() == IPv6Address("TCP", "::", port.getHost().port)
    for host in ("10.77.0.2", "fd77::2", "::1"):
        factory = Client(reactor, lambda _: None)
        reactor.connectTCP(host, port.getHost().port, factory)
        while not factory.talk.heard:
            reactor.iterate(0.05)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("loopback", ["kernel", "engine"])
def test_services_of_the_kernel_stay_reachable(make: Make, host: str, loopback: str) -> None:
    reactor = make(loopback)
    reactor.listenTCP(0, Server())  # the engine runs, and serves another port
    with socket.create_server(("127.0.0.1", 0)) as service:
        place = service.getsockname()
        factory = Client(reactor, lambda _: reactor.stop())
        reactor.connectTCP(host, place[1], factory)
        service.settimeout(60)

        def serve() -> None:
            with service.accept()[0] as connection:
                connection.sendall(b"database")

        reactor.callWhenRunning(reactor.callInThread, serve)
        run(reactor)
    assert factory.talk.heard == b"database"
    assert isinstance(factory.talk.transport, tcp.Client)


def test_a_port_that_has_stopped_hides_no_service(make: Make) -> None:
    reactor = make()
    port = reactor.listenTCP(0, Server())
    number = port.getHost().port
    assert not reactor.kernelConnects("127.0.0.1", number)
    port.stopListening()
    assert reactor.kernelConnects("127.0.0.1", number)


def test_without_a_configuration(make: Make) -> None:
    reactor = make(None)
    factory = Client(reactor, lambda _: None)
    with pytest.raises(ConfigurationError, match="there is no configuration to start one"):
        reactor.listenTCP(0, Server())
    with pytest.raises(ConfigurationError, match="there is no configuration to start one"):
        reactor.connectTCP("192.0.2.1", 80, factory)
    assert factory.numPorts == 0
    assert type(reactor.listenTCP(0, Server(), interface="127.0.0.1")) is tcp.Port


def test_without_a_configuration_for_a_name(make: Make) -> None:
    """A name may turn out to be the kernel's, so the error comes when it is known."""
    reactor = make(None)
    reactor.resolve = lambda *_: "192.0.2.1"
    client, _ = visit(reactor, "example.com", 80)
    assert client.failure is not None
    client.failure.trap(ConfigurationError)


def test_a_refused_configuration(make: Make, tmp_path: Path) -> None:
    reactor = make()
    (tmp_path / "stack.toml").write_text(CONFIG + '[reactor]\nloopback = "both"\npool = "large"\n', "utf-8")
    with pytest.raises(ConfigurationError, match=r"reactor.loopback: 'both' is not allowed"):
        reactor.listenTCP(0, Server())


def test_bindings(make: Make) -> None:
    reactor = make("engine")
    port = reactor.listenTCP(makeBinding("10.77.0.2", 0), Server())
    assert port.getHost().host == "10.77.0.2"
    with pytest.raises(ValueError, match="give one of them"):
        reactor.listenTCP(makeBinding("10.77.0.2", 0), Server(), interface="127.0.0.1")
    factory = Client(reactor, lambda talk: (hosts.append(talk.transport.getHost()), reactor.stop()))
    hosts: list[Any] = []
    reactor.connectTCP(
        "10.77.0.2", port.getHost().port, factory, bindAddress=makeBinding("127.0.0.1", 40_404)
    )
    run(reactor)
    assert hosts == [IPv4Address("TCP", "127.0.0.1", 40_404)]


def test_an_idle_stack_is_invisible(make: Make) -> None:
    """What lingers after a connection (TIME-WAIT, timers of the engine) is nobody's business."""
    reactor = make()
    server = Server()
    port = reactor.listenTCP(0, server)
    factory = Client(reactor, lambda talk: talk.transport.loseConnection())
    reactor.connectTCP("10.77.0.2", port.getHost().port, factory)
    while not (server.talks and server.talks[0].lost and factory.talk.lost):
        reactor.iterate(0.05)
    stopping = port.stopListening()
    while not stopping.called:
        reactor.iterate(0.05)
    stack = running(reactor, DEFAULT)
    assert stack is not None
    assert stack.engine.snapshot().time_wait == 1
    assert (reactor.getDelayedCalls(), reactor.removeAll()) == ([], [])


def test_who_waits_is_shown(make: Make) -> None:
    reactor = make()
    server = Server()
    port = reactor.listenTCP(0, server)
    factory = Client(reactor, lambda _: None)
    connector = reactor.connectTCP("10.77.0.2", port.getHost().port, factory)
    attempt = connector.transport
    assert port in reactor.getReaders()
    assert attempt in reactor.getWriters()
    while not factory.talk.heard:
        reactor.iterate(0.05)
    ends = [server.talks[0].transport, factory.talk.transport]
    assert all(end in reactor.getReaders() for end in ends)
    assert attempt not in reactor.getWriters()
    reactor.removeReader(ends[0])
    assert ends[0] not in reactor.getReaders()
    ends[0].write(b"x" * 3_000_000)
    assert ends[0] in reactor.getWriters()
    found = reactor.removeAll()
    assert {port, *ends} <= set(found)
    assert [one for one in reactor.removeAll() if one in found] == []
    for one in found:
        one.connectionLost(Failure(error.ConnectionLost()))
    assert server.talks[0].lost is not None
    assert factory.talk.lost is not None
    factory.talk.lost.trap(error.ConnectionLost)


def test_what_is_let_go_is_never_heard_of_again(make: Make) -> None:
    """As trial does with what a test has left behind."""
    reactor = make()
    server = Server()
    port = reactor.listenTCP(0, server)
    number = port.getHost().port
    factory = Client(reactor, lambda _: None)
    reactor.connectTCP("10.77.0.2", number, factory)
    while not factory.talk.heard:
        reactor.iterate(0.05)
    reactor.connectTCP("198.51.100.1", 9, Client(reactor, lambda _: None), timeout=None)
    reactor.removeAll()
    for _ in range(20):
        reactor.iterate(0.01)
    assert (server.talks[0].lost, factory.talk.lost) == (None, None)
    assert reactor.listenTCP(number, Server()).getHost().port == number


def test_the_end_is_told(make: Make) -> None:
    reactor = make()
    server = Server()
    port = reactor.listenTCP(0, server)
    client, _ = visit(reactor, "10.77.0.2", port.getHost().port)
    assert server.talks[0].lost is not None
    assert client.talk.lost is not None
    server.talks[0].lost.trap(error.ConnectionLost)
    client.talk.lost.trap(error.ConnectionLost)
    assert running(reactor, DEFAULT) is None


class TestLookingUp:
    """What happens while the name of a server is looked up."""

    def test_it_is_given_up(self, make: Make) -> None:
        reactor = make()
        reactor.resolve = lambda *_: pytest.fail("it was looked up all the same")
        factory = Client(reactor, lambda _: None)
        connector = reactor.connectTCP("example.com", 80, factory)
        factory.clientConnectionFailed = lambda _, reason: reasons.append(reason)  # type: ignore[method-assign]
        reasons: list[Failure] = []
        connector.stopConnecting()
        reactor.iterate(0.05)
        assert [reason.check(error.UserError) for reason in reasons] == [error.UserError]

    def test_it_takes_too_long(self, make: Make) -> None:
        """The time is that of the whole attempt, whoever makes it in the end."""
        reactor = make()
        reactor.resolve = lambda *_: "198.51.100.1"
        factory = Client(reactor, lambda _: None)
        reactor.connectTCP("example.com", 80, factory, timeout=0.2)
        run(reactor)
        assert factory.failure is not None
        factory.failure.trap(error.TimeoutError)

    def test_there_is_no_such_name(self, make: Make) -> None:
        reactor = make()
        factory = Client(reactor, lambda _: None)

        def refuse(*_: object) -> Any:
            raise error.DNSLookupError("no such host")

        reactor.resolve = refuse
        reactor.connectTCP("example.invalid", 80, factory)
        run(reactor)
        assert factory.failure is not None
        factory.failure.trap(error.DNSLookupError)

    def test_a_service_by_its_name(self, make: Make) -> None:
        reactor = make()
        connector = reactor.connectTCP("192.0.2.1", "http", Client(reactor, lambda _: None), timeout=None)
        assert (connector.host, connector.port) == ("192.0.2.1", 80)
        with pytest.raises(error.ServiceNameUnknownError):
            reactor.connectTCP("192.0.2.1", "no such service", Client(reactor, lambda _: None))
