"""The kernel as the other side of a device that leaves checksums and segmentation to whoever is last."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from support.capture import WRONG, segments, tshark

from tests.kernel.conftest import V4, V6, Served
from tests.kernel.test_clients import read_all
from xtcp_twisted.lab import Lab

SIZE = 10_000_000


@pytest.fixture
def served(lab: Lab, tmp_path: Path) -> Served:
    return Served(lab, tmp_path, link="offload = true")


def kernel_counts(served: Served) -> dict[str, int]:
    """The TCP counters of the lab's kernel."""
    rows = served.lab.call(lambda: Path("/proc/thread-self/net/snmp").read_text()).splitlines()
    names, values = (row.split()[1:] for row in rows if row.startswith("Tcp:"))
    return dict(zip(names, map(int, values), strict=True))


@pytest.mark.parametrize("host", [V4, V6])
@pytest.mark.parametrize("group", ["echo", "plain"])
def test_ten_megabytes_each_way(served: Served, group: str, host: str) -> None:
    """In far fewer packets than segments, none of them wrong to the kernel or to Wireshark."""
    payload = os.urandom(SIZE)
    with served.connect(group, host) as connection:
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        answer = read_all(connection, SIZE)
        sender.join()
        counters = served.snapshot()["counters"]
    assert answer == payload
    assert kernel_counts(served)["InCsumErrors"] == 0
    assert kernel_counts(served)["InErrs"] == 0
    assert (counters["InCsumErrors"], counters["LinkRefused"]) == (0, 0)
    # Segments of the wire are counted, whoever cut them.
    assert counters["DataSegsOut"] >= SIZE // 1460
    assert counters["DataSegsIn"] >= SIZE // 1460
    capture = served.stop()
    assert tshark(capture, WRONG) == []
    large = [s for s in segments(capture) if len(s.raw) > 1500]
    assert sum(len(s.data) for s in large if s.src == host) > SIZE / 2
    assert sum(len(s.data) for s in large if s.dst == host) > SIZE / 2


@pytest.mark.parametrize("host", [V4, V6])
def test_small_requests_and_the_end(served: Served, host: str) -> None:
    with served.connect("echo", host) as connection:
        for i in range(20):
            connection.sendall(b"request %d" % i)
            assert connection.recv(100) == b"request %d" % i
        connection.sendall(bytes(30_000))
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection, 30_001) == bytes(30_000)
    assert kernel_counts(served)["InCsumErrors"] == 0
    assert tshark(served.stop(), WRONG) == []


def test_other_protocols_pass(served: Served) -> None:
    """What is no TCP has its own partial checksums: the kernel's UDP gets its ICMP answer."""

    def refused(host: str) -> type[BaseException] | None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(60)
            asking.connect((host, 9))
            asking.send(b"anybody?")
            try:
                asking.recv(100)
            except OSError as error:
                return type(error)
        return None

    for host in (V4, V6):
        assert served.lab.call(refused, host) not in (None, TimeoutError)
