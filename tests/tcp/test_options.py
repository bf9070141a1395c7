"""TCP options: what is offered, what is agreed, what must not hurt (RFC 9293 3.2, RFC 7323)."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P33")


class TestMss:
    @pytest.mark.requirement(
        "RFC 9293 MUST-14",
        "RFC 9293 MUST-65",
        "RFC 9293 MUST-67",
        "RFC 9293 SHLD-5",
        "RFC 9293 MAY-3",
        "RFC 6691 2",
    )
    @pytest.mark.parametrize("v6, mtu, mss", [(False, 1500, 1460), (True, 1500, 1440), (False, 9000, 8960)])
    def test_ours_is_what_the_mtu_leaves(self, make_net: MakeNet, v6: bool, mtu: int, mss: int) -> None:
        """RFC 9293 MUST-67, RFC 6691: MTU minus fixed headers, whatever options will be used."""
        net = make_net(mtu=mtu)
        group = net.group(7, v6=v6)
        client = net.client(group)
        client.syn()
        with net.in_turn():
            group.accept()
        assert client.expect("SA").mss == mss

    @pytest.mark.requirement("RFC 9293 MUST-16", "RFC 6691 2")
    def test_the_groups_limit_is_announced_and_used(self, net: Net) -> None:
        group = net.group(7, mss=500)
        client = net.client(group)
        client.syn()
        with net.in_turn():
            cd = group.accept()
        assert client.expect("SA").mss == 500
        client.ack()
        net.turn()
        group.send(cd, bytes(2_000))
        net.turn()
        assert max(len(s.data) for s in client.take()) == 500 - 12

    @pytest.mark.requirement("RFC 9293 MUST-15")
    @pytest.mark.parametrize("v6, default", [(False, 536), (True, 1220)])
    @pytest.mark.parametrize("timestamps", [False, True])
    def test_without_the_option_the_default_counts(
        self, net: Net, v6: bool, default: int, timestamps: bool
    ) -> None:
        """RFC 9293 MUST-15."""
        group = net.group(7, v6=v6)
        client = net.client(group, mss=None, timestamps=timestamps).established()
        group.send(client.cd, bytes(4_000))
        net.turn()
        sizes = [len(s.data) for s in client.take()]
        assert sizes[0] == default - (12 if timestamps else 0)
        assert sum(sizes) == 4_000

    @pytest.mark.requirement("RFC 9293 MUST-14", "RFC 9293 MUST-16", "RFC 9293 SHLD-28")
    @pytest.mark.parametrize("mss", [1460, 1000, 536, 300])
    def test_the_peers_is_respected(self, net: Net, mss: int) -> None:
        group = net.group(7)
        client = net.client(group, mss=mss, timestamps=False).established()
        group.send(client.cd, bytes(5 * mss))
        net.turn()
        assert {len(s.data) for s in client.take()} == {mss}

    @pytest.mark.parametrize("mss", [0, 1, 8, 47, 215])
    def test_a_tiny_one_is_raised_to_the_floor(self, net: Net, mss: int) -> None:
        """CVE-2019-11479: nobody makes us send a packet per byte."""
        group = net.group(7)
        client = net.client(group, mss=mss, timestamps=False).established()
        group.send(client.cd, bytes(1_000))
        net.turn()
        assert len(client.expect("A", data=client.judge.stream[:216]).data) == 216

    @pytest.mark.requirement("RFC 9293 MUST-16")
    def test_a_huge_one_does_not_exceed_our_mtu(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group, mss=65_535).established()
        group.send(client.cd, bytes(5_000))
        net.turn()
        assert max(len(s.raw) for s in client.take()) == 1_500


@pytest.mark.feature("P37")
class TestWindowScale:
    @pytest.mark.requirement("RFC 7323 2.2")
    def test_agreed_when_both_offer(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group)
        client.syn()
        with net.in_turn():
            group.accept()
        assert client.expect("SA").wscale == 7

    @pytest.mark.requirement("RFC 7323 2.2")
    def test_not_offered_when_the_client_does_not(self, net: Net) -> None:
        """RFC 7323 2.2: only in answer to an offer; then windows are unscaled both ways."""
        group = net.group(7)
        client = net.client(group, wscale=None, window=3_000).established()
        assert client.judge.opening is not None and client.judge.opening.wscale is None
        assert group.info(client.cd).snd_wnd == 3_000
        assert (group.info(client.cd).snd_scale, group.info(client.cd).rcv_scale) == (0, 0)
        client.is_alive()

    def test_the_group_may_decline(self, net: Net) -> None:
        client = net.client(net.group(7, window_scaling=False)).established()
        assert client.judge.opening is not None and client.judge.opening.wscale is None
        client.is_alive()

    @pytest.mark.requirement("RFC 7323 2.2")
    def test_a_window_in_a_syn_is_not_scaled(self, net: Net) -> None:
        """RFC 7323 2.2."""
        group = net.group(7)
        client = net.client(group, wscale=10)
        client.syn(win=5_000)
        with net.in_turn():
            cd = group.accept()
        client.expect("SA")
        client.send(b"", "A", win=20 << 10)
        net.turn()
        assert group.info(cd).snd_wnd == 20 << 10

    @pytest.mark.requirement("RFC 7323 2.3")
    @pytest.mark.parametrize("scale", [15, 100, 255])
    def test_a_scale_beyond_14_counts_as_14(self, net: Net, scale: int) -> None:
        """RFC 7323 2.3."""
        group = net.group(7)
        client = net.client(group, wscale=scale, window=2 << 14).established()
        info = group.info(client.cd)
        assert (info.snd_scale, info.snd_wnd) == (14, 2 << 14)

    @pytest.mark.requirement("RFC 9293 MUST-1", "RFC 9293 REC-1")
    def test_the_largest_window(self, net: Net) -> None:
        """RFC 9293 MUST-1: 65535 << 14 is a window, not a negative number."""
        group = net.group(7)
        client = net.client(group, wscale=14, window=65_535 << 14).established()
        assert group.info(client.cd).snd_wnd == 65_535 << 14
        client.is_alive()


@pytest.mark.feature("P37")
class TestTimestamps:
    def test_echoed_from_the_first_segment_on(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group)
        client.syn()
        first = client.tsval
        net.advance(0.1)
        group.accept()
        net.flush()
        answer = client.expect("SA")
        assert answer.tsecr == first
        assert answer.tsval is not None

    @pytest.mark.requirement("RFC 7323 3.2")
    def test_not_used_when_the_client_does_not_offer(self, net: Net) -> None:
        client = net.client(net.group(7), timestamps=False).established()
        assert not client.judge.timestamps
        client.is_alive()

    def test_the_group_may_decline(self, net: Net) -> None:
        client = net.client(net.group(7, timestamps=False)).established()
        assert not client.judge.timestamps
        client.is_alive()

    @pytest.mark.requirement("RFC 7323 4.3")
    def test_the_answer_echoes_the_requests_value(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        net.advance(1)
        client.send(b"request")
        sent = client.tsval
        net.advance(0.020)
        group.recv(100)
        group.send(client.cd, b"answer", ackd=ALL)
        net.flush()
        assert client.expect("A", data=b"answer").tsecr == sent

    @pytest.mark.requirement("RFC 7323 4.3")
    def test_a_delayed_ack_echoes_the_earliest_segment(self, net: Net) -> None:
        """RFC 7323 4.3 (A): so that the delay is part of the sender's measurement."""
        group = net.group(7)
        client = net.client(group).established()
        net.advance(1)
        client.send(b"one")
        first = client.tsval
        net.advance(0.010)
        client.send(b"two")
        net.turn()
        assert client.expect("A", ack=7).tsecr == first

    @pytest.mark.requirement("RFC 7323 4.3")
    def test_out_of_order_segments_do_not_move_ts_recent(self, net: Net) -> None:
        """RFC 7323 4.3 (B): TSecr stays that of the last segment that advanced the window."""
        group = net.group(7, ack_policy="immediate")
        client = net.client(group).established()
        client.send(b"abc")
        before = client.tsval
        net.turn()
        client.take()
        net.advance(1)
        client.send(b"xyz", seq=7)
        net.turn()
        assert client.expect("A", ack=4).tsecr == before

    @pytest.mark.requirement("RFC 7323 5.4")
    def test_our_clock_runs_and_has_an_offset_per_connection(self, net: Net) -> None:
        """Values grow with time; two clients cannot learn our uptime or each other's."""
        group = net.group(7, ack_policy="immediate")
        values = {}
        for client in (net.client(group).established(), net.client(group, ip="203.0.113.5").established()):
            client.send(b"x")
            net.turn()
            first = client.expect("A", ack=2).tsval
            net.advance(10)
            client.send(b"y")
            net.turn()
            second = client.expect("A", ack=3).tsval
            assert first is not None and second is not None
            ticks = (second - first) % 2**32
            assert 10 <= ticks <= 10_001, f"{ticks} ticks in 10 s (RFC 7323 5.4: 1 ms to 1 s each)"
            values[client.ip] = first
        assert len(set(values.values())) == 2


