"""Real kernel clients over a bad network: every byte arrives, once and in order.

The engine runs in this process and is driven by its own descriptor, without a
reactor; clients are kernel sockets inside a lab, in threads.
"""

from __future__ import annotations

import hashlib
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine, Group
from xtcp_twisted.lab import Lab
from xtcp_twisted.link import ImpairedLink

PORT = 7
HOSTS = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}


class EchoServer:
    """An engine over an impaired TUN device, driven by `select` until the clients are done."""

    def __init__(self, lab: Lab, **impairment: Any) -> None:
        self.link = ImpairedLink(lab.link(), **impairment)
        self.engine = Engine(
            self.link,
            EngineConfig(addresses=tuple(HOSTS.values()), max_connections=1_024, arena_limit=256 * MiB),
        )
        self.group: Group = self.engine.create_pool(8 * MiB).open_group(
            PORT, domain=socket.AF_UNSPEC, options=GroupOptions(accept_credits=UNLIMITED)
        )
        #: Echoed bytes that the transmit buffer had no room for.
        self.rest: dict[int, bytes] = {}

    def answer(self) -> None:
        """Echo with back-pressure: a client that does not read is not read from."""
        for kind, _, cd, _ in self.engine.events():
            if kind.name == "WRITABLE" and cd in self.rest:
                data = self.rest.pop(cd)
                self.send(cd, data, 0)
                if cd not in self.rest:
                    self.group.resume(cd)
        for cd, data in self.group.recv_batch(1_000):
            if data:
                self.send(cd, data, ALL)
            else:
                self.group.finish(cd)

    def send(self, cd: int, data: bytes, ackd: int) -> None:
        taken = self.group.send(cd, data, ackd)
        if taken < len(data):
            self.rest[cd] = data[taken:]
            self.group.pause(cd)

    def serve(self, done: threading.Event, deadline: float) -> None:
        descriptor = self.engine.fileno()
        while not done.is_set():
            assert time.monotonic() < deadline, f"not done in time: {self.engine.snapshot()}"
            select.select([descriptor], [], [], 0.05)
            self.engine.poll(time.monotonic())
            self.answer()
            self.engine.flush(time.monotonic())


def echo_client(lab: Lab, family: int, size: int, seed: int) -> Callable[[], bool]:
    """Sends `size` random bytes, half-closes, and compares what comes back."""

    def run() -> bool:
        data = random.Random(seed).randbytes(size)
        back = hashlib.sha256()
        with lab.call(socket.create_connection, (HOSTS[family], PORT), 180) as sock:
            sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
            sender.start()
            count = 0
            while piece := sock.recv(65_536):
                back.update(piece)
                count += len(piece)
            sender.join()
        return count == size and back.digest() == hashlib.sha256(data).digest()

    return run


def exchange(lab: Lab, clients: list[Callable[[], bool]], limit: float, **impairment: Any) -> EchoServer:
    """Run the clients against an echo server; all of them must get everything back."""
    server, done = EchoServer(lab, **impairment), threading.Event()
    results: list[bool] = []

    def run(client: Callable[[], bool]) -> None:
        try:
            results.append(client())
        finally:
            left.release()

    left = threading.Semaphore(0)
    threads = [threading.Thread(target=run, args=(client,)) for client in clients]

    def wait() -> None:
        for _ in threads:
            left.acquire()
        done.set()

    for thread in [*threads, threading.Thread(target=wait)]:
        thread.start()
    try:
        server.serve(done, time.monotonic() + limit)
    finally:
        server.engine.close()
        for thread in threads:
            thread.join()
    assert results == [True] * len(clients)
    return server


@pytest.mark.feature("P33")
@pytest.mark.parametrize("family", HOSTS, ids=lambda family: socket.AddressFamily(family).name)
def test_ten_megabytes_both_ways_on_a_good_network(lab: Lab, family: int) -> None:
    server = exchange(lab, [echo_client(lab, family, 10_000_000, seed=1)], limit=180)
    assert server.link.dropped == 0


@pytest.mark.feature("P20", "P23")
@pytest.mark.parametrize(
    "impairment",
    [
        {"loss": 0.03},
        {"loss": 0.01, "reorder": 0.05, "duplicate": 0.05, "delay": 0.002},
        {"corrupt": 0.02},
    ],
    ids=["loss", "loss, reordering, duplicates and delay", "corruption"],
)
def test_every_byte_arrives_over_a_bad_network(lab: Lab, impairment: dict[str, float]) -> None:
    families = [socket.AF_INET, socket.AF_INET6] * 3
    clients = [echo_client(lab, family, 60_000, seed=n) for n, family in enumerate(families)]
    exchange(lab, clients, limit=180, seed=7, **impairment)
