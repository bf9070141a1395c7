"""Keepalive by the clock hand (RFC 9293 3.8.4); idle connections."""

from __future__ import annotations

import errno

import pytest
from support.net import Net

from xtcp_twisted.config import SWEEP_S, UNLIMITED
from xtcp_twisted.engine.kinds import ENDS, EventKind

pytestmark = pytest.mark.feature("P05")


@pytest.mark.requirement("RFC 9293 MUST-25")
def test_it_is_off_by_default(net: Net) -> None:
    """MUST-25: three quiet hours, and no packet."""
    client = net.client(net.group(7)).established()
    net.advance(3 * 3_600)
    client.expect_nothing()
    client.is_alive()


@pytest.mark.requirement("RFC 9293 MUST-27", "RFC 9293 SHLD-12", "RFC 9293 MAY-5")
def test_a_probe_after_the_idle_time(net: Net) -> None:
    """SEG.SEQ = SND.NXT-1 without data; the clock hand finds it within one turn."""
    client = net.client(net.group(7, keepalive_s=300)).established()
    client.exchange(b"q", b"a")
    net.advance(299)
    client.expect_nothing()
    net.advance(1 + SWEEP_S)
    client.expect("A", seq=1, ack=2)
    client.expect_nothing()


def test_an_answer_keeps_it_alive(net: Net) -> None:
    client = net.client(net.group(7, keepalive_s=300)).established()
    for _ in range(10):
        net.advance(300 + SWEEP_S)
        assert 1 <= len(client.take()) <= 2
        client.ack()
        net.turn()
    assert net.take_events(*ENDS) == []
    client.is_alive()


@pytest.mark.requirement("RFC 9293 MUST-29")
def test_one_unanswered_probe_is_not_the_end(net: Net) -> None:
    """MUST-29."""
    client = net.client(net.group(7, keepalive_s=300)).established()
    net.advance(300 + SWEEP_S)
    assert len(client.take()) == 1
    net.advance(20)
    assert net.take_events(*ENDS) == []


@pytest.mark.requirement("RFC 9293 MAY-5")
def test_several_are(net: Net) -> None:
    """Three probes 30 s apart, then DOWN; within the clock hand's turn each."""
    group = net.group(7, keepalive_s=300)
    client = net.client(group).established()
    start = net.now
    while not (end := net.take_events(*ENDS)):
        net.advance(1)
        assert net.now < start + 1_000
    assert [(e[0], e[2], e[3]) for e in end] == [(EventKind.DOWN, client.cd, errno.ETIMEDOUT)]
    probes = [s for s in client.take() if "R" not in s.flags]
    assert len(probes) == 3
    assert 300 + 3 * 30 - 1 <= net.now - start <= 300 + 3 * 30 + 4 * SWEEP_S + 1


@pytest.mark.requirement("RFC 9293 MUST-26")
def test_traffic_postpones_it(net: Net) -> None:
    client = net.client(net.group(7, keepalive_s=300)).established()
    for _ in range(5):
        net.advance(250)
        client.exchange(b"q", b"a")
    client.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-26")
def test_not_while_data_is_in_flight(net: Net) -> None:
    """MUST-26: what is sent again asks already."""
    group = net.group(7, keepalive_s=60, user_timeout_s=0)
    client = net.client(group).established()
    group.send(client.cd, b"answer")
    net.advance(600)
    assert {(seq, segment.data) for segment, seq, _ in client.inbox} == {(1, b"answer")}
    client.take()


@pytest.mark.requirement("RFC 9293 MUST-27")
def test_the_interval_is_the_groups(net: Net) -> None:
    client = net.client(net.group(7, keepalive_s=60, keepalive_probes=1)).established()
    net.advance(60 + 30 + 3 * SWEEP_S)
    probes = [s for s in client.take() if "R" not in s.flags]
    assert len(probes) == 1
    assert [e[0] for e in net.take_events(*ENDS)] == [EventKind.DOWN]


@pytest.mark.feature("P34")
def test_idle_connections_cost_no_turns(net: Net) -> None:
    """No timer per connection: a hundred idle ones ask for no more turns than one."""
    group = net.group(7, accept_credits=UNLIMITED)

    def turns(seconds: float) -> int:
        end, count = net.now + seconds, 0
        while (due := net.engine.poll_at()) is not None and due <= end:
            net.now = max(net.now, due)
            net.turn()
            count += 1
        net.now = end
        return count

    net.client(group).established()
    one = turns(300)
    for _ in range(100):
        net.client(group).established()
    assert turns(300) <= one + 2


@pytest.mark.requirement("RFC 7323 5.5")
@pytest.mark.feature("P37")
def test_a_timestamp_of_24_days_ago_is_forgotten(net: Net) -> None:
    """RFC 7323 5.5: after 24.8 days of silence TS.Recent would look newer than the peer's clock."""
    group = net.group(7)
    client = net.client(group).established()
    client.exchange(b"q", b"a")
    net.advance(30 * 86_400)
    client.is_alive()


class TestOneConnection:
    """MUST-24: the application turns it on and off for each."""

    @pytest.mark.requirement("RFC 9293 MUST-24", "RFC 9293 MUST-28")
    def test_on_in_a_group_without(self, net: Net) -> None:
        """After two hours, which is the least default that is allowed (MUST-28)."""
        group = net.group(7)
        asked, other = net.client(group).established(), net.client(group).established()
        group.set_keepalive(asked.cd, True)
        assert group.info(asked.cd).keepalive
        net.advance(7_199)
        asked.expect_nothing()
        net.advance(1 + SWEEP_S)
        asked.expect("A", seq=0)
        other.expect_nothing()
        group.set_keepalive(asked.cd, False)
        net.advance(3_600)
        asked.expect_nothing()
        assert net.take_events(*ENDS) == []

    @pytest.mark.requirement("RFC 9293 MUST-24")
    def test_off_in_a_group_with(self, net: Net) -> None:
        group = net.group(7, keepalive_s=60)
        client = net.client(group).syn_received()
        group.set_keepalive(client.cd, False)
        client.ack()
        net.turn()
        net.advance(600)
        client.expect_nothing()
        client.is_alive()

    @pytest.mark.requirement("RFC 9293 MUST-24")
    def test_a_connection_that_we_opened(self, net: Net) -> None:
        group = net.group(7, keepalive_s=60)
        client = net.listener(group).active_established()
        net.advance(60 + SWEEP_S)
        assert len(client.take()) >= 1
        group.set_keepalive(client.cd, False)
        net.advance(600)
        assert net.take_events(*ENDS) == []