@pytest.mark.feature("P37")
class TestPaws:
    """RFC 7323 section 5."""

    @pytest.mark.requirement("RFC 7323 5.3 R1")
    def test_an_old_segment_is_dropped_and_acknowledged(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).established()
        net.advance(5)
        client.exchange(b"q", b"a")
        old = [("NOP", None), ("NOP", None), ("Timestamp", (client.tsval - 4_000, client.ts_recent))]
        client.send(b"stale", seq=2, options=old)
        net.turn()
        assert group.recv(100) is None
        client.expect("A", ack=2)
        client.seq = 2
        client.is_alive()

    @pytest.mark.requirement("RFC 7323 5.3 R3")
    @pytest.mark.parametrize("beyond", [1, 2**30])
    def test_a_poisoned_value_with_an_impossible_ack_is_not_taken(self, net: Net, beyond: int) -> None:
        """Attacks, row 27: a guess in the window would else shut the peer out for ever."""
        group = net.group(7)
        client = net.client(group).established()
        net.advance(5)
        client.exchange(b"q", b"a")
        poison = [("NOP", None), ("NOP", None), ("Timestamp", (client.tsval + 2**30, client.ts_recent))]
        client.send(b"x", seq=2, ack=2 + beyond, options=poison)
        net.turn()
        assert net.counters()["TCPChallengeACK"] == 1
        client.take()
        client.seq = 2
        client.is_alive()

    @pytest.mark.requirement("RFC 7323 4.3")
    def test_a_handshake_that_a_later_segment_completes(self, net: Net) -> None:
        """Its TSval is not taken, since it does not begin at RCV.NXT; the one before it still passes."""
        group = net.group(7)
        client = net.client(group).syn_received()
        net.advance(0.5)
        early = client.tsval
        net.advance(0.5)
        client.send(b"world", seq=6)
        net.turn()
        client.take()
        stamp = [("NOP", None), ("NOP", None), ("Timestamp", (early, client.ts_recent))]
        client.send(b"hello", seq=1, options=stamp)
        net.turn()
        got = group.recv(100)
        assert got is not None and got[1] == b"helloworld"
        assert net.counters()["PAWSEstabRejected"] == 0

    @pytest.mark.requirement("RFC 7323 5.2")
    def test_a_reset_is_exempt(self, net: Net) -> None:
        """RFC 7323 5.2: the timestamp of a RST is not checked."""
        group = net.group(7)
        client = net.client(group).established()
        net.advance(5)
        client.exchange(b"q", b"a")
        old = [("NOP", None), ("NOP", None), ("Timestamp", (client.tsval - 4_000, 0))]
        client.rst(options=old)
        net.turn()
        assert net.engine.snapshot().connections == 0

    @pytest.mark.requirement("RFC 7323 5.3 R3")
    def test_a_poisoned_value_outside_of_the_window_is_not_taken(self, net: Net) -> None:
        """attacks.md 27: TS.Recent moves only with a segment that is acceptable."""
        group = net.group(7)
        client = net.client(group).established()
        far = [("NOP", None), ("NOP", None), ("Timestamp", ((client.tsval + 2**30) % 2**32, 0))]
        client.send(b"x", seq=500_000_000, options=far)
        net.turn()
        client.take()
        client.seq = 1
        client.judge.ranges.pop()
        client.is_alive()

    @pytest.mark.requirement("RFC 7323 3.2 missing")
    def test_a_segment_without_the_option_is_dropped(self, net: Net) -> None:
        """RFC 7323 3.2: once agreed, a non-RST segment without it SHOULD be dropped."""
        group = net.group(7)
        client = net.client(group).established()
        client.send(b"blind", options=[])
        net.turn()
        assert group.recv(100) is None
        client.take()
        client.seq = 1
        client.is_alive()


