"""The transmit cache and its timer (P19, P20, P21; RFC 6298)."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import MakeNet, Net
from support.peer import ANY, Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import ENDS, EventKind


def established_with_rtt(net: Net, seconds: float, **behaviour: Any) -> Client:
    """A connection whose handshake took this long from SYN-ACK to ACK."""
    group = net.group(7)
    client = net.client(group, **behaviour).syn_received()
    net.advance(seconds)
    client.ack()
    net.turn()
    client.expect_nothing()
    client.cd = net.take_events(EventKind.ESTABLISHED)[0][2]
    return client


@pytest.mark.feature("P20")
class TestTimes:
    """Virtual time makes them exact to the wheel's tick of 1 ms."""

    @pytest.mark.requirement(
        "RFC 9293 MUST-19", "RFC 6298 2.4", "RFC 6298 5.1", "RFC 6298 5.5", "RFC 6298 5.6"
    )
    def test_the_timeout_doubles(self, net: Net) -> None:
        """A round trip of 0 gives the floor of 200 ms; then 400, 800 ... (RFC 6298 5.5)."""
        group = net.group(7, sack=False)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        net.advance(30)
        times = client.times()
        assert times == pytest.approx([0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6, 25.4], abs=0.0025)

    @pytest.mark.requirement("RFC 6298 2.5")
    def test_it_is_capped_at_two_minutes(self, net: Net) -> None:
        group = net.group(7, user_timeout_s=0)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        net.advance(1_000)
        times = client.times()
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert gaps[-3:] == pytest.approx([120] * 3, abs=0.0025)

    @pytest.mark.requirement("RFC 9293 MUST-18", "RFC 6298 2.2")
    def test_the_handshake_is_the_first_measurement(self, net: Net) -> None:
        """RFC 6298 (2.2): SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR."""
        client = established_with_rtt(net, 0.100)
        assert client.group is not None
        info = client.group.info(client.cd)
        assert info.srtt_us == pytest.approx(100_000, abs=1_100)
        assert info.rttvar_us == pytest.approx(50_000, abs=600)
        assert info.rto_ms == pytest.approx(300, abs=4)
        client.group.send(client.cd, b"answer")
        net.flush()
        net.advance(0.310)
        assert client.times() == pytest.approx([0.100, 0.400], abs=0.005)

    @pytest.mark.requirement("RFC 6298 2.4")
    def test_the_floor_stands_above_the_round_trip(self, net: Net) -> None:
        """RFC 6298 (2.3), 200 ms as its G: a peer may hold its ACK for a while on any path."""
        client = established_with_rtt(net, 0.020)
        assert client.group is not None
        info = client.group.info(client.cd)
        assert info.srtt_us == pytest.approx(20_000, abs=1_100)
        assert info.rto_ms == pytest.approx(220, abs=2)

    @pytest.mark.requirement("RFC 9293 MUST-18", "RFC 6298 2.3", "RFC 6298 3 once")
    def test_the_next_measurement(self, net: Net) -> None:
        """RFC 6298 (2.3): RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, SRTT = 7/8 SRTT + 1/8 R'."""
        client = established_with_rtt(net, 0.100)
        assert client.group is not None
        client.group.send(client.cd, b"answer")
        net.flush()
        client.expect("A", data=b"answer")
        net.advance(0.200)
        client.ack()
        net.turn()
        info = client.group.info(client.cd)
        assert info.srtt_us == pytest.approx(112_500, abs=1_500)
        assert info.rttvar_us == pytest.approx(62_500, abs=1_500)
        assert info.rto_ms == pytest.approx(362, abs=8)

    @pytest.mark.requirement("RFC 9293 MUST-18", "RFC 6298 3")
    def test_karn_no_measurement_of_what_was_sent_twice(self, net: Net) -> None:
        """RFC 6298 section 3, without timestamps."""
        client = established_with_rtt(net, 0.100, timestamps=False)
        assert client.group is not None
        before = client.group.info(client.cd).srtt_us
        client.group.send(client.cd, b"answer")
        net.flush()
        net.advance(0.5)
        assert len(client.take()) == 2
        client.ack()
        net.turn()
        assert client.group.info(client.cd).srtt_us == before

    @pytest.mark.requirement("RFC 6298 3", "RFC 7323 4.1")
    def test_timestamps_tell_which_copy_was_acknowledged(self, net: Net) -> None:
        """RFC 7323 section 4.1, RFC 6298 section 3."""
        client = established_with_rtt(net, 0.100)
        assert client.group is not None
        before = client.group.info(client.cd)
        client.group.send(client.cd, b"answer")
        net.flush()
        net.advance(before.rto_ms / 1_000 + 0.150)
        assert len(client.take()) == 2
        client.ack()
        net.turn()
        # The second copy was sent 150 ms ago: 7/8 of 100 ms and 1/8 of that.
        assert client.group.info(client.cd).srtt_us == pytest.approx(106_250, abs=2_000)

    @pytest.mark.requirement("RFC 6298 5.3")
    def test_an_acknowledgement_of_new_data_restarts_the_timer(self, net: Net) -> None:
        """RFC 6298 (5.3)."""
        group = net.group(7)
        client = net.client(group, timestamps=False).established()
        group.send(client.cd, bytes(1_460))
        group.send(client.cd, bytes(1_460))
        net.flush()
        assert len(client.take()) == 2
        net.advance(0.150)
        client.ack(1_461)
        net.turn()
        rto = group.info(client.cd).rto_ms / 1_000
        net.advance(rto - 0.010)
        client.expect_nothing()
        net.advance(0.020)
        client.expect("A", seq=1_461, data=ANY, at=0.150 + rto)

    @pytest.mark.requirement("RFC 6298 5.3")
    def test_a_duplicate_acknowledgement_does_not(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        net.advance(0.100)
        client.ack(1)
        net.advance(0.200)
        assert client.times() == pytest.approx([0, 0.2], abs=0.0025)

    @pytest.mark.requirement("RFC 6298 5.2")
    def test_nothing_is_sent_once_all_is_acknowledged(self, net: Net) -> None:
        """RFC 6298 (5.2): the timer is turned off."""
        group = net.group(7)
        client = net.client(group).established()
        client.exchange(b"q", b"a")
        net.advance(200)
        client.expect_nothing()
        assert net.take_events(*ENDS) == []

    def test_a_stalled_engine_takes_packets_in_before_its_timers(self, net: Net) -> None:
        """An ACK that waited on the link while the process was busy cancels the overdue resend."""
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        client.expect("A", data=b"answer")
        client.ack()
        net.stall(5)
        net.turn()
        client.expect_nothing()


@pytest.mark.feature("P20")
class TestWhatIsSent:
    @pytest.mark.requirement("RFC 6298 5.4")
    def test_only_the_earliest_segment_comes_again(self, net: Net) -> None:
        """RFC 6298 (5.4)."""
        group = net.group(7)
        client = net.client(group, timestamps=False).established()
        group.send(client.cd, bytes(range(200)) * 25)
        net.flush()
        client.take()
        net.advance(0.210)
        client.expect("A", seq=1, data=ANY)
        client.expect_nothing()

    def test_the_header_is_made_anew(self, net: Net) -> None:
        """ACK, window and timestamps of a retransmission are those of its time."""
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        first = client.expect("A", ack=1, data=b"answer")
        client.send(b"question", ack=1)
        with net.in_turn():
            group.recv(100)
            group.send(client.cd, b"", ackd=ALL)
        client.take()
        net.advance(0.3)
        again = client.expect("A", seq=1, ack=9, data=b"answer")
        assert again.tsval != first.tsval

    @pytest.mark.feature("P19")
    def test_a_partial_acknowledgement_purges_what_it_covers(self, net: Net) -> None:
        """Also in the middle of a segment: the retransmission starts at SND.UNA."""
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, b"0123456789")
        net.flush()
        client.take()
        client.ack(5)
        net.turn()
        net.advance(0.5)
        client.expect("A", seq=5, data=b"456789")

    @pytest.mark.requirement("RFC 9293 MUST-60", "RFC 9293 MUST-61", "RFC 9293 SHLD-27", "RFC 9293 MAY-16")
    @pytest.mark.feature("P24")
    def test_small_writes_of_one_turn_share_a_segment(self, net: Net) -> None:
        """RFC 9293 SHLD-28 and MUST-60: full segments, PSH with the last byte."""
        group = net.group(7)
        client = net.client(group).established()
        for _ in range(10):
            group.send(client.cd, bytes(100))
        net.flush()
        client.expect("PA", seq=1, data=bytes(1_000))
        client.expect_nothing()

    @pytest.mark.feature("P20")
    def test_a_lost_answer_arrives_in_the_end(self, net: Net) -> None:
        """Every second packet is lost both ways; the stream is complete and in order (the judge)."""
        group = net.group(7)
        client = net.client(group).established()
        text = bytes(range(251)) * 40
        group.send(client.cd, text)
        net.flush()
        taken, lost = 0, 0
        for _ in range(400):
            for segment, seq, _ in client.inbox:
                lost += 1
                if lost % 2 and seq <= taken + 1:
                    taken = max(taken, seq - 1 + len(segment.data))
            client.inbox.clear()
            client.ack(taken + 1)
            net.advance(0.1)
            if taken == len(text):
                break
        assert taken == len(text)
        assert client.received == text
        assert net.transmit_used == 0


