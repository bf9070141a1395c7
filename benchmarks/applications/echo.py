"""The ordinary way: a protocol and a transport for each connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol


class Echo(Protocol):
    """Sends back what it receives."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """Answer at once."""
        self.transport.write(data)


class EchoFactory(Factory):
    """Makes an `Echo` for each connection."""

    protocol = Echo
    noisy = False
