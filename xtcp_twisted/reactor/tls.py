"""TLS on a connection that exists, by Twisted's own TLS code: `ITLSTransport.startTLS`.

TLS becomes the transport's protocol, and the application's lies behind it; what the
application asks of its transport must then go through TLS, what TLS asks must not.
So the transport changes its class to a variant of it that has `Secured` in front, and
TLS gets `Beneath`.  Connections without TLS pay nothing for that, not a comparison.

`secured` puts TLS in front of a factory, for connections that begin with it.

Knows Twisted's TLS and the names of a transport's methods.  Imported when it is
needed only: pyOpenSSL is an extra.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import interfaces
from zope.interface import implementer

from xtcp_twisted.reactor.interfaces import IGroupProtocol

try:
    from twisted.protocols.tls import TLSMemoryBIOFactory
except ImportError as missing:
    raise ImportError("TLS takes pyOpenSSL, an extra: pip install 'xtcp_twisted[tls]'") from missing

if TYPE_CHECKING:
    from xtcp_twisted.reactor.transport import XTCPTransport

    _Transport = XTCPTransport
else:
    _Transport = object


def secured(factory: Any, contextFactory: Any, *, isClient: bool, clock: Any) -> TLSMemoryBIOFactory:
    """A factory whose protocols speak TLS before those of `factory` hear anything.

    :param contextFactory: as of `TLSMemoryBIOFactory`.
    :param isClient: whether it opens the connections.
    :param clock: the reactor.
    :raises TypeError: for a group protocol: it has none per connection that TLS could be put before.
    """
    if IGroupProtocol.providedBy(factory):
        raise TypeError(
            f"{factory!r} is a group protocol; TLS goes before the protocols of an ordinary factory only"
        )
    return TLSMemoryBIOFactory(contextFactory, isClient, factory, clock)


def start(transport: XTCPTransport, contextFactory: Any, normal: bool) -> None:
    """Let TLS lie between a transport and its protocol from now on.

    :param contextFactory: as of `TLSMemoryBIOFactory`.
    :param normal: whether the side that has opened the connection opens TLS, too.
    :raises RuntimeError: it does so already, or the connection has ended.
    """
    if not transport.connected:
        raise RuntimeError("the connection has ended: TLS cannot be started on it any more")
    if transport.TLS:
        raise RuntimeError("TLS has been started on this connection already")
    isClient = transport._tlsClientDefault is bool(normal)  # noqa: SLF001  # the name that Twisted gave it
    factory = TLSMemoryBIOFactory(contextFactory, isClient, None, transport.server.clock)  # type: ignore[arg-type]
    application = transport.protocol
    layer = factory.protocol(factory, application, False)
    raw = type(transport)
    beneath = Beneath(raw, transport)
    transport.__class__ = _variantOf(raw)  # type: ignore[arg-type]  # classes are hashable
    transport.protocol = layer
    try:
        layer.makeConnection(beneath)
    except BaseException:
        # Such a context factory makes no connection; the caller may go on without.
        transport.__class__, transport.protocol = raw, application
        raise
    if transport.producer is not None:
        _moveProducer(transport, beneath)


def _moveProducer(transport: XTCPTransport, beneath: Beneath) -> None:
    """The application's producer was the connection's; now it is that of TLS."""
    producer, streaming = transport.producer, bool(transport.streamingProducer)
    paused = bool(transport.producerPaused)
    beneath.unregisterProducer()
    transport.registerProducer(producer, streaming)
    if paused and transport.producer is not None:
        # TLS resumes only who was paused by itself.
        transport._pauseProducer()  # noqa: SLF001  # one transport in two files


@cache
def _variantOf(raw: type[XTCPTransport]) -> type[XTCPTransport]:
    """The class of transports of this class once they have TLS; with the same slots."""
    return type(raw.__name__, (Secured, raw), {"__slots__": (), "__doc__": raw.__doc__})


class Beneath:
    """What TLS has for a transport: the connection without TLS.

    :param raw: the class that the transport had.
    :param transport: the transport, whose class has `Secured` in front now.
    """

    __slots__ = ("_raw", "_transport")

    def __init__(self, raw: type[XTCPTransport], transport: XTCPTransport) -> None:
        self._raw: Final = raw
        self._transport: Final = transport

    def __getattr__(self, name: str) -> Any:
        """What TLS changes nothing about."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """As the connection's."""
        self._raw.write(self._transport, data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """As the connection's."""
        self._raw.write(self._transport, b"".join(iovec))

    def loseConnection(self) -> None:
        """As the connection's."""
        self._raw.loseConnection(self._transport)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As the connection's."""
        self._raw.registerProducer(self._transport, producer, streaming)

    def unregisterProducer(self) -> None:
        """As the connection's."""
        self._raw.unregisterProducer(self._transport)


@implementer(interfaces.ISSLTransport, interfaces.INegotiated)
class Secured(_Transport):
    """The methods of a transport that TLS changes; `protocol` is the TLS layer until the end."""

    __slots__ = ()

    TLS = True

    def write(self, data: bytes) -> None:
        """Encrypt data and queue it."""
        if self.protocol is not None:
            self.protocol.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Encrypt several pieces of data and queue them."""
        if self.protocol is not None:
            self.protocol.writeSequence(iovec)

    def loseConnection(self, _reason: object = None) -> None:
        """Close when all is written and no producer is left, TLS first."""
        if self.protocol is not None and not self.disconnecting:
            self.protocol.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let `producer` write; it is paused while too much is buffered here or in TLS."""
        if self.protocol is None:
            producer.stopProducing()
        else:
            self.protocol.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The producer is done; a close that waited for it goes on."""
        if self.protocol is not None:
            self.protocol.unregisterProducer()

    def getHandle(self) -> Any:
        """The pyOpenSSL's ``Connection``, which `twisted.internet.ssl` asks for certificates."""
        return super().getHandle() if self.protocol is None else self.protocol.getHandle()

    def getPeerCertificate(self) -> Any:
        """The peer's certificate; None if it has shown none, and when the connection has ended."""
        return None if self.protocol is None else self.protocol.getPeerCertificate()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What ALPN has agreed on; None for nothing, and when the connection has ended."""
        return None if self.protocol is None else self.protocol.negotiatedProtocol

    @property
    def application(self) -> Any:
        """The application's protocol, which the log names."""
        return None if self.protocol is None else self.protocol.wrappedProtocol
