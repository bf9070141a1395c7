"""Active open: RFC 9293 sections 3.5 and 3.10.7.3, step by step, with RFC 6298 for the SYN."""

from __future__ import annotations

import errno

import pytest
from support.net import Net
from support.packets import SACK, SACK_OK
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P09")

#: RFC 6298: 1 s, then doubled; RFC 9293 MUST-23: for three minutes at least.
SYN_TIMES = [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0]


def state(peer: Client) -> str:
    assert peer.group is not None
    return peer.group.info(peer.cd).state


# --- the handshake --------------------------------------------------------------------


@pytest.mark.requirement("RFC 9293 SHLD-5", "RFC 9293 MAY-3", "RFC 9293 3.10.1", "RFC 9293 3.10.7.3 fourth")
@pytest.mark.parametrize("v6", [False, True])
def test_three_steps(net: Net, v6: bool) -> None:
    """Figure 6: SYN, SYN-ACK, ACK; then it is a connection as any other."""
    peer = net.listener(net.group(7, v6=v6)).connected_to()
    syn = peer.expect("S", seq=0)
    assert (syn.mss, syn.wscale, syn.tsecr) == (1440 if v6 else 1460, 7, 0)
    assert state(peer) == "SYN_SENT"
    peer.answer()
    net.turn()
    peer.expect("A", seq=1, ack=1)
    assert net.kinds() == [EventKind.ESTABLISHED]
    assert state(peer) == "ESTABLISHED"
    peer.exchange(b"who are you?", b"the engine")
    counters = net.counters()
    assert (counters["ActiveOpens"], counters["PassiveOpens"], counters["AttemptFails"]) == (1, 0, 0)


@pytest.mark.requirement("RFC 7323 2.2", "RFC 7323 3.2")
@pytest.mark.parametrize("wscale", [None, 3])
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("mss", [None, 700])
def test_the_answer_chooses_the_options(
    net: Net, mss: int | None, wscale: int | None, timestamps: bool
) -> None:
    """An option is in use when both SYNs carry it (RFC 7323 2.2, 3.2); without MSS it is 536 (MUST-15)."""
    group = net.group(7)
    peer = net.listener(group, mss=mss, wscale=wscale, timestamps=timestamps).active_established()
    info = group.info(peer.cd)
    assert info.mss == (mss or 536)
    assert (info.snd_scale, info.rcv_scale) == ((wscale, 7) if wscale is not None else (0, 0))
    assert info.timestamps == timestamps
    # The window of a SYN-ACK is never scaled (RFC 7323 2.2).
    assert info.snd_wnd == 65_535
    peer.is_alive()


def test_the_group_chooses_the_offer(net: Net) -> None:
    peer = net.listener(net.group(7, window_scaling=False, timestamps=False, sack=False, mss=600))
    assert set(peer.connected_to().expect("S").options) == {2}
    peer.answer(options=[("MSS", 1460), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (1, 0))])
    net.turn()
    # What was not offered is not used, though the peer sends it.
    assert peer.expect("A", seq=1, ack=1).options == {}
    assert peer.group is not None
    assert peer.group.info(peer.cd).mss == 600


@pytest.mark.requirement("RFC 2018 2")
@pytest.mark.parametrize("sack", [False, True])
def test_sack_is_agreed_on_like_the_others(net: Net, sack: bool) -> None:
    """RFC 2018 section 2: our SYN permits it; it is in use when the answer does, too."""
    peer = net.listener(net.group(7), timestamps=sack).connected_to()
    assert SACK_OK in peer.expect("S").options
    peer.answer()
    net.turn()
    peer.expect("A", seq=1, ack=1)
    peer.send(b"behind a gap", seq=11)
    net.turn()
    assert (SACK in peer.expect("A", ack=1).options) == sack


@pytest.mark.requirement("RFC 9293 3.10.2 SYN-SENT")
def test_data_may_wait_for_the_handshake(net: Net) -> None:
    """Section 3.10.2, SEND in SYN-SENT: queued; it leaves with the ACK of the SYN-ACK."""
    group = net.group(7)
    peer = net.listener(group).connected_to()
    assert group.send(peer.cd, b"GET /") == 5
    net.advance(0.5)
    peer.expect("S", seq=0)
    peer.expect_nothing()
    peer.answer()
    net.turn()
    peer.expect("A", seq=1, ack=1, data=b"GET /")
    peer.expect_nothing()


