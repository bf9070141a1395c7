"""Nagle's algorithm, by group and by connection, and what never waits (RFC 9293 3.7.4; MUST-17, SHLD-7)."""

from __future__ import annotations

import pytest
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.errors import StaleConnection

MSS = 1_448


def writes(net: Net, client: Client, *pieces: bytes) -> list[bytes]:
    """Each piece in a turn of its own; the payloads that have left, without what stood there before."""
    client.inbox.clear()
    assert client.group is not None
    for piece in pieces:
        client.group.send(client.cd, piece)
        net.turn()
    return [segment.data for segment in client.take() if segment.data]


@pytest.mark.requirement("RFC 9293 SHLD-7")
def test_one_short_segment_is_outstanding(net: Net) -> None:
    """What is written meanwhile leaves together when it is acknowledged."""
    client = net.client(net.group(7, nagle=True)).established()
    assert writes(net, client, b"a", b"b", b"c", b"d") == [b"a"]
    client.ack()
    net.turn()
    client.expect("PA", data=b"bcd")
    client.expect_nothing()


def test_a_group_that_does_not_ask_for_it_sends_at_once(net: Net) -> None:
    """The default: the engine joins what one turn writes, and never waits for more."""
    client = net.client(net.group(7)).established()
    assert writes(net, client, b"a", b"b", b"c") == [b"a", b"b", b"c"]


@pytest.mark.requirement("RFC 9293 MUST-17")
def test_one_connection_turns_it_off(net: Net) -> None:
    group = net.group(7, nagle=True)
    quick, other = net.client(group).established(), net.client(group).established()
    group.set_nodelay(quick.cd, True)
    assert group.info(other.cd).nagle
    assert not group.info(quick.cd).nagle
    assert writes(net, quick, b"a", b"b", b"c") == [b"a", b"b", b"c"]
    assert writes(net, other, b"a", b"b", b"c") == [b"a"]
    net.engine.close()


def test_one_connection_turns_it_on(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    group.set_nodelay(client.cd, False)
    assert writes(net, client, b"a", b"b") == [b"a"]
    net.engine.close()


@pytest.mark.requirement("RFC 9293 MUST-17")
def test_what_waits_leaves_when_it_is_turned_off(net: Net) -> None:
    group = net.group(7, nagle=True)
    client = net.client(group).established()
    assert writes(net, client, b"a", b"b") == [b"a"]
    group.set_nodelay(client.cd, True)
    net.flush()
    client.expect("PA", data=b"b")
    group.finish(client.cd)
    with pytest.raises(StaleConnection):
        group.set_nodelay(client.cd, True)


def test_the_choice_may_come_before_the_handshake(net: Net) -> None:
    """An accepted request has an id at once; what was said of it is not forgotten."""
    group = net.group(7, nagle=True)
    client = net.client(group).syn_received()
    group.set_nodelay(client.cd, True)
    client.ack()
    net.turn()
    assert writes(net, client, b"a", b"b") == [b"a", b"b"]


def test_a_connection_that_we_open_has_its_groups_choice(net: Net) -> None:
    client = net.listener(net.group(7, nagle=True)).active_established()
    assert writes(net, client, b"a", b"b") == [b"a"]
    net.engine.close()


class TestWhatNeverWaits:
    @pytest.mark.requirement("RFC 9293 MUST-60")
    def test_full_segments_and_the_end_behind_them(self, net: Net) -> None:
        """Minshall's variation: the end of a long answer does not wait for its middle."""
        client = net.client(net.group(7, nagle=True)).established()
        assert [len(s) for s in writes(net, client, bytes(2 * MSS + 100))] == [MSS, MSS, 100]
        assert writes(net, client, b"x") == [], "two short ones in a row"
        assert [len(s) for s in writes(net, client, bytes(MSS))] == [MSS, 1], "behind a full one again"
        assert writes(net, client, b"x") == []
        net.engine.close()

    @pytest.mark.parametrize("policy", ["bounded", "application", "immediate"])
    def test_an_answer(self, net: Net, policy: str) -> None:
        """It carries an acknowledgement, for which a packet would leave in any case."""
        group = net.group(7, nagle=True, ack_policy=policy)
        client = net.client(group).established()
        for number in range(5):
            client.send(b"question", ack=1)
            with net.in_turn():
                assert group.recv(100) == (client.cd, b"question")
                group.send(client.cd, b"answer", ackd=ALL)
            client.expect("PA", seq=1 + 6 * number, ack=1 + 8 * (number + 1), data=b"answer")
        client.expect_nothing()

    def test_the_last_bytes_before_a_fin(self, net: Net) -> None:
        group = net.group(7, nagle=True)
        client = net.client(group).established()
        assert writes(net, client, b"a", b"b") == [b"a"]
        group.shutdown(client.cd)
        net.flush()
        client.expect("FPA", seq=2, data=b"b")

    def test_a_connection_without_anything_in_flight(self, net: Net) -> None:
        client = net.client(net.group(7, nagle=True)).established()
        for _ in range(3):
            assert writes(net, client, b"a") == [b"a"]
            client.ack()
            net.turn()

    @pytest.mark.requirement("RFC 9293 MUST-60")
    @pytest.mark.parametrize("sack", [True, False])
    def test_what_a_peer_keeps_waiting_that_acknowledges_nothing(self, net: Net, sack: bool) -> None:
        """It may acknowledge whole requests only, as our `application` policy does: the rest must come."""
        client = net.client(net.group(7, nagle=True, sack=sack)).established()
        start = net.now
        assert writes(net, client, b"re", b"quest") == [b"re"]
        net.advance(1)
        waited = next(s.time - start for s in client.take() if s.data == b"quest")
        assert waited <= 0.21, "the loss probe or the retransmission timeout"
        client.ack(8)
        net.turn()


def test_many_small_writes_become_few_segments(net: Net) -> None:
    """One way, 10 bytes every 10 ms, each segment acknowledged 40 ms after it left."""
    group = net.group(7, nagle=True)
    client = net.client(group).established()
    due: list[float] = []
    segments = 0
    for _ in range(100):
        group.send(client.cd, bytes(10))
        net.advance(0.01)
        new = client.take()
        segments += len(new)
        due += [net.now + 0.04 for _ in new]
        if due and due[0] <= net.now:
            due.pop(0)
            client.ack()
            net.turn()
    net.advance(1)
    client.ack()
    net.turn()
    assert len(client.received) == 1_000
    assert segments <= 30
