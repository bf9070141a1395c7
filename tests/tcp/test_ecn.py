"""Explicit congestion notification (RFC 3168): agreed on, echoed, and answered by a smaller window.

What may be ECT and what may say ECE or CWR at all, the judge checks in every test (support/judge.py).
"""

from __future__ import annotations

import pytest
from support.ecn import CE, ECT_0, ECT_1, NOT_ECT, both, cwnd, ecn_client, marked, send, sending, upto
from support.flight import MSS
from support.net import Net
from support.peer import ANY

from xtcp_twisted.config import ALL

# --- receiving --------------------------------------------------------------------------


class TestReceiving:
    @both
    @pytest.mark.requirement("RFC 3168 6.1.3")
    def test_a_mark_is_told_until_the_peer_has_heard(self, net: Net, v6: bool) -> None:
        """Section 6.1.3."""
        client = ecn_client(net, v6=v6, ack_policy="immediate")
        client.send(b"a", **marked(client, ECT_0))
        net.turn()
        client.expect("A", ack=2)
        client.send(b"b", **marked(client, CE))
        net.turn()
        client.expect("AE", ack=3)
        client.send(b"c", **marked(client, ECT_0))
        net.turn()
        client.expect("AE", ack=4)
        client.send(b"d", "PAC", **marked(client, ECT_0))
        net.turn()
        client.expect("A", ack=5)
        counters = net.counters()
        assert (counters["InCEPkts"], counters["InECT0Pkts"], counters["InECT1Pkts"]) == (1, 3, 0)
        assert counters["InNoECTPkts"] == counters["InSegs"] - 4

    def test_an_answer_tells_it_as_well(self, net: Net) -> None:
        """And the mark outlives the active block: an idle connection remembers it."""
        client = ecn_client(net)
        client.send(b"question", **marked(client, CE))
        with net.in_turn():
            assert client.group is not None
            client.group.recv(100)
            client.group.send(client.cd, b"answer", ackd=ALL)
        client.expect("AE", ack=9, data=b"answer")
        client.ack()
        net.turn()
        assert not client.group.info(client.cd).active
        client.send(b"more", **marked(client, ECT_0))
        net.advance(0.1)
        client.expect("AE", ack=13)

    def test_cwr_on_a_marked_segment(self, net: Net) -> None:
        """It answers the marks before it, and has one of its own."""
        client = ecn_client(net, ack_policy="immediate")
        client.send(b"a", **marked(client, CE))
        net.turn()
        client.expect("AE")
        client.send(b"b", "PAC", **marked(client, CE))
        net.turn()
        client.expect("AE")

    @pytest.mark.requirement("RFC 3168 5")
    @pytest.mark.parametrize("field", [ECT_0, ECT_1, NOT_ECT])
    def test_only_ce_is_a_mark(self, net: Net, field: int) -> None:
        client = ecn_client(net, ack_policy="immediate")
        client.send(b"a", **marked(client, field))
        net.turn()
        client.expect("A", ack=2)

    def test_out_of_order(self, net: Net) -> None:
        client = ecn_client(net, ack_policy="immediate")
        client.send(b"later", seq=11, **marked(client, CE))
        net.turn()
        client.expect("AE", ack=1)

    @pytest.mark.requirement("RFC 3168 6.1.5 receiver")
    @pytest.mark.parametrize("seq, data", [(1, b"old"), (1 + (1 << 20), b"far away")])
    def test_outside_the_window_it_means_nothing(self, net: Net, seq: int, data: bytes) -> None:
        """Sections 6.1.5 and 6.1.6: a forger would only have to guess a 4-tuple."""
        client = ecn_client(net, ack_policy="immediate")
        client.send(b"old")
        net.turn()
        client.expect("A", ack=4)
        client.send(data, seq=seq, **marked(client, CE))
        net.turn()
        client.expect("A", ack=4)

    def test_on_an_ack_it_means_nothing(self, net: Net) -> None:
        client = ecn_client(net, ack_policy="immediate")
        client.ack(**marked(client, CE))
        client.send(b"a")
        net.turn()
        client.expect("A", ack=2)

    def test_without_agreement_it_means_nothing(self, net: Net) -> None:
        client = net.client(net.group(7, ack_policy="immediate")).established()
        client.send(b"a", **marked(client, CE))
        net.turn()
        client.expect("A", ack=2)
        assert net.counters()["InCEPkts"] == 1

    @pytest.mark.requirement("RFC 3168 6.1.3")
    def test_the_acks_of_a_record_that_goes(self, net: Net) -> None:
        """FIN-WAIT-2 to TIME-WAIT, and keepalive: they are ACKs, too."""
        client = ecn_client(net, keepalive_s=10)
        client.send(b"a", **marked(client, CE))
        net.advance(0.1)
        client.expect("AE", ack=2)
        assert client.group is not None
        client.group.send(client.cd, b"", ackd=ALL)
        net.advance(45)
        assert {"E", "A"} == client.take()[0].flags
        client.ack()
        client.group.shutdown(client.cd)
        net.turn()
        client.expect("FAE", seq=1)
        client.ack(2)
        client.fin()
        net.turn()
        client.expect("AE", ack=3)


