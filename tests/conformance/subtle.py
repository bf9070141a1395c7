"""What unmodified applications rely on and Twisted's own tests of transports do not hold fast.

It passes over Twisted's own TCP (`test_subtle` runs it there, too): it is what Twisted
does, not what is written about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conformance.groups import Builder
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

#: The most that one `dataReceived` of Twisted's gets, and that does not pause a producer.
BUFFER = 65_536
#: More than the buffers of both sides hold.
TOO_MUCH = 40_000_000


class Side(Protocol):
    """One end of a connection; tests set what it does."""

    transport: Any

    def __init__(self) -> None:
        self.made: Callable[[Any], object] = lambda transport: None
        self.got: Callable[[Any], object] = lambda transport: None
        self.lost: Callable[[Any], object] = lambda transport: None
        self.chunks: list[bytes] = []
        self.reasons: list[Failure] = []
        self.over: Deferred[None] = Deferred()

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def connectionMade(self) -> None:
        self.made(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.chunks.append(data)
        self.got(self.transport)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reasons.append(reason)
        try:
            self.lost(self.transport)
        finally:
            self.over.callback(None)


class Producer:
    """Notes what it is told."""

    def __init__(self, resumed: Callable[[], object] = lambda: None) -> None:
        self.calls: list[str] = []
        self._resumed = resumed

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self._resumed()

    def stopProducing(self) -> None:
        self.calls.append("stop")


def write(data: bytes) -> Callable[[Any], None]:
    return lambda transport: transport.write(data)


def lose(transport: Any) -> None:
    transport.loseConnection()


def fail(transport: Any) -> None:
    raise ZeroDivisionError


class Subtle(Builder):
    """What happens when; what ends how."""

    def setUp(self) -> None:
        super().setUp()
        self.server, self.client = Side(), Side()
        self.reactor: Any = None
        self.port: Any = None

    def built(self) -> Any:
        """The reactor, for tests that need it before `talk`."""
        if self.reactor is None:
            self.reactor = self.buildReactor()
        return self.reactor

    def talk(self, until: Deferred[Any] | None = None) -> None:
        """Connect client and server; return when `until` fires, or when both sides are lost."""
        reactor = self.built()
        serving, calling = Factory(), ClientFactory()
        for factory, side in ((serving, self.server), (calling, self.client)):
            factory.noisy = False
            factory.buildProtocol = lambda _, side=side: side  # type: ignore[method-assign, misc]
        self.port = self.stack.listen(reactor, serving)
        if until is None:
            until = self.server.over
            until.addCallback(lambda _: self.client.over)
        until.addCallback(lambda _: reactor.stop())
        self.stack.connect(reactor, calling, self.port.getHost().port)
        self.runReactor(reactor, timeout=self.timeout)

    def ordered(self) -> None:
        """Skip on a reactor that promises no order of delayed calls and events."""
        if "Asyncio" in type(self).__name__:
            raise SkipTest("the asyncio reactor does not order these, with sockets either")

    # -- what happens when ---------------------------------------------------------------

    def test_noDataInTheTurnOfConnectionMade(self) -> None:
        """A delayed call of connectionMade runs before dataReceived, though the data are there already."""
        self.ordered()
        order: list[str] = []
        self.server.made = lambda transport: (transport.write(b"hello"), transport.loseConnection())
        self.client.made = lambda _: self.built().callLater(0, order.append, "callLater")
        self.client.got = lambda _: order.append("data")
        self.talk()
        assert order == ["callLater", "data"]

    def test_delayedCallBeforeConnectionLost(self) -> None:
        """So does one that is made beside loseConnection; twisted.protocols.ftp needs that."""
        self.ordered()
        order: list[str] = []
        self.client.made = write(b"x")

        def got(transport: Any) -> None:
            transport.loseConnection()
            self.built().callLater(0, order.append, "callLater")

        self.server.got = got
        self.server.lost = lambda _: order.append("lost")
        self.talk()
        assert order == ["callLater", "lost"]

    def test_connectionLostComesLater(self) -> None:
        """Not within the call that ends the connection."""
        within: list[str] = []
        seen: list[list[str]] = []

        def got(transport: Any) -> None:
            within.append("got")
            transport.loseConnection()
            transport.abortConnection()
            assert self.server.reasons == []
            within.pop()

        self.client.made = write(b"x")
        self.server.got = got
        self.server.lost = lambda _: seen.append(list(within))
        self.talk()
        assert seen == [[]]
        assert len(self.server.reasons) == 1
        self.server.reasons[0].trap(error.ConnectionAborted)
        self.client.reasons[0].trap(error.ConnectionLost)

    # -- reading ---------------------------------------------------------------------------

    def test_loseConnectionStopsDelivery(self) -> None:
        """Nothing is delivered after it, although more has come."""
        self.client.made = write(b"a" * 500_000)
        self.server.got = lose
        self.talk()
        assert len(self.server.chunks) == 1
        assert len(self.server.data) <= BUFFER

    def test_pauseStopsDelivery(self) -> None:
        """Who pauses in dataReceived gets one of them for each resumeProducing."""
        paused: list[bool] = []
        self.client.made = lambda transport: (transport.write(b"a" * 300_000), transport.loseConnection())

        def resume(transport: Any) -> None:
            paused.clear()
            transport.resumeProducing()

        def got(transport: Any) -> None:
            assert paused == []
            transport.pauseProducing()
            paused.append(True)
            self.built().callLater(0.001, resume, transport)

        self.server.got = got
        self.talk()
        assert self.server.data == b"a" * 300000

    # -- writing ---------------------------------------------------------------------------

    def test_writeAfterLoseConnectionIsSent(self) -> None:
        """As long as something before it has not left."""

        def made(transport: Any) -> None:
            transport.write(b"one ")
            transport.loseConnection()
            transport.write(b"two")

        self.client.made = made
        self.talk()
        assert self.server.data == b"one two"
        for side in (self.server, self.client):
            side.reasons[0].trap(error.ConnectionDone)

    def test_onlyBytesAreWritten(self) -> None:
        def made(transport: Any) -> None:
            for bad in ("text", bytearray(b"x"), memoryview(b"x"), None, 1):
                with pytest.raises(TypeError):
                    transport.write(bad)
            transport.loseConnection()

        self.client.made = made
        self.talk()
        assert self.server.data == b""

    def test_producerStates(self) -> None:
        """Paused by more than the buffer, told to go on to balance that, stopped when it comes too late."""
        producer, late = Producer(lambda: done(self.client.transport)), Producer()

        def done(transport: Any) -> None:
            transport.unregisterProducer()
            transport.loseConnection()

        def made(transport: Any) -> None:
            transport.registerProducer(producer, True)
            with pytest.raises(RuntimeError):
                transport.registerProducer(late, True)
            transport.write(b"x" * BUFFER)
            assert producer.calls == []
            transport.write(b"x")
            assert producer.calls == ["pause"]

        self.client.made = made
        self.talk()
        assert producer.calls == ["pause", "resume"]
        assert len(self.server.data) == BUFFER + 1
        self.client.transport.registerProducer(late, True)
        assert late.calls == ["stop"]

    # -- ends ------------------------------------------------------------------------------

    def test_peerInConnectionLost(self) -> None:
        """Applications log it there."""
        peers: list[Any] = []
        ports: list[int] = []

        def made(transport: Any) -> None:
            ports.append(transport.getHost().port)
            transport.loseConnection()

        self.server.made = made
        for side in (self.server, self.client):
            side.lost = lambda transport: peers.append(transport.getPeer())
        self.talk()
        assert len(peers) == 2
        assert ports[0] in [peer.port for peer in peers]

    def test_connectionLostComesOnce(self) -> None:
        """Whatever is done in it."""

        def lost(transport: Any) -> None:
            transport.write(b"x")
            transport.loseConnection()
            transport.abortConnection()

        self.server.made = lose
        self.server.lost = self.client.lost = lost
        self.talk()
        assert (len(self.server.reasons), len(self.client.reasons)) == (1, 1)

    def test_failingDataReceived(self) -> None:
        self.client.made = write(b"x")
        self.server.got = fail
        self.talk()
        self.server.reasons[0].trap(ZeroDivisionError)
        self.client.reasons[0].trap(error.ConnectionClosed)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_failingConnectionMadeOfAServer(self) -> None:
        """Is logged; the connection goes on."""
        self.server.made = fail
        self.client.made = write(b"x")
        self.server.got = lose
        self.talk()
        assert self.server.data == b"x"
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_failingConnectionLost(self) -> None:
        self.server.made = lose
        self.client.lost = fail
        self.talk()
        assert len(self.client.reasons) == 1
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_endOfStreamDiscardsWhatIsUnsent(self) -> None:
        """With a protocol that does not know of half-closed connections."""

        def made(transport: Any) -> None:
            transport.pauseProducing()
            self.built().callLater(0.05, transport.loseWriteConnection)
            self.built().callLater(0.1, transport.resumeProducing)

        self.client.made = made
        self.server.made = write(b"x" * TOO_MUCH)
        self.talk()
        self.server.reasons[0].trap(error.ConnectionDone)
        assert len(self.client.data) < TOO_MUCH

    def test_shutdownIsToldToConnections(self) -> None:
        until: Deferred[Any] = Deferred()
        self.server.made = write(b"x")
        self.client.got = until.callback
        self.talk(until)
        for side in (self.server, self.client):
            assert len(side.reasons) == 1
            side.reasons[0].trap(error.ConnectionLost)

    # -- ports -----------------------------------------------------------------------------

    def test_connectionsOutliveTheirPort(self) -> None:
        self.server.made = lambda transport: self.port.stopListening().addCallback(
            lambda _: transport.write(b"still here")
        )
        self.client.got = lose
        self.talk()
        assert self.client.data == b"still here"

    def test_portThatHasStoppedRefuses(self) -> None:
        reactor = self.built()
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        port = self.stack.listen(reactor, factory)
        number = port.getHost().port
        reasons: list[Failure] = []

        class Refused(ClientFactory):
            noisy = False

            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                reasons.append(reason)
                reactor.stop()

        def stop() -> None:
            port.stopListening().addCallback(lambda _: self.stack.connect(reactor, Refused(), number))

        reactor.callWhenRunning(stop)
        self.runReactor(reactor, timeout=self.timeout)
        assert [reason.type for reason in reasons] == [error.ConnectionRefusedError]
