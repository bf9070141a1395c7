"""A request that comes again: what is acknowledged, and when the cached answer leaves at once (P22).

The conditions are those of tcp/replay.pyx; each has a test that fails when it
alone is taken away.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind

REQUEST, ANSWER = b"who is there?", b"nobody but us"
BEHIND = 1 + len(REQUEST)
RTT = 0.04


def answered(net: Net, answer: bytes = ANSWER, *, rtt: float = RTT, **behaviour: Any) -> Client:
    """A peer whose request was answered 100 ms after the handshake, and the answer was lost."""
    group = net.group(7, **behaviour.pop("options", {}))
    client = net.client(group, **behaviour).syn_received()
    net.advance(rtt)
    client.ack()
    net.turn()
    client.cd = net.take_events(EventKind.ESTABLISHED)[0][2]
    net.advance(0.1)
    client.send(REQUEST)
    net.poll()
    assert group.recv(100) == (client.cd, REQUEST)
    with client.losing():
        group.send(client.cd, answer, ackd=ALL)
        net.flush()
    net.kinds()
    return client


def again(client: Client, **fields: Any) -> None:
    """The request once more, as its sender's timer would send it."""
    client.send(REQUEST, seq=1, **fields)
    client.net.turn()


def stamped(client: Client, tsval: int | None = None, tsecr: int | None = None) -> dict[str, Any]:
    """Timestamps other than the present ones."""
    values = (client.tsval if tsval is None else tsval, client.ts_recent if tsecr is None else tsecr)
    return {"options": [("NOP", None), ("NOP", None), ("Timestamp", values)]}


def replays(net: Net) -> tuple[int, int, int]:
    """Cached answers sent, refused, and over the ration."""
    counters = net.counters()
    return counters["AnswersReplayed"], counters["ReplaysRefused"], counters["ReplaysLimited"]


@pytest.mark.feature("P22")
class TestAcknowledgement:
    """Each at most once per 500 ms and connection."""

    def test_a_duplicate_below_wire_ack_brings_a_dsack(self, net: Net) -> None:
        client = answered(net)
        client.ack(1 + len(ANSWER))
        net.advance(1)
        client.rcv_nxt = 1 + len(ANSWER)
        again(client)
        assert client.blocks(client.expect("A", ack=BEHIND)) == [(1, BEHIND)]
        net.advance(0.4)
        again(client)
        client.expect_nothing()
        net.advance(0.2)
        again(client)
        assert client.blocks(client.expect("A", ack=BEHIND)) == [(1, BEHIND)]
        assert net.kinds() == [] and replays(net) == (0, 0, 0)

    def test_a_duplicate_of_held_data_ends_the_hold(self, net: Net) -> None:
        """Under `bounded`; the acknowledgement is a bare one."""
        group = net.group(7, ack_delay_ms=400)
        client = net.client(group).established()
        assert client.request(REQUEST) == REQUEST
        net.kinds()
        net.advance(0.3)
        again(client)
        assert client.blocks(client.expect("A", ack=BEHIND, at=0.3)) == []
        net.advance(0.05)
        again(client)
        client.expect_nothing()
        assert net.kinds() == []
        net.advance(1)
        client.expect_nothing()

    def test_under_application_it_stays_unacknowledged(self, net: Net) -> None:
        group = net.group(7, ack_policy="application")
        client = net.client(group).established()
        assert client.request(REQUEST) == REQUEST
        net.kinds()
        net.advance(0.3)
        again(client)
        assert client.blocks(client.expect("A", ack=1)) == []
        again(client)
        client.expect_nothing()
        assert net.kinds() == []
        group.send(client.cd, ANSWER, ackd=ALL)
        net.flush()
        client.expect("A", ack=BEHIND, data=ANSWER)


