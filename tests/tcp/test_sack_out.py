"""What the peer is told of data behind gaps and of duplicates (RFC 2018, RFC 2883)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import Net
from support.packets import SACK_OK
from support.peer import Client

from xtcp_twisted.config import ALL

TEXT = bytes(range(250)) * 40


def pieces(client: Client, *starts: int, size: int = 100) -> list[list[tuple[int, int]]]:
    """Send segments of `size` bytes, each in a turn of its own; the blocks of the answers."""
    told = []
    for start in starts:
        client.send(TEXT[start - 1 : start - 1 + size], seq=start)
        client.net.turn()
        answers = client.take()
        told.append(client.blocks(answers[-1]) if answers else [])
    return told


@pytest.mark.requirement("RFC 2018 2")
class TestNegotiation:
    @pytest.mark.parametrize("timestamps", [True, False])
    def test_it_is_agreed_when_the_peer_offers_it(self, net: Net, timestamps: bool) -> None:
        client = net.client(net.group(7, timestamps=timestamps))
        client.syn()
        net.poll()
        assert client.group is not None
        client.group.accept()
        net.flush()
        assert SACK_OK in client.expect("SA").options

    def test_a_peer_that_does_not_offer_it_sees_none(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group, timestamps=False).established()
        assert pieces(client, 201, 401) == [[], []]

    def test_a_group_may_go_without(self, net: Net) -> None:
        client = net.client(net.group(7, sack=False)).established()
        assert pieces(client, 201, 401) == [[], []]


class TestBlocks:
    @pytest.mark.requirement("RFC 2018 4 first", "RFC 2018 4 more")
    def test_the_most_recent_block_comes_first(self, net: Net) -> None:
        """RFC 2018 section 4; three fit beside timestamps."""
        client = net.client(net.group(7)).established()
        assert pieces(client, 201, 401, 601, 801) == [
            [(201, 301)],
            [(401, 501), (201, 301)],
            [(601, 701), (401, 501), (201, 301)],
            [(801, 901), (601, 701), (401, 501)],
        ]

    @pytest.mark.requirement("RFC 2018 4 more")
    def test_four_fit_without_timestamps(self, net: Net) -> None:
        client = net.client(net.group(7, timestamps=False)).established()
        assert pieces(client, 201, 401, 601, 801)[-1] == [(801, 901), (601, 701), (401, 501), (201, 301)]

    def test_neighbours_become_one_block(self, net: Net) -> None:
        client = net.client(net.group(7)).established()
        assert pieces(client, 201, 401, 301)[-1] == [(201, 501)]

    def test_a_block_goes_when_its_gap_is_filled(self, net: Net) -> None:
        client = net.client(net.group(7)).established()
        assert pieces(client, 201, 401, 101, 1)[2:] == [[(101, 301), (401, 501)], [(401, 501)]]
        assert client.judge.last_ack == 301

    @pytest.mark.requirement("RFC 2018 4 all", "RFC 6691 2")
    def test_data_carries_them_too(self, net: Net) -> None:
        """RFC 2018 section 4: in all ACKs; a full segment leaves them room (RFC 6691)."""
        group = net.group(7)
        client = net.client(group).established()
        pieces(client, 201)
        group.send(client.cd, bytes(3_000))
        net.flush()
        segments = client.take()
        assert [client.blocks(s) for s in segments] == [[(201, 301)]] * 3
        assert len(segments[0].data) == 1460 - 12 - 12

    @pytest.mark.requirement("RFC 2018 8 receiver")
    def test_what_is_given_up_for_data_in_order_is_reported_no_more(self, net: Net) -> None:
        """No reneging that the peer cannot see: blocks shrink with the queue."""
        pool = net.engine.create_pool(64 * 1024)
        group = net.group(7, pool=pool)
        client = net.client(group, timestamps=False).established()
        pieces(client, 1_001, 1_501, size=200)
        for start in range(1, 1_001, 250):
            client.send(TEXT[start - 1 : start + 249], seq=start)
            net.turn()
        last = client.take()[-1]
        info = group.info(client.cd)
        told = sum(end - start for start, end in client.blocks(last))
        assert told <= info.out_of_order


class TestDuplicates:
    @pytest.mark.requirement("RFC 2883 4.1")
    def test_a_segment_that_was_acknowledged(self, net: Net) -> None:
        """RFC 2883 section 4.1: the block lies below the ACK number."""
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"hello")
        group.send(client.cd, b"", ackd=ALL)
        net.advance(1)
        client.take()
        client.send(b"hello", seq=1)
        net.turn()
        assert client.blocks(client.expect("A", ack=6)) == [(1, 6)]
        assert net.counters()["TCPDSACKOldSent"] == 1

    @pytest.mark.requirement("RFC 2883 4")
    def test_it_is_told_once(self, net: Net) -> None:
        client = net.client(net.group(7)).established()
        assert pieces(client, 201, 201, 401) == [
            [(201, 301)],
            [(201, 301), (201, 301)],
            [(401, 501), (201, 301)],
        ]
        assert net.counters()["TCPDSACKOfoSent"] == 1

    @pytest.mark.requirement("RFC 2883 4.2")
    def test_a_part_of_a_segment(self, net: Net) -> None:
        """RFC 2883 section 4.2: the duplicate part first, then the block it belongs to."""
        client = net.client(net.group(7)).established()
        pieces(client, 201)
        assert pieces(client, 151, size=200) == [[(201, 301), (151, 351)]]

    @pytest.mark.requirement("RFC 2883 4.2")
    def test_an_old_head_with_a_new_tail(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(TEXT[:100])
        group.send(client.cd, b"", ackd=ALL)
        net.flush()
        client.take()
        client.send(TEXT[50:150], seq=51)
        net.turn()
        answer = client.expect("A", ack=151)
        assert client.blocks(answer) == [(51, 101)]

    def test_nothing_above_what_was_acknowledged(self, net: Net) -> None:
        """Under the policy `application` a duplicate of held data is no block, or it looks like reneging."""
        group = net.group(7, ack_policy="application")
        client = net.client(group).established()
        client.send(b"hello", seq=1)
        net.turn()
        client.take()
        client.send(b"hello", seq=1)
        net.turn()
        assert all(not segment.sack for segment in client.take())


@pytest.mark.requirement("RFC 5681 4.2")
def test_without_sack_each_segment_behind_a_gap_is_a_duplicate(net: Net) -> None:
    """RFC 5681 section 4.2: the peer counts to three, also when a batch arrives at once."""
    client = net.client(net.group(7, sack=False)).established()
    for start in (201, 301, 401):
        client.send(TEXT[start - 1 : start + 99], seq=start)
    net.turn()
    assert [segment.ack - client.iss for segment in client.take()] == [1, 1, 1]


@pytest.mark.requirement("RFC 2018 3", "RFC 2018 4 all", "RFC 2018 4 first")
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 6)), min_size=1, max_size=25))
def test_any_arrivals(parts: list[tuple[int, int]]) -> None:
    """The judge compares every block with what was sent; the first one holds what arrived last."""
    net = Net()
    client = net.client(net.group(7, ack_policy="immediate")).established()
    for start, count in parts:
        first, last = 1 + 50 * start, 1 + 50 * (start + count)
        before = client.judge.last_ack
        client.send(TEXT[first - 1 : last - 1], seq=first)
        net.turn()
        blocks = [b for s in client.take() for b in client.blocks(s) if b[0] > client.judge.last_ack]
        if first > client.judge.last_ack and first > before:
            assert any(start <= first and last <= end for start, end in blocks)
    net.close()
