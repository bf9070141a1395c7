"""Data in order, out of order, twice and overlapping (P12, P23; attacks.md 15)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import Net

from xtcp_twisted.config import ALL
from xtcp_twisted.engine import Group

TEXT = bytes(range(256)) * 24


def deliver_all(net: Net, group: Group) -> bytes:
    """What the application gets until nothing more is readable, acknowledged at once."""
    parts = []
    while (received := group.recv(65_536)) is not None:
        parts.append(received[1])
        group.send(received[0], b"", ackd=ALL)
    net.flush()
    return b"".join(parts)


@pytest.mark.requirement("RFC 9293 3.10.7.4 seventh")
def test_in_order(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    for at in range(0, 6_000, 1_000):
        client.send(TEXT[at : at + 1_000])
    net.turn()
    assert deliver_all(net, group) == TEXT[:6_000]
    assert client.judge.last_ack == 6_001


@pytest.mark.requirement("RFC 9293 SHLD-31")
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_order_of_four_segments(net: Net, order: tuple[int, ...]) -> None:
    """Each order gives the same stream, and nothing is acknowledged before its gap is filled."""
    group = net.group(7)
    client = net.client(group).established()
    seen: set[int] = set()
    for index in order:
        client.send(TEXT[index * 100 : index * 100 + 100], seq=1 + index * 100)
        net.turn()
        seen.add(index)
        whole = next(i for i in range(5) if i not in seen)
        info = group.info(client.cd)
        assert (info.rcv_nxt - client.iss) % 2**32 == 1 + whole * 100
        assert info.out_of_order == 100 * sum(i > whole for i in seen)
    assert deliver_all(net, group) == TEXT[:400]
    assert net.receive_used == 0


@pytest.mark.feature("P23")
def test_a_duplicate_is_not_delivered_twice(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    for _ in range(3):
        client.send(b"once", seq=1)
    net.turn()
    client.send(b"once", seq=1)
    net.turn()
    assert deliver_all(net, group) == b"once"
    client.send(b"once", seq=1)
    net.turn()
    assert deliver_all(net, group) == b""


@pytest.mark.feature("P23")
def test_figure_5b_a_lost_request_is_served_when_it_comes_again(net: Net) -> None:
    """The second request arrives alone; the first is retransmitted; both are delivered in order."""
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"second", seq=6)
    net.advance(0.2)
    assert group.recv(100) is None
    client.send(b"first", seq=1)
    with net.in_turn():
        assert group.recv(100) == (client.cd, b"firstsecond")
        group.send(client.cd, b"both", ackd=ALL)
    assert client.take()[-1].data == b"both"
    assert client.judge.last_ack == 12


@pytest.mark.feature("P23")
def test_a_retransmission_that_brings_more(net: Net) -> None:
    """Linux coalesces on retransmission: the old head is skipped, the new tail taken."""
    group = net.group(7)
    client = net.client(group).established()
    assert client.request(b"hello") == b"hello"
    client.send(b"hello world", seq=1)
    net.turn()
    group.send(client.cd, b"", ackd=5)
    assert deliver_all(net, group) == b" world"


def test_bytes_that_came_first_stay(net: Net) -> None:
    """First received byte wins, in order and out of order, also against a longer segment."""
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"BBBB", seq=4)
    client.send(b"xxxxxxxxxxxx", seq=2)
    client.send(b"A", seq=1)
    net.turn()
    assert deliver_all(net, group) == b"AxxBBBBxxxxxx"


def test_bytes_already_delivered_never_change(net: Net) -> None:
    """Unacknowledged data is offered again: as it was, whatever the client sends in its place."""
    group = net.group(7)
    client = net.client(group).established()
    assert client.request(b"genuine") == b"genuine"
    client.send(b"FORGED!+more", seq=1)
    net.turn()
    assert deliver_all(net, group) == b"genuine+more"


@pytest.mark.requirement("RFC 9293 3.10.7.4 eighth")
def test_a_fin_out_of_order_waits_for_its_data(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"", "FA", seq=6)
    net.turn()
    assert group.recv(10) is None
    assert client.judge.last_ack == 1
    client.send(b"12345", seq=1)
    net.turn()
    if client.judge.last_ack != 7:
        # Not having kept the FIN is allowed; then it comes again.
        client.send(b"", "FA", seq=6)
        net.turn()
    assert group.recv(10) == (client.cd, b"12345")
    assert group.recv(10) == (client.cd, b"")
    assert client.judge.last_ack == 7


@pytest.mark.requirement("RFC 9293 3.10.7.4 seventh")
def test_data_behind_the_fin_is_not_part_of_the_stream(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.fin(b"all")
    net.turn()
    client.send(b"ghost", seq=5)
    net.turn()
    assert group.recv(10) == (client.cd, b"all")
    assert group.recv(10) == (client.cd, b"")
    assert group.recv(10) is None


@pytest.mark.requirement("RFC 9293 3.4")
def test_across_the_end_of_the_sequence_space(net: Net) -> None:
    """RFC 9293 3.4: arithmetic modulo 2^32, with a gap right at the wrap."""
    group = net.group(7)
    client = net.client(group, iss=2**32 - 500).established()
    client.send(TEXT[700:1_400], seq=701)
    client.send(TEXT[100:700], seq=101)
    client.send(TEXT[:100], seq=1)
    net.turn()
    assert deliver_all(net, group) == TEXT[:1_400]
    assert client.judge.last_ack == 1_401
    client.is_alive()


@pytest.mark.requirement("RFC 9293 3.10.7.4 fifth")
def test_a_segment_without_ack_is_dropped(net: Net) -> None:
    """RFC 9293 3.10.7.4, fifth: if the ACK bit is off, drop the segment."""
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"x", "P", seq=1)
    net.turn()
    assert group.recv(10) is None
    client.seq = 1
    client.is_alive()


#: A piece: where it starts, how long it is, and a letter that tells its bytes from others'.
pieces = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40), st.booleans()), min_size=1, max_size=12)


@given(pieces, st.sampled_from([1, 37]), st.sampled_from([0, 2**32 - 40, 2**31 - 40]))
def test_any_overlaps_first_byte_wins(parts: list[tuple[int, int, bool]], scale: int, iss: int) -> None:
    """Segments with different bytes at the same place, against a model with a byte per place."""
    net = Net()
    group = net.group(7)
    client = net.client(group, iss=iss).established()
    model: dict[int, int] = {}
    for letter, (first, count, turn) in enumerate(parts):
        start, length = first * scale, min(count * scale, 1_400)
        data = bytes((65 + letter,)) * length
        for place in range(start, start + length):
            model.setdefault(place, data[0])
        client.send(data, seq=1 + start)
        if turn:
            net.turn()
    net.turn()
    length = next(i for i in itertools.count() if i not in model)
    expected = bytes(model[i] for i in range(length))
    assert deliver_all(net, group) == expected
    assert client.judge.last_ack <= len(expected) + 1
    net.close()


@pytest.mark.requirement("RFC 9293 SHLD-31")
@given(st.data())
def test_any_segmentation_and_order_gives_the_stream(data: st.DataObject) -> None:
    """Cut anywhere, shuffled, with repetitions and overlaps of the same bytes: the stream arrives whole."""
    size = data.draw(st.integers(1, 6_000))
    cuts = sorted(data.draw(st.sets(st.integers(1, 5_999), max_size=10)))
    edges = [0, *[c for c in cuts if c < size], size]
    segments = []
    for start, end in itertools.pairwise(edges):
        segments += [(at, min(at + 1_400, end)) for at in range(start, end, 1_400)]
    extra = data.draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(1, 1_400)), max_size=6))
    segments += [(start, min(start + length, size)) for start, length in extra]
    net = Net()
    group = net.group(7)
    client = net.client(group).established()
    policy = data.draw(st.sampled_from(["every", "end"]))
    received = b""
    for start, end in data.draw(st.permutations(segments)):
        client.send(TEXT[start:end], seq=1 + start)
        if policy == "every":
            net.turn()
            received += deliver_all(net, group)
    net.turn()
    received += deliver_all(net, group)
    assert received == TEXT[:size]
    assert client.judge.last_ack == size + 1
    assert net.receive_used == 0
    net.close()


def test_many_tiny_segments_out_of_order_are_bounded(net: Net) -> None:
    """SegmentSmack (CVE-2018-5390): every second byte, backwards; memory stays within the quota."""
    group = net.group(7)
    client = net.client(group).established()
    for at in range(4_001, 1, -2):
        client.send(b"x", seq=at)
        if at % 64 == 1:
            net.turn()
    net.turn()
    assert net.receive_used <= 65_536 + 4_096
    client.take()
    client.seq = 1
    for at in range(0, 4_001, 1_000):
        client.send(b"x" * 1_000, seq=1 + at)
        net.turn()
        client.send(b"x" * 1_000, seq=1 + at)
        net.turn()
    assert deliver_all(net, group) == b"x" * 5_000
