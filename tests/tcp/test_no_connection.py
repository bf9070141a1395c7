"""Segments to no connection (RFC 9293 3.10.7.1; attacks.md 16, 17, 37)."""

from __future__ import annotations

from typing import Any

import pytest
from support.net import PEER_V4, V4, V6, MakeNet, Net
from support.packets import build

both = pytest.mark.parametrize("peer, here", [(PEER_V4, V4), ("2001:db8:c::7", V6)])


@pytest.mark.requirement("RFC 9293 3.10.7.1")
@both
@pytest.mark.parametrize("flags", ["A", "PA", "FA", "SA", "UA"])
def test_with_an_ack_the_reset_takes_its_number(net: Net, peer: str, here: str, flags: str) -> None:
    """<SEQ=SEG.ACK><CTL=RST>"""
    net.inject(build(peer, here, 999, 7, seq=1_000, ack=0xFFFF_FFF0, flags=flags, data=b"abc"))
    net.turn()
    [segment] = net.strays
    assert segment.flags == {"R"}
    assert (segment.src, segment.sport, segment.dst, segment.dport) == (here, 7, peer, 999)
    assert segment.seq == 0xFFFF_FFF0
    net.strays.clear()


@pytest.mark.requirement("RFC 9293 3.10.7.1")
@both
@pytest.mark.parametrize(
    "flags, data, length", [("S", b"", 1), ("S", b"abc", 4), ("F", b"", 1), ("P", b"ab", 2)]
)
def test_without_an_ack_the_reset_acknowledges_it(
    net: Net, peer: str, here: str, flags: str, data: bytes, length: int
) -> None:
    """<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"""
    net.inject(build(peer, here, 999, 7, seq=0xFFFF_FFFF, flags=flags, data=data))
    net.turn()
    [segment] = net.strays
    assert segment.flags == {"R", "A"}
    assert segment.seq == 0
    assert segment.ack == (0xFFFF_FFFF + length) % 2**32
    net.strays.clear()


@pytest.mark.requirement("RFC 9293 3.10.7.1")
@pytest.mark.parametrize("flags", ["R", "RA", "RS", "RFA"])
def test_a_reset_is_never_answered(net: Net, flags: str) -> None:
    net.inject(build(PEER_V4, V4, 999, 7, seq=1, ack=1, flags=flags))
    net.turn()
    net.expect_nothing()


@pytest.mark.requirement("RFC 9293 3.10.7.2")
def test_a_listening_port_answers_a_stray_ack_alike(net: Net) -> None:
    """RFC 9293 3.10.7.2, LISTEN: second, an ACK."""
    net.group(7)
    net.inject(build(PEER_V4, V4, 999, 7, seq=1, ack=77, flags="A"))
    net.turn()
    [segment] = net.strays
    assert (segment.flags, segment.seq) == (frozenset("R"), 77)


@pytest.mark.requirement("RFC 9293 3.10.7.2")
@pytest.mark.parametrize("flags", ["", "F", "PU"])
def test_a_listening_port_answers_nothing_but_syn_and_ack(net: Net, flags: str) -> None:
    """RFC 9293 3.10.7.2, LISTEN: fourth, other data or control is dropped; a closed port resets it."""
    net.group(7)
    net.inject(build(PEER_V4, V4, 999, 7, seq=1, flags=flags, data=b"who is there?"))
    net.turn()
    net.expect_nothing()


def test_the_rate_is_limited(make_net: MakeNet) -> None:
    """No reflector: at most `resets_per_second`, whoever asks."""
    net = make_net(resets_per_second=50)
    for step in range(1_000):
        net.inject(build(PEER_V4, V4, 1_024 + step, 9, seq=1, ack=1))
        if step % 100 == 99:
            net.turn()
    net.advance(0)
    first = len(net.strays)
    assert 1 <= first <= 100
    for _ in range(100):
        for port in range(10):
            net.inject(build(PEER_V4, V4, 2_000 + port, 9, seq=1, ack=1))
        net.advance(0.1)
    assert 400 <= len(net.strays) - first <= 600, "50 per second over ten seconds"
    net.strays.clear()


