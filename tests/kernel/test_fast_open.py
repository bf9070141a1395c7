"""Clients of the kernel that use TCP Fast Open (P38)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.capture import WRONG, tshark

from xtcp_twisted.lab import Lab

from .conftest import GROUPS, V4, V6, Served

pytestmark = pytest.mark.feature("P38")

MSG_FASTOPEN = 0x2000_0000
TCP_FASTOPEN_CONNECT = 30
#: TCP_INFO's tcpi_options, its sixth byte: the data of our SYN was acknowledged by the SYN-ACK.
OPT_SYN_DATA = 32

hosts = pytest.mark.parametrize("host", [V4, V6], ids=["IPv4", "IPv6"])


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """The kernel of its namespace asks for cookies and uses them."""
    lab.call(Path("/proc/sys/net/ipv4/tcp_fastopen").write_text, "1")
    return lab


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, lab: Lab, tmp_path: Path) -> Served:
    """A server whose groups take Fast Open."""
    for name in ("echo", "plain"):
        port, serve = GROUPS[name]
        monkeypatch.setitem(GROUPS, name, (port, f"{serve}\noptions = {{ fast_open = 100 }}"))
    return Served(lab, tmp_path)


def by_message(lab: Lab, address: tuple[str, int], data: bytes) -> socket.socket:
    """`sendto` with MSG_FASTOPEN: data and destination in one call."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        # Without a cookie it waits for the handshake; with a timeout it would not.
        assert made.sendto(data, MSG_FASTOPEN, address) == len(data)
        made.settimeout(60)
        return made

    return lab.call(make)


def by_option(lab: Lab, address: tuple[str, int], data: bytes) -> socket.socket:
    """TCP_FASTOPEN_CONNECT: `connect` returns at once when there is a cookie, `send` sends the SYN."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        made.settimeout(60)
        made.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        made.connect(address)
        made.sendall(data)
        return made

    return lab.call(make)


def answered(connection: socket.socket, size: int) -> tuple[bytes, bool]:
    """The echo, and whether the request had come with the SYN."""
    parts = b""
    while len(parts) < size:
        part = connection.recv(size)
        assert part, "the stream ended"
        parts += part
    options = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5]
    connection.close()
    return parts, bool(options & OPT_SYN_DATA)


@hosts
@pytest.mark.parametrize("group", ["echo", "plain"])
@pytest.mark.parametrize("dial", [by_message, by_option])
def test_the_second_connection_opens_with_its_request(
    opening: Served,
    lab: Lab,
    host: str,
    group: str,
    dial: Callable[[Lab, tuple[str, int], bytes], socket.socket],
) -> None:
    address = (host, GROUPS[group][0])
    used = []
    for number in range(5):
        request = f"request {number}\n".encode()
        echo, fast = answered(dial(lab, address, request), len(request))
        assert echo == request
        used.append(fast)
    assert used == [False, True, True, True, True]
    counters = opening.snapshot()["counters"]
    assert counters["TCPFastOpenPassive"] == 4
    assert counters["TCPFastOpenCookieReqd"] == 1
    assert tshark(opening.stop(), WRONG) == []


@hosts
def test_a_request_longer_than_its_syn(opening: Served, lab: Lab, host: str) -> None:
    address = (host, GROUPS["echo"][0])
    assert answered(by_message(lab, address, b"first\n"), 6)[0] == b"first\n"
    request = bytes(range(1, 10)) * 10_000
    assert answered(by_option(lab, address, request), len(request)) == (request, True)
    assert tshark(opening.stop(), WRONG) == []


def test_a_group_without_it_serves_the_same_client(served: Served, lab: Lab) -> None:
    for _ in range(3):
        echo, fast = answered(by_message(lab, (V4, GROUPS["echo"][0]), b"x\n"), 2)
        assert (echo, fast) == (b"x\n", False)
    assert tshark(served.stop(), WRONG) == []
