"""`xtcp_twisted.testing`: what users test their own protocols with."""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.protocols.wire import Echo
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.errors import LocalError, StaleConnection
from xtcp_twisted.reactor.endpoints import XTCPClientEndpoint
from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.testing import CLIENT_V4, SERVER_V4, SERVER_V6, Client, MemoryNetwork


class Wall(GroupProtocol):
    """Tells everybody what anybody says."""

    def __init__(self) -> None:
        self.lost: list[Failure] = []

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.group.broadcast(data)

    def connectionLost(self, cd: int, reason: Failure) -> None:
        self.lost.append(reason)


class Silent(GroupProtocol):
    """Answers nothing."""


class Failing(GroupProtocol):
    def messageReceived(self, cd: int, data: bytes) -> None:
        raise ZeroDivisionError(data)


@pytest.fixture
def net() -> Iterator[MemoryNetwork]:
    with MemoryNetwork() as net:
        yield net


def test_clients_talk_to_a_group_protocol(net: MemoryNetwork) -> None:
    port = net.listen(Wall(), 5222)
    ada, bob = net.connect(port), net.connect(5222)
    assert ada.isOpen
    ada.send(b"hello")
    assert (ada.take(), bob.received) == (b"hello", b"hello")
    bob.send(b"you")
    assert (ada.take(), bob.take(), bob.take()) == (b"you", b"helloyou", b"")


def test_clients_talk_to_an_ordinary_factory(net: MemoryNetwork) -> None:
    client = net.connect(net.listen(Factory.forProtocol(Echo)))
    client.send(b"x" * 1_000_000)
    assert client.take() == b"x" * 1_000_000


@pytest.mark.parametrize("host", ["198.51.100.9", "2001:db8:c::9"])
def test_where_a_client_comes_from(net: MemoryNetwork, host: str) -> None:
    seen = []

    class Door(Protocol):
        transport: Any

        def connectionMade(self) -> None:
            seen.append((self.transport.getPeer().host, self.transport.getHost().host))

    client = net.connect(net.listen(Factory.forProtocol(Door)), host)
    assert client.address[0] == host
    assert seen == [(host, SERVER_V6 if ":" in host else SERVER_V4)]


def test_a_port_that_nobody_serves(net: MemoryNetwork) -> None:
    client = net.connect(9)
    assert not client.isOpen
    assert client.reason is not None
    assert client.reason.check(ConnectError)


@pytest.mark.parametrize("end, told", [("close", ConnectionDone), ("abort", ConnectionLost)])
def test_how_a_client_ends(net: MemoryNetwork, end: str, told: type[Exception]) -> None:
    wall = Wall()
    client = net.connect(net.listen(wall))
    getattr(client, end)()
    assert not client.isOpen
    assert client.reason is not None
    assert client.reason.check(ConnectionDone if end == "close" else ConnectionAborted)
    assert [reason.type for reason in wall.lost] == [told]
    with pytest.raises(StaleConnection):
        client.info()


def test_a_client_that_has_said_all_reads_on(net: MemoryNetwork) -> None:
    class Last(GroupProtocol):
        def connectionsHalfClosed(self, cds: list[int]) -> None:
            for cd in cds:
                self.group.send(cd, b"goodbye")
                self.group.finish(cd)

    client = net.connect(net.listen(Last()))
    client.finish()
    assert client.take() == b"goodbye"
    assert client.reason is not None


def test_time_is_the_tests(net: MemoryNetwork) -> None:
    """Delayed calls and the engine's timers are on one clock, each at its time."""
    calls: list[float] = []
    start = net.reactor.seconds()
    loop = LoopingCall(lambda: calls.append(net.reactor.seconds() - start))
    loop.clock = net.reactor
    loop.start(1.0, now=False)
    client = net.connect(net.listen(Silent()))
    client.send(b"request")
    assert client.unacknowledged == 7
    net.advance(0.039)
    assert client.unacknowledged == 7
    net.advance(0.002)
    assert client.unacknowledged == 0
    net.advance(2.959)
    assert net.reactor.seconds() == pytest.approx(start + 3)
    assert calls == pytest.approx([1, 2, 3])
    loop.stop()


def test_what_is_not_acknowledged_stays_with_the_client(net: MemoryNetwork) -> None:
    client = net.connect(net.listen(Silent(), options=GroupOptions(ack_policy="application")))
    client.send(b"request")
    net.advance(10)
    assert client.unacknowledged == 7
    client.send(b"!")
    assert client.unacknowledged == 8


