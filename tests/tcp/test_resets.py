"""Resets, SYNs and blind segments in a connection (RFC 9293 3.10.7, RFC 5961)."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import MiB
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import StaleConnection

#: Challenge ACKs go out at most this often per connection, seconds.
PACE = 0.5


class TestReset:
    @pytest.mark.requirement("RFC 9293 MUST-12", "RFC 5961 3.2 exact", "RFC 9293 3.10.7.4 second")
    def test_at_exactly_rcv_nxt_it_ends_the_connection(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.rst()
        net.turn()
        assert [e[:3] for e in net.take_events()] == [(EventKind.RESET, group.fileno(), client.cd)]
        client.expect_nothing()
        with pytest.raises(StaleConnection):
            group.peer(client.cd)

    @pytest.mark.requirement("RFC 9293 SHLD-2")
    @pytest.mark.parametrize("flags", ["R", "RA"])
    @pytest.mark.parametrize("data", [b"", b"reason: bored"])
    def test_flags_and_data_beside_it_do_not_matter(self, net: Net, flags: str, data: bytes) -> None:
        """RFC 9293 SHLD-2: a RST may carry data."""
        client = net.client(net.group(7)).established()
        client.send(data, flags)
        net.turn()
        assert net.kinds() == [EventKind.RESET]

    @pytest.mark.requirement("RFC 5961 3.2 window")
    @pytest.mark.parametrize("offset", [1, 2, 1_000, 30_000, 62_000])
    def test_elsewhere_in_the_window_it_is_challenged(self, net: Net, offset: int) -> None:
        """RFC 5961 3.2: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, and nothing else changes."""
        client = net.client(net.group(7)).established()
        client.rst(seq=1 + offset)
        net.turn()
        client.expect("A", seq=1, ack=1)
        assert net.take_events() == []
        client.is_alive()

    @pytest.mark.requirement("RFC 5961 3.2 outside")
    @pytest.mark.parametrize("offset", [-1, -1_000, 70_000, 1 << 20, 1 << 31, (1 << 32) - 70_000])
    def test_outside_of_the_window_it_is_dropped(self, net: Net, offset: int) -> None:
        client = net.client(net.group(7)).established()
        client.rst(seq=1 + offset)
        net.turn()
        client.expect_nothing()
        assert net.take_events() == []
        client.is_alive()

    @pytest.mark.requirement("RFC 5961 3.2 window")
    def test_beyond_what_a_header_can_show_it_is_challenged(self, make_net: MakeNet) -> None:
        """RFC 5961 3.2 speaks of RCV.WND, what may be received; 16 bits cannot always show it."""
        net = make_net()
        group = net.group(7, pool=net.engine.create_pool(64 * MiB))
        client = net.client(group, wscale=None).established()
        room = client.judge.edge + 900_000
        for seq, answered in ((client.judge.edge, True), (room, True), (room + 600_000, False)):
            for _ in range(3):
                client.rst(seq=seq)
                net.turn()
            if answered:
                client.expect("A", seq=1, ack=1)
            client.expect_nothing()
            net.advance(PACE + 0.1)
        assert net.take_events() == []
        client.is_alive()

    @pytest.mark.requirement("RFC 5961 3.2 window")
    def test_after_the_challenge_a_real_peer_resets_exactly(self, net: Net) -> None:
        """RFC 5961 3.2: the peer that really reset answers the challenge with the right number."""
        client = net.client(net.group(7)).established()
        client.rst(seq=500)
        net.turn()
        challenge = client.expect("A")
        client.rst(seq=(challenge.ack - client.iss) % 2**32)
        net.turn()
        assert net.kinds() == [EventKind.RESET]

    @pytest.mark.requirement("RFC 5961 7")
    def test_a_flood_of_guesses_gets_one_answer_per_pace(self, net: Net) -> None:
        """Per connection, with no counter shared between connections (CVE-2016-5696)."""
        group = net.group(7)
        victims = [net.client(group).established() for _ in range(3)]
        for step in range(2_000):
            for victim in victims:
                victim.rst(seq=2 + step * 30)
            if step % 100 == 99:
                net.turn()
        net.advance(0)
        for victim in victims:
            victim.expect("A", ack=1)
            victim.expect_nothing()
        net.advance(PACE + 0.01)
        victims[0].rst(seq=5_000)
        net.turn()
        victims[0].expect("A", ack=1)
        for victim in victims:
            victim.is_alive()

    @pytest.mark.requirement("RFC 5961 3.2 exact")
    def test_every_offset_around_rcv_nxt(self, net: Net) -> None:
        """attacks.md 3, the near ones: only RCV.NXT kills."""
        client = net.client(net.group(7)).established()
        client.exchange(bytes(1_000), b"a")
        for offset in [*range(-300, 0), *range(1, 300)]:
            client.rst(seq=client.seq + offset)
            if offset % 50 == 0:
                net.turn()
        net.turn()
        assert net.take_events(EventKind.RESET) == []
        client.rst()
        net.turn()
        assert [e[0] for e in net.take_events(EventKind.RESET)] == [EventKind.RESET]

    def test_it_is_never_answered(self, net: Net) -> None:
        """RFC 9293 3.10.7.1."""
        client = net.client(net.group(7)).established()
        client.rst()
        client.rst()
        client.rst(flags="RA")
        net.turn()
        client.expect_nothing()

    @pytest.mark.feature("P14")
    def test_held_data_does_not_move_the_exact_number(self, net: Net) -> None:
        """Under `application` RCV.NXT runs ahead of the ACK on the wire; the client resets at its SND.NXT."""
        client = net.client(net.group(7, ack_policy="application")).established()
        client.request(b"request")
        net.take_events()
        client.rst(seq=8)
        net.turn()
        assert net.kinds() == [EventKind.RESET]


@pytest.mark.requirement("RFC 5961 3.2 window")
@pytest.mark.parametrize("wscale", [None, 7])
def test_a_challenge_before_the_handshake_ends_keeps_the_window(net: Net, wscale: int | None) -> None:
    """RFC 5961 3.2 in SYN-RECEIVED: a closed window would silence a peer that is established already."""
    client = net.client(net.group(7), wscale=wscale).syn_received()
    client.rst(seq=30_000)
    net.turn()
    challenge = client.expect("A", seq=1, ack=1)
    assert challenge.window << (wscale or 0) > 60_000


class TestSynInAConnection:
    """RFC 5961 section 4."""

    @pytest.mark.requirement("RFC 5961 4.2", "RFC 9293 3.10.7.4 fourth")
    @pytest.mark.parametrize("seq", [0, 1, 2, 30_000, 1 << 20, 1 << 31])
    def test_it_is_challenged_wherever_it_lies(self, net: Net, seq: int) -> None:
        group = net.group(7)
        client = net.client(group).established()
        net.advance(1)
        client.send(b"", "S", seq=seq, options=[("MSS", 536)])
        net.turn()
        client.expect("A", seq=1, ack=1)
        assert group.pending() == []
        client.seq = 1
        client.is_alive()

    @pytest.mark.requirement("RFC 5961 7")
    def test_the_challenge_is_paced(self, net: Net) -> None:
        client = net.client(net.group(7)).established()
        net.advance(1)
        for step in range(200):
            client.send(b"", "S", seq=step * 1_000, options=[("MSS", 536)])
        net.turn()
        client.expect("A", seq=1, ack=1)
        client.expect_nothing()

    def test_a_syn_ack_too(self, net: Net) -> None:
        client = net.client(net.group(7)).established()
        net.advance(1)
        client.send(b"", "SA", seq=0)
        net.turn()
        client.take()
        client.seq = 1
        client.is_alive()


@pytest.mark.requirement("RFC 5961 5.2")
class TestBlindData:
    """RFC 5961 section 5: the ACK field must lie in [SND.UNA - MAX.SND.WND, SND.NXT]."""

    @pytest.mark.requirement("RFC 9293 MAY-12")
    @pytest.mark.parametrize("offset", [1, 100, 70_000, 1 << 30, (1 << 31) - 1, -70_000 * 4, -(1 << 30)])
    def test_data_with_a_wrong_ack_is_not_delivered(self, net: Net, offset: int) -> None:
        group = net.group(7)
        client = net.client(group).established()
        client.exchange(b"q", b"a")
        client.send(b"forged", ack=client.rcv_nxt + offset)
        net.turn()
        assert group.recv(10) is None
        assert len(client.take()) <= 1
        client.seq = 2
        client.judge.peer_edge = client.rcv_nxt + client.window
        client.is_alive()

    def test_an_old_ack_within_the_greatest_window_is_good(self, net: Net) -> None:
        """The data of a segment that was delayed on its way still counts."""
        group = net.group(7)
        client = net.client(group).established()
        client.exchange(b"q", bytes(1_000))
        client.send(b"delayed", ack=1)
        net.turn()
        assert group.recv(10) == (client.cd, b"delayed")

    def test_an_ack_of_what_was_not_sent_moves_nothing(self, net: Net) -> None:
        """attacks.md 12, optimistic ACK: answered by an ACK, SND.UNA stays."""
        group = net.group(7)
        client = net.client(group).established()
        group.send(client.cd, b"answer")
        net.flush()
        client.expect("A", data=b"answer")
        before = group.info(client.cd)
        client.ack(100)
        net.turn()
        client.expect("A", ack=1)
        after = group.info(client.cd)
        assert (after.snd_una, after.cwnd) == (before.snd_una, before.cwnd)
        net.advance(0.25)
        client.expect("A", seq=1, data=b"answer")


def test_two_ends_out_of_step_do_not_storm(make_net: MakeNet) -> None:
    """attacks.md 7: each end answers the other's unacceptable ACK; the pace ends it."""
    net = make_net()
    client = net.client(net.group(7)).established()
    sent = 0
    for _ in range(200):
        client.send(b"", "A", seq=100_000, ack=1)
        net.advance(0.05)
        sent += len(client.take())
    assert sent <= 21, f"{sent} answers in 10 s"
    client.seq = 1
    client.is_alive()
