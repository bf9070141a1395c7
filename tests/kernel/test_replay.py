"""A kernel client whose request was answered into an outage: Fig. 5c with a real TCP (P22)."""

from __future__ import annotations

import select
import socket
import threading
import time

import pytest

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.lab import Lab
from xtcp_twisted.link import ImpairedLink

PORT = 7
HOSTS = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}
REQUEST, ANSWER = b"who is there?", b"nobody but us"


class Server:
    """An engine whose way out the test opens and closes; it answers one request."""

    def __init__(self, lab: Lab, policy: str) -> None:
        self.link = ImpairedLink(lab.link())
        self.engine = Engine(
            self.link,
            EngineConfig(addresses=tuple(HOSTS.values()), max_connections=64, arena_limit=256 * MiB),
        )
        self.group = self.engine.create_pool(1 * MiB).open_group(
            PORT,
            domain=socket.AF_UNSPEC,
            options=GroupOptions(accept_credits=UNLIMITED, ack_policy=policy),
        )
        self.served = 0
        self.woken = 0

    def turn(self) -> None:
        """One turn; what is answered, and not by the cache, is lost."""
        select.select([self.engine.fileno()], [], [], 0.05)
        self.engine.poll(time.monotonic())
        self.woken += sum(event[0] == EventKind.DATA for event in self.engine.events())
        for cd, data in self.group.recv_batch(10):
            assert data in (REQUEST, b"")
            if data:
                self.served += 1
                self.link.outbound.change(loss=1.0)
                self.group.send(cd, ANSWER, ackd=ALL)
            else:
                self.group.finish(cd)
        if self.engine.counters()["AnswersReplayed"]:
            self.link.outbound.change(loss=0.0)
        self.engine.flush(time.monotonic())


@pytest.mark.feature("P22", "P33")
@pytest.mark.parametrize("policy", ["bounded", "application"])
@pytest.mark.parametrize("family", HOSTS, ids=lambda family: socket.AddressFamily(family).name)
def test_the_kernel_asks_again(lab: Lab, family: int, policy: str) -> None:
    """Acknowledgement and answer are lost, the kernel resends the request, the cache answers it."""
    server = Server(lab, policy)
    got: list[bytes] = []

    def client() -> None:
        with lab.call(socket.create_connection, (HOSTS[family], PORT), 60) as sock:
            time.sleep(0.05)
            sock.sendall(REQUEST)
            got.append(sock.recv(100))

    thread = threading.Thread(target=client)
    thread.start()
    deadline = time.monotonic() + 60
    try:
        while thread.is_alive():
            assert time.monotonic() < deadline, server.engine.counters()
            server.turn()
        counters = server.engine.counters()
        assert got == [ANSWER]
        assert (server.served, server.woken) == (1, 1)
        assert counters["AnswersReplayed"] == 1
        assert counters["TCPDSACKOldSent"] >= 1
    finally:
        server.engine.close()
        thread.join()
