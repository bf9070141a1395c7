"""The engine connects to kernel listeners: what they accept, refuse and do not answer."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from xtcp_twisted.config import ALL, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.lab import Lab
from xtcp_twisted.link.tun import TunLink

pytestmark = pytest.mark.feature("P09")

ENGINE = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}
KERNEL = {socket.AF_INET: "10.77.0.1", socket.AF_INET6: "fd77::1"}
families = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])


class Caller:
    """An engine over the lab's device, driven by `select` in the test's own thread."""

    def __init__(self, lab: Lab, link: TunLink) -> None:
        self.lab = lab
        self.engine = Engine(
            link, EngineConfig(addresses=tuple(ENGINE.values()), max_connections=1_024, arena_limit=256 * MiB)
        )
        self.group = self.engine.create_pool(8 * MiB).open_group(
            7, domain=socket.AF_UNSPEC, options=GroupOptions(ack_policy="immediate")
        )
        self.group.stop_listening()
        self.ends: dict[int, tuple[EventKind, int]] = {}
        self.open: set[int] = set()

    def turn(self, wait_s: float = 0.05) -> None:
        """Wait for something to do, then a whole turn."""
        select.select([self.engine.fileno()], [], [], wait_s)
        self.engine.poll(time.monotonic())
        for kind, _, cd, detail in self.engine.events():
            if kind == EventKind.ESTABLISHED:
                self.open.add(cd)
            elif kind >= EventKind.CLOSED:
                self.ends[cd] = (kind, detail)
        self.engine.flush(time.monotonic())

    def until(self, true: Callable[[], bool], limit_s: float = 60) -> None:
        end = time.monotonic() + limit_s
        while not true():
            assert time.monotonic() < end, f"not in {limit_s} s: {self.engine.snapshot()}"
            self.turn()

    def established(self, remote: tuple[str, int], local: tuple[str, int] | None = None) -> int:
        cd = self.group.connect(remote, local)
        self.until(lambda: cd in self.open or cd in self.ends)
        assert cd in self.open, self.ends
        return cd

    def listener(self, family: int) -> socket.socket:
        """A kernel socket that listens in the lab, on a port of its choice."""

        def make() -> socket.socket:
            made = socket.socket(family)
            made.bind((KERNEL[socket.AddressFamily(family)], 0))
            made.listen()
            return made

        return self.lab.call(make)


@pytest.fixture
def caller(lab: Lab) -> Iterator[Caller]:
    with ExitStack() as stack:
        caller = Caller(lab, stack.enter_context(closing(lab.link())))
        stack.enter_context(caller.engine)
        yield caller


@families
def test_a_megabyte_both_ways(caller: Caller, family: int) -> None:
    """The kernel echoes what the engine sends, until the engine has said all."""
    payload = os.urandom(1 << 20)
    with caller.listener(family) as listener:

        def echo() -> None:
            connection, peer = listener.accept()
            peers.append(peer[:2])
            with connection:
                while part := connection.recv(1 << 16):
                    connection.sendall(part)

        peers: list[tuple[str, int]] = []
        thread = threading.Thread(target=echo)
        thread.start()
        cd = caller.established(listener.getsockname()[:2])
        assert caller.group.info(cd).timestamps
        sent, got = 0, bytearray()
        while len(got) < len(payload):
            sent += caller.group.send(cd, payload[sent : sent + 65_536])
            caller.turn()
            for _, data in caller.group.recv_batch(10):
                got += data
                caller.group.send(cd, b"", ALL)
        local = caller.group.local(cd)
        caller.group.finish(cd)
        caller.until(lambda: caller.engine.snapshot().connections == 0)
        thread.join()
    assert got == payload
    assert peers == [local]
    assert local[0] == ENGINE[socket.AddressFamily(family)]
    assert 32_768 <= local[1] <= 60_999


@families
def test_a_port_where_nobody_listens(caller: Caller, family: int) -> None:
    with caller.listener(family) as listener:
        nobody = listener.getsockname()[:2]
    cd = caller.group.connect(nobody)
    caller.until(lambda: cd in caller.ends)
    assert caller.ends[cd] == (EventKind.RESET, errno.ECONNREFUSED)


@families
def test_an_address_that_nobody_has(caller: Caller, family: int) -> None:
    """The kernel does not forward: the SYNs vanish, and the attempt ends by time."""
    nowhere = {socket.AF_INET: "10.99.0.1", socket.AF_INET6: "fd99::1"}[socket.AddressFamily(family)]
    began = time.monotonic()
    cd = caller.group.connect((nowhere, 80), timeout_s=2.5)
    caller.until(lambda: cd in caller.ends)
    assert caller.ends[cd] == (EventKind.DOWN, errno.ETIMEDOUT)
    assert time.monotonic() - began > 2.45
    assert caller.engine.counters()["TCPSynRetrans"] == 1


@pytest.mark.requirement("RFC 9293 MUST-10")
@families
def test_both_connect_at_once(caller: Caller, family: int) -> None:
    """Simultaneous open with a kernel: the SYNs cross, and there is one connection."""
    with caller.listener(family) as spare:
        port = spare.getsockname()[1]

    def connecting() -> socket.socket:
        made = socket.socket(family)
        made.setblocking(False)
        made.bind((KERNEL[socket.AddressFamily(family)], port))
        assert made.connect_ex((ENGINE[socket.AddressFamily(family)], 5_000)) == errno.EINPROGRESS
        return made

    # The kernel's SYN waits in the device; the engine's leaves before it is read.
    with caller.lab.call(connecting) as connection:
        cd = caller.group.connect(
            (KERNEL[socket.AddressFamily(family)], port), (ENGINE[socket.AddressFamily(family)], 5_000)
        )
        caller.engine.flush(time.monotonic())
        caller.until(lambda: cd in caller.open)
        assert caller.engine.counters()["TCPSynRetrans"] == 0
        caller.group.send(cd, b"we met")
        caller.until(lambda: bool(select.select([connection], [], [], 0)[0]))
        assert connection.recv(100) == b"we met"
        connection.sendall(b"indeed")
        caller.until(lambda: caller.group.info(cd).held == 6)
        assert caller.group.recv(100) == (cd, b"indeed")


def test_three_hundred_connections_to_one_listener(caller: Caller) -> None:
    """All from one address, each from a port of its own."""
    count = 300
    with caller.listener(socket.AF_INET) as listener:
        listener.listen(count)
        there = listener.getsockname()
        cds = [caller.group.connect(there) for _ in range(count)]
        caller.until(lambda: caller.open >= set(cds))
        accepted = [listener.accept() for _ in range(count)]
        assert len({peer for _, peer in accepted}) == count
        assert {peer for _, peer in accepted} == {caller.group.local(cd) for cd in cds}
        for connection, _ in accepted:
            connection.close()
    caller.until(lambda: all(caller.group.info(cd).state == "CLOSE_WAIT" for cd in cds))
    assert caller.engine.counters()["TCPSynRetrans"] == 0
