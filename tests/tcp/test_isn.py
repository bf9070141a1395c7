"""Initial sequence numbers that cannot be guessed (P37; RFC 6528)."""

from __future__ import annotations

from typing import Any

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.engine import Group

pytestmark = pytest.mark.feature("P37")


def isn(net: Net, group: Group, **client: Any) -> int:
    """The ISN that a client with this address is given at this moment; its request is then withdrawn."""
    peer = net.client(group, **client)
    peer.syn()
    with net.in_turn():
        group.accept(peer.pending_id())
    value = peer.expect("SA").seq
    peer.rst(seq=1)
    net.turn()
    return value


@pytest.mark.requirement("RFC 9293 MUST-8", "RFC 6528 3")
@pytest.mark.parametrize("seconds", [0.001, 1.0, 60.0, 4_000.0])
def test_the_clock_runs_at_250_khz(net: Net, seconds: float) -> None:
    """RFC 6528 section 3: M is the 4-microsecond timer, for one 4-tuple nothing else changes."""
    group = net.group(7)
    first = isn(net, group, sport=5_000)
    net.advance(seconds)
    second = isn(net, group, sport=5_000)
    assert (second - first) % 2**32 == pytest.approx(seconds * 250_000, abs=260)


@pytest.mark.requirement("RFC 9293 SHLD-1", "RFC 6528 3")
def test_it_depends_on_each_part_of_the_tuple(make_net: MakeNet) -> None:
    net = make_net(addresses=("192.0.2.1", "192.0.2.2"))
    seven, eight = net.group(7), net.group(8)
    values = [
        isn(net, seven, sport=5_000),
        isn(net, seven, sport=5_001),
        isn(net, seven, sport=5_000, ip="198.51.100.8"),
        isn(net, seven, sport=5_000, server="192.0.2.2"),
        isn(net, eight, sport=5_000),
    ]
    for i, one in enumerate(values):
        for other in values[:i]:
            assert min((one - other) % 2**32, (other - one) % 2**32) > 1_000, values


@pytest.mark.requirement("RFC 9293 MUST-9", "RFC 9293 SHLD-1", "RFC 6528 3")
def test_it_depends_on_the_key(make_net: MakeNet) -> None:
    values = set()
    for seed in range(4):
        net = make_net(seed=seed)
        values.add(isn(net, net.group(7), sport=5_000))
    assert len(values) == 4


@pytest.mark.requirement("RFC 9293 MUST-9", "RFC 6528 3")
def test_it_is_spread_over_the_whole_space(net: Net) -> None:
    """Chi-square over the top four bits of 800 tuples: 15 degrees of freedom, p = 0.0001 at 44.3."""
    group = net.group(7)
    buckets = [0] * 16
    for sport in range(10_000, 10_800):
        buckets[isn(net, group, sport=sport) >> 28] += 1
        net.clients.clear()
    chi_square = sum((n - 50) ** 2 / 50 for n in buckets)
    assert chi_square < 44.3, buckets
