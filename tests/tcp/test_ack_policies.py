"""When the acknowledgement of a request leaves (P14-P16, P24; architecture section 5)."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import ALL
from xtcp_twisted.engine import Group
from xtcp_twisted.errors import ConfigurationError


class TestBounded:
    """The default: hold the ACK for the answer, at most 40 ms."""

    @pytest.mark.requirement("RFC 9293 MUST-2")
    @pytest.mark.feature("P24", "P15")
    def test_figure_5a_one_packet_per_answer(self, net: Net) -> None:
        """Request, answer with its ACK in ONE packet; no pure ACK before or after."""
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"request")
        with net.in_turn():
            assert group.recv(100) == (client.cd, b"request")
            assert group.send(client.cd, b"answer", ackd=ALL) == 6
        client.expect("PA", seq=1, ack=8, data=b"answer")
        client.ack()
        net.advance(2)
        client.expect_nothing()

    @pytest.mark.requirement("RFC 9293 SHLD-18")
    @pytest.mark.feature("P14")
    def test_an_answer_within_the_bound_carries_the_ack(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"request")
        net.advance(0.039)
        client.expect_nothing()
        group.send(client.cd, b"answer", ackd=ALL)
        net.flush()
        client.expect("A", ack=8, data=b"answer")
        net.advance(0.100)
        client.expect_nothing()

    @pytest.mark.requirement("RFC 9293 MUST-40", "RFC 9293 SHLD-18")
    @pytest.mark.feature("P14")
    @pytest.mark.parametrize("delivered", [True, False])
    def test_without_an_answer_a_pure_ack_leaves_at_the_bound(self, net: Net, delivered: bool) -> None:
        """The wire ACK does not wait for the application, the data does."""
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"request")
        net.poll()
        if delivered:
            group.recv(100)
        net.flush()
        net.advance(0.100)
        client.expect("A", seq=1, ack=8, at=0.040)
        client.expect_nothing()
        info = group.info(client.cd)
        assert info.held == 7
        assert (info.rcv_ackd - client.iss) % 2**32 == 1
        assert (info.wire_ack - client.iss) % 2**32 == 8
        if delivered:
            client.send(b"+more")
            net.turn()
            assert group.recv(100) == (client.cd, b"request+more")
        else:
            assert group.recv(100) == (client.cd, b"request")

    @pytest.mark.feature("P14")
    def test_the_bound_is_the_groups(self, net: Net) -> None:
        client = net.client(net.group(7, ack_delay_ms=250)).established()
        client.send(b"request")
        net.advance(0.4)
        client.expect("A", ack=8, at=0.250)

    @pytest.mark.requirement("RFC 9293 MUST-40")
    @pytest.mark.feature("P14")
    @pytest.mark.parametrize("delay", [0, 500, 10_000])
    def test_half_a_second_or_more_is_refused(self, net: Net, delay: int) -> None:
        """RFC 9293 MUST-40: the delay is less than 0.5 seconds."""
        with pytest.raises(ConfigurationError, match="ack_delay_ms"):
            net.group(7, ack_delay_ms=delay)

    @pytest.mark.feature("P14")
    def test_the_delay_counts_from_the_first_held_segment(self, net: Net) -> None:
        """A steady trickle must not postpone the ACK for ever."""
        client = net.client(net.group(7, ack_delay_ms=100)).established()
        client.send(b"a")
        net.advance(0.090)
        client.expect_nothing()
        client.send(b"b")
        net.advance(0.020)
        times = client.times()
        assert times and times[0] <= 0.1005

    @pytest.mark.requirement("RFC 9293 SHLD-19")
    @pytest.mark.feature("P14")
    def test_the_second_held_segment_is_acknowledged_at_the_next_flush(self, net: Net) -> None:
        """RFC 9293 SHLD-19, and a Linux client probes after 2 SRTT + 4-8 ms with two outstanding."""
        client = net.client(net.group(7)).established()
        client.send(bytes(1_448))
        net.turn()
        client.expect_nothing()
        client.send(bytes(1_448))
        net.turn()
        client.expect("A", ack=2_897, at=0)
        net.advance(1)
        client.expect_nothing()

    @pytest.mark.feature("P24")
    def test_unless_the_answer_carries_it(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.send(bytes(1_448))
        client.send(bytes(100))
        with net.in_turn():
            group.recv(5_000)
            group.send(client.cd, b"answer", ackd=ALL)
        client.expect("A", ack=1_549, data=b"answer")
        client.expect_nothing()

    @pytest.mark.requirement("RFC 9293 MUST-58", "RFC 9293 MUST-59")
    @pytest.mark.feature("P24")
    def test_a_batch_is_answered_by_one_ack(self, net: Net) -> None:
        """RFC 9293 MUST-58, -59: ACKs are aggregated, the queue is processed before acknowledging."""
        client = net.client(net.group(7)).established()
        for _ in range(5):
            client.send(bytes(1_000))
        net.turn()
        client.expect("A", ack=5_001)
        client.expect_nothing()

    @pytest.mark.feature("P16")
    def test_acknowledging_without_data(self, net: Net) -> None:
        """len == 0: the ACK that the application names leaves alone, at the same flush."""
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"request")
        with net.in_turn():
            group.recv(100)
            assert group.send(client.cd, b"", ackd=ALL) == 0
        client.expect("A", ack=8, at=0)
        net.advance(1)
        client.expect_nothing()

    @pytest.mark.feature("P14")
    def test_an_answer_without_ackd_does_not_release_the_data(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.request(b"request")
        group.send(client.cd, b"working on it")
        net.turn()
        client.expect("A", data=b"working on it")
        assert group.info(client.cd).held == 7


class TestApplication:
    """The patent to the letter: the wire ACK is what `send(ackd)` named."""

    @pytest.fixture
    def group(self, net: Net) -> Group:
        return net.group(7, ack_policy="application")

    @pytest.mark.feature("P14")
    def test_nothing_is_acknowledged_until_the_application_says_so(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        client.request(b"request")
        net.advance(60)
        client.expect_nothing()
        group.send(client.cd, b"", ackd=ALL)
        net.flush()
        client.expect("A", ack=8, at=60)

    @pytest.mark.feature("P15")
    def test_exactly_the_named_bytes(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        client.request(b"0123456789")
        group.send(client.cd, b"four", ackd=4)
        net.flush()
        client.expect("A", ack=5, data=b"four")
        client.ack()
        net.advance(5)
        client.expect_nothing()
        assert group.recv(100) == (client.cd, b"456789")
        group.send(client.cd, b"", ackd=6)
        net.flush()
        client.expect("A", ack=11)

    @pytest.mark.feature("P14")
    def test_an_answer_without_ackd_acknowledges_nothing(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        client.request(b"request")
        group.send(client.cd, b"please wait")
        net.flush()
        client.expect("A", ack=1, data=b"please wait")

    @pytest.mark.feature("P14")
    def test_many_segments_are_not_acknowledged_either(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        for _ in range(4):
            client.send(bytes(1_000))
            net.turn()
        net.advance(1)
        client.expect_nothing()

    @pytest.mark.requirement("RFC 9293 SHLD-19")
    @pytest.mark.feature("P14")
    def test_except_while_a_request_is_declared_incomplete(self, net: Net, group: Group) -> None:
        """Else a request longer than the client's initial window would stall."""
        client = net.client(group).established()
        client.request(bytes(1_000))
        group.need(client.cd, 6_000)
        acks = []
        for _ in range(4):
            client.send(bytes(1_000))
            net.turn()
            acks.append(client.judge.last_ack)
        assert acks[-1] >= 4_001, f"every second segment is acknowledged while incomplete: {acks}"
        assert client.judge.last_ack <= 5_001
        client.take()
        client.send(bytes(1_000))
        net.turn()
        client.take()
        received = group.recv(10_000)
        assert received is not None and len(received[1]) == 6_000, (
            "acknowledged on the wire, still ours to give"
        )
        group.send(client.cd, b"", ackd=ALL)
        net.flush()
        client.expect("A", ack=6_001)

    @pytest.mark.feature("P14")
    def test_acks_for_other_reasons_carry_the_wire_ack(self, net: Net, group: Group) -> None:
        """Out of order, probes: answered at once, acknowledging nothing new."""
        client = net.client(group).established()
        client.request(b"request")
        client.send(b"gap", seq=100)
        net.turn()
        client.expect("A", ack=1)
        client.send(b"", "A", seq=7)
        net.advance(1)
        for segment in client.take():
            assert (segment.ack - client.iss) % 2**32 == 1

    @pytest.mark.feature("P14")
    def test_fin_is_acknowledged_with_the_last_byte(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        client.fin(b"request")
        net.turn()
        assert client.judge.last_ack <= 1
        client.take()
        assert group.recv(100) == (client.cd, b"request")
        assert group.recv(100) == (client.cd, b"")
        group.send(client.cd, b"", ackd=ALL)
        net.flush()
        client.expect("A", ack=9)

    @pytest.mark.feature("P14")
    def test_a_lone_fin_is_acknowledged_at_once(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        client.fin()
        net.turn()
        client.expect("A", ack=2, at=0)

    @pytest.mark.feature("P14", "P22")
    def test_a_repeated_request_is_not_delivered_twice(self, net: Net, group: Group) -> None:
        """The client resends what is not acknowledged; the application has it already."""
        client = net.client(group).established()
        client.request(b"request")
        net.take_events()
        for pause in (0.2, 0.4, 0.8):
            net.advance(pause)
            client.send(b"request", seq=1)
            net.turn()
        assert group.recv(100) is None
        assert net.take_events() == []
        for segment in client.take():
            assert (segment.ack - client.iss) % 2**32 == 1, "answered by the bare ACK, if at all"
        group.send(client.cd, b"answer", ackd=ALL)
        net.flush()
        client.expect("A", ack=8, data=b"answer")

    @pytest.mark.feature("P14")
    def test_the_client_keeps_what_was_not_processed(self, net: Net, group: Group) -> None:
        """The point of the policy: an abort acknowledges nothing, so the client knows."""
        client = net.client(group).established()
        client.request(b"pay 100")
        group.abort(client.cd)
        net.turn()
        client.expect_reset(seq=1)
        assert client.judge.last_ack == 1


class TestImmediate:
    @pytest.fixture
    def group(self, net: Net) -> Group:
        return net.group(7, ack_policy="immediate")

    @pytest.mark.feature("P14")
    def test_every_flush_acknowledges(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        for last in (2, 3, 4):
            client.send(b"x")
            net.turn()
            client.expect("A", ack=last)

    @pytest.mark.feature("P14")
    def test_the_data_stays_until_the_application_acknowledges(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        client.request(b"one")
        client.send(b"two")
        net.turn()
        assert group.recv(100) == (client.cd, b"onetwo")

    @pytest.mark.feature("P24")
    def test_an_answer_in_the_same_turn_still_carries_it(self, net: Net, group: Group) -> None:
        client = net.client(group).established()
        client.exchange(b"request", b"answer")
        client.expect_nothing()


@pytest.mark.parametrize("policy", ["bounded", "immediate"])
class TestAtOnce:
    """What is answered at the next flush, held or not."""

    def test_a_fin_in_order(self, net: Net, policy: str) -> None:
        client = net.client(net.group(7, ack_policy=policy)).established()
        client.fin(b"bye")
        net.turn()
        client.expect("A", ack=5, at=0)

    @pytest.mark.requirement("RFC 9293 MAY-13", "RFC 5681 4.2")
    def test_data_out_of_order_and_the_filled_gap(self, net: Net, policy: str) -> None:
        """RFC 5681 4.2: both SHOULD be acknowledged immediately."""
        client = net.client(net.group(7, ack_policy=policy)).established()
        client.send(b"world", seq=6)
        net.turn()
        client.expect("A", ack=1, at=0)
        client.send(b"hello", seq=1)
        net.turn()
        client.expect("A", ack=11, at=0)

    def test_a_keepalive_probe(self, net: Net, policy: str) -> None:
        """RFC 9293 3.8.4: SEG.SEQ = SND.NXT-1, without and with a byte of garbage."""
        client = net.client(net.group(7, ack_policy=policy)).established()
        client.exchange(b"q", b"a")
        for garbage in (b"", b"\0"):
            net.advance(10)
            client.send(garbage, "A", seq=1)
            net.turn()
            client.expect("A", seq=2, ack=2)

    @pytest.mark.requirement("RFC 9293 3.10.7.4 first")
    def test_a_duplicate_below_the_ack(self, net: Net, policy: str) -> None:
        """RFC 9293 3.10.7.4: an unacceptable segment is answered by an ACK."""
        group = net.group(7, ack_policy=policy)
        client = net.client(group).established()
        client.exchange(b"question", b"answer")
        net.advance(2)
        client.send(b"question", seq=1)
        net.turn()
        client.expect("A", ack=9)
        assert group.recv(100) is None

    def test_duplicates_are_answered_at_most_twice_a_second(self, net: Net, policy: str) -> None:
        """Once per 500 ms and connection, or two hosts could play ping-pong."""
        client = net.client(net.group(7, ack_policy=policy)).established()
        client.exchange(b"question", b"answer")
        net.advance(2)
        for _ in range(100):
            client.send(b"question", seq=1)
            net.advance(0.010)
        assert 1 <= len(client.take()) <= 3


@pytest.mark.feature("P15")
def test_the_ack_leaves_even_if_the_data_is_refused(make_net: MakeNet) -> None:
    """The transmit buffer is full: send takes nothing, and still acknowledges."""
    net = make_net(transmit_buffer=64 * 1024)
    group = net.group(7, ack_policy="application")
    hogs = [net.client(group, window=0).established() for _ in range(64)]
    client = net.client(group).established()
    for hog in hogs:
        group.send(hog.cd, bytes(64 * 1024))
    assert not all(group.send(client.cd, bytes(256)) for _ in range(1_000))
    net.turn()
    client.take()
    client.ack()
    client.request(b"request")
    taken = group.send(client.cd, bytes(60_000), ackd=ALL)
    assert taken < 60_000
    net.flush()
    segments = client.take()
    assert segments and (segments[-1].ack - client.iss) % 2**32 == 8


@pytest.mark.feature("P33")
@pytest.mark.parametrize("policy", ["bounded", "application", "immediate"])
def test_pure_acks_are_never_answered(net: Net, policy: str) -> None:
    """RFC 9293 3.10.7.4; otherwise two ends acknowledge each other for ever."""
    client = net.client(net.group(7, ack_policy=policy)).established()
    for _ in range(50):
        client.ack()
        net.advance(0.1)
    client.expect_nothing()