@pytest.mark.feature("P22")
class TestAnswer:
    @pytest.mark.parametrize("policy", ["bounded", "application", "immediate"])
    def test_it_comes_again_at_once(self, net: Net, policy: str) -> None:
        client = answered(net, options={"ack_policy": policy})
        net.advance(0.1)
        again(client)
        segment = client.expect("A", seq=1, ack=BEHIND, data=ANSWER, at=RTT + 0.2)
        assert client.blocks(segment) == [(1, BEHIND)]
        client.expect_nothing()
        assert net.kinds() == []
        assert replays(net) == (1, 0, 0)

    def test_it_counts_as_a_retransmission(self, net: Net) -> None:
        client = answered(net)
        assert client.group is not None
        before = net.counters()
        net.advance(0.1)
        again(client)
        now = net.counters()
        assert now["RetransSegs"] - before["RetransSegs"] == 1
        assert now["OutSegs"] == before["OutSegs"]
        assert client.group.info(client.cd).retransmits == 1
        snapshot = net.engine.snapshot()
        assert snapshot.counters["AnswersReplayed"] == 1
        assert snapshot.pools[0].groups[0].counters["RetransSegs"] == 1

    def test_karn_its_acknowledgement_measures_nothing(self, net: Net) -> None:
        """RFC 6298 section 3, where no timestamps tell the copies apart."""
        client = answered(net, timestamps=False)
        assert client.group is not None
        before = client.group.info(client.cd).srtt_us
        net.advance(0.1)
        again(client)
        client.expect("A", data=ANSWER)
        net.advance(0.03)
        client.ack()
        net.turn()
        assert client.group.info(client.cd).srtt_us == before
        assert net.transmit_used == 0

    def test_the_timer_goes_on_from_there(self, net: Net) -> None:
        """RFC 6298 (5.5), (5.6): as after an expiry, and not at its old time too."""
        client = answered(net, options={"sack": False})
        assert client.group is not None
        rto = client.group.info(client.cd).rto_ms / 1_000
        net.advance(0.1)
        again(client)
        client.expect("A", data=ANSWER)
        net.advance(1.0)
        client.expect("A", data=ANSWER, at=RTT + 0.2 + 2 * rto)
        client.expect_nothing()

    def test_the_congestion_window_is_respected(self, net: Net) -> None:
        """The flight is lost as a whole: one segment, then slow start (RFC 5681 section 3.1)."""
        client = answered(net, bytes(10 * 1_448), options={"congestion": "reno"})
        assert client.group is not None
        net.advance(0.06)
        again(client)
        taken = client.take()
        assert sum(len(segment.data) for segment in taken) <= 1_448
        info = client.group.info(client.cd)
        assert (info.cwnd, info.ssthresh) == (1_448, 5 * 1_448)
        for _ in range(12):
            net.advance(RTT)
            client.ack()
            net.turn()
            client.take()
        assert client.received == bytes(10 * 1_448)

    def test_an_answer_that_was_only_late_is_undone(self, net: Net) -> None:
        """RFC 3522: the echoed timestamp is that of the first sending."""
        client = answered(net, bytes(10 * 1_448))
        assert client.group is not None
        before = client.group.info(client.cd)
        tsecr = client.judge.last_tsval
        net.advance(0.06)
        again(client)
        client.take()
        client.ack(1 + 1_448, **stamped(client, tsecr=tsecr))
        net.turn()
        after = client.group.info(client.cd)
        assert after.ssthresh >= before.cwnd and after.cwnd >= before.cwnd - 1_448
        assert net.counters()["TCPSpuriousRTOs"] == 1
        assert net.counters()["RetransSegs"] == 1


