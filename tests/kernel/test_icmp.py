"""The kernel's own ping, its reading of our errors, and a path that is narrower than it looks."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from support.capture import segments

from tests.kernel.conftest import GROUPS, V4, V6, Served
from xtcp_twisted.lab.namespace import Namespace
from xtcp_twisted.link.netlink import IFA_F_NODAD

families = pytest.mark.parametrize("host", [V4, V6], ids=["IPv4", "IPv6"])
FAR = {V4: "10.88.0.2", V6: "fd88::2"}
NARROW = 1_300
# linux/rtnetlink.h
RTAX_MTU = 2
#: Seconds for a socket whose peer meets timeouts that double; longer than any of them on a busy machine.
LIMIT = 120


def write_sysctl(name: str, value: str) -> None:
    Path("/proc/sys", name).write_text(value)


def ping(host: str, payload: bytes) -> bytes:
    """The reply's message; the request is sent again each second, since a new device may drop it."""
    write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    v6 = ":" in host
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM, protocol) as asking:
        asking.settimeout(1)
        asking.connect((host, 0))
        for _ in range(LIMIT):
            asking.send(bytes((128 if v6 else 8, 0, 0, 0, 0, 0, 0, 7)) + payload)
            with suppress(TimeoutError):
                return asking.recv(65_535)
    raise TimeoutError(f"{host} answers no ping")


# --- echo and unreachable -----------------------------------------------------


@pytest.mark.requirement("RFC 1122 3.2.2.6", "RFC 4443 4.2")
@families
@pytest.mark.parametrize("size", [0, 56, 1_400])
def test_the_kernel_pings_the_engine(served: Served, host: str, size: int) -> None:
    """Through a ping socket: the kernel builds the request, and checks and matches the reply."""
    payload = os.urandom(size)
    reply = served.lab.call(ping, host, payload)
    assert reply[0] == (129 if ":" in host else 0)
    assert reply[6:8] == b"\0\7"
    assert reply[8:] == payload


@pytest.mark.parametrize("host, told", [(V4, errno.ENOPROTOOPT), (V6, errno.EPROTO)], ids=["IPv4", "IPv6"])
def test_the_kernel_understands_that_there_is_no_udp(served: Served, host: str, told: int) -> None:
    def ask() -> None:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(LIMIT)
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


# --- path MTU -----------------------------------------------------------------

Behind = Callable[[bool], Namespace]


def _near(far: Namespace, mtu: int) -> None:
    """The lab becomes a router to the other namespace, that sends nothing larger than `mtu` there.

    It is the routes that say so: a veth device whose own MTU were that would drop what the far
    host sends, unless several segments of it came as one.
    """
    from pyroute2 import IPRoute

    with IPRoute() as route:
        route.link("add", ifname="near", kind="veth", peer={"ifname": "far", "net_ns_fd": far.fd})
        index = route.link_lookup(ifname="near")[0]
        route.addr("add", index=index, address="10.88.0.1", prefixlen=24)
        route.addr("add", index=index, address="fd88::1", prefixlen=64, flags=IFA_F_NODAD)
        route.link("set", index=index, mtu=1_500, state="up")
        locked = {"mtu": mtu, "lock": 1 << RTAX_MTU}
        route.route("add", dst=f"{FAR[V4]}/32", oif=index, metrics=locked)
        route.route("add", dst=f"{FAR[V6]}/128", oif=index, metrics=locked, family=socket.AF_INET6)
    write_sysctl("net/ipv4/ip_forward", "1")
    write_sysctl("net/ipv6/conf/all/forwarding", "1")


def _far(mtu: int) -> None:
    """A host behind it; its TCP announces the MSS of 1,500 bytes, whatever its device takes."""
    from pyroute2 import IPRoute

    with IPRoute() as route:
        index = route.link_lookup(ifname="far")[0]
        route.link("set", index=index, mtu=mtu, state="up")
        route.addr("add", index=index, address=FAR[V4], prefixlen=24)
        route.addr("add", index=index, address=FAR[V6], prefixlen=64, flags=IFA_F_NODAD)
        route.route("add", dst="default", gateway="10.88.0.1", metrics={"advmss": 1_460})
        route.route(
            "add", dst="default", gateway="fd88::1", metrics={"advmss": 1_440}, family=socket.AF_INET6
        )


@pytest.fixture
def behind(served: Served) -> Iterator[Behind]:
    """Makes a namespace behind a narrow link; the router tells of it, or packets vanish without a word.

    A veth device drops what is larger than the MTU of its other end.  Packets in both directions have
    passed: a new device drops them until the kernel has noticed its carrier, and a handshake that
    is a second late makes all timeouts long.
    """
    made = []

    def make(silent: bool) -> Namespace:
        far = Namespace()
        made.append(far)
        served.lab.call(_near, far, 1_500 if silent else NARROW)
        far.call(_far, NARROW if silent else 1_500)
        for host in FAR:
            far.call(ping, host, b"")
        return far

    yield make
    for namespace in made:
        namespace.close()


def exchange(far: Namespace, host: str, payload: bytes) -> bytes:
    """The payload through the echo server, from behind the narrow link."""
    with (
        ThreadPoolExecutor(1) as pool,
        far.call(socket.create_connection, (host, GROUPS["echo"][0]), LIMIT) as connection,
    ):
        sending = pool.submit(connection.sendall, payload)
        answer = b""
        while len(answer) < len(payload):
            part = connection.recv(1 << 20)
            assert part, "the server ended the connection"
            answer += part
        sending.result()
    return answer


def sizes(capture: Path, host: str) -> list[int]:
    """Of the engine's packets with data, in order."""
    return [len(segment.raw) for segment in segments(capture) if segment.src == host and segment.data]


@pytest.mark.requirement("RFC 8201 5.4")
@families
def test_a_path_that_is_narrower_than_it_looks(served: Served, behind: Behind, host: str) -> None:
    """The router's packet-too-big is believed, and the second connection need not hear it again."""
    told = "Icmp6InPktTooBigs" if ":" in host else "IcmpInDestUnreachs"
    far = behind(False)
    payload = os.urandom(300_000)
    assert exchange(far, host, payload) == payload
    first = served.snapshot()["counters"]
    assert first["PathNarrowed"] == 1
    assert exchange(far, host, payload) == payload
    second = served.snapshot()["counters"]
    assert second[told] == first[told] >= 1
    assert second["PathBlackHoles"] == 0
    sent = sizes(served.stop(), host)
    assert {1_500, NARROW} <= set(sent)
    assert 1_500 not in sent[sent.index(NARROW) :]


@pytest.mark.requirement("RFC 4821 7.7")
@families
def test_a_path_that_swallows_large_packets(served: Served, behind: Behind, host: str) -> None:
    """Nobody tells: after three timeouts smaller segments are tried, and come through."""
    far = behind(True)
    payload = os.urandom(20_000)
    assert exchange(far, host, payload) == payload
    counters = served.snapshot()["counters"]
    assert (counters["PathBlackHoles"], counters["PathNarrowed"]) == (1, 0)
    sent = sizes(served.stop(), host)
    assert sent[0] == 1_500
    assert sent[-2] <= 1_280
