"""A handshake of TLS that never ends is bounded by the protocol's own timeout, however it drips."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.protocols.policies import TimeoutMixin

from tests.reactor.test_tls import pytestmark, server_options  # noqa: F401  # the mark holds here, too
from tests.reactor.world import Recorder, World, factoryOf
from xtcp_twisted.reactor.port import Binding

#: Of a ClientHello of 512 bytes.
BEGINNING = bytes.fromhex("1603010200010001fc")


class Impatient(TimeoutMixin, Recorder):
    """Waits five seconds for data of its client's."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self.callLater = clock.callLater  # type: ignore[method-assign]

    def connectionMade(self) -> None:
        self.setTimeout(5)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()


def test_a_client_that_drips_its_hello(world: World) -> None:
    server = Impatient(world.reactor)
    port = world.stack.listenSSL(factoryOf(server), server_options(), Binding(port=443))
    client = world.client(port).opened()
    client.send(BEGINNING)
    for _ in range(4):
        client.send(b"\0")
        world.reactor.advance(1)
        world.turn()
    assert server.reasons == []
    assert "R" not in {flag for segment in client.take() for flag in segment.flags}
    world.reactor.advance(1)
    world.turns(2)
    assert "R" in client.take()[-1].flags
    assert [reason.type for reason in server.reasons] == [error.ConnectionLost]
    assert world.stack.connections == 0
