"""What tests of the patent's claims have in common."""

from __future__ import annotations

from support.worlds import REQUEST, World
from xtcp_twisted.config import MiB

ANSWER = b"Helsinki"
#: Under this policy nothing is acknowledged before the application says so, however long it takes.
DEFERRED = {"ack_policy": "application"}


def with_pool(world: World, size: int = 1 * MiB) -> World:
    """The application server has a pool."""
    assert world.server.xtcp_initialize(size) == 0
    return world


def speaks_tcp_with_clients(world: World) -> None:
    """Handshake, exchange and acknowledgements of a TCP that knows nothing of all this."""
    gd = world.open(7)
    end, cd = world.connect(gd)
    end.send(REQUEST)
    assert world.receive(gd) == (cd, REQUEST)
    assert world.server.xtcp_send(gd, cd, len(REQUEST), ANSWER) == len(ANSWER)
    world.until(lambda: end.readable)
    assert end.read() == ANSWER
    world.until(lambda: world.cached == 0)
    assert end.unacknowledged == 0
    assert world.counter("RetransSegs") == 0
