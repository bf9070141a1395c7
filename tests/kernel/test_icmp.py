"""The kernel's own ping, and its reading of our errors."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from tests.kernel.conftest import V4, V6, Served

families = pytest.mark.parametrize("host", [V4, V6], ids=["IPv4", "IPv6"])


def write_sysctl(name: str, value: str) -> None:
    Path("/proc/sys", name).write_text(value)


# --- echo and unreachable -----------------------------------------------------


@families
@pytest.mark.parametrize("size", [0, 56, 1_400])
def test_the_kernel_pings_the_engine(served: Served, host: str, size: int) -> None:
    """Through a ping socket: the kernel builds the request, and checks and matches the reply."""

    def ping() -> bytes:
        write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
        v6 = ":" in host
        protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
        with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM, protocol) as asking:
            asking.settimeout(10)
            asking.connect((host, 0))
            asking.send(bytes((128 if v6 else 8, 0, 0, 0, 0, 0, 0, 7)) + payload)
            return asking.recv(65_535)

    payload = os.urandom(size)
    reply = served.lab.call(ping)
    assert reply[0] == (129 if ":" in host else 0)
    assert reply[6:8] == b"\0\7"
    assert reply[8:] == payload


@pytest.mark.parametrize("host, told", [(V4, errno.ENOPROTOOPT), (V6, errno.EPROTO)], ids=["IPv4", "IPv6"])
def test_the_kernel_understands_that_there_is_no_udp(served: Served, host: str, told: int) -> None:
    def ask() -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(10)
            if ":" in host:
                asking.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # IPV6_RECVERR
            else:
                asking.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
            asking.connect((host, 53))
            asking.send(b"?")
            asking.recv(100)

    with pytest.raises(OSError) as error:
        served.lab.call(ask)
    assert error.value.errno == told
