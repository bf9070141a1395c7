"""What waits in the link after a stall is read before anybody's silence is judged (tcp/heard.pxd)."""

from __future__ import annotations

import errno

import pytest
from support.net import V4, MakeNet, Net
from support.packets import build
from support.peer import Client

from xtcp_twisted.config import ALL, KiB
from xtcp_twisted.engine.kinds import ENDS, EventKind

REQUEST, ANSWER = b"who is there?", b"nobody but us"
PER_POLL = 4


@pytest.fixture
def net(make_net: MakeNet) -> Net:
    """An engine that takes in four packets a turn."""
    return make_net(packets_per_poll=PER_POLL)


def others(net: Net, count: int) -> None:
    """So many packets that are nobody's and get no answer."""
    packet = build("198.51.100.99", V4, 1_024, 9, seq=1, flags="R")
    for _ in range(count):
        net.inject(packet)


def asked(net: Net, **options: float) -> Client:
    """A peer that has been sent an answer, and has not acknowledged it."""
    group = net.group(7, **options)
    client = net.client(group).established()
    client.exchange(b"first", b"answer")
    client.request(REQUEST)
    group.send(client.cd, ANSWER, ackd=ALL)
    net.flush()
    client.expect("A", data=ANSWER)
    net.take_events()
    return client


def turns(net: Net) -> int:
    """Turns, 1 ms each, until the link is found empty; how many."""
    count = 0
    while True:
        left = net.link.pending
        net.turn()
        count += 1
        if left < PER_POLL:
            return count
        net.now += 0.001


class TestTimers:
    @pytest.mark.parametrize("sack", [True, False], ids=["probe", "timeout"])
    def test_an_answer_whose_acknowledgement_waits_is_not_sent_again(self, net: Net, sack: bool) -> None:
        client = asked(net, sack=sack)
        net.stall(1.0)
        others(net, 40)
        client.ack()
        assert turns(net) > 10
        net.advance(30)
        client.expect_nothing()
        counters = net.counters()
        assert (counters["RetransSegs"], counters["TCPTimeouts"], counters["TCPLossProbes"]) == (0, 0, 0)
        assert net.transmit_used == 0

    def test_one_that_was_lost_is_sent_again_when_all_has_been_read(self, net: Net) -> None:
        client = asked(net)
        net.stall(1.0)
        others(net, 40)
        turns(net)
        emptied = net.now
        net.advance(0.3)
        again = client.expect("A", data=ANSWER)
        # Looked at again a fifth of a second later at most.
        assert emptied <= again.time <= emptied + 0.202

    def test_while_packets_never_end_those_of_others_tell(self, net: Net) -> None:
        """What left after the answer is acknowledged, so the answer's own acknowledgement would have come."""
        client = asked(net)
        group = client.group
        assert group is not None
        witness = net.client(group).established()
        others(net, 10 * PER_POLL)
        for _ in range(60):
            net.now += 0.01
            group.send(witness.cd, b"x")
            net.turn()
            witness.take()
            witness.ack()
            others(net, PER_POLL - 1)
        assert net.link.pending >= PER_POLL, "the link was empty meanwhile"
        assert len(client.take()) == 1
        assert net.counters()["TCPLossProbes"] == 1

    def test_nor_when_nobody_tells_is_a_loss_left_for_ever(self, make_net: MakeNet) -> None:
        """No queue is longer than what has been read by then."""
        net = make_net(packets_per_poll=1_024, offload=False)
        client = asked(net)
        start = net.now
        while not client.inbox:
            assert net.now < start + 1.5
            others(net, 2 * 1_024 - net.link.pending)
            net.now += 0.002
            net.turn()
        assert client.expect("A", data=ANSWER).time > start + 0.4
        assert net.counters()["RetransSegs"] == 1

    def test_a_held_acknowledgement_leaves_by_the_clock(self, net: Net) -> None:
        client = net.client(net.group(7, ack_delay_ms=40)).established()
        assert client.request(REQUEST) == REQUEST
        others(net, 400)
        for _ in range(25):
            net.now += 0.002
            net.turn()
        assert net.link.pending >= PER_POLL
        client.expect("A", ack=client.seq)

    def test_a_handshake_whose_end_waits_is_not_begun_again(self, net: Net) -> None:
        client = net.client(net.group(7)).syn_received()
        net.stall(10.0)
        others(net, 40)
        client.ack()
        turns(net)
        client.expect_nothing()
        assert net.kinds() == [EventKind.ESTABLISHED]
        assert net.counters()["TCPSynRetrans"] == 0

    def test_a_handshake_that_nobody_ends_is_begun_again(self, net: Net) -> None:
        client = net.client(net.group(7)).syn_received()
        net.stall(1.5)
        others(net, 40)
        turns(net)
        assert len(client.take()) == 1
        assert net.counters()["TCPSynRetrans"] == 1


