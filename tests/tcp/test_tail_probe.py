"""Tail loss probes (RFC 8985 section 7)."""

from __future__ import annotations

import pytest
from support.flight import MSS, at, flight, seqs
from support.net import Net

RTT = 0.1


@pytest.mark.requirement("RFC 8985 7.2")
class TestWhen:
    def test_after_two_round_trips(self, net: Net) -> None:
        """Section 7.2: several segments, so no held acknowledgement is waited for."""
        client = flight(net, 5, RTT)
        start = net.now - RTT
        net.advance(2 * RTT)
        [probe] = [s for s in client.take() if s.data]
        assert probe.time - start == pytest.approx(2 * RTT, abs=0.006)
        assert net.counters()["TCPLossProbes"] == 1
        assert net.counters()["TCPTimeouts"] == 0

    def test_not_later_than_the_timeout(self, net: Net) -> None:
        """A single segment may be acknowledged late; but the retransmission timer is the limit."""
        client = flight(net, 1, RTT)
        assert client.group is not None
        start, rto = net.now - RTT, client.group.info(client.cd).rto_ms / 1000
        net.advance(1)
        assert client.take()[0].time - start == pytest.approx(rto, abs=0.005)

    def test_then_the_retransmission_timer_runs(self, net: Net) -> None:
        client = flight(net, 5, RTT)
        assert client.group is not None
        rto = client.group.info(client.cd).rto_ms / 1000
        net.advance(2)
        times = [s.time for s in client.take() if s.data]
        assert times[1] - times[0] == pytest.approx(rto, abs=0.005)
        assert net.counters()["TCPLossProbes"] == 1
        assert net.counters()["TCPTimeouts"] >= 1

    def test_never_without_sack(self, net: Net) -> None:
        client = flight(net, 5, RTT, sack=False)
        net.advance(2)
        client.take()
        assert net.counters()["TCPLossProbes"] == 0

    def test_never_into_a_closed_window(self, net: Net) -> None:
        client = flight(net, 5, RTT)
        client.ack(1, win=0)
        net.advance(5)
        assert all(len(s.data) <= 1 for s in client.take())


@pytest.mark.requirement("RFC 8985 7.3")
class TestWhat:
    def test_new_data_if_there_is_some(self, net: Net) -> None:
        """Section 7.3: beyond the congestion window, by one segment."""
        client = flight(net, 15, RTT)
        net.advance(2 * RTT)
        assert seqs(client) == [10]

    def test_else_the_last_segment(self, net: Net) -> None:
        client = flight(net, 5, RTT)
        net.advance(2 * RTT)
        assert seqs(client) == [4]

    @pytest.mark.parametrize("alone", [True, False])
    def test_the_fin_as_it_was_sent(self, net: Net, alone: bool) -> None:
        """The highest-sequence segment: a FIN that left behind the data goes alone again."""
        client = flight(net, 5, RTT)
        assert client.group is not None
        if not alone:
            client.group.send(client.cd, b"last")
        client.group.shutdown(client.cd)
        net.flush()
        [fin] = client.take()
        assert ("F" in fin.flags, bool(fin.data)) == (True, not alone)
        net.advance(2 * RTT + 0.005)
        [probe] = client.take()
        assert (probe.seq, probe.data, "F" in probe.flags) == (fin.seq, fin.data, True)


class TestWhatItTells:
    def test_a_lost_tail_is_repaired_without_a_timeout(self, net: Net) -> None:
        """The probe's SACK starts fast recovery of what lies before it."""
        client = flight(net, 10, RTT)
        client.ack(7 * MSS + 1)
        net.advance(2.5 * RTT)
        assert seqs(client) == [9]
        net.advance(0.6 * RTT)
        client.sack(at(9), ack=7 * MSS + 1)
        net.advance(RTT / 3)
        assert seqs(client) == [7]
        client.sack(at(9), ack=8 * MSS + 1)
        net.turn()
        assert seqs(client) == [8]
        client.ack(10 * MSS + 1)
        net.turn()
        assert net.counters()["TCPTimeouts"] == 0
        assert net.transmit_used == 0

    @pytest.mark.requirement("RFC 8985 7.4")
    def test_a_loss_that_it_repaired_itself_halves_the_window(self, net: Net) -> None:
        """Section 7.4.2: more was acknowledged than the probe, and no duplicate reported."""
        client = flight(net, 10, RTT)
        assert client.group is not None
        client.ack(9 * MSS + 1)
        net.advance(4 * RTT)
        assert seqs(client) == [9]
        cwnd = client.group.info(client.cd).cwnd
        client.group.send(client.cd, bytes(MSS))
        net.flush()
        client.ack(11 * MSS + 1)
        net.turn()
        assert net.counters()["TCPLossProbeRecovery"] == 1
        assert client.group.info(client.cd).cwnd < cwnd

    @pytest.mark.requirement("RFC 2883 5", "RFC 8985 7.4")
    def test_a_needless_probe_costs_nothing(self, net: Net) -> None:
        """Both copies arrived: the acknowledgement reports the duplicate."""
        client = flight(net, 10, RTT)
        assert client.group is not None
        client.ack(9 * MSS + 1)
        net.advance(4 * RTT)
        seqs(client)
        cwnd = client.group.info(client.cd).cwnd
        client.sack(at(9), ack=10 * MSS + 1)
        net.turn()
        assert net.counters()["TCPLossProbeRecovery"] == 0
        assert client.group.info(client.cd).cwnd >= cwnd
