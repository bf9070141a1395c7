"""TCP Fast Open, the server's side (P38; RFC 7413)."""

from __future__ import annotations

import errno

import pytest
from support.fast_open import ANSWER, END, REQUEST, cookie_for, opened, pending, served
from support.icmp import error
from support.net import PEER_V4, V4, MakeNet, Net

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P38")


class TestExchange:
    @pytest.mark.parametrize("v6", [False, True])
    @pytest.mark.requirement("RFC 7413 4.2.2")
    def test_the_answer_leaves_before_the_handshake_is_complete(self, net: Net, v6: bool) -> None:
        group = served(net, v6=v6)
        client = opened(net, group)
        assert net.kinds() == [EventKind.DATA]
        assert group.recv(100) == (client.cd, REQUEST)
        assert group.info(client.cd).state == "SYN_RECEIVED"
        group.send(client.cd, ANSWER, ALL)
        net.flush()
        client.expect("SA", seq=0, ack=END)
        client.expect("A", seq=1, ack=END, data=ANSWER)
        client.expect_nothing()
        client.ack()
        net.turn()
        client.expect_nothing()
        assert group.info(client.cd).state == "ESTABLISHED"
        assert group.info(client.cd).snd_una == group.info(client.cd).snd_nxt
        client.is_alive()
        assert net.kinds().count(EventKind.ESTABLISHED) == 0
        assert net.counters()["TCPFastOpenPassive"] == 1

    def test_a_late_answer_goes_too(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        net.flush()
        client.expect("SA", ack=END)
        group.recv(100)
        net.advance(0.03)
        group.send(client.cd, ANSWER, ALL)
        net.flush()
        client.expect("A", seq=1, data=ANSWER)
        net.advance(0.02)
        client.ack()
        net.turn()
        assert group.info(client.cd).srtt_us == 20_000

    def test_a_cookie_alone_lets_the_server_speak_first(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group, b"")
        group.send(client.cd, b"hello")
        net.flush()
        client.expect("SA", seq=0, ack=1)
        client.expect("A", seq=1, data=b"hello")
        client.ack()
        client.is_alive()

    def test_the_application_decides_before_anything_is_sent(self, net: Net) -> None:
        group = served(net, accept_credits=0)
        cookie = cookie_for(net, group)
        client = net.client(group)
        client.syn(cookie=cookie, data=REQUEST)
        net.turn()
        client.expect_nothing()
        assert net.kinds() == [EventKind.PENDING]
        net.advance(0.1)
        client.cd = cd = group.accept()
        assert net.engine.snapshot().half_open == 0
        net.poll()
        assert group.recv(100) == (cd, REQUEST)
        group.send(cd, ANSWER, ALL)
        net.flush()
        client.expect("SA", ack=END)
        client.expect("A", data=ANSWER)
        client.ack()
        client.is_alive()

    def test_it_may_join_a_group_of_another_pool(self, net: Net) -> None:
        door = served(net, accept_credits=0)
        room = served(net, 8, pool=net.engine.create_pool(1 << 20), accept_credits=0)
        cookie = cookie_for(net, door)
        client = net.client(door)
        client.syn(cookie=cookie, data=REQUEST)
        net.poll()
        cd = door.accept(into=room)
        assert room.recv(100) == (cd, REQUEST)
        assert (len(door), len(room)) == (0, 1)
        room.send(cd, ANSWER, ALL)
        net.flush()
        client.expect("SA", ack=END)
        client.expect("A", data=ANSWER)

    def test_a_refusal_forgets_the_data(self, net: Net) -> None:
        group = served(net, accept_credits=0)
        cookie = cookie_for(net, group)
        client = net.client(group)
        client.syn(cookie=cookie, data=REQUEST)
        net.turn()
        group.refuse(client.pending_id())
        net.flush()
        client.expect_reset(seq=0)
        assert net.engine.snapshot().connection_bytes == 0

    def test_an_answer_with_the_end_needs_no_second_round_trip(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        group.recv(100)
        group.send(client.cd, ANSWER, ALL)
        group.finish(client.cd)
        net.flush()
        client.expect("SA", ack=END)
        client.expect("FA", seq=1, data=ANSWER)
        client.fin()
        net.turn()
        client.expect("A", ack=END + 1)
        assert net.engine.snapshot().connections == 0

    def test_segments_up_to_the_initial_window_and_the_window_of_the_syn(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        group.recv(100)
        group.send(client.cd, bytes(50_000), ALL)
        net.flush()
        client.expect("SA")
        assert sum(len(segment.data) for segment in client.take()) == 10 * 1448
        client = opened(net, group, win=2_000)
        group.send(client.cd, bytes(50_000))
        net.flush()
        client.expect("SA")
        assert sum(len(segment.data) for segment in client.take()) <= 2_000


class TestPolicies:
    def test_nothing_is_acknowledged_that_the_application_has_not(self, net: Net) -> None:
        """Under `application` the client keeps its request, sends it again, and is served once."""
        group = served(net, ack_policy="application")
        client = opened(net, group)
        assert group.recv(100) == (client.cd, REQUEST)
        net.flush()
        client.expect("SA", seq=0, ack=1)
        client.send(REQUEST, seq=1)
        net.turn()
        assert group.info(client.cd).state == "ESTABLISHED"
        assert group.recv(100) is None
        group.send(client.cd, ANSWER, ALL)
        net.flush()
        assert client.take()[-1].data == ANSWER
        assert group.info(client.cd).wire_ack == group.info(client.cd).rcv_nxt

    def test_what_it_has_acknowledged_in_the_turn_is(self, net: Net) -> None:
        group = served(net, ack_policy="application")
        client = opened(net, group)
        group.recv(100)
        group.send(client.cd, b"", ALL)
        net.flush()
        client.expect("SA", seq=0, ack=END)

    @pytest.mark.parametrize("policy", ["bounded", "immediate"])
    def test_the_syn_ack_acknowledges_the_data_once(self, net: Net, policy: str) -> None:
        group = served(net, ack_policy=policy)
        client = opened(net, group)
        net.flush()
        client.expect("SA", seq=0, ack=END)
        net.advance(0.5)
        client.expect_nothing()


class TestLimits:
    @pytest.mark.requirement("RFC 7413 5.1")
    def test_beyond_the_limit_handshakes_are_ordinary(self, net: Net) -> None:
        group = served(net, fast_open=3)
        cookie = cookie_for(net, group)
        clients = []
        for _ in range(4):
            clients.append(net.client(group))
            clients[-1].syn(cookie=cookie, data=REQUEST)
            net.turn()
        for client in clients[:3]:
            client.expect("SA", ack=END)
        assert clients[3].expect("SA", ack=1).cookie is None
        assert net.counters()["TCPFastOpenListenOverflow"] == 1
        clients[0].ack()
        net.turn()
        client = net.client(group)
        client.syn(cookie=cookie, data=REQUEST)
        net.turn()
        client.expect("SA", ack=END)

    @pytest.mark.requirement("RFC 7413 5.1")
    def test_one_that_was_reset_counts_on_for_a_while(self, net: Net) -> None:
        group = served(net, fast_open=3)
        cookie = cookie_for(net, group)
        for _ in range(10):
            client = net.client(group)
            client.syn(cookie=cookie, data=REQUEST)
            net.turn()
            client.take()
            client.rst(seq=client.judge.last_ack)
            net.turn()
        assert net.counters()["TCPFastOpenPassive"] == 3
        net.advance(121)
        assert pending(net, group) == 3

    def test_each_way_to_end_gives_its_place_back(self, net: Net) -> None:
        group = served(net, fast_open=4)
        cookie = cookie_for(net, group)
        cds = []
        for _ in range(4):
            client = net.client(group)
            client.syn(cookie=cookie, data=REQUEST)
            net.turn()
            cds.append(net.take_events(EventKind.ESTABLISHED)[0][2])
        group.abort(cds[0])
        group.finish(cds[1])
        net.advance(40)
        assert net.engine.snapshot().connections == 0
        assert len(net.take_events(EventKind.DOWN)) == 2
        assert pending(net, group) == 4

    def test_the_data_of_undecided_requests_is_bounded(self, make_net: MakeNet) -> None:
        net = make_net(max_connections=2_048, max_half_open=4_096, accept_timeout_ms=60_000)
        group = served(net, fast_open=60_000, accept_credits=0)
        cookie = cookie_for(net, group)
        clients = [net.client(group) for _ in range(1_030)]
        for client in clients:
            client.syn(cookie=cookie, data=REQUEST)
        for _ in range(3):
            net.turn()
        assert net.counters()["TCPFastOpenListenOverflow"] == 6
        assert len(group.pending()) == 1_030
        for _ in clients:
            group.accept()
        net.turn()
        assert len(group) == 1_024
        group.close(abort=True)
        net.turn()
        net.advance(1)
        assert net.engine.snapshot().connection_bytes == 0

    def test_what_a_row_cannot_hold_is_sent_again(self, make_net: MakeNet) -> None:
        net = make_net(mtu=9_000)
        group = served(net)
        data = bytes(range(250)) * 20
        client = opened(net, group, data)
        net.flush()
        client.expect("SA", ack=1 + 1_460)
        client.send(data[1_460:], seq=1 + 1_460)
        net.turn()
        assert group.recv(10_000) == (client.cd, data)


class TestLoss:
    @pytest.mark.requirement("RFC 7413 4.2.2")
    def test_a_lost_syn_ack_is_sent_again_alone_and_then_the_answer(self, net: Net) -> None:
        group = served(net)
        net.engine.rotate_fast_open_key()
        client = opened(net, group)
        group.recv(100)
        group.send(client.cd, ANSWER, ALL)
        with client.losing() as lost:
            net.flush()
        assert len(lost) == 2
        net.advance(1.5)
        client.expect("SA", seq=0, ack=END)
        client.expect_nothing()
        client.rcv_nxt = 1
        client.ack()
        net.turn()
        client.expect("A", seq=1, data=ANSWER)
        client.ack()
        net.turn()
        assert group.info(client.cd).state == "ESTABLISHED"

    def test_a_repeated_syn_is_answered_again(self, net: Net) -> None:
        """Linux' second SYN has neither the option nor the data."""
        group = served(net)
        client = opened(net, group)
        net.flush()
        client.expect("SA", ack=END)
        client.syn()
        net.turn()
        client.expect("SA", seq=0, ack=END)
        assert group.recv(100) == (client.cd, REQUEST)
        assert group.recv(100) is None
        client.ack(seq=END)
        net.turn()
        assert group.info(client.cd).state == "ESTABLISHED"

    def test_a_handshake_that_nobody_completes_is_given_up(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        net.advance(40)
        assert [round(time) for time in client.times()] == [0, 1, 3, 7, 15]
        [(kind, _, cd, detail)] = net.take_events(EventKind.DOWN)
        assert (kind, cd, detail) == (EventKind.DOWN, client.cd, errno.ETIMEDOUT)
        assert net.engine.snapshot().connections == 0

    def test_a_lost_answer_comes_again(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        net.flush()
        client.expect("SA")
        group.recv(100)
        group.send(client.cd, ANSWER, ALL)
        with client.losing():
            net.flush()
        client.ack()
        net.turn()
        net.advance(2)
        assert ANSWER in [segment.data for segment in client.take()]


class TestResets:
    @pytest.mark.requirement("RFC 9293 3.10.7.4 second")
    def test_the_one_of_a_host_that_sent_no_syn(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        net.flush()
        client.expect("SA", ack=END)
        client.rst(seq=END)
        net.turn()
        assert [e[3] for e in net.take_events(EventKind.RESET)] == [errno.ECONNRESET]
        assert net.engine.snapshot().connections == 0

    def test_a_guess_is_challenged(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        net.flush()
        client.expect("SA", ack=END)
        client.rst(seq=END + 5)
        net.turn()
        client.expect("A", ack=END)
        client.ack(seq=END)
        net.turn()
        assert group.info(client.cd).state == "ESTABLISHED"

    def test_an_impossible_acknowledgement(self, net: Net) -> None:
        group = served(net)
        client = opened(net, group)
        net.flush()
        client.expect("SA", ack=END)
        client.ack(ack=500)
        net.turn()
        client.expect_reset(seq=500)
        assert group.info(client.cd).state == "SYN_RECEIVED"

    @pytest.mark.requirement("RFC 7413 5.1")
    def test_a_host_that_cannot_be_reached_is_as_one_that_resets(self, net: Net) -> None:
        """Its packets cannot have come from there."""
        group = served(net, fast_open=1)
        client = opened(net, group)
        group.recv(100)
        group.send(client.cd, ANSWER, ALL)
        net.flush()
        syn_ack, answer = client.take()
        net.inject(error("203.0.113.1", answer.raw, 3, 2))
        net.turn()
        assert group.info(client.cd).state == "SYN_RECEIVED", "only the SYN-ACK may be quoted"
        net.inject(error("203.0.113.1", syn_ack.raw, 3, 2))
        net.turn()
        assert len(net.take_events(EventKind.DOWN)) == 1
        assert pending(net, group) == 0


class TestBesideOthers:
    def test_a_good_cookie_needs_no_syn_cookie(self, make_net: MakeNet) -> None:
        """It has shown where it comes from; who asks for one is answered without being kept, and gets it."""
        net = make_net(syn_cookies="always")
        group = served(net)
        cookie = cookie_for(net, group)
        assert net.counters()["SyncookiesSent"] == 1
        client = net.client(group)
        client.syn(cookie=cookie, data=REQUEST)
        net.turn()
        client.expect("SA", ack=END)
        client = net.client(group)
        client.syn(cookie=bytes(8), data=REQUEST)
        net.turn()
        assert client.expect("SA", ack=1).cookie == cookie
        assert net.counters()["SyncookiesSent"] == 2

    def test_the_data_of_another_syn_of_the_same_ports_takes_its_place(self, net: Net) -> None:
        group = served(net, accept_credits=0)
        cookie = cookie_for(net, group)
        first = net.client(group, sport=5_000)
        first.syn(cookie=cookie, data=b"old")
        net.turn()
        again = net.client(group, sport=5_000, iss=0x2000_0000)
        again.syn(cookie=cookie, data=b"new")
        net.turn()
        cd = group.accept()
        net.flush()
        assert group.recv(100) == (cd, b"new")

    def test_a_withholding_pool_leaves_its_syns_unanswered(self, net: Net) -> None:
        from support.pressure import WITHHOLDING, Crowd

        crowd = Crowd(net)
        group = served(net, 8, pool=crowd.pool)
        cookie = cookie_for(net, group)
        crowd.fill(WITHHOLDING)
        client = net.client(group)
        client.syn(cookie=cookie, data=REQUEST)
        net.turn()
        client.expect_nothing()

    def test_ports_and_addresses_of_a_forger_do_not_matter(self, net: Net) -> None:
        """A cookie of one address is none of another's (section 5.2)."""
        group = served(net)
        cookie = cookie_for(net, group, ip=PEER_V4)
        stranger = net.client(group, ip="203.0.113.9", server=V4)
        stranger.syn(cookie=cookie, data=REQUEST)
        net.turn()
        stranger.expect("SA", ack=1)
        assert group.recv(100) is None

    def test_a_connection_in_time_wait_opens_again_with_its_request(self, net: Net) -> None:
        group = served(net)
        cookie = cookie_for(net, group)
        net.client(group, sport=5_000).time_wait()
        net.advance(2)
        again = net.client(group, sport=5_000, iss=0x2000_0000)
        again.syn(cookie=cookie, data=REQUEST)
        net.turn()
        again.expect("SA", ack=END)
        again.ack()
        net.turn()
        again.cd = net.take_events(EventKind.ESTABLISHED)[0][2]
        assert group.recv(100) == (again.cd, REQUEST)

    def test_sequence_numbers_turn_over(self, net: Net) -> None:
        group = served(net)
        cookie = cookie_for(net, group)
        client = net.client(group, iss=2**32 - 4)
        client.syn(cookie=cookie, data=REQUEST)
        net.turn()
        client.cd = net.take_events(EventKind.ESTABLISHED)[0][2]
        client.expect("SA", ack=END)
        assert group.recv(100) == (client.cd, REQUEST)
        group.send(client.cd, ANSWER, ALL)
        net.flush()
        client.expect("A", data=ANSWER)
        client.ack()
        client.is_alive()