@pytest.mark.requirement("RFC 9293 3.10.7.3 fourth")
def test_text_and_fin_on_the_syn_ack(net: Net) -> None:
    """Fourth step: other controls or text in the segment are processed at once."""
    group = net.group(7)
    peer = net.listener(group).connected_to()
    peer.expect("S")
    peer.answer(b"220 ready", "SFA")
    net.turn()
    peer.expect("A", seq=1, ack=11)
    assert net.kinds() == [EventKind.ESTABLISHED, EventKind.DATA, EventKind.EOF]
    assert group.recv(100) == (peer.cd, b"220 ready")
    assert state(peer) == "CLOSE_WAIT"


def test_the_handshake_is_the_first_round_trip(net: Net) -> None:
    group = net.group(7)
    peer = net.listener(group, timestamps=False).connected_to()
    net.advance(0.25)
    peer.answer()
    net.turn()
    assert group.info(peer.cd).srtt_us == 250_000


# --- the SYN is lost ------------------------------------------------------------------


@pytest.mark.requirement("RFC 9293 MUST-22", "RFC 9293 MUST-23", "RFC 6298 2.1")
def test_the_syn_is_sent_for_three_minutes(net: Net) -> None:
    """RFC 6298 (2.1), (5.5); MUST-23; then the application hears of it (MUST-20)."""
    peer = net.listener(net.group(7)).connected_to()
    net.advance(179.9)
    assert peer.times() == SYN_TIMES
    assert net.kinds() == []
    net.advance(0.2)
    [(kind, _, cd, detail)] = net.take_events()
    assert (kind, cd, detail) == (EventKind.DOWN, peer.cd, errno.ETIMEDOUT)
    net.advance(300)
    peer.expect_nothing()
    counters = net.counters()
    assert (counters["TCPSynRetrans"], counters["RetransSegs"], counters["OutSegs"]) == (7, 7, 1)
    assert (counters["AttemptFails"], counters["TCPAbortOnTimeout"], counters["Ended"]) == (1, 1, 1)


def test_a_limit_of_ones_own(net: Net) -> None:
    """That of the call goes before that of the group; both count from the SYN on."""
    group = net.group(7, connect_timeout_s=5)
    slow, quick = (net.listener(group).connected_to(timeout_s=limit) for limit in (None, 2.5))
    net.advance(2.49)
    assert net.kinds() == []
    net.advance(0.02)
    assert [event[2] for event in net.take_events(EventKind.DOWN)] == [quick.cd]
    net.advance(2.49)
    assert [event[2] for event in net.take_events(EventKind.DOWN)] == [slow.cd]
    assert slow.times() == [0.0, 1.0, 3.0]


def test_a_silent_user_timeout_does_not_end_the_attempt(net: Net) -> None:
    """R2 of a SYN is its own (MUST-23): the shorter one of data is not for it."""
    peer = net.listener(net.group(7, user_timeout_s=2)).connected_to()
    net.advance(100)
    assert peer.times() == SYN_TIMES[:7]
    peer.answer()
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED]


@pytest.mark.requirement("RFC 6298 5.7")
def test_a_repeated_syn_may_be_answered(net: Net) -> None:
    """RFC 6298 (5.7): without timestamps no trip was measured, the RTO starts with 3 s."""
    group = net.group(7)
    peer = net.listener(group, timestamps=False).connected_to()
    net.advance(1.5)
    peer.take()
    peer.answer()
    net.turn()
    info = group.info(peer.cd)
    assert (info.srtt_us, info.rto_ms) == (0, 3_000)
    assert info.cwnd == 10 * 1460