# --- sending ----------------------------------------------------------------------------


class TestSending:
    @both
    @pytest.mark.requirement("RFC 3168 5", "RFC 3168 6.1.2 ECT", "RFC 3168 6.1.4", "RFC 3168 6.1.5 sender")
    def test_new_data_is_ect_and_nothing_else(self, net: Net, v6: bool) -> None:
        """Sections 6.1.2, 6.1.4 and 6.1.5."""
        client = ecn_client(net, v6=v6)
        assert client.group is not None
        client.send(b"question")
        net.advance(0.1)
        assert client.expect("A", ack=9).ecn == NOT_ECT
        client.group.send(client.cd, b"answer", ackd=ALL)
        client.group.shutdown(client.cd)
        net.flush()
        assert client.expect("FA", data=b"answer").ecn == ECT_0
        net.advance(2)
        again = client.take()
        assert again
        assert {s.ecn for s in again} == {NOT_ECT}

    @pytest.mark.requirement("RFC 3168 6.1.6")
    def test_a_probe_of_a_closed_window_is_not(self, net: Net) -> None:
        """Section 6.1.6."""
        client = ecn_client(net, window=0)
        assert client.group is not None
        client.group.send(client.cd, b"waiting")
        net.advance(1)
        assert client.expect("A", data=b"w").ecn == NOT_ECT
        client.take()
        client.ack(1, win=5_000)
        net.turn()
        # Its first byte was sent before.
        assert client.expect("A", seq=1, data=ANY).ecn == NOT_ECT

    def test_a_reset_is_not(self, net: Net) -> None:
        client = ecn_client(net)
        assert client.group is not None
        client.send(b"a", **marked(client, CE))
        net.turn()
        client.group.abort(client.cd)
        net.flush()
        assert client.expect_reset(seq=1).ecn == NOT_ECT

    @pytest.mark.requirement("RFC 3168 6.1.2 once", "RFC 3168 6.1.2 CWR")
    def test_an_echo_halves_the_window_once(self, net: Net) -> None:
        """Section 6.1.2: nothing is sent again, and CWR is on the next new data only."""
        client = sending(net, 10)
        assert cwnd(client) == 10
        client.send(b"", "AE", ack=upto(1))
        net.turn()
        client.expect_nothing()
        assert cwnd(client) == 5
        for acked in (2, 3, 5, 10):
            client.send(b"", "AE", ack=upto(acked))
            net.turn()
            client.expect_nothing()
        assert cwnd(client) == 5
        send(client, 3)
        assert [("C" in s.flags, s.ecn) for s in client.take()] == [
            (True, ECT_0),
            (False, ECT_0),
            (False, ECT_0),
        ]
        counters = net.counters()
        assert (counters["TCPEcnReductions"], counters["RetransSegs"]) == (1, 0)
        assert counters["TCPDeliveredCE"] == 10

    def test_an_echo_of_what_followed_reduces_again(self, net: Net) -> None:
        """The data with CWR was marked, too: that is another window of data."""
        client = sending(net, 10)
        client.send(b"", "AE", ack=upto(1))
        net.turn()
        send(client, 10)
        client.ack(upto(10))
        net.turn()
        assert "C" in client.take()[0].flags
        before = cwnd(client)
        client.send(b"", "AE", ack=upto(11))
        net.turn()
        assert cwnd(client) == before // 2
        assert net.counters()["TCPEcnReductions"] == 2

    @pytest.mark.requirement("RFC 3168 6.1.2 growth")
    def test_a_window_that_is_told_of_congestion_does_not_grow(self, net: Net) -> None:
        client = sending(net, 10)
        client.send(b"", "AE", ack=upto(5))
        net.turn()
        send(client, 100)
        for acked in range(6, 11):
            client.send(b"", "AE", ack=upto(acked))
            net.turn()
        assert cwnd(client) == 5
        for acked in range(11, 20):
            client.ack(upto(acked))
            net.turn()
        assert cwnd(client) > 5

    def test_the_first_answer_of_a_quiet_connection(self, net: Net) -> None:
        """The echo comes with the ACK of the last byte: CWR waits in the record for the next answer."""
        client = ecn_client(net)
        client.exchange(b"question", b"answer")
        assert client.group is not None
        client.group.send(client.cd, b"news")
        net.flush()
        client.expect("A", data=b"news")
        client.send(b"", "AE")
        net.turn()
        assert not client.group.info(client.cd).active
        client.group.send(client.cd, b"more")
        net.flush()
        assert "C" in client.expect("AC", data=b"more").flags

    @pytest.mark.requirement("RFC 3168 6.1.2 once")
    @pytest.mark.parametrize("between", ["nothing", "out of order"])
    def test_an_echo_is_answered_once_over_a_pause(self, net: Net, between: str) -> None:
        """All is acknowledged before there is new data for CWR, so the peer repeats its echo meanwhile."""
        client = sending(net, 10)
        client.send(b"", "AE", ack=upto(10))
        net.turn()
        assert client.group is not None
        assert not client.group.info(client.cd).active
        if between == "out of order":
            client.send(b"later", "AE", seq=11)
            net.turn()
        send(client, 4)
        told = ["C" in s.flags for s in client.take() if s.data]
        assert (told[0], sum(told)) == (True, 1)
        client.send(b"", "AE", ack=upto(10))
        net.turn()
        assert net.counters()["TCPEcnReductions"] == 1
        assert cwnd(client) == 5
        client.send(b"", "AE", ack=upto(11))
        net.turn()
        assert net.counters()["TCPEcnReductions"] == 2, "the data with CWR was marked as well"

    @pytest.mark.requirement("RFC 3168 6.1.2 once")
    def test_an_echo_in_a_recovery_is_answered_by_it(self, net: Net) -> None:
        """Also when it is repeated after the recovery, until CWR has gone there and back."""
        client = sending(net, 10)
        client.sack((upto(1), upto(4)), ack=1)
        net.turn()
        client.send(b"", "AE", ack=upto(10))
        net.turn()
        assert client.group is not None
        assert not client.group.info(client.cd).active
        client.take()
        send(client, 1)
        assert "C" in client.expect("AC", seq=upto(10), data=ANY).flags
        client.send(b"", "AE", ack=upto(10))
        net.turn()
        assert net.counters()["TCPEcnReductions"] == 0
        assert client.group.info(client.cd).ssthresh == 5 * MSS

    def test_an_echo_after_what_was_undone_is_answered(self, net: Net) -> None:
        """A timeout proves needless, so nothing was reduced for what the peer tells now."""
        client = sending(net, 10, timestamps=True, sack=False, mss=MSS + 12)
        late = client.ts_recent
        net.advance(0.4)
        client.take()
        client.ts_recent = late
        client.ack(upto(1))
        net.turn()
        assert net.counters()["TCPSpuriousRTOs"] == 1
        client.send(b"", "AE", ack=upto(2))
        net.turn()
        assert net.counters()["TCPEcnReductions"] == 1
        assert cwnd(client) < 10

    @pytest.mark.requirement("RFC 3168 6.1.2 once", "RFC 3168 6.1.6")
    def test_an_echo_on_the_answer_to_a_probe(self, net: Net) -> None:
        """A probe of a closed window is no new data: CWR is still owed, and the echo an old one."""
        client = sending(net, 9, window=9 * MSS + 88)
        assert client.group is not None
        client.group.send(client.cd, bytes(88))
        net.flush()
        client.take()
        closed = upto(9) + 88
        client.send(b"", "AE", ack=closed, win=0)
        net.turn()
        send(client, 1)
        net.advance(0.5)
        assert "C" not in client.expect("A", seq=closed, data=ANY).flags
        client.send(b"", "AE", ack=closed + 1, win=5_000)
        net.turn()
        assert "C" in client.expect("AC", seq=closed + 1, data=ANY).flags
        assert net.counters()["TCPEcnReductions"] == 1

    @pytest.mark.parametrize("congestion, expected", [("reno", 5), ("cubic", 7)])
    def test_how_far(self, net: Net, congestion: str, expected: int) -> None:
        """RFC 5681 equation (4), RFC 9438 section 4.6."""
        client = sending(net, 10, congestion=congestion)
        client.send(b"", "AE", ack=upto(1))
        net.turn()
        assert cwnd(client) == expected

    @pytest.mark.requirement("RFC 3168 6.1.2 one segment")
    def test_never_below_two_segments(self, net: Net) -> None:
        client = sending(net, 10)
        for acked in range(1, 8):
            client.send(b"", "AE", ack=upto(acked))
            net.turn()
            send(client, 1)
            client.ack(client.rcv_nxt)
            net.turn()
        assert cwnd(client) >= 2

    @pytest.mark.requirement("RFC 3168 6.1.2 once")
    def test_a_loss_in_the_same_window_reduces_no_further(self, net: Net) -> None:
        """Section 6.1.2: dropped and marked segments of one window of data are one indication."""
        client = sending(net, 10)
        client.send(b"", "AE", ack=upto(1))
        net.turn()
        assert cwnd(client) == 5
        client.sack((upto(2), upto(5)), ack=upto(1))
        net.turn()
        assert net.counters()["TCPSackRecovery"] == 1
        assert client.expect("A", seq=upto(1), data=ANY).ecn == NOT_ECT
        client.ack(upto(10))
        net.turn()
        assert client.group is not None
        assert client.group.info(client.cd).ssthresh == 5 * MSS

    def test_an_echo_during_recovery_reduces_no_further(self, net: Net) -> None:
        client = sending(net, 10)
        client.sack((upto(1), upto(4)), ack=1)
        net.turn()
        assert client.group is not None
        assert client.group.info(client.cd).ssthresh == 5 * MSS
        client.send(b"", "AE", ack=upto(4))
        net.turn()
        client.send(b"", "AE", ack=upto(10))
        net.turn()
        assert client.group.info(client.cd).ssthresh == 5 * MSS
        assert net.counters()["TCPEcnReductions"] == 0

    @pytest.mark.requirement("RFC 3168 6.1.2 once", "RFC 4015 3.2 (7) ECE")
    @pytest.mark.parametrize("told", ["before", "with it", "not"])
    def test_undone_is_only_what_was_for_no_mark(self, net: Net, told: str) -> None:
        """A timeout proves needless, by the echoed timestamp, but meanwhile the peer told of congestion."""
        client = sending(net, 10, timestamps=True, sack=False, mss=MSS + 12)
        late = client.ts_recent
        net.advance(0.4)
        assert cwnd(client) == 1
        client.take()
        client.ts_recent = late
        if told == "before":
            client.send(b"", "AE", ack=1)
            net.turn()
        client.send(b"", "AE" if told == "with it" else "A", ack=upto(1))
        net.turn()
        assert net.counters()["TCPSpuriousRTOs"] == 1
        assert client.group is not None
        ssthresh = client.group.info(client.cd).ssthresh
        if told == "not":
            assert ssthresh >= 10 * MSS and cwnd(client) >= 10
        else:
            assert ssthresh == 5 * MSS and cwnd(client) <= 5
        if told == "with it":
            client.send(b"", "AE", ack=upto(2))
            net.turn()
            assert client.group.info(client.cd).ssthresh == 5 * MSS, "once in a window of data"
        client.take()

    @pytest.mark.requirement("RFC 3168 6.1.2 CWR")
    @pytest.mark.parametrize("how", ["recovery", "timeout"])
    def test_a_loss_is_told_by_cwr_as_well(self, net: Net, how: str) -> None:
        """Section 6.1.2: whatever the window was reduced for."""
        client = sending(net, 10)
        if how == "recovery":
            client.sack((upto(1), upto(4)), ack=1)
            net.turn()
        else:
            net.advance(1)
        assert not [s for s in client.take() if "C" in s.flags]
        client.ack(upto(10))
        net.turn()
        send(client, 1)
        assert "C" in client.expect("AC", data=ANY).flags

    def test_without_agreement_an_echo_means_nothing(self, net: Net) -> None:
        client = net.client(net.group(7), mss=MSS, timestamps=False, window=100_000).established()
        send(client, 10)
        client.take()
        client.send(b"", "AE", ack=upto(1))
        net.turn()
        assert cwnd(client) >= 10
        assert net.counters()["TCPEcnReductions"] == 0

    def test_with_nothing_in_flight_an_echo_means_nothing(self, net: Net) -> None:
        client = ecn_client(net)
        for _ in range(5):
            client.send(b"", "AE")
        net.turn()
        assert net.counters()["TCPEcnReductions"] == 0

    def test_an_echo_for_what_was_never_sent_means_nothing(self, net: Net) -> None:
        client = sending(net, 10)
        client.send(b"", "AE", ack=upto(11))
        net.turn()
        assert cwnd(client) == 10
