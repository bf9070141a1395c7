"""Priorities of groups in acceptance (P05): whose requests get credits, records and half-open room first."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine import Group

pytestmark = pytest.mark.feature("P05")


def knocks(net: Net, group: Group, n: int) -> list[Client]:
    """So many requests to a group, each a packet of its own."""
    clients = [net.client(group) for _ in range(n)]
    for client in clients:
        client.syn()
        net.turn()
    return clients


def waiting(group: Group) -> set[tuple[str, int]]:
    return {peer for _, peer in group.pending()}


# --- The table of half-open entries -------------------------------------------


@pytest.fixture
def crowded(make_net: MakeNet) -> Net:
    return make_net(max_half_open=64, syn_cookies="off")


def test_requests_of_low_priority_make_room_for_important_ones(crowded: Net) -> None:
    low, high = crowded.group(7, priority="low"), crowded.group(8, priority="high")
    knocks(crowded, low, 100)
    before = low.waiting
    clients = knocks(crowded, high, 45)
    assert waiting(high) == {client.key for client in clients}
    assert low.waiting < before


def test_an_important_flood_does_not_fall_to_a_low_one(crowded: Net) -> None:
    low, high = crowded.group(7, priority="low"), crowded.group(8, priority="high")
    kept = knocks(crowded, high, 45)
    knocks(crowded, low, 100)
    assert waiting(high) == {client.key for client in kept}


@pytest.mark.parametrize("posted", [0, UNLIMITED])
def test_answered_requests_of_a_higher_priority_stay(crowded: Net, posted: int) -> None:
    """Who waits for the last segment of its handshake is not displaced from below either."""
    high = crowded.group(8, priority="high", accept_credits=UNLIMITED)
    low = crowded.group(7, priority="low", accept_credits=posted)
    handshakes = knocks(crowded, high, 45)
    for client in handshakes:
        client.expect("SA", ack=1)
    knocks(crowded, low, 100)
    for client in handshakes:
        client.ack()
    crowded.turn()
    assert len(high) == 45


def test_the_last_eighth_is_kept_while_an_important_group_listens(crowded: Net) -> None:
    lows = [crowded.group(port, priority="low") for port in range(10, 18)]
    high = crowded.group(8, priority="high")
    for group in lows:
        knocks(crowded, group, 8)
    before = crowded.engine.snapshot().half_open
    assert 64 - 16 < before <= 64 - 8
    high.close()
    knocks(crowded, lows[-1], 8)
    assert crowded.engine.snapshot().half_open > 64 - 8


# --- The record table ---------------------------------------------------------


def connect(net: Net, group: Group, n: int) -> int:
    """Tries so many connections; how many the group has then."""
    for client in knocks(net, group, n):
        client.ack()
        net.turn()
        net.take_events()
    return len(group)


def test_the_last_records_are_for_those_above(make_net: MakeNet) -> None:
    net = make_net(max_connections=64)
    low = net.group(7, priority="low", accept_credits=UNLIMITED)
    normal = net.group(8, accept_credits=UNLIMITED)
    high = net.group(9, priority="high", accept_credits=UNLIMITED)
    assert connect(net, low, 64) == 60
    assert connect(net, normal, 64) == 2
    assert connect(net, high, 64) == 2
    assert net.engine.snapshot().connections == 64
    assert net.engine.counters()["ListenOverflows"] == 4 + 62 + 62


def test_records_are_counted_when_a_handshake_completes(make_net: MakeNet) -> None:
    """Requests that were answered while there was room do not take what is kept."""
    net = make_net(max_connections=64)
    low = net.group(7, priority="low", accept_credits=UNLIMITED)
    net.group(8, accept_credits=UNLIMITED)
    clients = knocks(net, low, 100)
    for client in clients:
        client.ack()
        net.turn()
    assert len(low) == 62


def test_the_application_may_take_what_is_kept(make_net: MakeNet) -> None:
    net = make_net(max_connections=64)
    low = net.group(7, priority="low", accept_credits=62)
    net.group(8, priority="high")
    assert connect(net, low, 61) == 61
    [client] = knocks(net, low, 1)
    client.ack()
    net.turn()
    assert len(low) == 62
    other = net.group(9)
    other.stop_listening()
    asked = net.client(net.engine.pools()[0].groups()[1]).asked()
    net.engine.pools()[0].groups()[1].accept(into=other)
    net.flush()
    asked.expect("SA", ack=1)
    asked.ack()
    net.turn()
    assert len(other) == 1


def test_with_syn_cookies_too(make_net: MakeNet) -> None:
    net = make_net(max_connections=64, syn_cookies="always")
    low = net.group(7, priority="low", accept_credits=UNLIMITED)
    net.group(8, accept_credits=UNLIMITED)
    clients = knocks(net, low, 70)
    for client in clients:
        client.ack()
        net.turn()
    assert len(low) == 62


# --- Events -------------------------------------------------------------------


def test_important_requests_are_told_first(net: Net) -> None:
    groups = [net.group(7, priority="low"), net.group(8), net.group(9, priority="high")]
    for group in groups:
        net.client(group).syn()
    net.turn()
    assert [gd for _, gd, _, _ in net.take_events()] == [group.fileno() for group in reversed(groups)]