@pytest.mark.requirement("RFC 7323 4.1", "RFC 5681 3.1 SYN")
def test_two_lost_syns_cost_the_initial_window(net: Net) -> None:
    """RFC 5681 section 3.1: one segment; timestamps still tell the round trip (RFC 7323 4.1)."""
    group = net.group(7)
    peer = net.listener(group).connected_to()
    net.advance(3.02)
    peer.take()
    peer.answer()
    net.turn()
    info = group.info(peer.cd)
    assert info.cwnd == 1460 - 12
    assert info.srtt_us == pytest.approx(20_000, abs=1_500)


# --- what else may come in SYN-SENT ------------------------------------------------------


@pytest.mark.requirement("RFC 9293 3.10.7.3 first")
@pytest.mark.parametrize("flags", ["A", "SA"])
@pytest.mark.parametrize("ack", [0, 2, -1, 2**31])
def test_first_an_unacceptable_ack_is_reset(net: Net, flags: str, ack: int) -> None:
    """SEG.ACK =< ISS or SEG.ACK > SND.NXT: <SEQ=SEG.ACK><CTL=RST>; the attempt goes on."""
    peer = net.listener(net.group(7)).connected_to()
    peer.expect("S")
    net.inject(peer.packet(flags=flags, seq=0, ack=ack))
    net.turn()
    [reset] = peer.take()
    assert peer.judge.irs is not None
    assert reset.flags == {"R"}
    assert (reset.seq - peer.judge.irs) % 2**32 == ack % 2**32
    assert state(peer) == "SYN_SENT"
    peer.answer()
    net.turn()
    peer.expect("A", seq=1, ack=1)


@pytest.mark.requirement("RFC 9293 3.10.7.3 first")
def test_first_a_reset_with_an_unacceptable_ack_is_dropped(net: Net) -> None:
    peer = net.listener(net.group(7)).connected_to()
    peer.expect("S")
    peer.rst(flags="RA", seq=0, ack=2)
    net.turn()
    peer.expect_nothing()
    assert state(peer) == "SYN_SENT"


@pytest.mark.requirement("RFC 5961 3.2 SYN-SENT", "RFC 9293 3.10.7.3 second")
def test_second_a_reset_that_acknowledges_the_syn_refuses(net: Net) -> None:
    """MUST-12's other side: refused is told from lost by its detail."""
    group = net.group(7)
    peer = net.listener(group).connected_to()
    group.send(peer.cd, b"not to be sent")
    peer.expect("S")
    peer.rst(flags="RA", seq=0, ack=1)
    net.turn()
    [(kind, _, cd, detail)] = net.take_events()
    assert (kind, cd, detail) == (EventKind.RESET, peer.cd, errno.ECONNREFUSED)
    net.advance(10)
    peer.expect_nothing()
    assert net.counters()["AttemptFails"] == 1
    assert (len(group), net.transmit_used) == (0, 0)


@pytest.mark.requirement("RFC 5961 3.2 SYN-SENT")
def test_second_a_reset_without_ack_is_dropped(net: Net) -> None:
    """RFC 5961 section 3: anybody could have sent it."""
    peer = net.listener(net.group(7)).connected_to()
    peer.expect("S")
    for seq in (0, 1, 0x7FFF_FFFF):
        peer.rst(seq=seq)
    net.turn()
    peer.expect_nothing()
    assert state(peer) == "SYN_SENT"


@pytest.mark.requirement("RFC 9293 3.10.7.3 fifth")
@pytest.mark.parametrize("flags", ["A", "FA", "F", "PU", ""])
def test_fifth_without_syn_or_rst_nothing_happens(net: Net, flags: str) -> None:
    peer = net.listener(net.group(7)).connected_to()
    peer.expect("S")
    net.inject(peer.packet(b"data", flags, seq=1, ack=1))
    net.turn()
    peer.expect_nothing()
    assert state(peer) == "SYN_SENT"


# --- simultaneous open (Figure 8) --------------------------------------------------------


def crossed(net: Net) -> Client:
    """Both sides have sent a SYN; the engine is in SYN-RECEIVED."""
    peer = net.listener(net.group(7)).connected_to()
    peer.expect("S")
    peer.answer(flags="S")
    net.turn()
    syn_ack = peer.expect("SA", seq=0, ack=1)
    assert (syn_ack.mss, syn_ack.wscale) == (1460, 7)
    assert syn_ack.tsecr == peer.tsval
    assert state(peer) == "SYN_RECEIVED"
    assert net.kinds() == []
    return peer