def test_what_the_wire_loses_comes_again(net: MemoryNetwork) -> None:
    client = net.connect(net.listen(Wall()))
    net.cut()
    client.send(b"hello")
    net.advance(0.1)
    assert client.unacknowledged == 5
    net.mend()
    assert client.take() == b""
    net.advance(10)
    assert client.take() == b"hello"


def test_a_client_that_does_not_read_holds_the_server_up(net: MemoryNetwork) -> None:
    class Filler(GroupProtocol):
        rest = b"x" * 4_000_000

        def messageReceived(self, cd: int, data: bytes) -> None:
            self.connectionsWritable([cd])

        def connectionsWritable(self, cds: list[int]) -> None:
            self.rest = self.rest[self.group.send(cds[0], self.rest) :]

    filler = Filler()
    client = net.connect(net.listen(filler))
    client.pause()
    client.send(b"all of it")
    net.advance(10)
    assert filler.rest
    assert client.received == b""
    client.resume()
    net.advance(10)
    assert (filler.rest, len(client.received)) == (b"", 4_000_000)


def test_a_logged_error_fails_the_test() -> None:
    with pytest.raises(ZeroDivisionError), MemoryNetwork() as net:
        net.connect(net.listen(Failing())).send(b"now")


def test_an_expected_error_is_taken(net: MemoryNetwork) -> None:
    client = net.connect(net.listen(Failing()))
    client.send(b"now")
    assert client.reason is not None
    assert net.take_errors(ValueError) == []
    [error] = net.take_errors(ZeroDivisionError)
    assert error.args == (b"now",)
    assert net.errors == []
    net.connect(net.listen(Failing())).send(b"now")
    assert len(net.take_errors()) == 1


def test_a_test_that_fails_says_so_itself() -> None:
    """And not what was logged meanwhile."""

    def fails() -> None:
        with MemoryNetwork() as net:
            net.connect(net.listen(Failing())).send(b"now")
            raise KeyError

    with pytest.raises(KeyError):
        fails()


def test_what_never_rests_is_named(net: MemoryNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    def spin() -> None:
        net.reactor.callLater(0, spin)

    monkeypatch.setattr("xtcp_twisted.testing._MANY_TURNS", 100)
    spin()
    with pytest.raises(LocalError, match=r"look for a callLater\(0\)"):
        net.settle()


def test_endpoints_find_both_stacks(net: MemoryNetwork) -> None:
    """By string, and by a client's endpoint with a protocol of the test's own."""
    serverFromString(net.reactor, "xtcp:5222").listen(Factory.forProtocol(Echo))
    asked = Deferred[bytes]()

    class Asking(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(b"ping")

        def dataReceived(self, data: bytes) -> None:
            asked.callback(data)

    XTCPClientEndpoint(net.clients, SERVER_V4, 5222).connect(Factory.forProtocol(Asking))
    net.settle()
    assert asked.result == b"ping"


def test_networks_do_not_meet() -> None:
    with MemoryNetwork() as one, MemoryNetwork() as other:
        one.listen(Wall(), 5222)
        assert one.connect(5222).isOpen
        assert not other.connect(5222).isOpen


def test_the_end_can_come_twice() -> None:
    net = MemoryNetwork(max_connections=64)
    client = net.connect(net.listen(Wall()))
    net.close()
    net.close()
    log.err(Failure(ZeroDivisionError()))
    assert net.errors == []
    assert client.reason is not None


def test_trial_sees_to_errors_itself() -> None:
    """A test case of Twisted's own, with its clean-up and its flushLoggedErrors."""

    class Case(TestCase):
        def setUp(self) -> None:
            self.net = MemoryNetwork()
            self.addCleanup(self.net.close)

        def test_expected(self) -> None:
            self.net.connect(self.net.listen(Failing())).send(b"now")
            assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1  # type: ignore[no-untyped-call]

        def test_unexpected(self) -> None:
            self.net.connect(self.net.listen(Failing())).send(b"now")

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.testsRun == 2
    assert [case.id().rpartition(".")[2] for case, _ in result.errors] == ["test_unexpected"]


def test_a_client_tells_what_it_is(net: MemoryNetwork) -> None:
    client = net.connect(net.listen(Wall()), CLIENT_V4)
    client.send(b"hi")
    assert repr(client) == "<Client open, 2 bytes to take>"
    assert client.info().state == "ESTABLISHED"
    client.close()
    assert repr(client) == "<Client ended, 2 bytes to take>"
    assert repr(Client(net)) == "<Client ended, 0 bytes to take>"
