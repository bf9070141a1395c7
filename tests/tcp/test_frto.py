"""F-RTO (RFC 5682): a timeout is spurious when what was sent before it arrives after all.

Without timestamps, which would tell at once (test_undo.py).  The flight is ten
segments; after the timeout the first of them is sent again.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.flight import MSS, at, flight, seqs
from support.net import Net
from support.peer import Client

RTT = 0.1
SACK = pytest.mark.parametrize("sack", [True, False], ids=["sack", "no sack"])


def timed_out(net: Net, *, more: int = 10, **options: Any) -> tuple[Client, Any]:
    """Ten segments in flight, more to send, and a timeout that has sent the first one again."""
    client = flight(net, 10, RTT, **options)
    assert client.group is not None
    before = client.group.info(client.cd)
    if more:
        client.group.send(client.cd, bytes(more * MSS))
        net.flush()
    client.judge.peer_edge = max(client.judge.peer_edge, 4_000_000)
    # With SACK a loss probe comes first: segment 10, if there is one.
    net.advance(0.6)
    assert net.counters()["TCPTimeouts"] == 1 and seqs(client)[-1] == 0
    client.rcv_nxt = MSS + 1
    return client, before


def new(numbers: list[int]) -> bool:
    """Whether these are segments that had never been sent, and at least one."""
    return bool(numbers) and all(number >= 10 for number in numbers)


@SACK
class TestSpurious:
    @pytest.mark.requirement("RFC 5682 2.1 2b", "RFC 5682 2.1 3b")
    def test_the_flight_was_only_late(self, net: Net, sack: bool) -> None:
        """Step 2b sends new data, step 3b gives the window back; nothing else is sent again."""
        client, before = timed_out(net, sack=sack)
        assert client.group is not None
        resent = net.counters()["RetransSegs"]
        client.ack(MSS + 1)
        net.turn()
        assert new(seqs(client))
        client.ack(2 * MSS + 1)
        net.turn()
        counters, after = net.counters(), client.group.info(client.cd)
        assert counters["TCPSpuriousRTOs"] == 1 and counters["RetransSegs"] == resent
        assert after.ssthresh >= before.cwnd and after.cwnd >= before.cwnd // 2
        assert all(number >= 10 for number in seqs(client))

    def test_it_is_over_when_all_has_come(self, net: Net, sack: bool) -> None:
        client, _ = timed_out(net, sack=sack)
        assert client.group is not None
        for n in range(1, 11):
            client.ack(n * MSS + 1)
            net.turn()
        client.ack(20 * MSS + 1)
        net.turn()
        assert len(client.received) == 20 * MSS and net.transmit_used == 0
        assert net.counters()["TCPSpuriousRTOs"] == 1


class TestSackTells:
    @pytest.mark.requirement("RFC 5682 3.1 3b")
    def test_an_original_behind_the_gap(self, net: Net) -> None:
        """Section 3.1, step 3b with a block: some of what was sent once is there."""
        client, _ = timed_out(net)
        assert client.group is not None
        client.sack(at(3), ack=MSS + 1)
        net.turn()
        assert net.counters()["TCPSpuriousRTOs"] == 1

    @pytest.mark.requirement("RFC 5682 3.1 3b")
    def test_the_first_acknowledgement_covers_an_original(self, net: Net) -> None:
        """As Linux: not all of the flight was lost."""
        client, _ = timed_out(net)
        client.ack(3 * MSS + 1)
        net.turn()
        assert net.counters()["TCPSpuriousRTOs"] == 1

    def test_without_sack_it_does_not_tell(self, net: Net) -> None:
        """The segments behind the retransmission may have been waiting for it."""
        client, _ = timed_out(net, sack=False)
        client.ack(3 * MSS + 1)
        net.turn()
        assert net.counters()["TCPSpuriousRTOs"] == 0


class TestRight:
    """The timeout was right: nothing is undone, and everything is sent again."""

    @pytest.mark.requirement("RFC 5682 2.1 3a")
    def test_new_data_brings_duplicates(self, net: Net) -> None:
        """Section 2.1, step 3a."""
        client, _ = timed_out(net, sack=False)
        assert client.group is not None
        client.ack(MSS + 1)
        net.turn()
        assert new(seqs(client))
        client.ack(MSS + 1)
        net.turn()
        assert seqs(client)[0] == 1
        assert client.group.info(client.cd).cwnd <= 3 * MSS
        assert net.counters()["TCPSpuriousRTOs"] == 0

    @pytest.mark.requirement("RFC 5682 3.1 3a")
    def test_blocks_of_new_data(self, net: Net) -> None:
        """Section 3.1, step 3a."""
        client, _ = timed_out(net)
        assert client.group is not None
        client.ack(MSS + 1)
        net.turn()
        assert new(seqs(client))
        client.sack(at(11), ack=MSS + 1)
        net.turn()
        assert seqs(client)[0] == 1
        assert client.group.info(client.cd).cwnd <= 3 * MSS
        assert net.counters()["TCPSpuriousRTOs"] == 0

    @pytest.mark.requirement("RFC 5682 2.1 2b")
    @SACK
    def test_nothing_new_to_send(self, net: Net, sack: bool) -> None:
        """Step 2b falls back to the conventional recovery."""
        client, _ = timed_out(net, more=0, sack=sack)
        client.ack(MSS + 1)
        net.turn()
        assert seqs(client)[0] == 1
        assert net.counters()["TCPSpuriousRTOs"] == 0

    @pytest.mark.requirement("RFC 5682 2.1 2a")
    @SACK
    def test_all_is_acknowledged_at_once(self, net: Net, sack: bool) -> None:
        """Step 2a: it filled the only gap, or nothing was missing; with SACK that is told apart."""
        client, _ = timed_out(net, sack=sack)
        client.ack(10 * MSS + 1)
        net.turn()
        assert net.counters()["TCPSpuriousRTOs"] == (1 if sack else 0)

    @pytest.mark.requirement("RFC 5682 2.1 2a")
    def test_a_duplicate_first(self, net: Net) -> None:
        """Section 2.1, step 2a: without SACK it ends the attempt."""
        client, _ = timed_out(net, sack=False)
        client.ack(1)
        net.turn()
        assert seqs(client) == []
        client.ack(MSS + 1)
        net.turn()
        assert seqs(client)[0] == 1

    @SACK
    def test_the_whole_flight_was_lost(self, net: Net, sack: bool) -> None:
        """Every byte arrives in the end."""
        client, _ = timed_out(net, sack=sack)
        for _ in range(60):
            client.ack()
            net.advance(RTT)
        assert client.rcv_nxt == 20 * MSS + 1
        assert net.transmit_used == 0 and net.counters()["TCPSpuriousRTOs"] == 0


@pytest.mark.requirement("RFC 5682 2.1 1")
def test_only_one_segment_until_an_acknowledgement(net: Net) -> None:
    """Step 1, also where a segment leaves the window room: many small ones, for example."""
    client = flight(net, 1, RTT, sack=False)
    assert client.group is not None
    client.ack()
    net.turn()
    net.advance(0.5)
    client.take()
    for _ in range(10):
        client.group.send(client.cd, bytes(600))
        net.flush()
    assert len(client.take()) == 10
    net.advance(0.45)
    assert len(client.take()) == 1


@pytest.mark.requirement("RFC 5682 2.1 1")
def test_not_within_another_recovery(net: Net) -> None:
    """Step 1 of section 3.1: a timeout during fast recovery is taken as it is."""
    client = flight(net, 10, RTT)
    assert client.group is not None
    client.group.send(client.cd, bytes(10 * MSS))
    client.sack(at(1, 3), ack=1)
    net.turn()
    assert net.counters()["TCPSackRecovery"] == 1
    net.advance(0.5)
    assert net.counters()["TCPTimeouts"] == 1
    spurious = net.counters()["TCPSpuriousRTOs"]
    client.take()
    client.sack(at(5), ack=4 * MSS + 1)
    net.turn()
    assert net.counters()["TCPSpuriousRTOs"] == spurious
