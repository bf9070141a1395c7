"""TunLink on real devices, each test in network and mount namespaces of its own."""

from __future__ import annotations

import os
import pwd
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from support.virtio import FORM, NEEDS_CSUM, Header

from xtcp_twisted.errors import ConfigurationError, LinkError, PrivilegeError
from xtcp_twisted.link import CaptureLink, Link, TunLink

isolated = pytest.mark.isolated
Unprivileged = Callable[[Callable[[], Any]], None]

HOST, PEER = "10.77.0.1", "10.77.0.2"
HOST6, PEER6 = "fd77::1", "fd77::2"
NOBODY = 65534


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def readable(link: Link, seconds: float = 60) -> bool:
    """Wait until the link is readable; the limit is for a broken link only."""
    return bool(select.select([link.fileno()], [], [], seconds)[0])


def udp_socket(family: socket.AddressFamily, address: str) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(60)
    made.bind((address, 0))
    return made


def crosses(link: Link) -> None:
    """A datagram goes from the kernel through the link and its answer comes back."""
    with udp_socket(socket.AF_INET, HOST) as client:
        # The kernel drops what is sent before it has noticed that the device has a carrier now.
        for _ in range(20):
            client.sendto(b"question", (PEER, 7))
            if readable(link, 0.25):
                break
        packet = link.read(10, 0.0)[0]
        asked = IP(packet)
        assert (asked.src, asked.dst, bytes(asked[Raw])) == (HOST, PEER, b"question")
        answer = IP(src=PEER, dst=HOST) / UDP(sport=7, dport=asked[UDP].sport) / Raw(b"answer")
        assert link.write([bytes(answer)], 0.0) == 1
        assert client.recvfrom(100) == (b"answer", (PEER, 7))


@isolated
def test_packets_cross_in_both_directions() -> None:
    link = TunLink("xt0", addresses=[f"{HOST}/24"])
    assert link.created
    assert link.read(10, 0.0) == []
    crosses(link)
    assert (link.received, link.sent, link.dropped) == (1, 1, 0)
    link.close()


@isolated
def test_ipv6_and_no_packet_of_the_kernels_own() -> None:
    link = TunLink("xt0", addresses=(f"{HOST}/24", f"{HOST6}/64"))
    with udp_socket(socket.AF_INET6, HOST6) as client:
        client.sendto(b"question", (PEER6, 7))
        assert readable(link)
        # No router solicitation and no neighbour discovery before it: there is no link-local address.
        [packet] = link.read(10, 0.0)
    asked = IPv6(packet)
    assert (asked.src, asked.dst, bytes(asked[Raw])) == (HOST6, PEER6, b"question")
    assert [str(address) for address in link.host_addresses()] == [f"{HOST}/24", f"{HOST6}/64"]


@isolated
def test_the_device_is_as_asked_and_goes_with_the_link() -> None:
    link = TunLink("xt0", addresses="10.77.0.1/24", mtu=9000, queue_length=1234)
    shown = ip("link", "show", "xt0")
    assert "mtu 9000" in shown
    assert "qlen 1234" in shown
    assert link.is_up()
    assert (link.name, link.mtu) == ("xt0", 9000)
    descriptor = link.fileno()
    assert not os.get_inheritable(descriptor)
    link.close()
    link.close()
    assert link.fileno() == -1
    with pytest.raises(OSError):
        os.fstat(descriptor)
    with pytest.raises(OSError):
        socket.if_nametoindex("xt0")
    with pytest.raises(LinkError, match="xt0: the link is closed"):
        link.read(1, 0.0)
    with pytest.raises(LinkError, match="closed"):
        link.host_addresses()
    assert link.write([b"late"], 0.0) == 0
    assert link.dropped == 1


@isolated
def test_a_batch_is_bounded() -> None:
    link = TunLink("xt0", addresses=[f"{HOST}/24"])
    with udp_socket(socket.AF_INET, HOST) as client:
        for n in range(5):
            client.sendto(bytes([n]), (PEER, 7))
        assert readable(link)
        batches = [[bytes(IP(p)[Raw])[0] for p in link.read(2, 0.0)] for _ in range(4)]
    assert batches == [[0, 1], [2, 3], [4], []]


