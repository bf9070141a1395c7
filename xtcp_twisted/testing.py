"""For tests of your own protocols: a server's stack and its clients in one process, on virtual time.

No device, no right and no other process is needed, and nothing waits::

    with MemoryNetwork() as net:
        port = net.listen(Board())
        ada, bob = net.connect(port), net.connect(port)
        ada.send(b"hello\\n")
        assert bob.take() == b"hello\\n"
        net.advance(60)

Both ends are real: each is an `XTCPStack` with an engine of its own, their packets go from one
`MemoryLink` to the other, and a client acknowledges, retransmits and closes its window as a kernel's
TCP does.  The reactor is turned by hand, so a test is the same each time it runs.

It goes with any runner.  As a context manager it also raises what the protocols have logged as errors;
under trial, which sees to that itself, use `MemoryNetwork.close`::

    def setUp(self):
        self.net = MemoryNetwork()
        self.addCleanup(self.net.close)

What goes on elsewhere is not waited for: threads (`deferToThread`, adbapi), other descriptors of a
reactor, names to be looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from twisted.internet import defer, task
from twisted.internet.base import DelayedCall
from twisted.internet.protocol import Factory, Protocol
from twisted.python import log
from twisted.python.failure import Failure

from xtcp_twisted.config import EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine.snapshot import ConnectionInfo
from xtcp_twisted.errors import LocalError
from xtcp_twisted.link import MemoryLink
from xtcp_twisted.reactor.port import Binding, ListeningGroup
from xtcp_twisted.reactor.stack import DEFAULT, XTCPStack

__all__ = ["CLIENT_V4", "CLIENT_V6", "SERVER_V4", "SERVER_V6", "Client", "HandReactor", "MemoryNetwork"]

#: The server's addresses, of the ranges for documentation.
SERVER_V4: Final = "192.0.2.1"
SERVER_V6: Final = "2001:db8::1"
#: Where clients come from unless a test says otherwise; see `MemoryNetwork.connect`.
CLIENT_V4: Final = "198.51.100.1"
CLIENT_V6: Final = "2001:db8:c::1"

_CLIENTS: Final = ("198.51.100.0/24", "2001:db8:c::/64")
#: A time with room on both sides: the clock begins here, seconds.
_START: Final = 1_000.0
#: Turns at one instant after which whatever asks for more is called broken.
_MANY_TURNS: Final = 100_000
#: What sums of times may be wrong by, seconds; engines count microseconds.
_ROUNDING: Final = 1e-9

#: Of both engines, where a test does not say otherwise.
_CONFIG: Final[dict[str, Any]] = {
    "max_connections": 1_024,
    "max_half_open": 1_024,
    "max_time_wait": 1_024,
    "transmit_buffer": 4 * MiB,
    "arena_limit": 256 * MiB,
}
_OPTIONS: Final = GroupOptions()
#: As kernels do.
_CLIENT_OPTIONS: Final = GroupOptions(ack_policy="immediate", nagle=False)


class HandReactor(task.Clock):
    """As much of a reactor as stacks need, which does nothing by itself.

    One `turn` is what every reactor of Twisted does in one pass: delayed calls that are due, then
    descriptors.  Time is that of `twisted.internet.task.Clock`, so it is a clock for `callLater`,
    `LoopingCall` and timeouts, too.

    :ivar readers: what is read in each turn.
    :ivar triggers: what `reactor.stop` would call, ``(phase, f, args)``.
    """

    running = True

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self._internalReaders: set[Any] = set()
        self.triggers: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = []

    def _addInternalReader(self, reader: Any) -> None:
        self._internalReaders.add(reader)
        self.addReader(reader)

    def addReader(self, reader: Any) -> None:
        """Read from this `IReadDescriptor`, called `reader`, in each turn."""
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        """Read no more from `reader`."""
        if reader in self.readers:
            self.readers.remove(reader)

    def callFromThread(self, f: Callable[..., Any], *args: Any) -> None:
        """Call ``f(*args)`` in the next turn."""
        self.callLater(0, f, *args)

    def addSystemEventTrigger(self, phase: str, event: str, f: Callable[..., Any], *args: Any) -> Any:
        """Keep a trigger for `fireShutdown`.

        :param phase: "before" or "during"; there is no other here.
        :param event: "shutdown".
        :param f: called with `args`.
        :return: for `removeSystemEventTrigger`.
        """
        assert phase in ("before", "during") and event == "shutdown"
        self.triggers.append((phase, f, args))
        return self.triggers[-1]

    def removeSystemEventTrigger(self, trigger: Any) -> None:
        """Forget `trigger`, which `addSystemEventTrigger` has returned."""
        self.triggers.remove(trigger)

    def fireShutdown(self) -> None:
        """What `reactor.stop` makes happen; what is "during" follows when all that came before is done."""
        before = [defer.maybeDeferred(f, *args) for phase, f, args in self.triggers if phase == "before"]
        defer.DeferredList(before).addCallback(lambda _: self._fireDuring())

    def _fireDuring(self) -> None:
        for phase, f, args in list(self.triggers):
            if phase == "during":
                f(*args)

    def turn(self) -> None:
        """One pass: delayed calls that are due when it begins, then every reader."""
        waiting: list[Any] = self.calls
        now = self.seconds()
        for call in sorted((call for call in waiting if call.getTime() <= now), key=DelayedCall.getTime):
            if call.active():
                waiting.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        for reader in list(self.readers):
            reader.doRead()

    def nextCall(self) -> float | None:
        """When the next delayed call is due, on this clock; None without any."""
        return min((call.getTime() for call in self.getDelayedCalls()), default=None)


class Client(Protocol):
    """A client that a test lets speak, from `MemoryNetwork.connect`; what it hears is kept.

    Each of its verbs is followed by as many turns as it takes until nothing moves any more.

    :ivar received: all that it has heard and `take` has not given, bytes.
    :ivar reason: why the connection ended, a `Failure` as of any Twisted protocol; None while it lasts.
    """

    transport: Any

    def __init__(self, net: MemoryNetwork) -> None:
        self._net = net
        self.received = b""
        self.reason: Failure | None = None

    def __repr__(self) -> str:
        return f"<Client {'open' if self.isOpen else 'ended'}, {len(self.received)} bytes to take>"

    # -- what a test says ------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send `data`, bytes."""
        self.transport.write(data)
        self._net.settle()

    def take(self) -> bytes:
        """What was received since the last `take`."""
        taken, self.received = self.received, b""
        return taken

    def pause(self) -> None:
        """Read no more: the window closes as it fills, and the server has to wait."""
        self.transport.pauseProducing()
        self._net.settle()

    def resume(self) -> None:
        """Read again."""
        self.transport.resumeProducing()
        self._net.settle()

    def finish(self) -> None:
        """Send no more, and go on reading: a half-close by FIN."""
        self.transport.loseWriteConnection()
        self._net.settle()

    def close(self) -> None:
        """Close in order, when all is sent."""
        self.transport.loseConnection()
        self._net.settle()

    def abort(self) -> None:
        """Close by reset, as the kernel of a program does that was killed with data unread."""
        self.transport.abortConnection()
        self._net.settle()

    # -- what a test sees ------------------------------------------------------------

    @property
    def isOpen(self) -> bool:
        """Whether the connection is established, or was half-closed."""
        return self.transport is not None and self.reason is None

    @property
    def unacknowledged(self) -> int:
        """Bytes that it has sent, or wants to, and that the server has not acknowledged.

        That is what a client's kernel still holds (SIOCOUTQ), and what is not lost with the server.

        :raises StaleConnection: the connection has ended.
        """
        info = self.info()
        return max((info.snd_lbb - info.snd_una + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000, 0)

    @property
    def address(self) -> tuple[str, int]:
        """Its own ``(host, port)``, which the server sees as its peer's."""
        host = self.transport.getHost()
        return host.host, host.port

    def info(self) -> ConnectionInfo:
        """The details of its end of the TCP connection.

        :raises StaleConnection: the connection has ended.
        """
        info: ConnectionInfo = self.transport.info()
        return info

    # -- what its transport calls ----------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Keep `data`."""
        self.received += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Keep the `reason`."""
        self.reason = reason


class _Clients(Factory):
    """Builds one client, and tells it when nothing comes of it."""

    noisy = False

    def __init__(self, client: Client) -> None:
        self._client = client

    def buildProtocol(self, addr: Any) -> Client:
        return self._client

    def startedConnecting(self, connector: Any) -> None:
        pass

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._client.reason = reason

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        pass


class MemoryNetwork:
    """A server's stack, its clients', and the wire between them.

    :param receive_buffer: size of the server's connection pool, bytes.
    :param config: fields of the server's `EngineConfig` that shall differ from a small one.
    :ivar server: the `XTCPStack` that serves; it is found by endpoint strings (`xtcp:5222`) as well.
    :ivar clients: the `XTCPStack` of the clients, for a `XTCPClientEndpoint` with a protocol of yours.
    :ivar reactor: the `HandReactor` of both, a clock for whatever takes one.
    :ivar errors: failures that were logged and that `take_errors` has not taken.
    """

    def __init__(self, *, receive_buffer: int = 4 * MiB, **config: Any) -> None:
        self.reactor = HandReactor()
        self.reactor.rightNow = _START
        self.errors: list[Failure] = []
        self._wires = MemoryLink(), MemoryLink()
        self._whole = True
        serving = {"addresses": (SERVER_V4, SERVER_V6)} | _CONFIG | config
        self.server = self._stack(self._wires[0], serving, receive_buffer, DEFAULT)
        self.clients = self._stack(self._wires[1], {"addresses": _CLIENTS} | _CONFIG, 16 * MiB, "clients")
        self._observes = True
        log.addObserver(self._observe)

    def _stack(self, wire: MemoryLink, config: dict[str, Any], receive_buffer: int, name: str) -> XTCPStack:
        engine = EngineConfig(**config)
        stack = XTCPStack(self.reactor, wire, engine, name=name, clock=self.reactor.seconds)
        stack.createPool("main", receive_buffer)
        stack.start()
        return stack

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; raise the first error that was logged, unless the test fails anyway."""
        self.close()
        if error is None and self.errors:
            self.errors[0].raiseException()

    def close(self) -> None:
        """End both stacks; may be called twice."""
        for stack in (self.clients, self.server):
            stack.stop()
        if self._observes:
            self._observes = False
            log.removeObserver(self._observe)

    # -- servers and clients ---------------------------------------------------------

    def listen(
        self, factory: Any, port: int = 0, *, share: bool = False, options: GroupOptions = _OPTIONS
    ) -> ListeningGroup:
        """Serve a port, as `XTCPServerEndpoint.listen` does.

        :param factory: a group protocol, or an ordinary factory.
        :param port: 0 takes a free one.
        :param share: other groups that say so may have the same port.
        :param options: of the group.
        :return: the `IListeningPort`.
        :raises CannotListenError: the port is taken.
        """
        return self.server.listen(factory, Binding(port=port, share=share, options=options))

    def connect(self, port: ListeningGroup | int, host: str = CLIENT_V4) -> Client:
        """Connect a client.

        :param port: what `listen` has returned, or the number of a port.
        :param host: the client's address: in 198.51.100.0/24, or in 2001:db8:c::/64 for IPv6.
        :return: the client.  Look at `Client.isOpen`, and at `Client.reason` if it was refused; a server
            that decides later, or has no room, leaves it neither.
        """
        number = port if isinstance(port, int) else port.getHost().port  # type: ignore[union-attr]
        client = Client(self)
        server = SERVER_V6 if ":" in host else SERVER_V4
        self.clients.connect(server, number, _Clients(client), None, (host, 0), options=_CLIENT_OPTIONS)
        self.settle()
        return client

    # -- the wire --------------------------------------------------------------------

    def cut(self) -> None:
        """Lose all packets from now on, both ways, as when a machine or the way to it is gone."""
        self._whole = False

    def mend(self) -> None:
        """Carry packets again; what was lost is sent again in its time (`advance`)."""
        self._whole = True

    def _carry(self) -> None:
        """Bring each end what the other has sent."""
        for here, there in (self._wires, self._wires[::-1]):
            for _, packet in here.take():
                if self._whole and there.fileno() >= 0:
                    there.deliver(packet)

    # -- time ------------------------------------------------------------------------

    def settle(self) -> None:
        """Turn the reactor until nothing moves any more; no time passes.

        :raises LocalError: there is no end of it, as of something that calls ``callLater(0)`` for ever.
        """
        for _ in range(_MANY_TURNS):
            self.reactor.turn()
            self._carry()
            due = self._due()
            if due is None or due > self.reactor.seconds():
                return
        raise LocalError(
            f"something asks for turns without an end at {self.reactor.seconds() - _START:g} s; look for a"
            " callLater(0) or a LoopingCall(0) that begins itself anew"
        )

    def advance(self, seconds: float) -> None:
        """Let time pass, for both engines and for delayed calls, each at its time.

        :param seconds: how long.
        """
        self.settle()
        end = round(self.reactor.seconds() + seconds, 6)
        while (due := self._due()) is not None and due <= end + _ROUNDING:
            self._move(due)
        self._move(end)

    def _move(self, time: float) -> None:
        self.reactor.rightNow = max(time, self.reactor.rightNow)
        self.settle()

    def _due(self) -> float | None:
        """When a turn is wanted."""
        times = [self.reactor.nextCall()]
        for stack, wire in zip((self.server, self.clients), self._wires, strict=True):
            if not stack.stopped:
                waits = wire.pending or stack.reader.wanted
                times.append(self.reactor.seconds() if waits else stack.engine.poll_at())
        return min((time for time in times if time is not None), default=None)

    # -- errors ----------------------------------------------------------------------

    def take_errors(self, kind: type[BaseException] = BaseException) -> list[BaseException]:
        """Take away the errors of this `kind` that were logged, as trial's `flushLoggedErrors`."""
        taken = [failure for failure in self.errors if isinstance(failure.value, kind)]
        self.errors = [failure for failure in self.errors if failure not in taken]
        return [failure.value for failure in taken if failure.value is not None]

    def _observe(self, event: dict[str, Any]) -> None:
        if event.get("isError") and "failure" in event:
            self.errors.append(event["failure"])
