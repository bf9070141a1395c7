"""Receiving: next readable connection, partial acknowledgement, redelivery (P12-P18)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import MakeNet, Net

from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import GroupClosed, LocalError, NotAcknowledgeable


@pytest.mark.feature("P13")
def test_recv_takes_the_next_readable_connection(net: Net) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(4)]
    for client in clients[1:]:
        client.send(b"from %d" % client.sport)
    net.turn()
    got = [group.recv(100) for _ in range(4)]
    assert got == [(c.cd, b"from %d" % c.sport) for c in clients[1:]] + [None]


@pytest.mark.feature("P13")
def test_a_busy_connection_does_not_starve_the_others(net: Net) -> None:
    """Its remainder goes to the end of the line."""
    group = net.group(7)
    busy, quiet = net.client(group).established(), net.client(group).established()
    busy.send(bytes(1_400))
    quiet.send(b"me too")
    net.turn()
    assert [got[0] for got in (group.recv(100), group.recv(100)) if got] == [busy.cd, quiet.cd]


@pytest.mark.feature("P13")
def test_recv_at_once_says_that_there_is_nothing(net: Net) -> None:
    group = net.group(7)
    assert group.recv(100) is None
    assert group.recv_batch(10) == []
    net.client(group).established()
    assert group.recv(100) is None


@pytest.mark.feature("P13")
def test_recv_in_pieces(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"0123456789")
    net.turn()
    pieces = [group.recv(4), group.recv(4), group.recv(4)]
    assert pieces == [(client.cd, b"0123"), (client.cd, b"4567"), (client.cd, b"89")]
    assert group.recv(4) is None


@pytest.mark.feature("P13")
@pytest.mark.parametrize("size", [0, -1])
def test_recv_of_nothing_is_an_error(net: Net, size: int) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"data")
    net.turn()
    with pytest.raises((LocalError, ValueError, OverflowError)):
        group.recv(size)
    assert group.recv(100) == (client.cd, b"data")


@pytest.mark.feature("P13")
def test_recv_batch_offers_each_connection_once(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(6)]
    for client in clients:
        client.send(b"a")
        client.send(b"b")
    net.turn()
    first = group.recv_batch(4)
    rest = group.recv_batch(100)
    assert len(first) == 4
    assert first + rest == [(client.cd, b"ab") for client in clients]
    assert group.recv_batch(100) == []


@pytest.mark.feature("P13")
def test_recv_more_goes_on_with_one_connection(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    client, other = (net.client(group).established() for _ in range(2))
    client.send(b"abcdefgh")
    other.send(b"other")
    client.fin()
    net.turn()
    assert group.recv_batch(1, 3) == [(client.cd, b"abc")]
    assert group.recv_more(client.cd, 3) == b"def"
    group.pause(client.cd)
    assert group.recv_more(client.cd, 3) is None
    group.resume(client.cd)
    assert group.recv_more(client.cd, 3) == b"gh"
    assert group.recv_more(client.cd, 3) is None, "the end is told as ever"
    assert group.recv_batch(2, 3) == [(other.cd, b"oth"), (client.cd, b"")]
    assert group.recv_more(client.cd, 3) is None
    group.finish(other.cd)
    assert group.recv_more(other.cd, 3) is None
    group.close()
    with pytest.raises(GroupClosed):
        group.recv_more(client.cd, 3)


@pytest.mark.feature("P13")
def test_the_end_of_the_stream_is_told_once_after_all_data(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.fin(b"the end")
    net.turn()
    assert net.kinds() == [EventKind.DATA, EventKind.EOF]
    assert group.recv(100) == (client.cd, b"the end")
    assert group.recv(100) == (client.cd, b"")
    assert group.recv(100) is None


def test_data_events_are_coalesced(net: Net) -> None:
    """Many segments before the application looks are one event."""
    group = net.group(7)
    client = net.client(group).established()
    for _ in range(5):
        client.send(b"x")
        net.engine.poll(net.now)
    net.turn()
    assert net.kinds() == [EventKind.DATA]


def test_events_of_a_connection_come_in_order(net: Net) -> None:
    """ESTABLISHED, DATA, EOF in one turn, in this order, for each connection."""
    group = net.group(7)
    clients = [net.client(group).syn_received() for _ in range(3)]
    for client in clients:
        client.ack()
        client.fin(b"hello")
    net.turn()
    events = net.take_events()
    for client in clients:
        mine = [kind for kind, _, cd, _ in events if cd == client.cd]
        assert mine == [EventKind.ESTABLISHED, EventKind.DATA, EventKind.EOF]


def test_the_limit_of_events(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(10)]
    for client in clients:
        client.send(b"x")
    net.engine.poll(net.now)
    seen = []
    while batch := net.engine.events(3):
        assert len(batch) <= 3
        seen += [cd for kind, _, cd, _ in batch if kind == EventKind.DATA]
    assert sorted(seen) == sorted(c.cd for c in clients)
    net.flush()


class TestAcknowledgement:
    """`ackd` names received bytes; what it does not name is offered again (P15-P18)."""

    @pytest.mark.feature("P18")
    def test_the_remainder_comes_again_with_what_came_after(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        assert client.request(b"first,second") == b"first,second"
        group.send(client.cd, b"", ackd=6)
        client.send(b",third")
        net.turn()
        assert group.recv(100) == (client.cd, b"second,third")

    @pytest.mark.feature("P18")
    def test_a_partial_acknowledgement_offers_the_remainder_by_itself(self, net: Net) -> None:
        """After 0 < ackd < delivered there is something to receive, without new data."""
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"onetwo")
        net.take_events()
        group.send(client.cd, b"", ackd=3)
        net.turn()
        assert group.recv(100) == (client.cd, b"two")

    @pytest.mark.feature("P18")
    def test_unacknowledged_data_alone_is_not_offered_in_a_spin(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"request")
        net.take_events()
        net.advance(5)
        assert group.recv(100) is None
        assert net.take_events() == []

    @pytest.mark.feature("P18")
    def test_the_end_of_the_stream_brings_unacknowledged_data_again(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"request")
        client.fin()
        net.turn()
        assert group.recv(100) == (client.cd, b"request")
        assert group.recv(100) == (client.cd, b"")
        group.send(client.cd, b"", ackd=ALL)
        assert group.recv(100) is None

    @pytest.mark.feature("P17")
    @pytest.mark.parametrize("policy", ["bounded", "application", "immediate"])
    def test_too_much_is_an_error_and_nothing_changes(self, net: Net, policy: str) -> None:
        group = net.group(7, ack_policy=policy)
        client = net.client(group).established()
        client.request(b"12345")
        client.take()
        before = group.info(client.cd)
        with pytest.raises(NotAcknowledgeable) as caught:
            group.send(client.cd, b"answer that must not leave", ackd=6)
        assert "5" in str(caught.value), "the text says how much there was"
        assert group.info(client.cd) == before
        net.flush()
        client.expect_nothing()
        assert net.transmit_used == 0
        group.send(client.cd, b"", ackd=5)

    @pytest.mark.feature("P17")
    def test_what_was_not_delivered_cannot_be_acknowledged(self, net: Net) -> None:
        """Bytes in the buffer that recv has not returned are not the application's yet."""
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"12345678")
        net.turn()
        assert group.recv(3) == (client.cd, b"123")
        with pytest.raises(NotAcknowledgeable):
            group.send(client.cd, b"", ackd=4)
        group.send(client.cd, b"", ackd=3)
        assert group.recv(100) == (client.cd, b"45678")

    @pytest.mark.feature("P17")
    @pytest.mark.parametrize("ackd", [-1, 1 << 33])
    def test_numbers_that_cannot_be(self, net: Net, ackd: int) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"12345")
        with pytest.raises((NotAcknowledgeable, LocalError, OverflowError, ValueError)):
            group.send(client.cd, b"", ackd=ackd)
        assert group.info(client.cd).delivered == 5

    @pytest.mark.feature("P16")
    def test_all_with_nothing_delivered_is_no_error(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        assert group.send(client.cd, b"", ackd=ALL) == 0
        net.flush()
        client.expect_nothing()

    @pytest.mark.feature("P18")
    def test_acknowledging_frees_the_receive_buffer(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(bytes(1_000))
        assert net.receive_used >= 1_000
        group.send(client.cd, b"", ackd=ALL)
        net.turn()
        assert net.receive_used == 0

    @pytest.mark.feature("P18")
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("arrive"), st.binary(min_size=1, max_size=700)),
                st.tuples(st.just("recv"), st.integers(1, 900)),
                st.tuples(st.just("ack"), st.integers(0, 900)),
            ),
            max_size=25,
        )
    )
    def test_every_history_of_recv_and_ackd(self, steps: list[tuple[str, bytes | int]]) -> None:
        """Against a model of four numbers: arrived, read, delivered at least once, acknowledged."""
        net = Net()
        group = net.group(7)
        client = net.client(group).established()
        stream, acked, delivered, at = b"", 0, 0, 0
        for step, value in steps:
            if isinstance(value, bytes):
                if len(stream) - acked + len(value) > 7_000:
                    continue
                client.send(value)
                net.turn()
                stream += value
                at = acked
            elif step == "recv":
                expected = stream[at : at + value]
                assert group.recv(value) == ((client.cd, expected) if expected else None)
                at += len(expected)
                delivered = max(delivered, at)
            elif value > delivered - acked:
                with pytest.raises(NotAcknowledgeable):
                    group.send(client.cd, b"", ackd=value)
            else:
                group.send(client.cd, b"", ackd=value)
                net.flush()
                acked += value
                at = acked if value and acked < delivered else max(at, acked)
            assert group.info(client.cd).delivered == delivered - acked
        net.close()


