"""IPv6 does all that IPv4 does (P32; RFC 8200)."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from support.net import PEER_V6, V6, Net

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P32")


@pytest.mark.requirement("RFC 9293 MUST-2", "RFC 8200 8.1")
def test_a_conversation(net: Net) -> None:
    group = net.group(7, v6=True)
    client = net.client(group).established()
    for size in (1, 100, 1_428):
        client.exchange(bytes(size), bytes(size))
    host, _ = group.peer(client.cd)
    assert host == PEER_V6
    client.fin()
    net.turn()
    client.expect("A")
    assert EventKind.EOF in net.kinds()


@pytest.mark.requirement("RFC 9293 SHLD-28")
def test_a_long_answer_in_full_segments(net: Net) -> None:
    group = net.group(7, v6=True)
    client = net.client(group, mss=1440).established()
    client.send(b"more")
    with net.in_turn():
        group.recv(10)
        group.send(client.cd, bytes(5_000), ackd=ALL)
    assert [len(s.data) for s in client.take()] == [1_428, 1_428, 1_428, 716]


def test_a_reset_for_a_closed_port(net: Net) -> None:
    client = net.client(ip=PEER_V6, port=9)
    client.syn()
    net.turn()
    client.expect("RA", ack=1)


def test_retransmission_and_abort(net: Net) -> None:
    group = net.group(7, v6=True)
    client = net.client(group).established()
    group.send(client.cd, b"answer")
    net.flush()
    net.advance(0.25)
    assert [s.data for s in client.take()] == [b"answer", b"answer"]
    group.abort(client.cd)
    net.turn()
    client.expect_reset(seq=7)


@pytest.mark.requirement("RFC 6946 4", "RFC 8200 4.5", "RFC 8200 4.8")
@pytest.mark.parametrize(
    "chain, taken",
    [
        pytest.param([IPv6ExtHdrHopByHop()], True, id="hop by hop"),
        pytest.param([IPv6ExtHdrDestOpt()], True, id="destination options"),
        pytest.param([IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()], True, id="both"),
        pytest.param([IPv6ExtHdrFragment(m=1)], False, id="first fragment"),
        pytest.param([IPv6ExtHdrFragment(offset=5)], False, id="later fragment"),
        pytest.param([IPv6ExtHdrFragment()], True, id="atomic fragment (RFC 6946)"),
        pytest.param([IPv6ExtHdrDestOpt() for _ in range(64)], False, id="64 headers"),
    ],
)
def test_extension_headers(net: Net, chain: list[IPv6], taken: bool) -> None:
    group = net.group(7, v6=True)
    packet = IPv6(src=PEER_V6, dst=V6)
    for header in chain:
        packet = packet / header
    net.inject(bytes(packet / TCP(sport=999, dport=7, flags="S", seq=1)))
    net.turn()
    assert len(group.pending()) == taken
    net.expect_nothing()
