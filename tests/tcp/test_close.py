"""Orderly close in all its orders, half close, and what follows a close (P11; RFC 9293 3.6)."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.errors import StaleConnection, WriteClosed

pytestmark = pytest.mark.feature("P11")


def ends(net: Net) -> list[EventKind]:
    return [EventKind(event[0]) for event in net.take_events(*ENDS)]


def gone(net: Net) -> bool:
    snapshot = net.engine.snapshot()
    return snapshot.connections == 0 and snapshot.active == 0


@pytest.mark.requirement("RFC 9293 3.10.7.4 eighth")
class TestFourWays:
    @pytest.mark.requirement("RFC 9293 MUST-12", "RFC 9293 3.10.7.4 fifth FIN")
    def test_the_peer_first(self, net: Net) -> None:
        """CLOSE-WAIT, LAST-ACK, CLOSED; no TIME-WAIT on this side."""
        group = net.group(7)
        client = net.client(group).established()
        client.fin()
        net.turn()
        client.expect("A", ack=2)
        assert net.kinds() == [EventKind.EOF]
        assert group.info(client.cd).state == "CLOSE_WAIT"
        assert group.recv(10) == (client.cd, b"")
        group.shutdown(client.cd)
        net.turn()
        client.expect("FA", seq=1, ack=2)
        assert group.info(client.cd).state == "LAST_ACK"
        client.ack()
        net.turn()
        assert net.kinds() == [EventKind.CLOSED]
        assert gone(net)
        assert net.engine.snapshot().time_wait == 0
        with pytest.raises(StaleConnection):
            group.info(client.cd)

    @pytest.mark.requirement("RFC 9293 3.10.7.4 fifth FIN")
    def test_we_first(self, net: Net) -> None:
        """FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT."""
        group = net.group(7)
        client = net.client(group).established()
        group.shutdown(client.cd)
        net.turn()
        client.expect("FA", seq=1, ack=1)
        assert group.info(client.cd).state == "FIN_WAIT_1"
        client.ack()
        net.turn()
        assert group.info(client.cd).state == "FIN_WAIT_2"
        client.fin()
        net.turn()
        client.expect("A", seq=2, ack=2)
        while group.recv(10):
            pass
        net.turn()
        assert net.kinds() == [EventKind.EOF, EventKind.CLOSED]
        assert gone(net)
        assert net.engine.snapshot().time_wait == 1

    @pytest.mark.requirement("RFC 9293 3.6 both", "RFC 9293 3.10.7.4 fifth FIN")
    def test_at_the_same_time(self, net: Net) -> None:
        """Both FINs cross: CLOSING, TIME-WAIT."""
        group = net.group(7)
        client = net.client(group).established()
        group.shutdown(client.cd)
        net.turn()
        client.expect("FA", seq=1)
        client.fin(ack=1)
        net.turn()
        client.expect("A", seq=2, ack=2)
        assert group.info(client.cd).state == "CLOSING"
        client.ack(2)
        net.turn()
        while group.recv(10):
            pass
        net.turn()
        assert EventKind.CLOSED in net.kinds()
        assert gone(net)
        assert net.engine.snapshot().time_wait == 1

    def test_with_data_on_both_fins(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.fin(b"last question")
        with net.in_turn():
            assert group.recv(100) == (client.cd, b"last question")
            group.send(client.cd, b"last answer", ackd=ALL)
            group.finish(client.cd)
        client.expect("FPA", seq=1, ack=15, data=b"last answer")
        client.ack()
        net.turn()
        assert gone(net)
        assert ends(net) == [], "the application closed it itself"

    def test_fin_with_the_acknowledgement_of_ours(self, net: Net) -> None:
        """The usual answer of a client that closes at our FIN: ACK and FIN in one."""
        client = net.client(net.group(7)).fin_wait_1()
        client.fin()
        net.turn()
        client.expect("A", seq=2, ack=2)
        assert net.engine.snapshot().time_wait == 1
        assert gone(net)


class TestStates:
    """The constructors of `support.peer` reach each state that a passive open can reach."""

    @pytest.mark.parametrize(
        "state", ["established", "close_wait", "last_ack", "fin_wait_1", "fin_wait_2", "closing"]
    )
    def test_the_snapshot_names_it(self, net: Net, state: str) -> None:
        client = net.client(net.group(7))
        getattr(client, state)()
        states = {name: n for name, n in net.engine.snapshot().states.items() if n}
        assert states == {state.upper(): 1}

    @pytest.mark.requirement("RFC 9293 3.10.7.4 second")
    @pytest.mark.parametrize("state", ["close_wait", "last_ack", "fin_wait_1", "fin_wait_2", "closing"])
    def test_a_reset_ends_it(self, net: Net, state: str) -> None:
        client = net.client(net.group(7))
        getattr(client, state)()
        client.rst(seq=client.seq)
        net.turn()
        client.expect_nothing()
        assert gone(net)
        assert net.transmit_used == 0

    @pytest.mark.parametrize("state", ["last_ack", "fin_wait_1", "closing"])
    def test_the_fin_is_sent_again(self, net: Net, state: str) -> None:
        """It occupies sequence space (RFC 9293 3.4), so a loss probe and then the timer cover it."""
        client = net.client(net.group(7))
        getattr(client, state)()
        start = net.now
        net.advance(2)
        repeats = [s for s in client.take() if "F" in s.flags]
        assert [s.time - start for s in repeats] == pytest.approx([0.2, 0.4, 0.8, 1.6], abs=0.003)

    @pytest.mark.parametrize("state", ["fin_wait_1", "fin_wait_2"])
    def test_an_abandoned_peer_does_not_stay_for_ever(self, net: Net, state: str) -> None:
        """The application has finished; a peer that never answers costs a record for a bounded time."""
        client = net.client(net.group(7))
        getattr(client, state)()
        net.advance(300)
        client.take()
        assert gone(net)


class TestHalfClose:
    @pytest.mark.requirement("RFC 9293 3.6 half")
    def test_the_peer_may_still_receive(self, net: Net) -> None:
        """RFC 9293 3.6: CLOSE-WAIT goes on sending."""
        group = net.group(7)
        client = net.client(group).close_wait()
        for _ in range(3):
            group.send(client.cd, b"still talking")
            net.turn()
            client.expect("A", ack=2, data=b"still talking")
            client.ack()
        group.shutdown(client.cd)
        net.turn()
        client.expect("FA", seq=40)

    @pytest.mark.requirement("RFC 9293 3.6 half", "RFC 9293 3.10.7.4 seventh")
    @pytest.mark.parametrize("acked", [False, True])
    def test_we_may_still_receive(self, net: Net, acked: bool) -> None:
        """After shutdown the peer's data is delivered and acknowledged, in FIN-WAIT-1 and -2."""
        group = net.group(7)
        client = net.client(group).established()
        group.shutdown(client.cd)
        net.turn()
        client.expect("FA", seq=1)
        if acked:
            client.ack()
        client.send(b"my last words", ack=2 if acked else 1)
        with net.in_turn():
            assert group.recv(100) == (client.cd, b"my last words")
            group.send(client.cd, b"", ackd=ALL)
        client.expect("A", seq=2, ack=14)

    @pytest.mark.requirement("RFC 9293 3.10.2 closing")
    def test_nothing_can_be_sent_after_shutdown(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        group.shutdown(client.cd)
        with pytest.raises(WriteClosed):
            group.send(client.cd, b"too late")
        group.shutdown(client.cd)
        net.turn()
        client.expect("FA", seq=1)
        client.expect_nothing()

    def test_acknowledging_is_still_possible_after_shutdown(self, net: Net) -> None:
        group = net.group(7, ack_policy="application")
        client = net.client(group).established()
        client.request(b"12345")
        group.shutdown(client.cd)
        net.turn()
        client.take()
        group.send(client.cd, b"", ackd=ALL)
        net.flush()
        client.expect("A", ack=6)

    @pytest.mark.requirement("RFC 9293 3.10.4 ESTABLISHED")
    def test_queued_data_goes_before_the_fin(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, b"a" * 3_000)
        group.shutdown(client.cd)
        net.turn()
        assert client.received == b"a" * 3_000
        assert client.judge.fin_at == 3_001


@pytest.mark.requirement("RFC 9293 MAY-1")
class TestAfterFinish:
    """The application has left (RFC 9293 3.6.1, SHLD-3)."""

    @pytest.mark.requirement("RFC 9293 SHLD-3")
    def test_new_data_is_answered_by_a_reset(self, net: Net) -> None:
        client = net.client(net.group(7)).fin_wait_2()
        client.send(b"is anybody there?")
        net.turn()
        assert "R" in client.take()[-1].flags
        assert gone(net)

    def test_the_reset_has_the_number_that_the_peer_expects(self, net: Net) -> None:
        """Data that crosses our FIN: only SEQ=SEG.ACK is exact for a peer without it (RFC 5961 3.2)."""
        group = net.group(7)
        client = net.client(group).established()
        group.finish(client.cd)
        net.flush()
        client.expect("FA", seq=1)
        client.send(b"I was on my way", ack=1)
        net.turn()
        client.expect("R", seq=1)
        assert gone(net)

    @pytest.mark.requirement("RFC 9293 SHLD-3")
    def test_undelivered_data_makes_finish_a_reset(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"unread")
        net.turn()
        group.finish(client.cd)
        net.turn()
        client.expect_reset(seq=1)
        assert gone(net)
        assert net.receive_used == 0

    def test_finish_acknowledges_what_was_delivered(self, net: Net) -> None:
        group = net.group(7, ack_policy="application")
        client = net.client(group).established()
        client.request(b"request")
        group.finish(client.cd)
        net.turn()
        client.expect("FA", seq=1, ack=8)
        assert net.receive_used == 0

    def test_a_retransmitted_request_is_not_new_data(self, net: Net) -> None:
        """What was acknowledged already must not turn an orderly close into a reset."""
        group = net.group(7)
        client = net.client(group).established()
        client.exchange(b"request", b"answer")
        group.finish(client.cd)
        net.turn()
        client.expect("FA", seq=7)
        client.send(b"request", seq=1)
        net.turn()
        assert all("R" not in s.flags for s in client.take())
        client.ack()
        client.fin()
        net.turn()
        client.expect("A", ack=9)

    def test_queued_answers_are_still_delivered(self, net: Net) -> None:
        """finish is orderly: the engine lingers alone until all is acknowledged."""
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, bytes(5_000))
        group.finish(client.cd)
        net.flush()
        client.inbox.clear()
        net.advance(0.25)
        client.take()
        client.ack()
        net.turn()
        client.fin()
        net.turn()
        assert len(client.received) == 5_000
        assert net.transmit_used == 0
        assert gone(net)