@pytest.mark.requirement("RFC 9293 MUST-10", "RFC 9293 3.10.7.3 fourth")
def test_simultaneous_open_as_in_the_figure(net: Net) -> None:
    peer = crossed(net)
    peer.answer()
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED]
    assert state(peer) == "ESTABLISHED"
    peer.expect("A", seq=1, ack=1)
    peer.is_alive()


@pytest.mark.requirement("RFC 9293 MUST-10")
def test_simultaneous_open_ends_by_a_mere_ack(net: Net) -> None:
    peer = crossed(net)
    peer.send(b"hello")
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED, EventKind.DATA]
    assert peer.group is not None
    assert peer.group.recv(10) == (peer.cd, b"hello")
    peer.group.send(peer.cd, b"", ackd=ALL)
    net.turn()
    peer.expect("A", seq=1, ack=6)
    assert peer.group.info(peer.cd).snd_wnd == 65_535 >> 7 << 7
    peer.is_alive()


def test_simultaneous_open_with_lost_answers(net: Net) -> None:
    """The SYN-ACK is sent again by its timer, and for each SYN that comes again."""
    peer = crossed(net)
    net.advance(1.0)
    peer.expect("SA", seq=0, ack=1, at=1.0)
    peer.answer(flags="S")
    net.turn()
    peer.expect("SA", seq=0, ack=1, at=1.0)
    peer.ack()
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED]


def test_simultaneous_open_that_nobody_ends(net: Net) -> None:
    peer = crossed(net)
    net.advance(181)
    assert peer.times() == SYN_TIMES[1:]
    assert [event[::3] for event in net.take_events()] == [(EventKind.DOWN, errno.ETIMEDOUT)]


@pytest.mark.requirement("RFC 9293 MUST-11")
def test_syn_received_is_refused_by_an_exact_reset(net: Net) -> None:
    """Section 3.10.7.4, second: it came from SYN-SENT, so this is a refusal; RFC 5961 section 3.2."""
    peer = crossed(net)
    peer.rst(seq=0)
    peer.rst(seq=1 + 70_000)
    net.turn()
    peer.expect_nothing()
    peer.rst(seq=100)
    net.turn()
    peer.expect("A", seq=1, ack=1)
    assert net.counters()["TCPChallengeACK"] == 1
    peer.rst(seq=1)
    net.turn()
    assert [event[::3] for event in net.take_events()] == [(EventKind.RESET, errno.ECONNREFUSED)]
    assert net.counters()["AttemptFails"] == 1


@pytest.mark.requirement("RFC 5961 4.2", "RFC 9293 3.10.7.4 fifth SYN-RECEIVED")
def test_syn_received_checks_number_syn_and_ack(net: Net) -> None:
    """First, fourth and fifth step of section 3.10.7.4, with RFC 5961's challenge and RFC 7323's PAWS."""
    peer = crossed(net)
    net.inject(peer.packet(flags="A", seq=1 + 70_000, ack=1))
    net.turn()
    peer.expect("A", seq=1, ack=1)
    net.advance(0.6)
    net.inject(peer.packet(flags="S", seq=50))
    net.turn()
    peer.expect("A", seq=1, ack=1)
    assert net.counters()["TCPSYNChallenge"] == 1
    net.inject(peer.packet(flags="", seq=1))
    net.inject(peer.packet(flags="A", seq=1, ack=1, options=[("Timestamp", (peer.tsval - 1_000, 0))]))
    net.turn()
    peer.expect_nothing()
    for flags, seq in (("A", 1), ("SA", 0)):
        net.inject(peer.packet(flags=flags, seq=seq, ack=2))
        net.turn()
        peer.expect_reset(seq=2)
    assert state(peer) == "SYN_RECEIVED"
    peer.ack()
    net.turn()
    assert state(peer) == "ESTABLISHED"


# --- closing before it is open ------------------------------------------------------------


