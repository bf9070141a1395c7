"""The examples: echo both ways.  The chat has tests of its own, in tests/chat."""

from __future__ import annotations

import pytest
from twisted.internet.protocol import Factory

from examples.echo import Echo
from examples.plain_echo import PlainEcho
from tests.reactor.world import World

# -- echo ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [Echo, PlainEcho])
def test_echo(world: World, server: type) -> None:
    port = world.listen(Factory.forProtocol(PlainEcho) if server is PlainEcho else Echo())
    client = world.client(port).opened()
    world.turn()
    client.send(b"hello")
    world.turn()
    client.expect("A", ack=6, data=b"hello")
    client.ack()
    client.fin()
    world.turns(3)
    assert "F" in client.take()[-1].flags


def test_echo_stops_reading_from_who_does_not_read(world: World) -> None:
    """What it cannot send it does not take in either, and nothing is lost when reading goes on."""
    echo = Echo()
    client = world.client(world.listen(echo), window=2_000).opened()
    sent = b""
    edge = 62_000  # what the engine's window allows to send
    while client.seq + 1_400 <= edge:
        piece = b"%03d." % (len(sent) // 1_400) * 350
        client.send(piece, win=0)
        sent += piece
        world.turn()
        edge = max([edge] + [s.ack - client.iss + (s.window << 7) for s in client.take()])
    assert echo._rest
    assert len(sent) > 100_000  # it filled the transmit buffer's share and the receive buffer's
    for _ in range(200):
        client.ack()
        world.advance(0.01)
        acked = max([s.ack - client.iss for s in client.take()], default=client.seq)
        if acked < client.seq:  # the tail found no room: a real client sends it again
            client.send(sent[acked - 1 :][:1_400], seq=acked)
    assert client.received == sent
    assert not echo._rest
