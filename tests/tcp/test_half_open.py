"""The table of half-open entries: bounded, the oldest making room (RFC 4987 section 3.4)."""

from __future__ import annotations

import pytest
from support.net import V4, MakeNet, Net
from support.packets import build

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P08")


def flood(net: Net, count: int, port: int = 9, first: int = 0) -> None:
    """So many SYNs of as many strangers."""
    for index in range(first, first + count):
        address = f"198.51.{index // 250 % 250}.{index % 250 + 1}"
        net.inject(build(address, V4, 1_024 + index // 62_500, port, seq=index, flags="S"))
    net.advance(0)


@pytest.mark.requirement("RFC 4987 3.4")
class TestOffers:
    """Requests that wait for the application."""

    def test_a_flood_drives_out_its_own_oldest(self, make_net: MakeNet) -> None:
        net = make_net(max_half_open=64)
        flooded, quiet = net.group(9), net.group(7)
        client = net.client(quiet).asked()
        flood(net, 500)
        assert net.engine.snapshot().half_open <= 49
        oldest, newest = flooded.pending()[0][1], flooded.pending()[-1][1]
        assert newest[0] == "198.51.1.250"
        assert oldest[0] == "198.51.1.203", "the 48 latest"
        counters = net.counters()
        assert counters["TCPReqQFullDrop"] == counters["ListenDrops"] == 500 - 48
        assert [tuple(peer) for _, peer in quiet.pending()] == [client.key]
        net.strays.clear()

    def test_room_is_left_for_other_groups(self, make_net: MakeNet) -> None:
        net = make_net(max_half_open=64)
        net.group(9)
        quiet = net.group(7)
        flood(net, 500)
        clients = [net.client(quiet).asked() for _ in range(7)]
        flood(net, 500, first=500)
        assert [tuple(peer) for _, peer in quiet.pending()] == [client.key for client in clients]
        for client in clients:
            quiet.accept(client.pending_id())
            net.flush()
            client.expect("SA")
            client.ack()
            net.turn()
        assert len(quiet) == 7
        net.take_events()
        net.strays.clear()

    def test_one_that_was_driven_out_cannot_be_accepted(self, make_net: MakeNet) -> None:
        from xtcp_twisted.errors import StalePending

        net = make_net(max_half_open=16)
        group = net.group(9)
        flood(net, 1)
        [(pending, _)] = group.pending()
        flood(net, 20, first=1)
        with pytest.raises(StalePending):
            group.accept(pending)
        net.strays.clear()


class TestAnswered:
    """Requests whose SYN-ACK waits for its ACK."""

    @pytest.mark.requirement("RFC 4987 3.4")
    def test_without_cookies_the_oldest_makes_room(self, make_net: MakeNet) -> None:
        net = make_net(max_half_open=64, syn_cookies="off")
        net.group(9, accept_credits=UNLIMITED)
        flood(net, 300)
        assert net.engine.snapshot().half_open == 49
        assert net.counters()["TCPReqQFullDrop"] == 300 - 49
        net.inject(build("198.51.1.50", V4, 1_024, 9, seq=300, ack=net.strays[-1].seq + 1))
        net.turn()
        assert net.engine.snapshot().connections == 1, "the latest is still there"
        net.strays.clear()

    def test_in_a_full_table_they_make_room_for_an_offer(self, make_net: MakeNet) -> None:
        net = make_net(max_half_open=16)
        full = net.group(9)
        flood(net, 12)
        for pending, _ in full.pending():
            full.accept(pending)
        for port in (21, 22, 23, 24):
            net.group(port)
            flood(net, 1, port)
        assert net.engine.snapshot().half_open == 16
        client = net.client(net.group(7)).asked()
        client.pending_id()
        assert net.engine.snapshot().half_open == 16
        net.strays.clear()

    @pytest.mark.requirement("RFC 4987 3.3")
    def test_among_many_a_syn_ack_is_sent_again_once(self, make_net: MakeNet) -> None:
        """Attack row 1: no more again than at first; a single one is sent five times."""
        net = make_net(max_half_open=64)
        net.group(9, accept_credits=UNLIMITED)
        flood(net, 40)
        assert len(net.strays) == 40
        net.advance(2.9)
        assert len(net.strays) == 80
        net.advance(0.2)
        assert net.engine.snapshot().half_open == 32, "half of the table may be patient"
        net.advance(60)
        assert net.engine.snapshot().half_open == 0
        net.strays.clear()


class TestCredits:
    def test_a_request_that_comes_to_nothing_gives_its_credit_back(self, net: Net) -> None:
        """Else a flood would spend what was meant for connections."""
        group = net.group(9, accept_credits=2)
        flood(net, 2)
        assert len(net.strays) == 2
        late = net.client(group).asked()
        late.expect_nothing()
        net.strays.clear()
        net.inject(build("198.51.0.1", V4, 1_024, 9, seq=1, flags="R"))
        net.turn()
        net.advance(0.001)
        late.expect("SA")
        late.ack()
        net.turn()
        assert len(group) == 1
        net.advance(40)
        net.client(group).established()
        net.client(group).asked().expect_nothing()
        net.strays.clear()

    def test_credits_that_were_taken_back_stay_away(self, net: Net) -> None:
        group = net.group(9, accept_credits=5)
        flood(net, 3)
        group.credit(0)
        net.advance(40)
        assert net.engine.snapshot().half_open == 0
        net.client(group).asked().expect_nothing()
        net.strays.clear()

    def test_unlimited_ones_stay_unlimited(self, net: Net) -> None:
        group = net.group(9, accept_credits=UNLIMITED)
        flood(net, 3)
        net.advance(40)
        net.strays.clear()
        net.client(group).established().is_alive()


class TestFirstRoundTrip:
    """RFC 6298 (2.2), RFC 7323 section 4.1 and Karn, for the passive side."""

    @pytest.mark.requirement("RFC 7323 4.1", "RFC 6298 3")
    def test_of_a_syn_ack_that_was_sent_again_the_timestamp_tells(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).syn_received()
        net.advance(1.0)
        client.expect("SA", at=1)
        net.advance(0.2)
        client.ack()
        net.turn()
        assert group.info(client.cd).srtt_us == 200_000

    @pytest.mark.requirement("RFC 6298 3")
    def test_without_one_a_repeated_syn_leaves_it_open(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group, timestamps=False).syn_received()
        net.advance(0.5)
        client.syn()
        net.turn()
        client.expect("SA")
        net.advance(0.1)
        client.ack()
        net.turn()
        info = group.info(client.cd)
        assert (info.srtt_us, info.rto_ms) == (0, 1_000)

    @pytest.mark.requirement("RFC 5681 3.1 SYN")
    def test_after_two_lost_ones_the_window_begins_with_one_segment(self, net: Net) -> None:
        """RFC 6928 section 2: not after one, which the path's length may have cost."""
        group = net.group(7)
        windows = []
        for lost in (0, 1, 2):
            client = net.client(group).syn_received()
            net.advance(2**lost - 1)
            client.ack()
            net.turn()
            client.take()
            windows.append(group.info(client.cd).cwnd)
            net.take_events(EventKind.ESTABLISHED)
        assert windows == [14_480, 14_480, 1_448]
