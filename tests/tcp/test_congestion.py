"""The congestion window: opening, growth, idle times, timeouts (RFC 5681, 6928, 3465, 9438)."""

from __future__ import annotations

import itertools

import pytest
from support.flight import MSS, at, flight, seqs
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import MiB

RTT = 0.1
LONG_RTT = 0.3


def cwnd(client: Client) -> int:
    assert client.group is not None
    return client.group.info(client.cd).cwnd


def recover_from_loss(client: Client) -> int:
    """The first segment of a flight is lost and repaired; the window afterwards."""
    client.sack(at(1, 3), ack=1)
    client.net.turn()
    client.net.advance(RTT)
    client.take()
    client.ack()
    client.net.turn()
    client.take()
    return cwnd(client)


class TestSlowStart:
    @pytest.mark.requirement("RFC 6928 2")
    @pytest.mark.parametrize("mss", [1460, 1000, 536])
    def test_ten_segments_at_first(self, net: Net, mss: int) -> None:
        """RFC 6928 section 2."""
        group = net.group(7, timestamps=False)
        client = net.client(group, mss=mss, window=4_000_000).established()
        group.send(client.cd, bytes(100_000))
        net.flush()
        assert [len(s.data) for s in client.take()] == [mss] * 10

    @pytest.mark.requirement("RFC 9293 MUST-19", "RFC 3465 2.3")
    def test_it_doubles_every_round_trip(self, net: Net) -> None:
        client = flight(net, 500, RTT)
        sizes = []
        for _ in range(4):
            client.ack(client.rcv_nxt)
            net.turn()
            sizes.append(len(seqs(client)))
            net.advance(0)
        assert sizes[0] == 20
        assert sizes[1] > 20

    @pytest.mark.requirement("RFC 3465 2.2", "RFC 5681 3.1")
    def test_by_bytes_not_by_acknowledgements(self, net: Net) -> None:
        """attacks.md 13, ACK division; RFC 3465."""
        client = flight(net, 100, RTT)
        before = cwnd(client)
        for part in range(20):
            client.ack(1 + (part + 1) * 100)
        net.turn()
        assert cwnd(client) - before == 20 * 100

    @pytest.mark.requirement("RFC 7661 4.3")
    def test_a_window_that_is_not_used_does_not_grow(self, net: Net) -> None:
        """RFC 7661: an application that sends little proves nothing."""
        client = flight(net, 2, RTT)
        assert client.group is not None
        before = cwnd(client)
        for _ in range(30):
            client.ack()
            net.turn()
            client.group.send(client.cd, bytes(2 * MSS))
            net.flush()
            client.take()
        assert cwnd(client) == before


class TestIdle:
    def grown(self, net: Net) -> Client:
        client = flight(net, 60, RTT)
        for _ in range(3):
            client.ack()
            net.turn()
            client.take()
        client.ack()
        net.turn()
        assert cwnd(client) > 20 * MSS
        return client

    @pytest.mark.requirement("RFC 5681 4.1")
    @pytest.mark.parametrize("seconds", [2, 30, 8 * 65.536, 8 * 65.536 + 0.05, 3_600])
    def test_back_to_the_initial_window(self, net: Net, seconds: float) -> None:
        """RFC 5681 section 4.1: after a retransmission timeout without sending, however long it was."""
        client = self.grown(net)
        assert client.group is not None
        net.advance(seconds)
        client.group.send(client.cd, bytes(50 * MSS))
        net.flush()
        assert len(client.take()) == 10

    @pytest.mark.requirement("RFC 5681 4.1")
    def test_not_after_a_short_pause(self, net: Net) -> None:
        client = self.grown(net)
        assert client.group is not None
        net.advance(0.1)
        client.group.send(client.cd, bytes(50 * MSS))
        net.flush()
        assert len(client.take()) > 20


