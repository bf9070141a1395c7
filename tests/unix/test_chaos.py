"""Clients and an application that do anything at any time: nothing raises, spins or leaks (P31)."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.descriptors import open_descriptors
from support.leaks import assert_no_leaks
from support.net import Net

from tests.unix.conftest import World
from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine.unix_group import UnixGroup
from xtcp_twisted.errors import LocalError

pytestmark = pytest.mark.feature("P31")


class Chaos:
    """What may happen; each method is one thing."""

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.random = random
        pool = world.net.engine.create_pool(65_536)
        self.groups = [
            world.group(
                str(world.folder / name), pool=pool, accept_credits=posted, user_timeout_s=20, weight=8
            )
            for name, posted in (("a", UNLIMITED), ("b", 0))
        ]
        self.pool = pool

    def group(self) -> UnixGroup:
        return self.random.choice(self.groups)

    def some(self, of: list[int]) -> int:
        return self.random.choice(of) if of else 7

    def data(self) -> bytes:
        return bytes(self.random.choice((1, 50, 3_000, 100_000)))

    # --- clients

    def client_connects(self) -> None:
        if len(self.world.clients) < 40:
            made = socket.socket(socket.AF_UNIX)
            made.setblocking(False)
            self.world.clients.append(made)
            made.connect(self.group().address)

    def client(self) -> socket.socket:
        return self.random.choice(self.world.clients)

    def client_sends(self) -> None:
        self.client().send(self.data())

    def client_marks(self) -> None:
        self.client().send(b"!", socket.MSG_OOB)

    def client_sends_a_descriptor(self) -> None:
        socket.send_fds(self.client(), [b"fd"], [0])

    def client_reads(self) -> None:
        self.client().recv(self.random.choice((1, 1_000, 1_000_000)))

    def client_shuts(self) -> None:
        self.client().shutdown(self.random.choice((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR)))

    def client_goes(self) -> None:
        self.client().close()

    # --- time

    def turn(self) -> None:
        self.world.net.turn()

    def poll(self) -> None:
        self.world.net.poll()

    def wait(self) -> None:
        self.world.net.advance(self.random.choice((0.01, 1.0, 15.0)))

    # --- the application

    def receive(self) -> None:
        self.group().recv(self.random.choice((1, 100, 1_000_000)))

    def serve(self) -> None:
        group = self.group()
        batch = group.recv_batch(10)
        for cd, data in batch:
            group.send(cd, data[:1_000])
        group.done(batch)

    def send(self) -> None:
        group = self.group()
        group.send(self.some(list(group.members)), self.data(), ackd=self.random.choice((0, 1, ALL)))

    def need(self) -> None:
        group = self.group()
        group.need(self.some(list(group.members)), self.random.choice((0, 10, 5_000)))

    def broadcast(self) -> None:
        self.group().broadcast(self.data())

    def act(self) -> None:
        group = self.group()
        calls: list[Callable[[int], object]] = [group.shutdown, group.finish, group.abort]
        calls += [group.pause, group.resume, group.info, group.credentials]
        self.random.choice(calls)(self.some(list(group.members)))

    def decide(self) -> None:
        group = self.group()
        if self.random.random() < 0.7:
            group.accept(into=self.group())
        else:
            group.refuse(self.some(list(group.requests)))

    def credit(self) -> None:
        self.group().credit(self.random.choice((0, 1, 3)))

    def deafen(self) -> None:
        group = self.group()
        group.stop_listening()
        self.turn()
        group.listen()

    def reopen(self) -> None:
        group = self.groups.pop(self.random.randrange(2))
        group.close(abort=self.random.random() < 0.5)
        self.groups.append(self.world.group(group.address, pool=self.pool))


HELPERS = {"group", "some", "data", "client"}
STEPS = [name for name in vars(Chaos) if not name.startswith("_") and name not in HELPERS]


@given(seed=st.integers(0, 1 << 32), steps=st.lists(st.sampled_from(STEPS), min_size=20, max_size=120))
def test_anything_goes(seed: int, steps: list[str]) -> None:
    before = open_descriptors()
    net = Net(transmit_buffer=1 << 19)
    with tempfile.TemporaryDirectory(prefix="xtcp") as folder:
        world = World(net, Path(folder))
        chaos = Chaos(world, Random(seed))
        for step in steps:
            try:
                getattr(chaos, step)()
            except LocalError:
                pass  # the call was not allowed
            except (OSError, IndexError):
                assert step.startswith("client")  # its socket does not like it, or there is none
        for client in world.clients:
            client.close()
        net.advance(60)
        for group in chaos.groups:
            while batch := group.recv_batch(100):
                group.done(batch)
                for cd, data in batch:
                    if not data:
                        group.finish(cd)
        assert_no_leaks(net)
        net.close()
    Net.running.clear()
    del net, world, chaos, group
    assert open_descriptors() == before
