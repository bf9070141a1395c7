"""ICMP that asks or refuses: echo, unreachable protocols and headers (RFC 1122 3.2.2, RFC 4443)."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    HBHOptUnknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from support.icmp import ECHO, message, ping
from support.net import PEER_V4, PEER_V6, V4, V6, MakeNet, Net
from support.packets import build

both = pytest.mark.parametrize("peer, here", [(PEER_V4, V4), (PEER_V6, V6)], ids=["IPv4", "IPv6"])


def version(host: str) -> int:
    return 6 if ":" in host else 4


def named(host: str, name: str) -> str:
    """The counter of ICMPv4 or ICMPv6, as Linux calls it."""
    return ("Icmp6" if ":" in host else "Icmp") + name


# --- echo ---------------------------------------------------------------------


@pytest.mark.requirement("RFC 1122 3.2.2.6", "RFC 4443 4.2")
@both
@pytest.mark.parametrize("size", [0, 1, 56, 1_000])
def test_an_echo_request_is_answered(net: Net, peer: str, here: str, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    net.inject(ping(peer, here, data, number=0xBEEF_0042))
    net.turn()
    [answer] = net.messages
    assert (answer.src, answer.dst) == (here, peer)
    assert (answer.type, answer.code, answer.rest) == (ECHO[version(peer)][1], 0, 0xBEEF_0042)
    assert answer.data == data
    counters = net.counters()
    for name in ("InMsgs", "InEchos", "OutMsgs", "OutEchoReps"):
        assert counters[named(here, name)] == 1, name


@both
def test_the_answer_is_as_large_as_the_mtu_at_most(net: Net, peer: str, here: str) -> None:
    header = 28 if version(peer) == 4 else 48
    net.inject(ping(peer, here, bytes(net.mtu - header)))
    net.inject(ping(peer, here, bytes(net.mtu - header + 1)))
    net.turn()
    assert [len(answer.raw) for answer in net.messages] == [net.mtu]
    assert net.counters()["IcmpDrops"] == 1


@pytest.mark.requirement("RFC 4443 2.4 (f)")
@both
def test_the_rate_of_answers_is_limited(make_net: MakeNet, peer: str, here: str) -> None:
    net = make_net(icmp_per_second=50)
    for _ in range(300):
        net.inject(ping(peer, here))
    net.advance(0)
    assert len(net.messages) == 50
    assert net.counters()["IcmpLimited"] == 250
    net.advance(0.1)
    for _ in range(300):
        net.inject(ping(peer, here))
    net.advance(0)
    assert len(net.messages) == 55


def test_more_than_the_tray_holds_is_dropped(make_net: MakeNet) -> None:
    """Answers that wait for one flush take bounded memory."""
    net = make_net(icmp_per_second=100_000, packets_per_poll=1_000)
    for _ in range(400):
        net.inject(ping(PEER_V4, V4, bytes(1_400)))
    net.turn()
    assert 150 < len(net.messages) < 200
    assert net.counters()["IcmpDrops"] == 400 - len(net.messages)
    net.inject(ping(PEER_V4, V4))
    net.turn()
    assert net.messages[-1].data == b"abc"


def test_poll_at_asks_for_the_flush(net: Net) -> None:
    net.inject(ping(PEER_V4, V4))
    net.poll()
    assert net.engine.poll_at() == net.now
    net.flush()
    assert len(net.messages) == 1


@pytest.mark.requirement("RFC 1122 3.2.1.3")
@pytest.mark.parametrize(
    "source, here",
    [
        pytest.param("0.0.0.0", V4, id="no address"),
        pytest.param("127.0.0.1", V4, id="loopback"),
        pytest.param("255.255.255.255", V4, id="from broadcast"),
        pytest.param("224.0.0.1", V4, id="from multicast"),
        pytest.param(V4, V4, id="from ourselves"),
        pytest.param(PEER_V4, "255.255.255.255", id="to broadcast"),
        pytest.param(PEER_V4, "224.0.0.1", id="to multicast"),
        pytest.param(PEER_V4, "192.0.2.99", id="to somebody else"),
        pytest.param(PEER_V6, "ff02::1", id="to all nodes"),
        pytest.param("ff02::1", V6, id="from all nodes"),
        pytest.param("::1", V6, id="from ::1"),
        pytest.param(V6, V6, id="from our IPv6 address"),
        pytest.param(PEER_V6, "2001:db8::99", id="to somebody else's IPv6 address"),
    ],
)
def test_strange_addresses_are_not_answered(net: Net, source: str, here: str) -> None:
    """attacks.md 16, 37: never a reflector, never an amplifier."""
    net.inject(ping(source, here))
    net.turn()
    net.expect_nothing()
    assert net.counters()["IpInAddrErrors"] == 1


@pytest.mark.requirement("RFC 1122 3.2.2", "RFC 8200 4.5")
@both
def test_a_fragment_is_not_answered(net: Net, peer: str, here: str) -> None:
    if version(peer) == 4:
        net.inject(ping(peer, here, flags="MF"))
        net.inject(ping(peer, here, frag=3))
    else:
        whole = ping(peer, here)
        for fragment in (b"\x3a\0\0\1" + bytes(4), b"\x3a\0\0\x18" + bytes(4)):
            header = whole[:4] + (len(whole) - 32).to_bytes(2) + b"\x2c" + whole[7:40]
            net.inject(header + fragment + whole[40:])
    net.turn()
    net.expect_nothing()
    assert net.counters()["IpReasmReqds"] == 2


@both
def test_malformed_messages_are_counted(net: Net, peer: str, here: str) -> None:
    header = 20 if version(peer) == 4 else 40
    whole = ping(peer, here, b"")
    short = whole[: header + 7]
    short = (
        short[:4] + b"\0\7" + short[6:]
        if header == 40
        else bytes(IP(src=peer, dst=here, proto=1) / short[20:])
    )
    net.inject(ping(peer, here, chksum=0x1234))
    net.inject(short)
    net.turn()
    net.expect_nothing()
    counters = net.counters()
    assert counters[named(here, "InMsgs")] == 2
    assert counters[named(here, "InErrors")] == 2
    assert counters[named(here, "InCsumErrors")] == 1


@pytest.mark.requirement("RFC 1122 3.2.2", "RFC 4443 2.4 (e)")
@both
@pytest.mark.parametrize("kind", [0, 4, 5, 9, 10, 13, 17, 129, 130, 133, 134, 135, 137, 200])
def test_other_messages_are_taken_without_a_word(net: Net, peer: str, here: str, kind: int) -> None:
    """Source quench (RFC 6633), redirects, timestamps, neighbours: nothing for a host behind a TUN device."""
    net.inject(message(peer, here, kind, data=bytes(40)))
    net.turn()
    net.expect_nothing()
    assert net.counters()[named(here, "InMsgs")] == 1


# --- unreachable --------------------------------------------------------------


@pytest.mark.requirement("RFC 1122 3.2.2.1")
@pytest.mark.parametrize("size", [0, 8, 1_400])
def test_another_protocol_of_ipv4_is_unreachable(net: Net, size: int) -> None:
    """RFC 1122 section 3.2.2.1, code 2; quoted is as much as fits 576 bytes (RFC 1812 section 4.3.2.3)."""
    packet = bytes(IP(src=PEER_V4, dst=V4) / UDP(sport=9, dport=53) / bytes(size))
    net.inject(packet + b"padding of the link")
    net.turn()
    [told] = net.messages
    assert (told.src, told.dst, told.type, told.code, told.rest) == (V4, PEER_V4, 3, 2, 0)
    assert told.data == packet[:548]
    assert net.counters()["IcmpOutDestUnreachs"] == 1
    assert net.counters()["IpInUnknownProtos"] == 1


@pytest.mark.requirement("RFC 4443 2.4 (c)", "RFC 4443 3.4")
@pytest.mark.parametrize("size", [0, 8, 1_400])
def test_another_protocol_of_ipv6_is_a_parameter_problem(net: Net, size: int) -> None:
    """RFC 4443 section 3.4, code 1, at the next header field; the answer fits 1280 bytes."""
    packet = bytes(IPv6(src=PEER_V6, dst=V6) / UDP(sport=9, dport=53) / bytes(size))
    net.inject(packet)
    net.turn()
    [told] = net.messages
    assert (told.src, told.dst, told.type, told.code, told.rest) == (V6, PEER_V6, 4, 1, 6)
    assert told.data == packet[:1_232]
    assert net.counters()["Icmp6OutParmProbs"] == 1


def v6_chain(*headers: Any, **ip: Any) -> bytes:
    packet = IPv6(src=PEER_V6, dst=V6, **ip)
    for header in headers:
        packet = packet / header
    return bytes(packet / TCP(sport=999, dport=7, flags="S", seq=1))


@pytest.mark.requirement("RFC 4443 3.4", "RFC 5095 3", "RFC 8200 4.1", "RFC 8200 4.2", "RFC 8200 4.4")
@pytest.mark.parametrize(
    "packet, code, pointer",
    [
        pytest.param(
            v6_chain(IPv6ExtHdrRouting(type=0, segleft=1, addresses=["2001:db8::5"])),
            0,
            42,
            id="routing type 0",
        ),
        pytest.param(v6_chain(IPv6ExtHdrRouting(type=9, segleft=2)), 0, 42, id="routing type 9"),
        pytest.param(
            v6_chain(IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x8A, optdata=b"x")])),
            2,
            42,
            id="option 10",
        ),
        pytest.param(
            v6_chain(IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0"), HBHOptUnknown(otype=0xCA)])),
            2,
            46,
            id="option 11, after padding",
        ),
        pytest.param(v6_chain(IPv6ExtHdrDestOpt(), IPv6ExtHdrHopByHop()), 1, 40, id="hop by hop, not first"),
        pytest.param(
            bytes(IPv6(src=PEER_V6, dst=V6) / IPv6ExtHdrDestOpt() / UDP(dport=53)),
            1,
            40,
            id="UDP behind options",
        ),
    ],
)
def test_headers_that_must_be_understood(net: Net, packet: bytes, code: int, pointer: int) -> None:
    """RFC 8200 sections 4.1, 4.2 and 4.4, RFC 5095; the pointer names the byte that is not understood."""
    group = net.group(7, v6=True)
    net.inject(packet)
    net.turn()
    assert group.pending() == []
    [told] = net.messages
    assert (told.type, told.code, told.rest) == (4, code, pointer)
    assert told.data == packet
    net.messages.clear()


@pytest.mark.requirement("RFC 8200 4.2", "RFC 8200 4.4")
@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(v6_chain(IPv6ExtHdrRouting(type=0, segleft=0)), id="routing header at its end"),
        pytest.param(v6_chain(IPv6ExtHdrHopByHop(options=[RouterAlert()])), id="router alert"),
        pytest.param(
            v6_chain(IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=b"12345")])), id="option 00"
        ),
    ],
)
def test_headers_that_may_be_skipped(net: Net, packet: bytes) -> None:
    group = net.group(7, v6=True)
    net.inject(packet)
    net.turn()
    assert len(group.pending()) == 1
    net.expect_nothing()


@pytest.mark.requirement("RFC 8200 4.2", "RFC 8200 4.7", "RFC 8200 4.8")
@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(
            v6_chain(IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x4A, optdata=b"x")])), id="option 01"
        ),
        pytest.param(bytes(IPv6(src=PEER_V6, dst=V6, nh=59)), id="no next header"),
        pytest.param(
            bytes(IPv6(src=PEER_V6, dst=V6, nh=0) / b"\x06\x09" / bytes(20)), id="header beyond the packet"
        ),
        pytest.param(
            bytes(IPv6(src=PEER_V6, dst=V6, nh=60) / b"\x06\x00\x1e\x09abcd"), id="option beyond its header"
        ),
        pytest.param(v6_chain(*[IPv6ExtHdrDestOpt() for _ in range(9)]), id="nine headers"),
    ],
)
def test_headers_that_end_a_packet_silently(net: Net, packet: bytes) -> None:
    group = net.group(7, v6=True)
    before = net.counters()
    net.inject(packet)
    net.turn()
    assert group.pending() == []
    net.expect_nothing()
    assert net.counters() != before


@pytest.mark.requirement("RFC 4443 2.4 (f)")
def test_what_refuses_shares_the_ration_of_echo(make_net: MakeNet) -> None:
    net = make_net(icmp_per_second=10)
    for _ in range(10):
        net.inject(ping(PEER_V4, V4))
        net.inject(bytes(IP(src=PEER_V4, dst=V4) / UDP(dport=53)))
        net.inject(bytes(IPv6(src=PEER_V6, dst=V6) / UDP(dport=53)))
    net.turn()
    assert len(net.messages) == 10


@pytest.mark.requirement("RFC 1122 3.2.2", "RFC 4443 2.4 (e)")
@pytest.mark.parametrize(
    "source, here",
    [
        ("255.255.255.255", V4),
        (V4, V4),
        (PEER_V4, "224.0.0.251"),
        (PEER_V4, "192.0.2.99"),
        (PEER_V6, "ff02::fb"),
    ],
)
def test_strange_addresses_are_not_refused(net: Net, source: str, here: str) -> None:
    """RFC 1122 section 3.2.2: no error about a packet from or to no single host (mDNS, for one)."""
    layer = IPv6 if ":" in here else IP
    net.inject(bytes(layer(src=source, dst=here) / UDP(dport=5353)))
    net.turn()
    net.expect_nothing()


def test_a_closed_port_is_still_refused_by_reset(net: Net) -> None:
    net.inject(build(PEER_V4, V4, 999, 9, seq=1, flags="S"))
    net.turn()
    assert net.messages == []
    [segment] = net.strays
    assert segment.flags == {"R", "A"}
