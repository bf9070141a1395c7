"""ECN with a kernel, which asks and answers, over a network that marks (RFC 3168)."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.lab import Lab
from xtcp_twisted.link import ImpairedLink

ENGINE = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}
KERNEL = {socket.AF_INET: "10.77.0.1", socket.AF_INET6: "fd77::1"}
PORT = 7
SIZE = 2_000_000
MARK = 0.02
#: TCP_INFO's tcpi_options, its sixth byte: ECN is agreed, and a segment with ECT has come.
OPT_ECN, OPT_ECN_SEEN = 8, 16
families = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])


def asks(lab: Lab, asking: bool) -> None:
    """Whether the kernel of the namespace asks for ECN; by default it only answers."""
    lab.call(Path("/proc/sys/net/ipv4/tcp_ecn").write_text, "1" if asking else "2")


def kernel_counters(lab: Lab) -> dict[str, int]:
    """TcpExt and IpExt of the lab's kernel, and what IPv6 counts by itself."""
    lines = lab.call(Path("/proc/thread-self/net/netstat").read_text).splitlines()
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        found |= dict(zip(names.split()[1:], map(int, values.split()[1:]), strict=True))
    six = (line.split() for line in lab.call(Path("/proc/thread-self/net/snmp6").read_text).splitlines())
    return found | {name: int(value) for name, value in six}


class Echo:
    """An engine that returns what it gets from a kernel socket, over a network that marks."""

    def __init__(self, lab: Lab, ecn: str) -> None:
        self.engine = Engine(
            ImpairedLink(lab.link(), mark=MARK, seed=3),
            EngineConfig(addresses=tuple(ENGINE.values()), max_connections=16, arena_limit=256 * MiB),
        )
        self.group = self.engine.create_pool(8 * MiB).open_group(
            PORT,
            domain=socket.AF_UNSPEC,
            options=GroupOptions(accept_credits=UNLIMITED, ecn=ecn, ack_policy="immediate"),
        )
        self.rest = bytearray()
        self.options = 0
        self.got = b""

    def turn(self) -> None:
        select.select([self.engine.fileno()], [], [], 0.05)
        self.engine.poll(time.monotonic())
        for _, _, cd, _ in self.engine.events():
            if self.rest:
                del self.rest[: self.group.send(cd, bytes(self.rest))]
        for cd, data in self.group.recv_batch(100):
            if data:
                self.rest += data
                del self.rest[: self.group.send(cd, bytes(self.rest), ALL)]
            else:
                self.group.finish(cd)
        self.engine.flush(time.monotonic())

    def reach(self, lab: Lab, family: int) -> None:
        """Until the kernel can be reached: its IPv6 is ready some time after the device.

        A SYN that is lost to that is sent again without ECN, by either side.
        """
        asks(lab, False)
        there = ENGINE[socket.AddressFamily(family)], PORT
        self.talk(lambda: lab.call(socket.create_connection, there, 20), b"?")
        self.got = b""
        asks(lab, True)

    def talk(self, kernel: Callable[[], socket.socket], payload: bytes) -> None:
        """Let the kernel's socket send all and take it back."""

        def run() -> None:
            with kernel() as sock:
                sock.settimeout(60)
                sender = threading.Thread(target=sock.sendall, args=(payload,))
                sender.start()
                while len(self.got) < len(payload) and (part := sock.recv(1 << 16)):
                    self.got += part
                sender.join()
                self.options = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5]

        thread = threading.Thread(target=run)
        thread.start()
        end = time.monotonic() + 60
        while thread.is_alive():
            assert time.monotonic() < end, self.engine.snapshot()
            self.turn()
        thread.join()

    def check(self, lab: Lab, payload: bytes) -> None:
        """Both sides have met marks and have answered them, and nothing was sent again."""
        ours, theirs = self.engine.counters(), kernel_counters(lab)
        self.engine.close()
        assert self.got == payload
        assert self.options & (OPT_ECN | OPT_ECN_SEEN) == OPT_ECN | OPT_ECN_SEEN
        assert ours["TCPEcnAgreed"] == 1
        # The kernel's marked data, and its answer to our ECE.
        assert ours["InCEPkts"] > 0
        assert theirs["TCPDeliveredCE"] > 0
        # Our marked data, and our answer to its ECE.
        assert 0 < ours["TCPEcnReductions"] <= theirs["InCEPkts"] + theirs["Ip6InCEPkts"]
        assert ours["TCPDeliveredCE"] > 0
        assert (ours["TCPFastRetrans"], theirs["TCPFastRetrans"]) == (0, 0)


@families
@pytest.mark.requirement("RFC 3168 6.1.1 agree", "RFC 3168 6.1.2 once", "RFC 3168 6.1.3")
def test_a_kernel_client_that_asks(lab: Lab, family: int) -> None:
    payload = os.urandom(SIZE)
    echo = Echo(lab, "passive")
    echo.reach(lab, family)
    there = ENGINE[socket.AddressFamily(family)], PORT
    echo.talk(lambda: lab.call(socket.create_connection, there, 20), payload)
    echo.check(lab, payload)


@families
@pytest.mark.requirement("RFC 3168 6.1.1 agree")
def test_a_kernel_server_that_is_asked(lab: Lab, family: int) -> None:
    payload = os.urandom(SIZE)
    echo = Echo(lab, "on")
    echo.reach(lab, family)

    def listening() -> socket.socket:
        return socket.create_server((KERNEL[socket.AddressFamily(family)], 0), family=family)

    with lab.call(listening) as listener:
        echo.group.connect(listener.getsockname()[:2])
        echo.talk(lambda: listener.accept()[0], payload)
    echo.check(lab, payload)


def test_a_kernel_client_that_does_not_ask(lab: Lab) -> None:
    asks(lab, False)
    echo = Echo(lab, "passive")
    echo.talk(lambda: lab.call(socket.create_connection, (ENGINE[socket.AF_INET], PORT), 20), b"plain")
    counters = echo.engine.counters()
    echo.engine.close()
    assert echo.got == b"plain"
    assert echo.options & OPT_ECN == 0
    assert (counters["TCPEcnAgreed"], counters["InCEPkts"]) == (0, 0)
