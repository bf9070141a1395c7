"""Echo (RFC 862) as an ordinary Protocol: nothing in it knows of XTCP.

The same class serves kernel TCP: ``reactor.listenTCP(7, Factory.forProtocol(PlainEcho))``.
"""

from __future__ import annotations

from twisted.internet.protocol import Protocol


class PlainEcho(Protocol):
    """Sends everything back."""

    def connectionMade(self) -> None:
        """Read from the client only while it reads from us."""
        assert self.transport is not None
        self.transport.registerProducer(self.transport, True)  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        """The acknowledgement rides on the answer."""
        assert self.transport is not None
        self.transport.write(data)
