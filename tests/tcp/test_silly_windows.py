"""The sender's side of silly window avoidance, its override timer, and PSH (RFC 9293 3.8.6.2.1, 3.9.1.2)."""

from __future__ import annotations

import pytest
from support.net import Net
from support.peer import ANY, Client

from xtcp_twisted.config import OVERRIDE_MS


def crawling(net: Net, size: int, rtt: float = 0.0, v6: bool = False) -> Client:
    """A peer that had a large window once, offers `size` bytes now, and has acknowledged everything."""
    group = net.group(7, v6=v6)
    client = net.client(group, window=65_535).syn_received()
    net.advance(rtt)
    client.ack()
    net.turn()
    client.cd = net.take_events()[-1][2]
    client.window = size - size % 128
    client.ack()
    net.turn()
    assert group.info(client.cd).snd_wnd == client.window
    return client


@pytest.mark.requirement("RFC 9293 MUST-38")
@pytest.mark.parametrize("v6", [False, True])
def test_a_small_window_is_used_after_the_override_timeout(net: Net, v6: bool) -> None:
    """Condition (4): not at once, not after more than a second, and then for as much as it takes."""
    client = crawling(net, 256, v6=v6)
    assert client.group is not None
    client.group.send(client.cd, bytes(2_000))
    net.flush()
    client.expect_nothing()
    net.advance(0.199)
    client.expect_nothing()
    start = net.now
    net.advance(1)
    first = client.expect("A", seq=1, data=ANY)
    assert 0 <= first.time - start <= 0.002
    assert len(first.data) == 256


def test_a_long_round_trip_does_not_lengthen_it(net: Net) -> None:
    """ "The override timeout should be in the range 0.1 - 1.0 seconds", whatever the RTO is."""
    client = crawling(net, 256, rtt=0.9)
    assert client.group is not None
    assert client.group.info(client.cd).rto_ms > 2_000
    client.group.send(client.cd, bytes(2_000))
    net.flush()
    start = net.now
    net.advance(1.1)
    assert client.expect("A", data=ANY).time - start == pytest.approx(OVERRIDE_MS / 1000, abs=0.002)


def test_a_reader_of_few_bytes_gets_them_all(net: Net) -> None:
    """Slow read: a segment a timeout, no busy timer, and the connection does not die of it."""
    client = crawling(net, 128)
    assert client.group is not None
    client.group.send(client.cd, bytes(range(256)) * 40)
    net.flush()
    turns = 0
    while len(client.received) < 10_240:
        net.advance(0.25)
        turns += 1
        assert len(client.take()) <= 1
        client.ack()
        net.turn()
        assert turns < 200
    assert client.received == bytes(range(256)) * 40
    assert client.group.info(client.cd).retransmits == 0


def test_a_window_of_half_the_largest_is_used_at_once(net: Net) -> None:
    """Condition (3), Fs = 1/2, for a peer whose buffer is smaller than a segment."""
    group = net.group(7)
    client = net.client(group, window=1_000, wscale=None).established()
    client.window = 600
    client.ack()
    net.turn()
    group.send(client.cd, bytes(2_000))
    net.flush()
    assert len(client.expect("A", seq=1, data=ANY).data) == 600
    client.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-61", "RFC 9293 SHLD-28")
def test_small_writes_into_a_closed_window_become_one_pushed_segment(net: Net) -> None:
    """Ten writes while nothing may leave: as few segments as they fit into, PSH on the last byte."""
    group = net.group(7)
    client = net.client(group).established()
    client.ack(win=0)
    net.turn()
    for _ in range(10):
        group.send(client.cd, bytes(100))
        net.turn()
    client.ack()
    net.turn()
    segment = client.expect("PA", seq=1, data=ANY)
    assert len(segment.data) == 1_000
    client.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-61")
def test_only_the_last_segment_is_pushed(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    group.send(client.cd, bytes(5_000))
    net.flush()
    assert ["P" in segment.flags for segment in client.take()] == [False, False, False, True]
