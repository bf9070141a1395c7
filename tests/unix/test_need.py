"""Requests longer than what a kernel lets a client have under way: `need` at a Unix socket (P18, P31)."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from tests.unix.conftest import World
from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.unix_group import UnixGroup
from xtcp_twisted.errors import LocalError

pytestmark = pytest.mark.feature("P31")


def begun(world: World, group: UnixGroup) -> tuple[socket.socket, int]:
    """A client whose kernel lets it have little under way."""
    client, cd = world.connected(group)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
    return client, cd


def trickle(client: socket.socket, data: bytes) -> Iterator[int]:
    """Send as its kernel lets it; yields how much that is so far."""
    sent = 0
    while True:
        try:
            sent += client.send(data[sent:])
        except BlockingIOError:
            pass
        except OSError:
            return
        yield sent


class TestNeed:
    """A request may be longer than what the kernel lets a client have under way."""

    def test_it_is_offered_when_complete(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        world.asked(client, b"abc")
        assert group.recv(100) == (cd, b"abc")
        group.need(cd, 6)
        world.asked(client, b"de")
        assert group.recv(100) is None
        world.asked(client, b"fgh")
        assert group.recv(100) == (cd, b"abcdefgh")
        group.send(cd, b"", ackd=4)
        assert group.recv(100) == (cd, b"efgh")
        group.send(cd, b"", ackd=4)
        assert world.net.receive_used == 0

    def test_an_end_completes_it(self, world: World) -> None:
        group = world.group()
        client, cd = world.connected(group)
        world.asked(client, b"abc")
        group.recv(100)
        group.need(cd, 100)
        client.shutdown(socket.SHUT_WR)
        world.net.turn()
        assert group.recv(100) == (cd, b"abc")
        assert group.recv(100) == (cd, b"")

    @pytest.mark.feature("P12", "P27")
    def test_a_client_with_a_small_buffer_can_send_a_long_request(self, world: World) -> None:
        """What has come is taken into the pool's receive buffer, and counted there."""
        group = world.group(weight=16)
        client, cd = world.connected(group)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
        request = os.urandom(60_000)
        sent = client.send(request)
        assert sent < 20_000
        world.net.turn()
        group.recv(1)
        group.need(cd, len(request))
        while sent < len(request):
            sent += client.send(request[sent:])
            world.net.turn()
        assert world.net.receive_used > 40_000
        assert world.net.engine.snapshot().pools[0].groups[0].held == world.net.receive_used
        assert group.recv(100_000) == (cd, request)
        group.send(cd, b"", ackd=ALL)
        assert world.net.receive_used == 0

    @pytest.mark.feature("P27")
    def test_it_goes_on_when_others_have_made_room(self, world: World) -> None:
        pool = world.net.engine.create_pool(65_536)
        group = world.group(pool=pool, weight=64)
        (first, one), (second, two) = begun(world, group), begun(world, group)
        long, short = bytes(range(250)) * 230, bytes(range(250)) * 80
        group.need(one, len(long))
        group.need(two, len(short))
        for sent in trickle(first, long):
            world.net.turn()
            if sent == len(long):
                break
        assert group.recv(100_000) == (one, long)
        sending = trickle(second, short)
        for _ in range(50):
            next(sending)
            world.net.turn()
        assert group.recv(100_000) is None
        group.send(one, b"", ackd=ALL)
        for _ in range(50):
            world.net.turn()
            next(sending)
        assert group.recv(100_000) == (two, short)

    @pytest.mark.feature("P27")
    def test_a_pool_full_of_beginnings_gives_one_up(self, world: World) -> None:
        """Else none of them could ever be completed."""
        pool = world.net.engine.create_pool(65_536)
        group = world.group(pool=pool, weight=64)
        request = bytes(range(250)) * 200
        made = [begun(world, group) for _ in range(3)]
        sending = [trickle(client, request) for client, _ in made]
        for _, cd in made:
            group.need(cd, len(request))
        served, down = [], []
        for _ in range(400):
            for client in sending:
                next(client, None)
            world.net.advance(0.1)
            down += [(cd, why) for _, _, cd, why in world.net.take_events(EventKind.DOWN)]
            for cd, data in group.recv_batch(10):
                assert data == request
                served.append(cd)
                group.send(cd, b"", ackd=ALL)
        assert len(served) == 1
        assert [why for _, why in down] == [errno.ENOBUFS, errno.ENOBUFS]
        assert sorted(served + [cd for cd, _ in down]) == sorted(cd for _, cd in made)
        assert pool.groups()[0].readable == world.net.receive_used == 0

    @pytest.mark.parametrize("n", [-1, "7", 1 << 30])
    def test_nonsense(self, world: World, n: int) -> None:
        group = world.group()
        _, cd = world.connected(group)
        with pytest.raises(LocalError, match="need: .* is not allowed; give an integer from 0"):
            group.need(cd, n)
