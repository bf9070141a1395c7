"""A recovery that proves needless is undone (RFC 3522, RFC 4015, RFC 3708)."""

from __future__ import annotations

import pytest
from support.flight import MSS, at, flight, seqs
from support.net import Net

RTT = 0.1


class TestEifel:
    @pytest.mark.requirement("RFC 3522 3.2", "RFC 9438 4.9")
    def test_a_timeout_whose_acknowledgement_was_only_late(self, net: Net) -> None:
        """The echoed timestamp is older than the retransmission: the window comes back."""
        client = flight(net, 10, RTT, timestamps=True, sack=False)
        assert client.group is not None
        before = client.group.info(client.cd)
        late = client.ts_recent
        net.advance(0.4)
        assert client.group.info(client.cd).cwnd == MSS
        client.take()
        client.ts_recent = late
        client.ack()
        net.turn()
        after = client.group.info(client.cd)
        assert net.counters()["TCPSpuriousRTOs"] == 1
        assert after.ssthresh >= before.cwnd
        assert after.cwnd > before.cwnd // 2
        assert net.counters()["RetransSegs"] == 1

    @pytest.mark.requirement("RFC 3522 3.2")
    def test_a_timeout_that_was_right_is_not_undone(self, net: Net) -> None:
        client = flight(net, 10, RTT, timestamps=True, sack=False)
        assert client.group is not None
        net.advance(0.4)
        client.take()
        client.ack(2_000)
        net.turn()
        assert net.counters()["TCPSpuriousRTOs"] == 0
        assert client.group.info(client.cd).cwnd < 4 * MSS

    @pytest.mark.requirement("RFC 3522 3.2")
    def test_reordering_that_looked_like_loss(self, net: Net) -> None:
        client = flight(net, 10, RTT, timestamps=True)
        assert client.group is not None
        before, early = client.group.info(client.cd).cwnd, client.ts_recent
        net.advance(0.002)
        client.sack(at(1, 3), ack=1)
        net.turn()
        assert net.counters()["TCPSackRecovery"] == 1
        client.take()
        client.ts_recent = early
        client.ack(1 + 4 * MSS)
        net.turn()
        assert net.counters()["TCPFullUndo"] == 1
        assert client.group.info(client.cd).cwnd >= before - 4 * MSS
        assert client.group.info(client.cd).ssthresh >= before

    @pytest.mark.requirement("RFC 4015 3.2 (6)", "RFC 4015 3.2 (7)")
    def test_sending_goes_on_where_it_was(self, net: Net) -> None:
        """New data, and as much in flight as before: the late acknowledgement covers two of ten segments."""
        client = flight(net, 30, RTT, timestamps=True, sack=False)
        assert client.group is not None
        late = client.ts_recent
        net.advance(0.4)
        assert seqs(client) == [0]
        client.ts_recent = late
        client.ack(2 * MSS + 1)
        net.turn()
        assert seqs(client)[:2] == [10, 11]
        info = client.group.info(client.cd)
        assert info.cwnd >= 10 * MSS
        assert info.ssthresh >= 10 * MSS


class TestDsack:
    @pytest.mark.requirement("RFC 3708 3")
    def test_every_retransmission_reported_twice(self, net: Net) -> None:
        """RFC 3708: without timestamps the D-SACK tells, a round trip later."""
        client = flight(net, 30, RTT)
        assert client.group is not None
        before = client.group.info(client.cd).cwnd
        client.sack(at(1, 3), ack=1)
        net.turn()
        assert seqs(client) == [0]
        client.ack(10 * MSS + 1)
        net.turn()
        reduced = client.group.info(client.cd)
        assert reduced.ssthresh == before // 2
        client.sack(at(0), ack=10 * MSS + 1)
        net.turn()
        assert net.counters()["TCPDSACKUndo"] == 1
        assert client.group.info(client.cd).ssthresh >= before

    @pytest.mark.requirement("RFC 2883 5", "RFC 3708 3")
    def test_one_of_two_is_not_enough(self, net: Net) -> None:
        client = flight(net, 30, RTT)
        client.sack(at(4, 6), at(1, 2), ack=1)
        net.turn()
        net.advance(0.03)
        assert {0, 3} <= set(seqs(client))
        client.sack(at(0), ack=10 * MSS + 1)
        net.turn()
        assert net.counters()["TCPDSACKUndo"] == 0
        assert net.counters()["TCPDSACKRecv"] == 1
