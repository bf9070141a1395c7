"""Super-segments and partial checksums; the whole of tests/tcp runs over such a link with --offload."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flight import MSS, at, flight, seqs
from support.net import MakeNet, Net
from support.packets import Segment, read
from support.peer import Client
from support.virtio import ECN, FORM, TCP4, TCP6, Header, merge, offloaded, packets_of

from xtcp_twisted.config import ALL

#: A full segment over IPv4 with timestamps.
FULL = 1448

pytestmark = pytest.mark.feature("P33")


def frames(net: Net) -> list[tuple[Header, bytes]]:
    """What the engine sent at the last flush, as it gave it to the link."""
    return [(Header.of(frame), frame[FORM.size :]) for _, frame in net.link.link.take()]


def established(net: Net, *, v6: bool = False, **options: object) -> Client:
    group = net.group(v6=v6, accept_credits=1, **options)
    return net.client(group).established()


def deliver(net: Net, client: Client, packet: bytes, size: int) -> None:
    """One super-segment of the client, whose judge sees it as what it was made of."""
    frame = offloaded(packet, size)
    for one in packets_of(frame, 65_535):
        segment = read(net.now, one)
        client.judge.peer_sent((segment.seq - client.iss) % 2**32, client.rcv_nxt, segment)
    net.link.link.deliver(frame)


class TestOut:
    @pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
    def test_a_window_leaves_in_two_frames_of_whole_segments(self, make_net: MakeNet, v6: bool) -> None:
        """The card makes of them what would have left without it: the judge has seen it all."""
        net = make_net(offload=True)
        client = established(net, v6=v6)
        size = 1448 if not v6 else 1428
        assert client.group is not None
        client.group.send(client.cd, bytes(10 * size))
        net.engine.flush(net.now)
        sent = frames(net)
        assert [(h.gso_type, h.gso_size) for h, _ in sent] == [(TCP6 if v6 else TCP4, size)] * 2
        assert [len(packet) - h.hdr_len for h, packet in sent] == [5 * size] * 2

    def test_at_most_half_of_the_congestion_window_is_one_frame(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = established(net)
        assert client.group is not None
        client.group.send(client.cd, bytes(65_536))
        net.engine.flush(net.now)
        cwnd = client.group.info(client.cd).cwnd
        assert all(len(packet) - h.hdr_len <= cwnd // 2 for h, packet in frames(net))

    def test_nothing_leaves_beyond_the_window_of_the_peer(self, make_net: MakeNet) -> None:
        """And what is left of it is used by whole segments (RFC 9293 section 3.8.6.2.1)."""
        net = make_net(offload=True)
        client = net.client(net.group(accept_credits=1), window=3 * FULL + 100).established()
        assert client.group is not None
        client.group.send(client.cd, bytes(20 * FULL))
        net.flush()
        assert [len(s.data) for s in client.take()] == [FULL] * 3

    def test_the_end_of_the_stream_is_on_the_last_packet(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = established(net)
        assert client.group is not None
        client.group.send(client.cd, bytes(4 * FULL))
        client.group.finish(client.cd)
        net.flush()
        sent = client.take()
        assert [sorted(s.flags) for s in sent] == [["A"]] * 3 + [["A", "F", "P"]]

    def test_it_counts_as_what_is_on_the_wire(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = established(net)
        assert client.group is not None
        before = net.counters()
        client.group.send(client.cd, bytes(10 * FULL))
        net.flush()
        after = net.counters()
        assert after["OutSegs"] - before["OutSegs"] == 10
        assert after["DataSegsOut"] - before["DataSegsOut"] == 10
        assert net.link.cut == 2

    def test_a_lost_part_is_sent_again_alone(self, make_net: MakeNet) -> None:
        """Marks are those of segments of the wire, wherever the frames ended."""
        net = make_net(offload=True)
        client = flight(net, 10)
        client.sack(at(6, 9), at(3, 3), at(1, 1), ack=1)
        net.turn()
        net.advance(0.02)
        first = seqs(client)
        client.sack(at(6, 9), at(3, 3), ack=2 * MSS + 1)
        net.turn()
        assert sorted(first + seqs(client)) == [0, 2, 4, 5]
        client.ack(10 * MSS + 1)
        net.turn()
        assert net.transmit_used == 0

    def test_after_a_timeout_one_segment_leaves(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = flight(net, 10)
        net.advance(0.9)
        assert seqs(client)[-1] == 0
        assert net.counters()["TCPSlowStartRetrans"] == 1

    def test_a_narrower_path_makes_smaller_segments(self, make_net: MakeNet) -> None:
        from support import icmp

        net = make_net(offload=True)
        client = established(net)
        assert client.group is not None
        client.group.send(client.cd, bytes(10 * MSS))
        net.flush()
        lost = client.take()[0]
        net.inject(icmp.too_big("198.51.100.1", lost.raw, 1_000))
        net.turn()
        again = client.take()
        assert again
        assert all(len(s.raw) <= 1_000 for s in again)

    def test_without_offload_no_frame_is_longer_than_the_mtu(self, make_net: MakeNet) -> None:
        net = make_net(offload=False)
        client = established(net)
        assert client.group is not None
        client.group.send(client.cd, bytes(10 * FULL))
        net.engine.flush(net.now)
        assert {len(packet) for _, packet in net.link.take()} == {1500}

    @given(
        writes=st.lists(st.integers(1, 40_000), min_size=1, max_size=6),
        mss=st.sampled_from([536, 1460, 8960]),
    )
    def test_the_stream_is_what_was_written(self, writes: list[int], mss: int) -> None:
        net = Net(offload=True, mtu=9000)
        client = net.client(net.group(accept_credits=1), mss=mss, window=200_000).established()
        assert client.group is not None
        stream = b""
        for i, size in enumerate(writes):
            data = bytes([i + 1]) * size
            stream += data[: client.group.send(client.cd, data)]
            net.flush()
            if i % 2:
                client.ack()
                net.turn()
        for _ in range(60):
            client.ack()
            net.turn()
        assert client.received == stream
        net.close()


class TestIn:
    @pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
    def test_a_super_segment_is_delivered_whole(self, make_net: MakeNet, v6: bool) -> None:
        net = make_net(offload=True)
        client = established(net, v6=v6)
        assert client.group is not None
        data = bytes(range(256)) * 200
        deliver(net, client, client.packet(data, "PA"), 1400)
        net.poll()
        assert client.group.recv(1 << 20) == (client.cd, data)
        assert net.counters()["DataSegsIn"] == 37

    def test_two_segments_in_one_are_acknowledged_at_once(self, make_net: MakeNet) -> None:
        """RFC 9293 SHLD-19: an ACK for at least every second full-sized segment."""
        net = make_net(offload=True)
        client = established(net)
        deliver(net, client, client.packet(bytes(2 * MSS)), MSS)
        net.turn()
        client.expect("A", ack=2 * MSS + 1)

    def test_one_segment_waits_for_its_answer(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = established(net)
        net.link.link.deliver(offloaded(client.packet(b"request")))
        client.judge.peer_sent(1, 1, _as_sent(net, client, b"request"))
        net.turn()
        client.expect_nothing()
        net.advance(0.041)
        client.expect("A", ack=8)

    def test_what_does_not_fit_the_window_is_trimmed(self, make_net: MakeNet) -> None:
        net = make_net(offload=True, transmit_buffer=64 * 1024)
        pool = net.engine.create_pool(64 * 1024)
        group = net.group(9, pool=pool, accept_credits=1)
        client = net.client(group).established()
        room = group.info(client.cd).rcv_wnd
        deliver(net, client, client.packet(bytes(60_000), "PA"), 1448)
        net.turn()
        _cd, data = group.recv(1 << 20)
        assert 0 < len(data) <= room
        client.take()

    def test_behind_a_gap_it_is_kept_and_told(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = established(net)
        assert client.group is not None
        text = bytes(range(250)) * 100
        deliver(net, client, client.packet(text[MSS:], "PA", seq=1 + MSS), MSS)
        net.turn()
        told = client.expect("A", ack=1)
        assert client.blocks(told) == [(1 + MSS, 1 + len(text))]
        deliver(net, client, client.packet(text[: MSS + 10], "PA", seq=1), MSS)
        net.turn()
        client.expect("A", ack=1 + len(text))
        assert client.group.recv(1 << 20) == (client.cd, text)

    def test_without_sack_duplicates_are_told_for_each(self, make_net: MakeNet) -> None:
        """RFC 5681 section 3.2: the peer counts three before it sends again."""
        net = make_net(offload=True)
        group = net.group(accept_credits=1, sack=False)
        client = net.client(group).established()
        deliver(net, client, client.packet(bytes(10 * MSS), "PA", seq=1 + MSS), MSS)
        net.turn()
        assert [s.length for s in client.take()] == [0, 0, 0]

    def test_the_sum_of_another_place_is_no_proof(self, make_net: MakeNet) -> None:
        """A partial checksum vouches for TCP only if it is TCP's."""
        net = make_net(offload=True)
        client = established(net)
        frame = offloaded(client.packet(b"forged"))
        for start, offset in ((20, 14), (22, 14), (0, 16), (36, 0)):
            other = Header(flags=1, csum_start=start, csum_offset=offset)
            net.link.link.deliver(bytes(other) + frame[FORM.size :])
        net.turn()
        assert net.counters()["InCsumErrors"] == 4

    def test_a_verified_checksum_is_not_verified_again(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = established(net)
        assert client.group is not None
        packet = bytearray(client.packet(b"verified by the card"))
        packet[36:38] = b"\0\0"
        net.link.link.deliver(bytes(Header(flags=2)) + bytes(packet))
        net.poll()
        assert client.group.recv(100) == (client.cd, b"verified by the card")
        client.group.send(client.cd, b"", ackd=ALL)

    def test_impossible_headers_are_counted(self, make_net: MakeNet) -> None:
        net = make_net(offload=True)
        client = established(net)
        net.link.link.deliver(bytes(Header(gso_type=5, gso_size=1000)) + client.packet(bytes(2000)))
        net.link.link.deliver(b"short")
        net.turn()
        assert net.counters()["LinkRefused"] == 2
        client.is_alive()


def _as_sent(net: Net, client: Client, data: bytes) -> Segment:
    return read(net.now, client.packet(data))


@given(
    cuts=st.lists(st.integers(1, 20_000), min_size=1, max_size=12),
    size=st.sampled_from([100, 536, 1448]),
    order=st.randoms(use_true_random=False),
)
def test_merged_pieces_in_any_order_make_the_stream(cuts: list[int], size: int, order: object) -> None:
    net = Net(offload=True)
    group = net.group(accept_credits=1)
    client = net.client(group).established()
    text = b"".join(bytes([i % 251 + 1]) * n for i, n in enumerate(cuts))[:60_000]
    edges = sorted({0, len(text), *(sum(cuts[:i]) for i in range(len(cuts)) if sum(cuts[:i]) < len(text))})
    pieces = list(itertools.pairwise(edges))
    order.shuffle(pieces)  # type: ignore[attr-defined]
    for a, b in pieces:
        if b - a > size:
            deliver(net, client, client.packet(text[a:b], "PA", seq=1 + a), size)
        else:
            net.inject(client.packet(text[a:b], "PA", seq=1 + a))
        net.engine.poll(net.now)
    got = b""
    while (taken := group.recv(1 << 20)) is not None:
        got += taken[1]
        group.send(client.cd, b"", ackd=ALL)
    assert got == text
    net.engine.close()


def test_the_judge_merges_and_cuts_alike(make_net: MakeNet) -> None:
    """The card of the tests: what it merges it cuts again into the same packets."""
    net = make_net(offload=False)
    client = flight(net, 10)
    assert client.group is not None
    client.ack(10 * MSS + 1)
    client.group.send(client.cd, bytes(10 * MSS))
    net.engine.poll(net.now)
    net.engine.flush(net.now)
    packets = [packet for _, packet in net.link.take()]
    (frame,) = merge(packets)
    assert not Header.of(frame).gso_type & ECN
    assert packets_of(frame, 1500) == packets