class TestEnds:
    def test_nobody_is_given_up_whose_acknowledgement_waits(self, net: Net) -> None:
        client = asked(net, user_timeout_s=20)
        net.stall(60.0)
        others(net, 40)
        client.ack()
        turns(net)
        assert net.take_events(*ENDS) == []
        client.is_alive()

    def test_who_is_silent_is_given_up(self, net: Net) -> None:
        client = asked(net, user_timeout_s=20)
        net.stall(60.0)
        others(net, 40)
        turns(net)
        net.advance(0.3)
        assert [event[3] for event in net.take_events(*ENDS)] == [errno.ETIMEDOUT]
        client.take()

    def test_nobody_is_given_up_whose_answer_to_a_keepalive_waits(self, net: Net) -> None:
        group = net.group(7, keepalive_s=10)
        client = net.client(group).established()
        while net.counters()["TCPKeepAlive"] < 3:
            net.advance(1.0)
            net.take_events()
        client.take()
        net.stall(10_000.0)
        others(net, 2_000)
        client.ack()
        # Enough for a whole round of the clock hand.
        while net.link.pending > PER_POLL:
            net.turn()
            net.now += 0.2
        net.turn()
        assert net.take_events(*ENDS) == []
        client.take()

    def test_nobody_is_aborted_for_room_whose_acknowledgement_waits(self, make_net: MakeNet) -> None:
        net = make_net(packets_per_poll=PER_POLL, transmit_buffer=256 * KiB)
        group = net.group(7, weight=64)
        peers = [net.client(group).established() for _ in range(90)]
        for peer in peers:
            group.send(peer.cd, bytes(2_440))
            net.turn()
        net.advance(2.0)
        assert net.engine.snapshot().transmit_buffer.pressure.state == "discarding"
        for peer in peers:
            peer.take()
        net.stall(20.0)
        others(net, 40)
        for peer in peers:
            peer.rcv_nxt = 1 + 2_440
            peer.ack()
        turns(net)
        net.advance(5.0)
        assert net.counters()["TransmitAborts"] == 0
        assert net.take_events(*ENDS) == []
        assert net.transmit_used == 0
        for peer in peers:
            peer.take()


@pytest.mark.feature("P22")
class TestCopies:
    """A copy brings the cached answer only if it left after the answer."""

    def test_a_copy_that_waited_with_its_request_brings_nothing(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.exchange(b"first", b"answer")
        net.stall(1.0)
        client.send(REQUEST)
        copy = client.seq - len(REQUEST)
        others(net, 40)
        client.send(REQUEST, seq=copy)
        net.poll()
        assert group.recv(100) == (client.cd, REQUEST)
        group.send(client.cd, ANSWER, ackd=ALL)
        net.flush()
        client.expect("A", data=ANSWER)
        net.now += 0.02
        turns(net)
        # The answer has acknowledged it.
        client.expect_nothing()
        counters = net.counters()
        assert (counters["AnswersReplayed"], counters["ReplaysRefused"]) == (0, 1)

    def test_a_copy_that_came_while_the_application_was_busy_brings_nothing(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.exchange(b"first", b"answer")
        client.send(REQUEST)
        net.poll()
        assert group.recv(100) == (client.cd, REQUEST)
        net.stall(0.3)
        client.send(REQUEST, seq=client.seq - len(REQUEST))
        with client.losing():
            group.send(client.cd, ANSWER, ackd=ALL)
            net.flush()
            net.now += 0.02
            net.turn()
        assert net.counters()["AnswersReplayed"] == 0
        # A later one is a call for help.
        net.now += 0.1
        client.send(REQUEST, seq=client.seq - len(REQUEST))
        net.turn()
        client.expect("A", data=ANSWER)
        assert net.counters()["AnswersReplayed"] == 1

    @pytest.mark.parametrize("seconds", [0.02, 0.3], ids=["soon", "late"])
    def test_one_that_comes_after_a_flush_without_a_poll_is_a_call_for_help(
        self, net: Net, seconds: float
    ) -> None:
        """An application with a loop of its own may answer long after the last poll; the link was empty."""
        group = net.group(7)
        client = net.client(group).established()
        client.exchange(b"first", b"answer")
        assert client.request(REQUEST) == REQUEST
        net.now += seconds
        with client.losing():
            group.send(client.cd, ANSWER, ackd=ALL)
            net.flush()
        net.now += 0.1
        client.send(REQUEST, seq=client.seq - len(REQUEST))
        net.turn()
        client.expect("A", data=ANSWER)
        assert net.counters()["AnswersReplayed"] == 1
