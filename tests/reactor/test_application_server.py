"""An application server whose engine a reactor drives: its calls look, and never block (P25, P26)."""

from __future__ import annotations

import errno
import select

import pytest

from tests.reactor.world import HandReactor, Peer, World
from xtcp_twisted.api import PF_INET, SOCK_STREAM, ApplicationServer, xtcp_cd, xtcp_set
from xtcp_twisted.config import MiB
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor.reader import XTCPReader

pytestmark = pytest.mark.feature("P25", "P26")


def test_its_groups_are_served_by_the_reactor(world: World) -> None:
    """Request, data and a reset reach the application through its calls; the reactor does the rest."""
    server = ApplicationServer(world.engine, clock=lambda: world.now)
    assert server.xtcp_initialize(MiB) == 0
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 1_234)
    client = Peer(world, group=None, port=1_234, ip="198.51.100.7", sport=40_000, server="192.0.2.1")
    client.syn()
    world.turn()
    acceptgds = xtcp_set([gd])
    assert (server.xtcp_select(1, None, acceptgds, 0), list(acceptgds)) == (1, [gd])
    cd = server.xtcp_accept(gd)
    world.turn()
    client.expect("SA", seq=0, ack=1)
    client.ack()
    client.send(b"question")
    world.turn()
    assert select.select([gd], [], [], 0)[0] == [gd]
    place, buf = xtcp_cd(), bytearray(100)
    assert server.xtcp_recv(gd, place, buf) == 8
    assert server.xtcp_send(gd, cd, 8, b"answer") == 6
    world.turn()
    client.expect("A", ack=9, data=b"answer")
    client.rst()
    world.turn()
    assert server.xtcp_recv(gd, place, buf) == -errno.ECONNRESET
    assert place.value == cd
    server.close()


def test_a_call_that_would_block_is_refused(world: World) -> None:
    server = ApplicationServer(world.engine, clock=lambda: world.now)
    server.xtcp_initialize(MiB)
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 1_234)
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == -errno.EDEADLK
    assert "the reactor that drives this engine" in server.error
    assert server.xtcp_select(1, xtcp_set([gd]), None, None) == -errno.EDEADLK
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0
    server.close()


def test_one_reactor_drives_an_engine(world: World) -> None:
    second = XTCPReader(HandReactor(), world.engine, lambda reason: None)
    with pytest.raises(LocalError, match="drives it already"):
        second.attach()
    assert world.engine.driver is world.stack.reader