@isolated
def test_a_persistent_device_stays_and_is_found_again() -> None:
    TunLink("xt0", addresses=[f"{HOST}/24"], mtu=1400, persist=True).close()
    assert socket.if_nametoindex("xt0")
    # Nothing about a device that is there is changed.
    link = TunLink("xt0", addresses=["10.99.0.1/24"], mtu=9000, queue_length=5)
    assert not link.created
    assert link.mtu == 1400
    assert [str(address) for address in link.host_addresses()] == [f"{HOST}/24"]
    assert "qlen 10000" in ip("link", "show", "xt0")
    crosses(link)
    link.close()
    assert socket.if_nametoindex("xt0")


@isolated
@pytest.mark.parametrize("way", ["name", "path", "descriptor"])
def test_a_device_in_another_namespace(way: str) -> None:
    ip("netns", "add", "other")
    path = "/run/netns/other"
    with open(path) as file:
        ways: dict[str, Any] = {"name": "other", "path": Path(path), "descriptor": file.fileno()}
        link = TunLink("xt0", addresses=[f"{HOST}/24"], namespace=ways[way])
    with pytest.raises(OSError):
        socket.if_nametoindex("xt0")
    assert "mtu 1500" in ip("-n", "other", "link", "show", "xt0")
    assert link.is_up()
    assert [str(address) for address in link.host_addresses()] == [f"{HOST}/24"]
    # The packet comes from a process inside, the link works outside.
    send = f"import socket; socket.socket(2, 2).sendto(b'hello', ('{PEER}', 7))"
    subprocess.run(["ip", "netns", "exec", "other", sys.executable, "-c", send], check=True)
    assert readable(link)
    assert bytes(IP(link.read(1, 0.0)[0])[Raw]) == b"hello"
    link.close()
    assert "xt0" not in ip("-n", "other", "link")


@isolated
def test_a_user_attaches_to_a_device_of_his_own(unprivileged: Unprivileged) -> None:
    ip("tuntap", "add", "dev", "xt0", "mode", "tun", "user", str(NOBODY))
    ip("addr", "add", f"{HOST}/24", "dev", "xt0")
    ip("link", "set", "xt0", "addrgenmode", "none")
    ip("link", "set", "xt0", "mtu", "1300", "up")

    def attach() -> None:
        assert os.geteuid() == NOBODY
        link = TunLink("xt0")
        assert (link.created, link.mtu, link.is_up()) == (False, 1300, True)
        assert [str(address) for address in link.host_addresses()] == [f"{HOST}/24"]
        crosses(link)

    unprivileged(attach)


@isolated
@pytest.mark.parametrize("owner", [NOBODY, str(NOBODY), pwd.getpwuid(NOBODY).pw_name])
def test_the_owner_of_a_new_device_may_attach(owner: str | int, unprivileged: Unprivileged) -> None:
    TunLink("xt0", addresses=[f"{HOST}/24"], owner=owner, persist=True).close()
    unprivileged(lambda: crosses(TunLink("xt0")))


@isolated
def test_a_user_is_told_how_to_get_a_device(unprivileged: Unprivileged) -> None:
    user = pwd.getpwuid(NOBODY).pw_name
    ip("tuntap", "add", "dev", "foreign", "mode", "tun", "user", "1")

    def ask() -> None:
        with pytest.raises(PrivilegeError) as told:
            TunLink("xt0", addresses=[f"{HOST}/24"], mtu=1400)
        text = str(told.value)
        assert "TUN device xt0 does not exist" in text
        assert f"\n  sudo ip tuntap add dev xt0 mode tun user {user}\n" in text
        assert f"\n  sudo ip addr add {HOST}/24 dev xt0\n" in text
        assert text.endswith("\n  sudo ip link set xt0 mtu 1400 txqueuelen 10000 up")
        with pytest.raises(PrivilegeError, match="foreign exists but belongs to another user") as told:
            TunLink("foreign")
        assert "\n  sudo ip link del foreign\n" in str(told.value)

    unprivileged(ask)