class TestOddOptions:
    @pytest.mark.requirement("RFC 9293 MUST-4", "RFC 9293 MUST-69")
    @pytest.mark.parametrize(
        "area, mss",
        [
            pytest.param(b"\x02\x04\x03\xe8", 1_000, id="MSS"),
            pytest.param(b"\x01\x01\x02\x04\x03\xe8\x01\x00", 1_000, id="NOP, MSS, NOP, end"),
            pytest.param(b"\x00\x00\x00\x00\x02\x04\x03\xe8", 536, id="what follows the end is none"),
        ],
    )
    def test_the_mandatory_set(self, net: Net, area: bytes, mss: int) -> None:
        """RFC 9293 MUST-4, -69."""
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group, timestamps=False)
        client.syn(raw_options=area)
        net.turn()
        client.expect("SA", ack=1)
        client.ack()
        net.turn()
        [made] = net.take_events(EventKind.ESTABLISHED)
        group.send(made[2], bytes(2_500))
        net.turn()
        assert len(client.take()[0].data) == mss

    @pytest.mark.requirement("RFC 9293 MUST-5", "RFC 9293 MUST-6", "RFC 9293 MUST-68")
    @pytest.mark.parametrize("kind", [6, 14, 15, 19, 28, 29, 30, 34, 69, 200, 252, 253, 254])
    @pytest.mark.parametrize("length", [2, 3, 7, 20])
    def test_unknown_ones_are_skipped(self, net: Net, kind: int, length: int) -> None:
        """RFC 9293 MUST-6, on a SYN and on data."""
        group = net.group(7, accept_credits=UNLIMITED)
        unknown = bytes((kind, length)) + bytes(range(length - 2))
        client = net.client(group, timestamps=False)
        client.syn(raw_options=unknown + b"\x02\x04\x04\x00")
        net.turn()
        client.expect("SA", ack=1)
        client.send(b"data", "A", raw_options=unknown)
        with net.in_turn():
            received = group.recv(100)
            assert received is not None and received[1] == b"data"
            group.send(received[0], bytes(1_024), ackd=ALL)
        client.expect("A", ack=5, data=bytes(1_024))

    @pytest.mark.requirement("RFC 9293 MUST-7")
    @pytest.mark.parametrize(
        "area",
        [
            pytest.param(b"\x02\x00\x05\xb4", id="mss length 0"),
            pytest.param(b"\x02\x01\x05\xb4", id="mss length 1"),
            pytest.param(b"\x02\x03\x05\xb4", id="mss length 3"),
            pytest.param(b"\x02\x28\x05\xb4", id="mss over the end"),
            pytest.param(b"\x01\x01\x01\x02", id="mss without length"),
            pytest.param(b"\x03\x03", id="wscale cut off"),
            pytest.param(b"\x08\x0a\x00\x00\x00\x01", id="timestamps cut off"),
            pytest.param(b"\x08\x02\x01\x01", id="timestamps length 2"),
            pytest.param(b"\xfd\x00\x00\x00", id="unknown length 0"),
            pytest.param(b"\xfd\x01" * 20, id="unknown length 1, 20 times"),
            pytest.param(b"\xfd\xff\x00\x00", id="unknown over the end"),
            pytest.param(b"\x00" * 40, id="all end"),
            pytest.param(b"\x01" * 40, id="all nop"),
            pytest.param(b"\x00\x02\x04\x00", id="mss after the end"),
        ],
    )
    def test_illegal_lengths_do_not_hurt(self, net: Net, area: bytes) -> None:
        """RFC 9293 MUST-7: the SYN is dropped or its options ignored; the engine serves on."""
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group, timestamps=False)
        client.syn(raw_options=area)
        net.turn()
        for segment in client.take():
            assert segment.flags in ({"S", "A"}, {"R", "A"})
        other = net.client(group).established()
        other.send(b"", "A", raw_options=area)
        other.send(b"x", "A", raw_options=area)
        net.turn()
        other.take()
        net.client(group).established().is_alive()

    @pytest.mark.requirement("RFC 9293 MUST-64")
    def test_options_need_no_alignment(self, net: Net) -> None:
        """RFC 9293 MUST-64: NOPs are a sender's habit, not a rule."""
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group)
        stamp = client.tsval.to_bytes(4) + bytes(4)
        client.syn(raw_options=b"\x03\x03\x07\x08\x0a" + stamp + b"\x02\x04\x03\xe8")
        net.turn()
        answer = client.expect("SA")
        assert answer.wscale == 7
        assert answer.tsecr == client.tsval

    def test_ecn_setup_bits_on_a_syn_do_not_disturb(self, net: Net) -> None:
        """RFC 3168 6.1.1.1: a host without ECN answers with plain SYN-ACK, or agrees with ECE."""
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group)
        client.send(b"", "SEC", seq=0, options=[("MSS", 1460)])
        net.turn()
        [answer] = client.take()
        assert {"S", "A"} <= answer.flags
        assert "C" not in answer.flags