@pytest.mark.requirement("RFC 9293 3.10.4 SYN-SENT")
@pytest.mark.parametrize("how", ["finish", "abort", "shutdown"])
def test_closing_in_syn_sent_forgets_it(net: Net, how: str) -> None:
    """Sections 3.10.4 and 3.10.5: the connection block is deleted, nothing is sent."""
    group = net.group(7)
    peer = net.listener(group).connected_to()
    group.send(peer.cd, b"never")
    peer.expect("S")
    getattr(group, how)(peer.cd)
    net.advance(10)
    peer.expect_nothing()
    assert (net.kinds(), len(group), net.transmit_used) == ([], 0, 0)
    assert net.counters()["AttemptFails"] == 1
    # Its late answer finds nobody.
    peer.answer()
    net.turn()
    peer.expect_reset(seq=1)


def test_closing_before_the_syn_has_left(net: Net) -> None:
    group = net.group(7)
    group.abort(group.connect(("198.51.100.7", 80)))
    net.advance(10)
    net.expect_nothing()


@pytest.mark.requirement("RFC 9293 3.10.4 SYN-RECEIVED")
def test_finish_in_syn_received_sends_fin(net: Net) -> None:
    """Section 3.10.4: with nothing to send, a FIN and FIN-WAIT-1 at once."""
    peer = crossed(net)
    assert peer.group is not None
    peer.group.shutdown(peer.cd)
    assert state(peer) == "FIN_WAIT_1"
    net.turn()
    peer.expect("FA", seq=1, ack=1)
    # The SYN goes first until it is acknowledged.
    net.advance(1.0)
    peer.expect("SA", seq=0, ack=1)
    peer.ack(1)
    net.turn()
    assert state(peer) == "FIN_WAIT_1"
    net.advance(3.0)
    assert all(segment.flags == {"F", "A"} for segment in peer.take())
    peer.ack(2)
    net.turn()
    assert state(peer) == "FIN_WAIT_2"
    peer.fin()
    net.turn()
    peer.expect("A", seq=2, ack=2)
    assert net.kinds()[-1] == EventKind.EOF


@pytest.mark.requirement("RFC 9293 3.10.4 SYN-RECEIVED")
def test_finish_in_syn_received_waits_for_what_is_queued(net: Net) -> None:
    """The FIN comes after the data, and that after the handshake."""
    peer = crossed(net)
    assert peer.group is not None
    peer.group.send(peer.cd, b"last words")
    peer.group.finish(peer.cd)
    net.turn()
    peer.expect_nothing()
    assert net.engine.snapshot().states["SYN_RECEIVED"] == 1
    peer.answer()
    net.turn()
    peer.expect("FPA", seq=1, ack=1, data=b"last words")
    assert net.engine.snapshot().states["FIN_WAIT_1"] == 1
    assert net.kinds() == []


def test_a_finished_connection_in_syn_received_is_given_up(net: Net) -> None:
    peer = crossed(net)
    assert peer.group is not None
    peer.group.finish(peer.cd)
    net.advance(200)
    assert net.engine.snapshot().connections == 0
    assert net.kinds() == []


@pytest.mark.requirement("RFC 9293 3.10.5")
def test_abort_in_syn_received_resets(net: Net) -> None:
    peer = crossed(net)
    assert peer.group is not None
    peer.group.abort(peer.cd)
    net.turn()
    peer.expect_reset(seq=1)
    assert net.counters()["AttemptFails"] == 1


@pytest.mark.parametrize("abort", [False, True])
def test_a_group_that_closes_takes_its_attempts_along(net: Net, abort: bool) -> None:
    group = net.group(7)
    peer = net.listener(group).connected_to()
    peer.expect("S")
    group.close(abort=abort)
    net.advance(5)
    peer.expect_nothing()
    assert net.engine.snapshot().connections == 0


def test_a_connection_that_was_opened_closes_like_any(net: Net) -> None:
    group = net.group(7)
    peer = net.listener(group).active_established()
    group.finish(peer.cd)
    net.turn()
    peer.expect("FA", seq=1, ack=1)
    peer.fin(ack=2)
    net.turn()
    peer.expect("A", seq=2, ack=2)
    assert net.engine.snapshot().time_wait == 1