def test_the_limit_does_not_touch_connections(make_net: MakeNet) -> None:
    """abort is not an answer to a stray; it is always sent."""
    net = make_net(resets_per_second=0)
    group = net.group(7)
    client = net.client(group).established()
    net.inject(build(PEER_V4, V4, 999, 9, seq=1, ack=1))
    net.turn()
    net.expect_nothing()
    group.abort(client.cd)
    net.turn()
    client.expect_reset(seq=1)


@pytest.mark.requirement("RFC 9293 MUST-3", "RFC 1122 3.2.1.2", "RFC 1122 3.2.1.4")
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"ip": {"flags": "MF"}}, id="more fragments"),
        pytest.param({"ip": {"frag": 1}}, id="fragment offset"),
        pytest.param({"ip": {"chksum": 0x1234}}, id="IP checksum"),
        pytest.param({"tcp": {"chksum": 0x1234}}, id="TCP checksum"),
        pytest.param({"ip": {"version": 5}}, id="version 5"),
        pytest.param({"ip": {"ihl": 4}}, id="header length 4"),
        pytest.param({"ip": {"ihl": 15}}, id="header length beyond the packet"),
        pytest.param({"ip": {"len": 2_000}}, id="total length too long"),
        pytest.param({"ip": {"len": 30}}, id="total length too short"),
        pytest.param({"tcp": {"dataofs": 4}}, id="data offset 4"),
        pytest.param({"tcp": {"dataofs": 15}}, id="data offset beyond the packet"),
    ],
)
def test_a_malformed_packet_is_counted_and_not_answered(net: Net, fields: dict[str, Any]) -> None:
    before = net.counters()
    link_before = net.link.received
    net.inject(build(PEER_V4, V4, 999, 7, seq=1, ack=1, data=b"abcd", **fields))
    net.turn()
    net.expect_nothing()
    assert net.link.received == link_before + 1
    assert net.counters() != before, "no counter tells of it"


def test_bytes_behind_the_total_length_are_padding(net: Net) -> None:
    """attacks.md 20: an Ethernet pads short frames."""
    group = net.group(7)
    client = net.client(group).established()
    raw = client.packet(b"data", "PA")
    client.judge.ranges.append((1, 5))
    client.seq = 5
    net.inject(raw + b"\xaa" * 20)
    net.turn()
    assert group.recv(100) == (client.cd, b"data")


@pytest.mark.requirement("RFC 9293 MUST-50")
@pytest.mark.parametrize(
    "option", [b"\x01" * 4, b"\x94\x04\x00\x00", b"\x44\x08\x05\x00" + bytes(4), b"\x00" * 8, b"\x01" * 40]
)
def test_ip_options_are_skipped(net: Net, option: bytes) -> None:
    """RFC 9293 MUST-50: unknown IP options are ignored (NOP, router alert, timestamp)."""
    from scapy.layers.inet import IP, TCP, IPOption

    group = net.group(7)
    packet = IP(src=PEER_V4, dst=V4, options=IPOption(option)) / TCP(sport=999, dport=7, flags="S", seq=1)
    net.inject(bytes(packet))
    net.turn()
    assert len(group.pending()) == 1


@pytest.mark.requirement("RFC 9293 MUST-53")
@pytest.mark.parametrize("kind", [0x83, 0x89])
def test_source_routes_are_dropped(net: Net, kind: int) -> None:
    """RFC 7126 advice, a documented deviation from MUST-53."""
    from scapy.layers.inet import IP, TCP, IPOption

    group = net.group(7)
    route = bytes((kind, 7, 4)) + bytes((203, 0, 113, 1)) + b"\0"
    packet = IP(src=PEER_V4, dst=V4, options=IPOption(route)) / TCP(sport=999, dport=7, flags="S", seq=1)
    net.inject(bytes(packet))
    net.turn()
    assert group.pending() == []
    net.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-63")
@pytest.mark.feature("P32")
@pytest.mark.parametrize("source", ["::", "::1", "ff02::1", V6, "::ffff:198.51.100.7"])
def test_martians_of_ipv6(net: Net, source: str) -> None:
    group = net.group(7, v6=True)
    net.inject(build(source, V6, 999, 7, seq=1, flags="S"))
    net.turn()
    assert group.pending() == []
    net.expect_nothing()