@pytest.mark.feature("P19")
class TestSharedBuffer:
    def test_it_is_shared_and_comes_back_to_zero(self, net: Net) -> None:
        """One buffer for connections of different groups and pools."""
        other_pool = net.engine.create_pool(1024 * 1024)
        groups = [net.group(7), net.group(8), net.group(9, pool=other_pool)]
        clients = [net.client(group).established() for group in groups]
        for client in clients:
            assert client.group is not None
            client.group.send(client.cd, bytes(2_000))
        net.flush()
        assert net.transmit_used >= 6_000
        for client in clients:
            client.ack()
        net.turn()
        assert net.transmit_used == 0

    def test_a_send_takes_what_fits_and_says_so(self, make_net: MakeNet) -> None:
        net = make_net(transmit_buffer=64 * 1024)
        group = net.group(7)
        client = net.client(group).established()
        taken = group.send(client.cd, bytes(200_000))
        assert 0 < taken < 65_536
        assert net.transmit_used <= 64 * 1024
        net.flush()
        assert net.kinds() == []

    def test_writable_follows_a_short_send(self, make_net: MakeNet) -> None:
        """Only a connection that was refused something is told, once there is room."""
        net = make_net(transmit_buffer=64 * 1024)
        group = net.group(7)
        client, content = net.client(group).established(), net.client(group).established()
        taken = group.send(client.cd, bytes(200_000))
        group.send(content.cd, b"short")
        net.flush()
        content.ack(6)
        for _ in range(100):
            net.turn()
            if client.judge.snd_max >= taken:
                break
            client.ack()
        assert client.received == bytes(taken)
        client.ack()
        net.turn()
        writable = [cd for kind, _, cd, _ in net.take_events() if kind == EventKind.WRITABLE]
        assert writable == [client.cd]
        assert group.send(client.cd, b"more") == 4

    def test_clients_that_never_acknowledge_do_not_take_it_all(self, make_net: MakeNet) -> None:
        """attacks.md 23."""
        net = make_net(transmit_buffer=256 * 1024)
        group = net.group(7)
        hogs = [net.client(group).established() for _ in range(3)]
        guest = net.client(group).established()
        for hog in hogs:
            group.send(hog.cd, bytes(256 * 1024))
        net.flush()
        assert group.send(guest.cd, bytes(1_000)) == 1_000

    def test_the_peak_is_kept(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, bytes(3_000))
        net.flush()
        client.ack()
        net.turn()
        buffer = net.engine.snapshot().transmit_buffer
        assert buffer.used == 0
        assert buffer.peak >= 3_000

    @given(st.lists(st.tuples(st.sampled_from(["send", "ack", "wait"]), st.integers(1, 3_000)), max_size=20))
    def test_any_history_of_sends_and_acknowledgements(self, steps: list[tuple[str, int]]) -> None:
        """The stream arrives as written (the judge compares each retransmission), the buffer empties."""
        net = Net()
        group = net.group(7)
        client = net.client(group).established()
        written = b""
        acked = 1
        for step, number in steps:
            if step == "send":
                data = bytes((len(written) + i) % 251 for i in range(number))
                written += data[: group.send(client.cd, data)]
            elif step == "ack":
                acked = min(max(acked, client.rcv_nxt - number % 700), client.rcv_nxt)
                client.ack(acked)
            else:
                net.advance(number / 10_000)
            net.turn()
        for _ in range(60):
            client.ack()
            net.advance(0.5)
            if net.transmit_used == 0:
                break
        assert client.received == written
        assert net.transmit_used == 0
        net.close()


