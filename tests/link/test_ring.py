"""Packets that leave by io_uring, and the same without it: on real devices, with the kernel as the judge."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw
from twisted.logger import globalLogPublisher

from xtcp_twisted.link import TunLink, ring
from xtcp_twisted.reactor.opening import openLink
from xtcp_twisted.reactor.settings import LinkSettings

isolated = pytest.mark.isolated
ways = pytest.mark.parametrize("io_uring", [True, False], ids=["io_uring", "write"])
offloads = pytest.mark.parametrize("offload", [False, True], ids=["plain", "offload"])
Unprivileged = Callable[[Callable[[], Any]], None]

HOST, PEER = "10.77.0.1", "10.77.0.2"
#: linux/seccomp.h, linux/prctl.h, linux/filter.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_WORD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
SECCOMP_ALLOW, SECCOMP_ERRNO = 0x7FFF_0000, 0x0005_0000
IO_URING_SETUP = 425


def datagrams(numbers: range, port: int) -> list[bytes]:
    head = IP(src=PEER, dst=HOST) / UDP(sport=7, dport=port)
    return [bytes(head / Raw(struct.pack("!I", n) * 200)) for n in numbers]


def receiver() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(60)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((HOST, 0))
    return made


def forbid_io_uring() -> None:
    """What the seccomp profiles of containers do: the call fails with EPERM, for this process, for good."""
    rules = [
        (LOAD_WORD, 0, 0, 0),  # the number of the call
        (JUMP_EQUAL, 0, 1, IO_URING_SETUP),
        (RETURN, 0, 0, SECCOMP_ERRNO | 1),
        (RETURN, 0, 0, SECCOMP_ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0


@isolated
@ways
@offloads
@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 300])
def test_all_packets_arrive_in_order(count: int, io_uring: bool, offload: bool) -> None:
    link = TunLink("xt0", addresses=[f"{HOST}/24"], io_uring=io_uring, offload=offload)
    assert link.io_uring is io_uring
    with receiver() as there:
        # Twice, so that the ring's places are used again.
        for start in (0, count):
            packets = datagrams(range(start, start + count), there.getsockname()[1])
            assert link.write(packets, 0.0) == count
        got = [struct.unpack("!I", there.recv(2_000)[:4])[0] for _ in range(2 * count)]
    assert got == list(range(2 * count))
    assert (link.sent, link.dropped) == (2 * count, 0)
    link.close()


@isolated
@ways
@offloads
def test_what_the_kernel_refuses_stops_none_of_the_others(io_uring: bool, offload: bool) -> None:
    link = TunLink("xt0", addresses=[f"{HOST}/24"], io_uring=io_uring, offload=offload)
    with receiver() as there:
        packets = datagrams(range(100), there.getsockname()[1])
        # No version of IP, and nothing at all.
        packets[::10] = [b"\x70" + packet[1:] for packet in packets[::10]]
        packets[5] = b""
        assert link.write(packets, 0.0) == 89
        got = [struct.unpack("!I", there.recv(2_000)[:4])[0] for _ in range(89)]
    assert got == [n for n in range(100) if n % 10 and n != 5]
    assert (link.sent, link.dropped) == (100, 11)
    link.close()


@isolated
@ways
def test_a_device_that_is_down_drops_all(io_uring: bool) -> None:
    link = TunLink("xt0", io_uring=io_uring)
    subprocess.run(["ip", "link", "set", "xt0", "down"], check=True)
    assert link.write(datagrams(range(100), 7), 0.0) == 0
    assert (link.sent, link.dropped) == (100, 100)
    link.close()


@isolated
def test_a_device_is_free_as_soon_as_its_link_is_closed() -> None:
    for _ in range(20):
        link = TunLink("xt0", addresses=[f"{HOST}/24"])
        assert link.created
        link.close()
        assert not link.io_uring
        assert not os.path.exists("/sys/class/net/xt0")


@isolated
def test_a_device_whose_user_was_killed_is_made_anew() -> None:
    for _ in range(5):
        ready, told = os.pipe()
        child = os.fork()
        if not child:
            link = TunLink("xt0", addresses=["10.99.0.1/24"], mtu=1400)
            os.write(told, b"\x01" if link.io_uring else b"\x00")
            select.select([], [], [], 60)
            os._exit(1)
        assert os.read(ready, 1) == b"\x01"
        os.kill(child, 9)
        os.waitpid(child, 0)
        # The kernel takes its time with a killed process's ring; the caller does not see it.
        link = TunLink("xt0", addresses=[f"{HOST}/24"])
        assert [str(address) for address in link.host_addresses()] == [f"{HOST}/24"]
        assert link.mtu == 1500
        link.close()


@isolated
def test_nothing_of_a_ring_stays_open() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        link = TunLink("xt0", addresses=[f"{HOST}/24"])
        assert len(os.listdir("/proc/self/fd")) == len(before) + 2
        link.close()
        link.close()
    assert os.listdir("/proc/self/fd") == before
    assert "io_uring" not in Path("/proc/self/maps").read_text()


@isolated
def test_where_io_uring_is_forbidden_packets_leave_one_by_one(unprivileged: Unprivileged) -> None:
    TunLink("xt0", addresses=[f"{HOST}/24"], owner=65534, persist=True).close()

    def confined() -> None:
        forbid_io_uring()
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        link = openLink(LinkSettings(name="xt0"), ("192.0.2.1",))
        assert isinstance(link, TunLink)
        assert not link.io_uring
        assert any(event.get("name") == "xt0" and "io_uring" in event["log_format"] for event in said)
        with receiver() as there:
            assert link.write(datagrams(range(100), there.getsockname()[1]), 0.0) == 100
            assert [struct.unpack("!I", there.recv(2_000)[:4])[0] for _ in range(100)] == list(range(100))
        link.close()

    unprivileged(confined)


@isolated
def test_what_can_only_be_written_by_waiting_gets_no_ring() -> None:
    here, there = os.pipe2(os.O_NONBLOCK)
    assert ring.available(there)
    # Files of /proc cannot tell whether they would wait.
    with open("/proc/self/comm", "wb", buffering=0) as name:
        assert not ring.available(name.fileno())
    os.close(there)
    assert not ring.available(there)
    assert os.read(here, 10) == b""