@pytest.mark.feature("P22")
class TestConditions:
    """In each of them the answer stays in its cache, and the timer sends it later."""

    def refused(self, client: Client, *, counted: bool = True) -> None:
        net = client.net
        assert not [segment for segment in client.take() if segment.data]
        assert replays(net) == (0, int(counted), 0)
        with client.losing() as sent:
            net.advance(1)
        assert any(segment.data for segment in sent)

    def test_1_paws(self, net: Net) -> None:
        """RFC 7323 section 5.3, R1: a copy from the past."""
        client = answered(net)
        net.advance(0.1)
        again(client, **stamped(client, tsval=client.tsval - 5_000))
        self.refused(client, counted=False)
        assert net.counters()["PAWSEstabRejected"] == 1

    def test_1_rfc_5961(self, net: Net) -> None:
        """Section 5: an ACK that nobody can have sent is challenged."""
        client = answered(net)
        net.advance(0.1)
        again(client, ack=1 + len(ANSWER) + 1)
        self.refused(client, counted=False)
        assert net.counters()["TCPChallengeACK"] == 1

    def test_2_nothing_is_outstanding(self, net: Net) -> None:
        client = answered(net)
        client.ack(1 + len(ANSWER))
        client.rcv_nxt = 1 + len(ANSWER)
        net.advance(0.1)
        again(client)
        assert client.expect("A", ack=BEHIND).data == b""
        assert replays(net) == (0, 0, 0)

    def test_2_an_older_acknowledgement(self, net: Net) -> None:
        """SEG.ACK < SND.UNA: a copy of what was sent before the last answer was acknowledged."""
        client = answered(net)
        client.ack(1 + len(ANSWER))
        client.rcv_nxt = 1 + len(ANSWER)
        net.advance(0.1)
        assert client.group is not None
        with client.losing():
            client.group.send(client.cd, ANSWER)
            net.flush()
        net.advance(0.1)
        again(client, ack=1)
        self.refused(client)

    def test_2_a_part_of_the_answer_has_come(self, net: Net) -> None:
        """SEG.ACK > SND.UNA: loss recovery knows better what to do."""
        client = answered(net)
        net.advance(0.1)
        again(client, ack=4)
        self.refused(client)

    def test_2_without_an_acknowledgement(self, net: Net) -> None:
        client = answered(net)
        net.advance(0.1)
        again(client, flags="P", tcp={"ack": (client.judge.irs or 0) + 1})
        self.refused(client)

    @pytest.mark.parametrize("rtt", [0.0, RTT])
    def test_3_it_left_a_moment_ago(self, make_net: MakeNet, rtt: float) -> None:
        """Less than max(SRTT, 10 ms)."""
        least = max(rtt, 0.010)
        net = make_net()
        client = answered(net, rtt=rtt)
        net.advance(least - 0.002)
        again(client)
        self.refused(client)
        net = make_net()
        client = answered(net, rtt=rtt)
        net.advance(least + 0.002)
        again(client)
        assert replays(net) == (1, 0, 0)

    def test_4_the_client_has_heard_of_us_since(self, net: Net) -> None:
        """Its TSecr is the answer's TSval, so the answer, or what left with it, has come."""
        client = answered(net)
        net.advance(0.1)
        again(client, **stamped(client, tsecr=client.judge.last_tsval))
        self.refused(client)

    def test_4_without_timestamps_nothing_tells(self, net: Net) -> None:
        client = answered(net, timestamps=False)
        net.advance(0.1)
        again(client)
        client.expect("A", data=ANSWER)
        assert replays(net) == (1, 0, 0)

    def test_5_once_per_rto(self, net: Net) -> None:
        client = answered(net)
        assert client.group is not None
        net.advance(0.1)
        with client.losing() as sent:
            again(client)
            rto = client.group.info(client.cd).rto_ms / 1_000
            net.advance(rto - 0.01)
            again(client)
            assert replays(net) == (1, 1, 0)
            net.advance(0.02)
            again(client)
            assert replays(net) == (2, 1, 0)
        assert [bool(segment.data) for segment in sent] == [True, True]

    def test_6_the_engines_ration(self, make_net: MakeNet) -> None:
        """A token bucket that all connections share."""
        net = make_net(replays_per_second=3)
        clients = [answered(net)]
        for _ in range(4):
            client = net.client(clients[0].group).established()
            net.advance(0.01)
            client.request(REQUEST)
            assert client.group is not None
            with client.losing():
                client.group.send(client.cd, ANSWER, ackd=ALL)
                net.flush()
            clients.append(client)
        net.kinds()
        net.advance(0.1)
        for client in clients:
            client.send(REQUEST, seq=1)
        net.turn()
        answers = [segment for client in clients for segment in client.take() if segment.data]
        assert len(answers) == 3 and replays(net) == (3, 0, 2)

    def test_6_a_ration_of_nothing(self, make_net: MakeNet) -> None:
        net = make_net(replays_per_second=0)
        client = answered(net)
        net.advance(0.1)
        again(client)
        assert client.expect("A", ack=BEHIND).data == b""
        assert replays(net) == (0, 0, 1)

    def test_a_closed_window_is_probed_by_its_timer(self, net: Net) -> None:
        client = answered(net)
        client.ack(1, win=0)
        net.advance(0.1)
        again(client, win=0)
        assert not [segment for segment in client.take() if segment.data]
        assert replays(net) == (0, 1, 0)
        client.ack(1)
        net.advance(1)
        client.ack()
        net.turn()


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("answer", [ANSWER, bytes(9 * 1_448)], ids=["short answer", "long answer"])
def test_a_thousand_copies_within_a_round_trip(net: Net, answer: bytes, timestamps: bool) -> None:
    """Attacks, row 35: no more answer bytes than one answer per RTO, and two acknowledgements a second."""
    client = answered(net, answer, timestamps=timestamps)
    net.advance(RTT)
    begin = net.counters()
    with client.losing() as sent:
        for _ in range(1_000):
            client.send(REQUEST, seq=1)
            net.advance(RTT / 1_000)
    assert 0 < sum(len(segment.data) for segment in sent) <= len(answer)
    assert len([segment for segment in sent if not segment.data]) <= 1
    assert net.counters()["OutSegs"] - begin["OutSegs"] <= 1
    assert EventKind.DATA not in net.kinds()


def test_copies_for_ten_seconds(net: Net) -> None:
    """Attacks, row 35, for longer than its timer would wait."""
    client = answered(net)
    assert client.group is not None
    rto = client.group.info(client.cd).rto_ms / 1_000
    with client.losing() as sent:
        for _ in range(1_000):
            client.send(REQUEST, seq=1)
            net.advance(0.01)
    assert sum(len(segment.data) for segment in sent) <= (10 / rto + 1) * len(ANSWER)
    client.rst(seq=BEHIND)
    net.turn()


def test_the_answer_after_a_long_silence(net: Net) -> None:
    """What it is for: the path was dead, the timer waits long, the client asks again."""
    client = answered(net)
    with client.losing():
        net.advance(20)
    again(client)
    client.expect("A", ack=BEHIND, data=ANSWER)
    client.ack()
    net.turn()
    assert net.transmit_used == 0
    assert net.kinds() == [EventKind.SOFT_ERROR]