@isolated
def test_the_commands_of_the_error_are_right(unprivileged: Unprivileged, tmp_path: Path) -> None:
    def refused() -> None:
        with pytest.raises(PrivilegeError) as told:
            TunLink("xt0", addresses=[f"{HOST}/24"])
        os.write(channel[1], str(told.value).encode())

    channel = os.pipe()
    unprivileged(refused)
    lines = os.read(channel[0], 10_000).decode().splitlines()
    for line in lines[1:]:
        subprocess.run(line.split()[1:], check=True)
    unprivileged(lambda: crosses(TunLink("xt0")))


@isolated
def test_a_closed_node_and_a_foreign_namespace_take_rights(unprivileged: Unprivileged) -> None:
    ip("netns", "add", "other")

    def enter() -> None:
        with pytest.raises(PrivilegeError, match="entering another network namespace takes root"):
            TunLink("xt0", namespace="other")

    def open_node() -> None:
        with pytest.raises(PrivilegeError, match="type `sudo chmod 0666 /dev/net/tun`"):
            TunLink("xt0")

    unprivileged(enter)
    os.chmod("/dev/net/tun", 0o600)
    unprivileged(open_node)


@isolated
def test_no_driver() -> None:
    os.unlink("/dev/net/tun")
    with pytest.raises(LinkError, match="no /dev/net/tun.*sudo modprobe tun"):
        TunLink("xt0")


@isolated
def test_a_busy_device() -> None:
    first = TunLink("xt0")
    with pytest.raises(LinkError, match="xt0: the device is busy, another process has it open"):
        TunLink("xt0")
    first.close()
    TunLink("xt0").close()


@isolated
def test_a_device_of_another_kind() -> None:
    ip("tuntap", "add", "dev", "tap0", "mode", "tap")
    for name in ("tap0", "lo"):
        with pytest.raises(LinkError, match=f"{name} exists but is not a plain TUN device"):
            TunLink(name)


@isolated
def test_unknown_names() -> None:
    with pytest.raises(LinkError, match="unknown network namespace 'nowhere'.*ip netns list"):
        TunLink("xt0", namespace="nowhere")
    with pytest.raises(
        LinkError, match="namespace: the file or descriptor is not one of a network namespace"
    ):
        TunLink("xt0", namespace="/etc/passwd")
    with pytest.raises(LinkError, match="namespace: 999 is not an open descriptor"):
        TunLink("xt0", namespace=999)
    with pytest.raises(LinkError, match="unknown owner 'noone-of-this-name'"):
        TunLink("xt0", owner="noone-of-this-name")
    assert not os.path.exists("/sys/class/net/xt0")


@isolated
def test_nothing_leaks_when_opening_fails() -> None:
    ip("netns", "add", "other")
    first = TunLink("xt0", namespace="other")
    before = os.listdir("/proc/self/fd")
    impossible: tuple[dict[str, Any], ...] = (
        {"name": "xt0"},
        {"name": "xt1", "addresses": [f"{HOST6}/64"], "mtu": 1000},
    )
    for arguments in impossible:
        with pytest.raises((LinkError, ConfigurationError)):
            TunLink(namespace="other", **arguments)
    assert os.listdir("/proc/self/fd") == before
    assert "xt1" not in ip("-n", "other", "link")
    first.close()


@isolated
def test_an_address_that_the_kernel_refuses() -> None:
    with pytest.raises(ConfigurationError, match="addresses: the kernel refuses fd77::1/64: "):
        TunLink("xt0", addresses=["fd77::1/64"], mtu=1000)
    with pytest.raises(OSError):
        socket.if_nametoindex("xt0")


@isolated
def test_a_device_that_is_removed() -> None:
    link = TunLink("xt0", addresses=[f"{HOST}/24"])
    ip("link", "del", "xt0")
    assert readable(link)
    with pytest.raises(LinkError, match="xt0: the device has gone away"):
        link.read(10, 0.0)
    assert link.write([b"\x45"], 0.0) == 0
    assert link.dropped == 1
    with pytest.raises(LinkError, match="xt0"):
        link.is_up()
    with pytest.raises(LinkError, match="no such device"):
        link.host_addresses()


