"""Whatever the order of calls, every byte arrives once and in order (P14 to P18, P31)."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.leaks import assert_no_leaks
from support.net import Net

from tests.unix.conftest import World
from xtcp_twisted.errors import LocalError

pytestmark = pytest.mark.feature("P31")


class Stream:
    """One client and its connection, and what each side has seen."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)
        self.group = world.group()
        self.client, self.cd = world.connected(self.group)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_608)
        self.text = self.random.randbytes(20_000)
        self.sent = self.acked = self.delivered = 0
        # Up to where it was read: more than one place while the bytes fit to each.
        self.read = {0}
        self.echo = b""
        self.ended = False

    def client_sends(self) -> None:
        try:
            self.sent += self.client.send(
                self.text[self.sent : self.sent + self.random.choice((1, 10, 1_000, 5_000))]
            )
        except BlockingIOError:
            pass

    def turn(self) -> None:
        self.world.net.turn()

    def receive(self) -> None:
        """What comes is either the next bytes, or those that were not acknowledged once more."""
        found = self.group.recv(self.random.choice((1, 7, 700, 20_000)))
        if found is None:
            return
        data = found[1]
        if not data:
            self.ended = True
            assert self.sent == len(self.text) and self.sent in self.read
            return
        begun = {place for place in {*self.read, self.acked} if self.text.startswith(data, place)}
        assert begun
        self.read = {place + len(data) for place in begun}
        if len(self.read) == 1:
            self.delivered = max(self.delivered, *self.read)

    def acknowledge(self) -> None:
        n = self.random.randint(0, self.delivered - self.acked)
        answer = self.text[self.acked : self.acked + n]
        assert self.group.send(self.cd, answer, ackd=n) == n
        self.acked += n
        self.read = {max(place, self.acked) for place in self.read}

    def need(self) -> None:
        try:
            self.group.need(self.cd, self.random.choice((1, 100, 3_000)))
        except LocalError:
            return
        self.read = {self.acked}

    def pause(self) -> None:
        self.group.pause(self.cd)
        self.turn()
        assert self.group.recv(10) is None
        self.group.resume(self.cd)

    def client_reads(self) -> None:
        try:
            self.echo += self.client.recv(self.random.choice((1, 1_000, 100_000)))
        except BlockingIOError:
            pass

    def finish(self) -> None:
        """The rest, without further ado."""
        for _ in range(2_000):
            if self.sent < len(self.text):
                self.client_sends()
                if self.sent == len(self.text):
                    self.client.shutdown(socket.SHUT_WR)
            self.turn()
            self.receive()
            if self.delivered > self.acked:
                self.group.send(self.cd, b"", 0)
                self.acknowledge()
            if len(self.read) > 1:
                self.need()
            self.client_reads()
            if self.ended and self.acked == len(self.text) and self.echo == self.text:
                return
        raise AssertionError(f"{self.sent} sent, {self.acked} acknowledged, {len(self.echo)} came back")


STEPS = ("client_sends", "turn", "receive", "acknowledge", "need", "pause", "client_reads")


@example(seed=632, steps=[])
@given(seed=st.integers(0, 1 << 32), steps=st.lists(st.sampled_from(STEPS), max_size=60))
def test_every_byte_once_and_in_order(seed: int, steps: list[str]) -> None:
    net = Net()
    with tempfile.TemporaryDirectory(prefix="xtcp") as folder:
        world = World(net, Path(folder))
        stream = Stream(world, seed)
        for step in steps:
            getattr(stream, step)()
        stream.finish()
        stream.client.close()
        assert net.receive_used == net.transmit_used == 0
        assert_no_leaks(net)
        net.close()
