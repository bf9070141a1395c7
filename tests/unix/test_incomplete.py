"""Incomplete requests through a Unix socket: `consume`, the end of the stream, framings."""

from __future__ import annotations

import socket

import pytest
from twisted.internet import defer

from tests.reactor.test_frames import Upper
from tests.reactor.test_requests import Waits
from tests.unix.conftest import World, got
from tests.unix.test_reactor import Local, local
from xtcp_twisted.config import KiB
from xtcp_twisted.errors import NotAcknowledgeable

pytestmark = pytest.mark.feature("P31")

#: A fixture of these tests, too.
__all__ = ["local"]


def test_consume_is_send_and_need_at_once(world: World) -> None:
    group = world.group()
    one, first = world.connected(group)
    two, second = world.connected(group)
    world.asked(one, b"whole")
    world.asked(two, b"whole, part")
    assert len(group.recv_batch(10)) == 2
    assert group.consume([(first, 5, 0), (77, 1, 1), (second, 7, 8)]) == []
    assert (group.info(first).held, group.info(second).held) == (0, 4)
    assert group.recv(100) is None
    world.asked(two, b" two")
    assert group.recv(100) == (second, b"part two")
    with pytest.raises(NotAcknowledgeable, match="8 bytes were delivered"):
        group.consume([(second, 9, 0)])
    assert group.consume([(second, 8, 1 << 30)]) == [second]


@pytest.mark.parametrize("call", ["need", "consume"])
def test_what_was_incomplete_at_the_end_is_offered_once(world: World, call: str) -> None:
    group = world.group()
    client, cd = world.connected(group)
    world.asked(client, b"half")
    assert group.recv(100) == (cd, b"half")
    group.need(cd, 5)
    client.send(b"!")
    client.shutdown(socket.SHUT_WR)
    world.net.turn()
    assert group.recv(100) == (cd, b"half!")
    if call == "need":
        group.need(cd, 6)
    else:
        group.consume([(cd, 0, 6)])
    assert group.recv(100) == (cd, b"")
    assert group.recv(100) is None


def test_what_is_guaranteed_may_be_needed_of_a_small_pool(world: World) -> None:
    group = world.group(pool=world.net.engine.create_pool(64 * KiB), guaranteed_bytes=32 * KiB)
    _, cd = world.connected(group)
    group.need(cd, 32 * KiB)
    assert group.consume([(cd, 0, 32 * KiB + 1)]) == [cd]


def test_a_broadcast_may_leave_some_out(world: World) -> None:
    group = world.group()
    one, first = world.connected(group)
    two, _ = world.connected(group)
    assert group.broadcast(b"x", but={first}) == 1
    world.net.flush()
    assert (got(one), got(two)) == (None, b"x")


def test_lines_in_pieces(local: Local) -> None:
    protocol = Upper()
    local.listen(protocol)
    client = local.client()
    for piece in (b"on", b"e\ntwo\nth", b"ree", b"\nfour"):
        client.send(piece)
        local.turn()
    assert got(client) == b"ONE\nTWO\nTHREE\n"
    client.shutdown(socket.SHUT_WR)
    for _ in range(3):
        local.turn()
    assert got(client) == b""
    assert protocol.lines == [b"one", b"two", b"three"]


def test_requests_sent_ahead_stay_in_the_kernel(local: Local) -> None:
    protocol = Waits()
    local.listen(protocol)
    client = local.client()
    client.send(b"ask\nask\nnow\n")
    local.turn()
    for i in range(2):
        assert len(protocol.waiting) == i + 1
        awaited: defer.Deferred[bytes] = protocol.waiting[i]
        awaited.callback(b"%d" % i)
        local.turn()
        local.turn()
    assert got(client) == b"0\n1\nNOW\n"