@isolated
def test_what_the_kernel_refuses_is_counted_and_never_raised() -> None:
    link = TunLink("xt0", addresses=[f"{HOST}/24"])
    # To a socket that is there, so that no ICMP comes back.
    receiver = udp_socket(socket.AF_INET, HOST)
    good = bytes(IP(src=PEER, dst=HOST) / UDP(dport=receiver.getsockname()[1]) / Raw(b"x"))
    # Version 7 is no version of IP: the kernel refuses it at once.
    assert link.write([good, b"\x70" + good[1:], b"", good], 0.0) == 2
    assert (link.sent, link.dropped) == (4, 2)
    ip("link", "set", "xt0", "down")
    assert not link.is_up()
    assert link.write([good], 0.0) == 0
    assert link.dropped == 3
    assert link.read(1, 0.0) == []
    ip("link", "set", "xt0", "up")
    assert link.write([good], 0.0) == 1
    receiver.close()


@isolated
def test_wrapped_device(tmp_path: Path) -> None:
    link = CaptureLink(TunLink("xt0", addresses=[f"{HOST}/24"]), tmp_path / "tun.pcapng")
    crosses(link)
    assert link.captured == 2
    link.close()
    with pytest.raises(OSError):
        socket.if_nametoindex("xt0")


@isolated
def test_opened_from_a_running_event_loop() -> None:
    import asyncio

    async def opened() -> TunLink:
        return TunLink("xt0", addresses=[f"{HOST}/24"])

    crosses(asyncio.run(opened()))


@pytest.mark.parametrize(
    "name, problem",
    [
        ("a-name-of-16-char", "1 to 15 characters"),
        ("", "1 to 15 characters"),
        ("a/b", "letters, digits"),
        ("tun%d", "letters, digits"),
        ("..", "letters, digits"),
        ("a b", "letters, digits"),
        ("tün", "letters, digits"),
    ],
)
def test_bad_device_names(name: str, problem: str) -> None:
    with pytest.raises(LinkError, match=f"device name {name!r}: give .*{problem}"):
        TunLink(name)


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ({"mtu": 100}, "mtu: 100 is not allowed; give an integer from 576 to 65,535"),
        ({"mtu": "1500"}, "mtu: '1500' is not allowed"),
        ({"queue_length": 0}, "queue_length: 0 is not allowed; give an integer from 1 to 10,000,000"),
        (
            {"addresses": ["10.77.0.300/24"]},
            "addresses: '10.77.0.300/24' is not allowed; .* such as '10.77.0.1/24'",
        ),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        TunLink("xt0", **arguments)


def test_netlink_is_not_imported_before_it_is_needed() -> None:
    program = "import sys, xtcp_twisted.link; sys.exit('pyroute2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@isolated
def test_offload_with_small_packets() -> None:
    """The kernel's UDP leaves its checksum to us; what we send is complete."""
    link = TunLink("xt0", addresses=[f"{HOST}/24"], offload=True)
    assert link.offload
    crosses(link)
    assert (link.received, link.sent, link.dropped, link.refused) == (1, 1, 0, 0)


def as_the_device_gives_it(link: Link) -> bytes:
    """A UDP packet of the kernel, unread by the link."""
    with udp_socket(socket.AF_INET, HOST) as client:
        client.sendto(b"question", (PEER, 7))
        assert readable(link)
        return os.read(link.fileno(), 70_000)


def has_checksum(packet: bytes) -> bool:
    again = IP(packet)
    del again[UDP].chksum
    return bytes(again) == packet


@isolated
def test_offload_is_what_the_last_who_attached_wants() -> None:
    """A persistent device keeps what was asked of it; a link without the header must not get that."""
    TunLink("xt0", addresses=[f"{HOST}/24"], persist=True, offload=True).close()
    for offload in (False, True, False):
        link = TunLink("xt0", offload=offload)
        frame = as_the_device_gives_it(link)
        if offload:
            assert Header.of(frame) == Header(flags=NEEDS_CSUM, csum_start=20, csum_offset=6)
        assert has_checksum(frame[FORM.size * offload :]) == (not offload)
        crosses(link)
        link.close()


@isolated
def test_offload_on_a_device_of_another_kind_is_refused() -> None:
    ip("tuntap", "add", "dev", "xt0", "mode", "tun", "multi_queue")
    with pytest.raises(LinkError, match="xt0 exists but is not a plain TUN device"):
        TunLink("xt0", offload=True)
    with pytest.raises(ConfigurationError, match="offload: 'yes' is not allowed; give True or False"):
        TunLink("xt1", offload="yes")  # type: ignore[arg-type]