@pytest.mark.feature("P21")
class TestGivingUp:
    @pytest.mark.requirement("RFC 9293 MUST-20", "RFC 9293 SHLD-11", "RFC 9293 3.10.8")
    def test_the_connection_is_marked_down_and_the_application_told(self, net: Net) -> None:
        """R2 = 100 s (RFC 9293 SHLD-11): the cache is purged, DOWN is reported, once."""
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        net.advance(99)
        assert net.kinds() == [EventKind.SOFT_ERROR]
        net.advance(10)
        [(kind, gd, cd, detail)] = net.take_events(*ENDS)
        assert (kind, gd, cd, detail) == (EventKind.DOWN, group.fileno(), client.cd, errno.ETIMEDOUT)
        assert net.transmit_used == 0
        assert net.engine.snapshot().connections == 0
        client.take()
        net.advance(300)
        client.expect_nothing()
        assert net.take_events() == []

    def test_the_timeout_is_the_groups(self, net: Net) -> None:
        group = net.group(7, user_timeout_s=5)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        net.advance(4.9)
        assert net.take_events(*ENDS) == []
        net.advance(2)
        assert [e[0] for e in net.take_events(*ENDS)] == [EventKind.DOWN]

    def test_progress_postpones_it(self, net: Net) -> None:
        """It counts from the last acknowledgement of new data."""
        group = net.group(7, user_timeout_s=5)
        client = net.client(group).established()
        group.send(client.cd, bytes(4_000))
        net.flush()
        for acked in range(100, 1_000, 100):
            net.advance(3)
            client.ack(acked)
            net.turn()
        assert net.take_events(*ENDS) == []

    def test_a_finished_connection_is_given_up_silently(self, net: Net) -> None:
        group = net.group(7, user_timeout_s=5)
        client = net.client(group).established()
        group.finish(client.cd)
        net.flush()
        net.advance(20)
        assert net.engine.snapshot().connections == 0
        assert net.take_events() == []
        client.take()
