"""What a transport shows of itself: states, addresses, options, names.

Nothing here changes a connection.  It is a class of its own so that `transport`
holds the behaviour only; both work on one integer of flags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet import interfaces
from twisted.internet.address import IPv4Address, IPv6Address

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.engine.numbers import Numbers
from xtcp_twisted.engine.snapshot import ConnectionInfo
from xtcp_twisted.engine.surface import ConnectionGroup
from xtcp_twisted.reactor.addresses import toTwisted
from xtcp_twisted.reactor.backlog import Backlog
from xtcp_twisted.reactor.handle import Handle

#: What `_flags` is made of: 16 bits.
CONNECTED: Final = 1
DISCONNECTED: Final = 1 << 1
DISCONNECTING: Final = 1 << 2
WRITE_DISCONNECTING: Final = 1 << 3
WRITE_DISCONNECTED: Final = 1 << 4
READING: Final = 1 << 5
FRESH: Final = 1 << 6  # connectionMade was called in this turn: deliver nothing yet
STREAMING: Final = 1 << 7
PRODUCER_PAUSED: Final = 1 << 8
ABORTING: Final = 1 << 9
STEPPING: Final = 1 << 10  # a step is put off to the next turn
ENDED: Final = 1 << 11  # the engine has no such connection any more
DRAINING: Final = 1 << 12  # a drain of `_kept` is put off to the next turn
NODELAY: Final = 1 << 13
KEEPALIVE: Final = 1 << 14
YOUNG: Final = 1 << 15  # of a connection that we opened: FRESH, or a step was asked for while it was


class Owner(Protocol):
    """What a transport needs of the port that accepted it."""

    group: ConnectionGroup

    @property
    def clock(self) -> Any: ...

    def later(self, f: Callable[..., None], *args: Any) -> None: ...

    def again(self) -> None: ...

    def forget(self, transport: Any) -> None: ...


def flagsOf(options: GroupOptions) -> int:
    """What a new transport has of its group's options."""
    return (0 if options.nagle else NODELAY) | (KEEPALIVE if options.keepalive_s else 0)


def _flag(bit: int) -> Any:
    """A read-only view of one bit; 0 or 1, as Twisted's transports have it."""
    return property(lambda self: 1 if self._flags & bit else 0)


class TransportSurface(Numbers):
    """The part of `XTCPTransport` that only looks."""

    __slots__ = ("_host", "_out", "protocol", "server")

    server: Owner
    protocol: Any
    _host: IPv4Address | IPv6Address
    _out: Backlog | None
    _kept: list[Any] | None
    producer: Any

    TLS = False

    connected = _flag(CONNECTED)
    disconnected = _flag(DISCONNECTED)
    disconnecting = _flag(DISCONNECTING)
    reading = _flag(READING)
    streamingProducer = _flag(STREAMING)
    producerPaused = _flag(PRODUCER_PAUSED)
    # Looked at by applications and by Twisted's own tests, private or not.
    _writeDisconnected = _flag(WRITE_DISCONNECTED)

    @property
    def writing(self) -> bool:
        """Whether something has yet to leave, or to be done when all has left."""
        return not self._flags & DISCONNECTED and (self._out is not None or bool(self._flags & STEPPING))

    @property
    def _tempDataBuffer(self) -> Any:
        return () if self._out is None else self._out.chunks

    @property
    def group(self) -> ConnectionGroup:
        """The engine's group of this connection."""
        return self.server.group

    def info(self) -> ConnectionInfo:
        """The details of its TCP at this moment.

        :raises StaleConnection: the connection has ended.
        """
        return self.server.group.info(self.cd)

    @property
    def application(self) -> Any:
        """The application's protocol, which the log names; None when the connection has ended."""
        return self.protocol

    @property
    def reactor(self) -> Any:
        """The reactor that drives the stack."""
        return self.server.clock

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    @property
    def quiet(self) -> bool:
        """Nothing waits to be written, delivered or closed, and nobody produces."""
        waits = self._out is not None or self.producer is not None or self._kept is not None
        return not (waits or self._flags & (DISCONNECTING | WRITE_DISCONNECTING | DISCONNECTED | ABORTING))

    # -- addresses -----------------------------------------------------------------

    def getHost(self) -> IPv4Address | IPv6Address:
        """The local address; also after the connection has ended."""
        return self._host

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The peer's address; also after the connection has ended."""
        return toTwisted(self._peer)

    @property
    def client(self) -> tuple[str, int]:
        """The peer's ``(host, port)``."""
        return self._peer

    @property
    def hostname(self) -> str:
        """The peer's host."""
        return self._peer[0]

    def getHandle(self) -> Handle:
        """An object with the few methods of a socket that applications reach for."""
        return Handle(self)

    def logPrefix(self) -> str:
        """Protocol, session and host, as Twisted's server transports have it."""
        protocol = self.application
        if interfaces.ILoggingContext.providedBy(protocol):
            name = protocol.logPrefix()
        else:
            name = type(protocol).__name__
        return f"{name},{self.sessionno},{self.hostname}"

    logstr = property(logPrefix)

    def __repr__(self) -> str:
        return f"<{type(self.application).__name__} #{self.sessionno} on {self._host.port}>"
