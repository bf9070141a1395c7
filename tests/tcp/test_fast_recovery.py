"""Fast retransmit and fast recovery, with SACK (RFC 6675) and without (RFC 6582)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flight import MSS, at, flight, seqs
from support.net import Net


class TestWithSack:
    @pytest.mark.requirement("RFC 5681 3.2")
    def test_three_duplicates_resend_what_is_missing(self, net: Net) -> None:
        client = flight(net, 10)
        for last in (1, 2):
            client.sack(at(1, last), ack=1)
            net.turn()
        assert seqs(client) == []
        client.sack(at(1, 3), ack=1)
        net.turn()
        assert seqs(client) == [0]
        assert net.counters()["TCPSackRecovery"] == 1

    @pytest.mark.requirement("RFC 6675 4 IsLost")
    def test_one_acknowledgement_of_three_segments_is_enough(self, net: Net) -> None:
        """RFC 6675 section 4, IsLost: more than (DupThresh - 1) * SMSS bytes above it."""
        client = flight(net, 10)
        client.sack(at(1, 3), ack=1)
        net.turn()
        assert seqs(client) == [0]

    @pytest.mark.requirement("RFC 2018 5", "RFC 6675 4 NextSeg 1")
    def test_every_hole_is_filled_and_nothing_else(self, net: Net) -> None:
        client = flight(net, 10)
        client.sack(at(7, 9), at(4, 5), at(1, 2), ack=1)
        net.turn()
        net.advance(0.02)
        resent = seqs(client)
        client.sack(at(7, 9), at(4, 5), ack=3 * MSS + 1)
        net.turn()
        resent += seqs(client)
        client.sack(at(7, 9), ack=6 * MSS + 1)
        net.turn()
        resent += seqs(client)
        assert sorted(resent) == [0, 3, 6]
        client.ack(10 * MSS + 1)
        net.turn()
        assert net.transmit_used == 0

    @pytest.mark.requirement("RFC 5681 3.1 (4)", "RFC 6675 5", "RFC 6937 3 end")
    def test_the_window_is_halved_once(self, net: Net) -> None:
        """RFC 5681 equation (4), however many segments of a window are lost."""
        client = flight(net, 10)
        assert client.group is not None
        client.sack(at(7, 9), at(4, 5), at(1, 2), ack=1)
        net.turn()
        assert client.group.info(client.cd).ssthresh == 5 * MSS
        client.ack(10 * MSS + 1)
        net.turn()
        info = client.group.info(client.cd)
        assert (info.cwnd, info.ssthresh) == (5 * MSS, 5 * MSS)

    @pytest.mark.requirement("RFC 3042 2", "RFC 6675 4 SetPipe")
    def test_limited_transmit(self, net: Net) -> None:
        """RFC 3042: each of the first two duplicates lets a new segment out."""
        client = flight(net, 15)
        for last, expected in ((1, [10]), (2, [11])):
            client.sack(at(1, last), ack=1)
            net.turn()
            assert seqs(client) == expected

    @pytest.mark.requirement("RFC 6675 4 SetPipe", "RFC 6675 4 NextSeg 2", "RFC 6937 3")
    def test_the_rate_is_reduced_in_proportion(self, net: Net) -> None:
        """RFC 6937: half of what is delivered leaves, not nothing and then a burst."""
        client = flight(net, 40)
        client.sack(at(1, 3), ack=1)
        net.turn()
        assert seqs(client) == [0]
        new = 0
        for last in range(4, 10):
            client.sack(at(1, last), ack=1)
            net.turn()
            new += len(seqs(client))
        assert 2 <= new <= 4

    @pytest.mark.requirement("RFC 6675 6")
    def test_an_acknowledgement_without_news_is_no_duplicate(self, net: Net) -> None:
        """attacks.md 14: invented duplicates make nothing leave."""
        client = flight(net, 20)
        for _ in range(1_000):
            client.ack(1)
        net.turn()
        assert seqs(client) == []

    def test_an_old_acknowledgement_still_reports(self, net: Net) -> None:
        """One that was overtaken on its way has an ACK number below SND.UNA."""
        client = flight(net, 10)
        client.ack(4 * MSS + 1)
        net.turn()
        client.take()
        client.sack(at(5, 7), ack=2 * MSS + 1)
        net.turn()
        assert seqs(client)[:1] == [4]

    @pytest.mark.parametrize(
        "block",
        [(0, 0), (5_000, 3_000), (90_001, 95_001), (1, 2_001), (2**31 + 7, 2**31 + 9), (9_001, 20_001)],
    )
    def test_impossible_blocks_are_ignored(self, net: Net, block: tuple[int, int]) -> None:
        """Outside of the flight, empty, inside out, or starting at the ACK number."""
        client = flight(net, 10)
        for _ in range(5):
            client.sack(block, ack=1)
            net.turn()
        assert seqs(client) == []
        assert net.counters()["TCPSACKDiscard"] == 5
        assert net.counters()["TCPSackRecovery"] == 0

    def test_blocks_that_cut_segments_split_nothing(self, net: Net) -> None:
        """attacks.md 9: a thousand holes of 17 bytes; only whole segments are marked."""
        client = flight(net, 10)
        for start in range(18, 9_000, 34):
            client.sack((start, start + 17), ack=1)
            net.turn()
        assert all(count > 0 for count in map(len, [s.data for s in client.take()]))
        net.advance(2)
        assert all(len(s.data) == MSS for s in client.take())


class TestReneging:
    @pytest.mark.requirement("RFC 2018 5 timeout", "RFC 2018 8")
    def test_blocks_are_forgotten_when_the_first_segment_times_out(self, net: Net) -> None:
        """RFC 2018 section 8: the receiver may have given up what it reported."""
        client = flight(net, 4)
        client.sack(at(1, 3), ack=1)
        net.turn()
        assert seqs(client) == [0]
        client.ack(MSS + 1)
        net.turn()
        net.advance(3)
        assert set(seqs(client)) >= {1}
        assert net.counters()["TCPSACKReneging"] == 1
        for number in (2, 3, 4):
            client.ack(number * MSS + 1)
            net.turn()
            net.advance(1)
        assert net.transmit_used == 0

    @pytest.mark.requirement("RFC 6675 5.1")
    def test_a_timeout_keeps_what_was_reported(self, net: Net) -> None:
        """RFC 6675 section 5.1: unless the first segment proves that the peer went back on it."""
        client = flight(net, 5)
        client.sack(at(4), ack=1)
        net.advance(2)
        assert net.counters()["TCPTimeouts"] >= 1
        assert set(seqs(client)) >= {0}
        for acked in (1, 3, 4):
            client.ack(acked * MSS + 1)
            net.turn()
        assert 3 in (resent := set(seqs(client)))
        assert 4 not in resent
        client.ack(5 * MSS + 1)
        net.turn()


class TestWithoutSack:
    @pytest.mark.requirement("RFC 5681 3.2", "RFC 6582 3.2 step 2")
    def test_three_duplicates(self, net: Net) -> None:
        """RFC 5681 section 3.2: fast retransmit on the third."""
        client = flight(net, 10, sack=False)
        for _ in range(2):
            client.ack(1)
            net.turn()
        assert seqs(client) == []
        client.ack(1)
        net.turn()
        assert seqs(client) == [0]
        assert net.counters()["TCPRenoRecovery"] == 1

    @pytest.mark.requirement("RFC 5681 4.3", "RFC 6582 3.2 step 3 partial")
    def test_a_partial_acknowledgement_resends_the_next_hole(self, net: Net) -> None:
        """RFC 6582 section 3.2, step 3."""
        client = flight(net, 10, sack=False)
        for _ in range(7):
            client.ack(1)
            net.turn()
        assert seqs(client) == [0]
        client.ack(4 * MSS + 1)
        net.turn()
        assert seqs(client) == [4]
        client.ack(10 * MSS + 1)
        net.turn()
        assert net.transmit_used == 0
        assert net.counters()["TCPTimeouts"] == 0

    @pytest.mark.requirement("RFC 3042 2", "RFC 6582 3.2 step 3 full")
    def test_the_end_of_recovery_lets_no_burst_out(self, net: Net) -> None:
        """RFC 6582 section 3.2, step 3, full acknowledgements, (1): nothing is in flight any more."""
        client = flight(net, 10, sack=False)
        assert client.group is not None
        for _ in range(3):
            client.ack(1)
            net.turn()
        client.ack(10 * MSS + 1)
        net.turn()
        info = client.group.info(client.cd)
        assert (info.cwnd, info.ssthresh) == (2 * MSS, 5 * MSS)

    @pytest.mark.requirement("RFC 3042 2")
    def test_limited_transmit(self, net: Net) -> None:
        client = flight(net, 15, sack=False)
        for expected in ([10], [11]):
            client.ack(1)
            net.turn()
            assert seqs(client) == expected

    @pytest.mark.requirement("RFC 5681 3.2 bound")
    def test_invented_duplicates_are_bounded_by_the_flight(self, net: Net) -> None:
        """attacks.md 14: a thousand of them."""
        client = flight(net, 200, sack=False)
        for _ in range(1_000):
            client.ack(1)
            net.turn()
        assert len(seqs(client)) <= 13

    @pytest.mark.requirement("RFC 5681 2")
    def test_an_acknowledgement_with_data_or_another_window_is_no_duplicate(self, net: Net) -> None:
        """RFC 5681 section 2, (b) and (e)."""
        client = flight(net, 10, sack=False)
        for number in range(6):
            client.send(b"x", ack=1)
            client.ack(1, win=1_000_000 + 1_280 * number)
            net.turn()
        assert seqs(client) == []

    @pytest.mark.requirement("RFC 6582 3.2 step 2", "RFC 6582 3.2 step 4")
    def test_duplicates_of_a_timeouts_own_making_start_nothing(self, net: Net) -> None:
        """RFC 6582 section 4: below the recovery point they may come from the retransmissions."""
        client = flight(net, 10, sack=False)
        net.advance(0.5)
        client.take()
        client.ack(3 * MSS + 1)
        net.turn()
        client.take()
        for _ in range(5):
            client.ack(3 * MSS + 1)
            net.turn()
        assert net.counters()["TCPRenoRecovery"] == 0


#: What a peer may say or leave unsaid: an ACK, some blocks, new data, or nothing for a while.
speech = st.lists(
    st.one_of(
        st.tuples(st.just("ack"), st.integers(0, 40), st.just(())),
        st.tuples(
            st.just("sack"),
            st.integers(0, 40),
            st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=3).map(tuple),
        ),
        st.tuples(st.just("send"), st.integers(1, 3_000), st.just(())),
        st.tuples(st.just("wait"), st.integers(1, 900), st.just(())),
        st.tuples(st.just("window"), st.sampled_from([0, 1_280, 64_000, 4_000_000]), st.just(())),
    ),
    max_size=30,
)


@given(
    speech, st.booleans(), st.booleans(), st.sampled_from([1, 250, MSS]), st.sampled_from(["cubic", "reno"])
)
def test_any_acknowledgements(
    steps: list[tuple[str, int, tuple[tuple[int, int], ...]]],
    sack: bool,
    timestamps: bool,
    unit: int,
    congestion: str,
) -> None:
    """Whatever the peer claims to hold: the stream stays the stream, and in the end nothing is left.

    The judge compares each retransmission; the debug build checks the scoreboard after every batch.
    """
    net = Net()
    client = flight(net, 12, sack=sack, timestamps=timestamps, congestion=congestion)
    assert client.group is not None
    high = 1
    for what, number, blocks in steps:
        if what == "ack":
            client.ack(min(1 + number * unit, client.judge.snd_max))
        elif what == "sack":
            edges = [(1 + start * unit, 1 + (start + length) * unit) for start, length in blocks]
            client.sack(*edges, ack=min(1 + number * unit, client.judge.snd_max))
        elif what == "send":
            client.group.send(client.cd, bytes(number))
        elif what == "window":
            client.window = number
            client.ack(high)
        else:
            net.advance(number / 1_000)
        net.turn()
        high = max(high, client.group.info(client.cd).snd_una - (client.judge.irs or 0)) % 2**32
    client.window = 4_000_000
    for _ in range(60):
        client.ack()
        net.advance(0.5)
        if net.transmit_used == 0:
            break
    assert net.transmit_used == 0
    net.close()