@pytest.mark.feature("P18")
class TestNeed:
    """`need` declares a request incomplete: offer again when so many bytes are there."""

    def test_it_is_offered_when_complete(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        assert client.request(b"head") == b"head"
        group.need(client.cd, 10)
        net.take_events()
        client.send(b"body")
        net.turn()
        assert group.recv(100) is None
        assert EventKind.DATA not in net.kinds()
        client.send(b"!!")
        net.turn()
        assert group.recv(100) == (client.cd, b"headbody!!")
        assert EventKind.DATA in net.kinds()

    def test_it_is_offered_at_the_end_of_the_stream(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"head")
        group.need(client.cd, 1_000)
        client.fin(b"tail")
        net.turn()
        assert group.recv(100) == (client.cd, b"headtail")
        assert group.recv(100) == (client.cd, b"")

    def test_it_is_spent_when_met(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"1234")
        group.need(client.cd, 8)
        assert client.request(b"5678") == b"12345678"
        group.send(client.cd, b"", ackd=ALL)
        assert client.request(b"x") == b"x"

    def test_what_is_there_already_is_offered_at_once(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"12345678")
        net.turn()
        assert group.recv(4) == (client.cd, b"1234")
        group.need(client.cd, 8)
        net.turn()
        assert group.recv(100) == (client.cd, b"12345678")


class TestPause:
    def test_a_paused_connection_is_not_offered(self, net: Net) -> None:
        group = net.group(7)
        paused, other = net.client(group).established(), net.client(group).established()
        group.pause(paused.cd)
        paused.send(b"later")
        other.send(b"now")
        net.turn()
        assert [cd for kind, _, cd, _ in net.take_events() if kind == EventKind.DATA] == [other.cd]
        assert group.recv(100) == (other.cd, b"now")
        assert group.recv(100) is None
        group.resume(paused.cd)
        net.turn()
        assert EventKind.DATA in net.kinds()
        assert group.recv(100) == (paused.cd, b"later")

    def test_a_paused_connection_is_not_told_of_the_end(self, net: Net) -> None:
        """Twisted's paused transports hear of FIN only when they resume."""
        group = net.group(7)
        client = net.client(group).established()
        group.pause(client.cd)
        client.fin()
        net.turn()
        assert EventKind.EOF not in net.kinds()
        assert group.recv(100) is None
        group.resume(client.cd)
        net.turn()
        assert net.kinds() == [EventKind.EOF]
        assert group.recv(100) == (client.cd, b"")

    def test_pausing_after_the_event_takes_the_offer_back(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"x")
        net.turn()
        group.pause(client.cd)
        assert group.recv(100) is None
        group.resume(client.cd)
        assert group.recv(100) == (client.cd, b"x")

    def test_both_may_be_said_twice(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        group.resume(client.cd)
        group.pause(client.cd)
        group.pause(client.cd)
        group.resume(client.cd)
        group.resume(client.cd)
        client.is_alive()

    def test_data_still_flows_the_other_way(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        group.pause(client.cd)
        group.send(client.cd, b"news")
        net.turn()
        client.expect("A", data=b"news")


@pytest.mark.feature("P12")
class TestAccounting:
    def test_held_bytes_are_counted_per_group(self, net: Net) -> None:
        one, two = net.group(7), net.group(8)
        first, second = net.client(one).established(), net.client(two).established()
        first.send(bytes(1_000))
        second.send(bytes(100))
        net.turn()
        [pool] = net.engine.snapshot().pools
        held = {group.port: group.held for group in pool.groups}
        assert held[7] >= 1_000
        assert 100 <= held[8] < 1_000
        assert held[7] + held[8] == pool.receive_buffer.used

    def test_small_segments_share_chunks(self, net: Net) -> None:
        """A byte per segment must not cost a chunk per byte."""
        group = net.group(7)
        client = net.client(group).established()
        for _ in range(512):
            client.send(b"x")
            net.turn()
        assert net.receive_used <= 4 * 1024
        assert group.recv(1_000) == (client.cd, b"x" * 512)

    def test_data_out_of_order_is_charged(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"late", seq=100)
        net.turn()
        assert net.receive_used > 0
        assert group.info(client.cd).out_of_order == 4
        assert group.recv(10) is None
        client.rst(seq=1)
        net.turn()
        assert net.receive_used == 0

    def test_a_reset_gives_everything_back(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.send(bytes(1_000))
        client.send(bytes(1_000), seq=3_000)
        group.send(client.cd, bytes(5_000))
        net.turn()
        assert net.receive_used and net.transmit_used
        client.rst(seq=1_001)
        net.turn()
        assert (net.receive_used, net.transmit_used) == (0, 0)
        assert net.kinds()[-1] == EventKind.RESET

    def test_one_hog_does_not_take_the_others_room(self, make_net: MakeNet) -> None:
        """A connection holds at most max(8 chunks, free/64): the rest of its data is not acknowledged."""
        net = make_net()
        pool = net.engine.create_pool(256 * 1024)
        group = net.group(7, pool=pool)
        hog = net.client(group).established()
        others = [net.client(group).established() for _ in range(20)]
        for _ in range(300):
            hog.send(bytes(1_000))
            net.turn()
        [snapshot] = net.engine.snapshot().pools
        assert snapshot.receive_buffer.used <= 8 * 1024
        received = group.recv(65_536)
        assert received is not None and received[0] == hog.cd
        for other in others:
            other.is_alive()
