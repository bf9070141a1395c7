"""Two groups of two pools on one port; the address of kernel clients decides which one takes them (P06)."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from xtcp_twisted.config import ALL, EngineConfig, MiB
from xtcp_twisted.engine import Engine, Group
from xtcp_twisted.lab import Lab

pytestmark = pytest.mark.feature("P06")

PORT = 7
V4, V6 = "10.77.0.2", "fd77::2"
#: Longest wait for the kernel, seconds.
PATIENCE_S = 60.0


class World:
    """An engine over a TUN device, its two groups, and sockets of the kernel that never block."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        config = EngineConfig(
            addresses=(V4, V6), max_connections=64, transmit_buffer=1 * MiB, arena_limit=256 * MiB
        )
        self.engine = Engine(lab.link(), config)
        pools = [self.engine.create_pool(1 * MiB, name=name) for name in ("old", "new")]
        self.old, self.new = (
            pool.open_group(PORT, domain=socket.AF_UNSPEC, name=pool.name, share=True) for pool in pools
        )
        self.sockets = ExitStack()

    def client(self, host: str) -> socket.socket:
        """One that has begun to connect."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock: socket.socket = self.sockets.enter_context(self.lab.call(socket.socket, family))
        sock.setblocking(False)
        assert sock.connect_ex((host, PORT)) == errno.EINPROGRESS
        return sock

    def until(self, condition: Callable[[], object]) -> None:
        """Serve until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            select.select([self.engine.fileno()], [], [], 0.05)
            self.engine.poll(time.monotonic())
            self.engine.events()
            for group in (self.old, self.new):
                self.answer(group)
            self.engine.flush(time.monotonic())

    def answer(self, group: Group) -> None:
        """Says which group has got the request."""
        for cd, data in group.recv_batch(64):
            group.send(cd, group.name.encode() + b":" + data, ackd=ALL)


@pytest.fixture
def world(lab: Lab) -> Iterator[World]:
    made = World(lab)
    with made.sockets:
        yield made
    made.engine.close()


def readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def test_the_address_of_the_peer_decides_which_group_takes_it(world: World) -> None:
    clients = {world.client(host): host for host in (V4, V6) * 3}
    world.until(lambda: world.new.waiting == len(clients))
    assert world.old.pending() == world.new.pending()
    for pending_id, (host, _) in world.old.pending():
        world.old.accept(pending_id, into=world.new if ":" in host else world.old)
    assert world.old.waiting == world.new.waiting == 0
    world.until(lambda: len(world.old) == len(world.new) == 3)
    for client in clients:
        client.send(b"whose am I?")
    world.until(lambda: all(map(readable, clients)))
    for client, host in clients.items():
        assert client.recv(100) == (b"new" if host == V6 else b"old") + b":whose am I?"


def test_who_waits_for_a_group_that_closes_is_served_by_the_other(world: World) -> None:
    client = world.client(V4)
    world.until(lambda: world.old.waiting)
    world.old.close()
    world.old = world.new
    world.new.accept()
    world.until(lambda: len(world.new) == 1)
    client.send(b"still here")
    world.until(lambda: readable(client))
    assert client.recv(100) == b"new:still here"


def test_a_refusal_is_final_for_the_client(world: World) -> None:
    client = world.client(V4)
    world.until(lambda: world.old.waiting)
    world.new.refuse(world.new.pending()[0][0])
    world.until(lambda: select.select([], [client], [], 0)[1])
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    assert world.old.waiting == world.new.waiting == 0