class TestTimeout:
    @pytest.mark.requirement("RFC 5681 3.1 (4)", "RFC 5681 3.1 loss window")
    def test_one_segment_and_slow_start(self, net: Net) -> None:
        """RFC 5681 section 3.1: cwnd 1 SMSS, ssthresh half the flight."""
        client = flight(net, 10, RTT, sack=False)
        assert client.group is not None
        net.advance(0.35)
        info = client.group.info(client.cd)
        assert (info.cwnd, info.ssthresh) == (MSS, 5 * MSS)
        assert seqs(client) == [0]
        client.ack(MSS + 1)
        net.turn()
        assert seqs(client) == [1, 2]

    def test_slow_start_also_when_nothing_else_was_in_flight(self, net: Net) -> None:
        """The window of one segment is in use, by the one that came again: its ACK opens it."""
        client = flight(net, 1, RTT)
        assert client.group is not None
        net.advance(1)
        assert seqs(client) == [0, 0]
        client.group.send(client.cd, bytes(9 * MSS))
        client.ack(MSS + 1)
        net.turn()
        assert seqs(client) == [1, 2]

    @pytest.mark.requirement("RFC 5681 3.1 again")
    def test_a_second_timeout_of_the_same_segment_keeps_the_threshold(self, net: Net) -> None:
        client = flight(net, 30, RTT, sack=False)
        assert client.group is not None
        net.advance(3)
        assert client.group.info(client.cd).ssthresh == 5 * MSS
        assert set(seqs(client)) == {0}

    @pytest.mark.requirement("RFC 3465 2.3 timeout")
    def test_after_it_one_segment_for_each_acknowledgement(self, net: Net) -> None:
        """RFC 3465 section 2.3: what is acknowledged may have been sent long before."""
        client = flight(net, 10, RTT, sack=False)
        net.advance(0.35)
        assert cwnd(client) == MSS
        client.ack(4 * MSS + 1)
        net.turn()
        assert cwnd(client) == 2 * MSS

    @pytest.mark.requirement("RFC 9438 4.8")
    def test_cubic_has_its_own_threshold(self, net: Net) -> None:
        """RFC 9438 section 4.8."""
        client = flight(net, 30, RTT, sack=False, congestion="cubic")
        assert client.group is not None
        net.advance(0.35)
        info = client.group.info(client.cd)
        assert (info.cwnd, info.ssthresh) == (MSS, 7 * MSS)


class TestAvoidance:
    @pytest.mark.requirement("RFC 9293 MUST-19", "RFC 3465 2.1", "RFC 5681 3.1 avoidance")
    def test_reno_grows_by_a_segment_per_round_trip(self, net: Net) -> None:
        """RFC 5681 equation (3)."""
        client = flight(net, 400, RTT)
        window = recover_from_loss(client)
        for _ in range(5):
            client.ack()
            net.advance(RTT)
            client.take()
        assert cwnd(client) == pytest.approx(window + 5 * MSS, abs=1.5 * MSS)

    @pytest.mark.requirement("RFC 9293 MAY-18", "RFC 9438 4.6")
    def test_cubic_reduces_to_seven_tenths(self, net: Net) -> None:
        """RFC 9438 section 4.6."""
        client = flight(net, 400, RTT, congestion="cubic")
        assert client.group is not None
        client.sack(at(1, 3), ack=1)
        net.turn()
        assert client.group.info(client.cd).ssthresh == 7 * MSS

    @pytest.mark.requirement("RFC 9293 MAY-18", "RFC 9438 4.2")
    def test_cubic_is_slow_around_the_old_window_and_fast_beyond(self, net: Net) -> None:
        """RFC 9438 section 4.2: concave up to W_max, then convex; and never below Reno (section 4.3)."""
        curves = {}
        for control in ("cubic", "reno"):
            net = Net(transmit_buffer=256 * MiB, arena_limit=1024 * MiB)
            curves[control] = self.curve(flight(net, 0, LONG_RTT, congestion=control))
            net.close()
        cubic, reno = curves["cubic"], curves["reno"]
        steps = [b - a for a, b in itertools.pairwise(cubic)]
        plateau = min(range(len(steps)), key=steps.__getitem__)
        assert steps[0] > steps[plateau], "concave at first"
        assert 45 * MSS < cubic[plateau] < 75 * MSS, "flat around the old window"
        assert steps[-1] > 3 * MSS, "it accelerates beyond the old window"
        assert cubic[-1] > 1.5 * reno[-1]

    @pytest.mark.requirement("RFC 9438 4.7")
    def test_cubic_gives_way_when_its_window_shrinks(self) -> None:
        """RFC 9438 section 4.7: after a loss below the old window the plateau is below that of the loss."""
        net = Net(transmit_buffer=256 * MiB, arena_limit=1024 * MiB)
        sizes = self.curve(flight(net, 0, LONG_RTT, congestion="cubic"), losses=2)
        net.close()
        steps = [b - a for a, b in itertools.pairwise(sizes)]
        plateau = sizes[min(range(12), key=steps.__getitem__)]
        # The first loss, half a window in flight, leaves 21 segments; the second makes W_max 0.85 of that.
        assert plateau == pytest.approx(0.85 * 21 * MSS, abs=0.3 * MSS)

    def curve(self, client: Client, losses: int = 1) -> list[int]:
        """The window at the end of each round trip after a segment of a window of 60 was lost."""
        net, group = client.net, client.group
        assert group is not None
        sizes: list[int] = []
        lost = 0
        while len(sizes) < 30:
            group.send(client.cd, bytes(400 * MSS))
            net.flush()
            net.advance(LONG_RTT)
            client.take()
            if lost < losses and (lost or cwnd(client) >= 60 * MSS):
                lost += 1
                first = client.rcv_nxt - cwnd(client) // 2 // MSS * MSS
                client.sack((first + MSS, client.rcv_nxt), ack=first)
                net.advance(LONG_RTT)
                client.take()
            client.ack()
            net.turn()
            if lost == losses:
                sizes.append(cwnd(client))
        return sizes
