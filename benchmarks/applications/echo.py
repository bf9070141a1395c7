"""The ordinary way: a protocol and a transport for each connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol


class Echo(Protocol):
    """Sends back what it receives.

    What Twisted sets on a protocol has slots, so that there is no dictionary: an
    application for very many connections does so.
    """

    __slots__ = ("connected", "transport")

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """Answer at once."""
        self.transport.write(data)


class EchoFactory(Factory):
    """Makes an `Echo` for each connection."""

    protocol = Echo
    noisy = False