class TestTimeWait:
    """RFC 9293 3.6.1 and 3.10.7.4; RFC 1337."""

    @pytest.mark.requirement("RFC 9293 MUST-13")
    def test_it_lasts_two_msl_and_a_turn_of_the_clock_hand(self, net: Net) -> None:
        net.client(net.group(7)).time_wait()
        net.advance(59)
        assert net.engine.snapshot().time_wait == 1
        net.advance(35)
        assert net.engine.snapshot().time_wait == 0

    @pytest.mark.requirement("RFC 9293 3.10.7.4 TIME-WAIT")
    def test_a_repeated_fin_is_acknowledged_and_restarts_it(self, net: Net) -> None:
        client = net.client(net.group(7)).time_wait()
        net.advance(50)
        client.send(b"", "FA", seq=1)
        net.turn()
        client.expect("A", seq=2, ack=2)
        net.advance(50)
        assert net.engine.snapshot().time_wait == 1

    @pytest.mark.requirement("RFC 1337 3 F1")
    def test_a_reset_does_not_end_it(self, net: Net) -> None:
        """RFC 1337 fix F1: TIME-WAIT assassination."""
        client = net.client(net.group(7)).time_wait()
        client.rst(seq=2)
        net.turn()
        client.expect_nothing()
        assert net.engine.snapshot().time_wait == 1

    def test_old_data_is_answered_by_an_ack(self, net: Net) -> None:
        client = net.client(net.group(7)).time_wait()
        net.advance(1)
        client.send(b"late", seq=1)
        net.turn()
        assert all(s.flags == {"A"} for s in client.take())
        assert net.engine.snapshot().time_wait == 1

    @pytest.mark.requirement("RFC 9293 SHLD-4", "RFC 9293 MAY-2", "RFC 6191 2")
    def test_a_newer_syn_opens_a_new_connection(self, net: Net) -> None:
        """RFC 9293 MAY-2, RFC 6191: greater timestamp; the ISN of the new one is greater than SND.NXT."""
        group = net.group(7)
        old = net.client(group).time_wait()
        net.advance(2)
        new = net.client(group, sport=old.sport, iss=old.iss + 1_000_000)
        new.established()
        new.is_alive()
        assert net.engine.snapshot().time_wait == 0
        assert old.judge.irs is not None and new.judge.irs is not None
        assert 0 < (new.judge.irs - old.judge.irs) % 2**32 < 2**31

    @pytest.mark.requirement("RFC 9293 MAY-2", "RFC 6191 2")
    def test_an_old_syn_does_not(self, net: Net) -> None:
        """Neither sequence number nor timestamp is newer: answered by an ACK, as RFC 9293 says."""
        group = net.group(7)
        client = net.client(group, timestamps=False).time_wait()
        net.advance(2)
        client.send(b"", "S", seq=-5_000, options=[("MSS", 1460)])
        net.turn()
        assert group.pending() == []
        client.expect("A", seq=2, ack=2)
        assert net.engine.snapshot().time_wait == 1

    def test_it_is_bounded_and_the_oldest_leaves_first(self, make_net: MakeNet) -> None:
        net = make_net(max_time_wait=16)
        group = net.group(7)
        clients: list[Client] = []
        for _ in range(40):
            clients.append(net.client(group).time_wait())
            net.advance(0.01)
            assert net.engine.snapshot().time_wait <= 16
        clients[-1].send(b"", "FA", seq=1)
        clients[0].send(b"", "FA", seq=1)
        net.turn()
        clients[-1].expect("A", seq=2, ack=2)
        clients[0].expect("R")

    def test_a_record_is_not_held_by_it(self, make_net: MakeNet) -> None:
        """40 bytes, not 128: more connections than records may be in TIME-WAIT."""
        net = make_net(max_connections=16)
        group = net.group(7)
        for _ in range(50):
            net.client(group).time_wait()
        assert net.engine.snapshot().time_wait == 50
        assert gone(net)
