"""Passive open: the application decides before anything is sent (P08; architecture section 7)."""

from __future__ import annotations

import pytest
from support.net import PEER_V4, MakeNet, Net
from support.packets import build

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import ConfigurationError, NothingPending, StaleConnection, StalePending

pytestmark = pytest.mark.feature("P08")


@pytest.mark.requirement("RFC 9293 3.10.7.2 third")
def test_a_syn_is_offered_and_not_answered(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).asked()
    client.expect_nothing()
    assert [(tuple(peer)) for _, peer in group.pending()] == [client.key]
    [event] = net.take_events()
    assert event[0] == EventKind.PENDING
    assert event[1] == group.fileno()
    assert event[2] == group.pending()[0][0], "the id of the event is the one that accept takes"
    assert net.engine.snapshot().half_open == 1
    assert len(group) == 0


def test_accept_sends_the_syn_ack_and_the_handshake_makes_the_connection(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).asked()
    cd = group.accept(client.pending_id())
    client.expect_nothing()
    net.flush()
    client.expect("SA", seq=0, ack=1, at=0)
    net.take_events()
    assert group.pending() == []
    client.ack()
    net.turn()
    assert net.take_events() == [(EventKind.ESTABLISHED, group.fileno(), cd, 0)]
    assert len(group) == 1
    assert group.info(cd).state == "ESTABLISHED"
    assert net.engine.snapshot().half_open == 0


def test_accept_in_the_turn_of_the_syn_answers_in_that_turn(net: Net) -> None:
    """No reactor turn is lost between SYN and SYN-ACK."""
    group = net.group(7)
    client = net.client(group)
    client.syn()
    with net.in_turn():
        group.accept()
    client.expect("SA", ack=1, at=0)


def test_accept_without_an_id_takes_the_oldest_request(net: Net) -> None:
    group = net.group(7)
    first, second = net.client(group).asked(), net.client(group).asked()
    group.accept()
    net.flush()
    first.expect("SA", ack=1)
    second.expect_nothing()


def test_accept_with_nothing_pending(net: Net) -> None:
    with pytest.raises(NothingPending):
        net.group(7).accept()


def test_data_on_the_acknowledgement_of_the_syn_ack_is_kept(net: Net) -> None:
    """RFC 9293 3.10.7.4: the segment that completes the handshake may carry data."""
    group = net.group(7)
    client = net.client(group).syn_received()
    client.send(b"first words")
    net.turn()
    kinds = net.kinds()
    assert kinds == [EventKind.ESTABLISHED, EventKind.DATA]
    received = group.recv(100)
    assert received is not None and received[1] == b"first words"


def test_refuse_answers_with_reset(net: Net) -> None:
    """RFC 9293 3.10.7.1: the RST has SEQ 0 and acknowledges the SYN."""
    group = net.group(7)
    client = net.client(group).asked()
    group.refuse(client.pending_id())
    net.flush()
    segment = client.expect("RA", ack=1)
    assert segment.seq == 0
    assert group.pending() == []
    assert net.engine.snapshot().half_open == 0


def test_refuse_silently(net: Net) -> None:
    group = net.group(7, refuse="silent")
    client = net.client(group).asked()
    group.refuse(client.pending_id())
    net.advance(2)
    client.expect_nothing()
    assert net.engine.snapshot().half_open == 0


def test_a_request_that_nobody_accepts_is_reset_after_the_timeout(net: Net) -> None:
    """900 ms from the first offer, before a Linux client's second SYN."""
    group = net.group(7)
    client = net.client(group).asked()
    net.advance(0.890)
    client.expect_nothing()
    net.advance(0.020)
    client.expect("RA", ack=1, at=0.900)
    assert group.pending() == []
    assert net.engine.snapshot().half_open == 0


def test_a_forgotten_request_of_a_silent_group_vanishes(net: Net) -> None:
    group = net.group(7, refuse="silent")
    client = net.client(group).asked()
    net.advance(1.0)
    client.expect_nothing()
    assert group.pending() == []
    assert net.engine.snapshot().half_open == 0


def test_the_accept_timeout_is_configurable(make_net: MakeNet) -> None:
    net = make_net(accept_timeout_ms=150)
    client = net.client(net.group(7)).asked()
    net.advance(0.200)
    client.expect("RA", ack=1, at=0.150)


def test_the_timeout_ends_with_accept(net: Net) -> None:
    """A request accepted at the last moment is not reset by the accept timer."""
    group = net.group(7)
    client = net.client(group).asked()
    net.advance(0.890)
    group.accept()
    net.flush()
    client.expect("SA", ack=1)
    net.advance(0.100)
    client.expect_nothing()
    client.ack()
    net.turn()
    assert EventKind.ESTABLISHED in net.kinds()


def test_a_repeated_syn_is_the_same_request(net: Net) -> None:
    """The client's retransmission while the application thinks must not make a second request."""
    group = net.group(7)
    client = net.client(group).asked()
    [pending] = group.pending()
    net.advance(0.300)
    client.syn()
    net.turn()
    assert group.pending() == [pending]
    client.expect_nothing()
    assert net.kinds() == [EventKind.PENDING]
    net.advance(0.700)
    client.expect("RA", ack=1, at=0.900)


def test_answered_ids_are_stale(net: Net) -> None:
    group, other = net.group(7), net.group(8)
    client = net.client(group).asked()
    pending = client.pending_id()
    with pytest.raises(StalePending):
        other.accept(pending)
    with pytest.raises(StalePending):
        other.refuse(pending)
    assert group.pending() == [(pending, client.key)], "a foreign group's call changes nothing"
    group.accept(pending)
    for call in (group.accept, group.refuse):
        with pytest.raises(StalePending):
            call(pending)
    net.flush()
    client.expect("SA")


def test_a_timed_out_id_is_stale(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).asked()
    pending = client.pending_id()
    net.advance(1)
    client.expect("RA")
    with pytest.raises(StalePending):
        group.accept(pending)
    net.flush()
    client.expect_nothing()


def test_the_connection_goes_to_the_group_that_the_application_names(net: Net) -> None:
    """P08: accept attaches the connection to any group."""
    door, room = net.group(7), net.group(8)
    client = net.client(door).asked()
    cd = door.accept(client.pending_id(), into=room)
    net.flush()
    client.expect("SA", ack=1)
    client.ack()
    client.send(b"hello")
    net.turn()
    assert len(door) == 0
    assert len(room) == 1
    assert door.recv(100) is None
    assert room.recv(100) == (cd, b"hello")
    with pytest.raises(StaleConnection):
        door.peer(cd)
    assert room.local(cd)[1] == 7, "its local port is the one that the client called"


class TestCredits:
    """Posted in advance, so that an ordinary server pays no Python per SYN."""

    @pytest.mark.requirement("RFC 9293 3.10.7.2 third")
    def test_a_credit_accepts_inside_the_engine(self, net: Net) -> None:
        group = net.group(7, accept_credits=1)
        client = net.client(group)
        client.syn()
        net.turn()
        client.expect("SA", ack=1, at=0)
        assert net.take_events() == [], "no PENDING for a request that nobody is asked about"
        assert group.pending() == []
        client.ack()
        net.turn()
        assert net.kinds() == [EventKind.ESTABLISHED]

    def test_each_credit_serves_once(self, net: Net) -> None:
        group = net.group(7, accept_credits=2)
        clients = [net.client(group).asked() for _ in range(3)]
        for client in clients[:2]:
            client.expect("SA")
        clients[2].expect_nothing()
        assert [tuple(peer) for _, peer in group.pending()] == [clients[2].key]

    def test_more_credit(self, net: Net) -> None:
        group = net.group(7)
        group.credit(1)
        net.client(group).established()
        late = net.client(group).asked()
        late.expect_nothing()
        late.pending_id()

    def test_unlimited(self, net: Net) -> None:
        group = net.group(7, accept_credits=UNLIMITED)
        for _ in range(20):
            net.client(group).established()
        assert len(group) == 20

    def test_rate(self, net: Net) -> None:
        """A reconnect storm is let in at the pace of the option, and nobody is lost."""
        group = net.group(7, accept_credits=UNLIMITED, accept_rate=10.0)
        clients = [net.client(group) for _ in range(30)]
        for client in clients:
            client.syn()
        net.advance(0.5)
        let_in = sum(bool([s for s in client.take() if "S" in s.flags]) for client in clients)
        assert 1 <= let_in <= 20, f"{let_in} accepted in half a second at 10 per second"


class TestSynAck:
    @pytest.mark.requirement("RFC 6298 2.1")
    def test_it_is_sent_again_and_given_up(self, make_net: MakeNet) -> None:
        """Five SYN-ACKs at 1, 2, 4, 8 s of distance (RFC 6298 2.1, 5.5), then the request is forgotten."""
        net = make_net(resets_per_second=0)
        group = net.group(7)
        client = net.client(group).asked()
        group.accept()
        net.flush()
        net.advance(100)
        segments = client.take()
        times = [round(s.time - net.ladder.start, 3) for s in segments if "S" in s.flags]
        assert times == pytest.approx([0, 1, 3, 7, 15], abs=0.0015)
        assert net.engine.snapshot().half_open == 0
        assert not net.take_events(EventKind.ESTABLISHED, EventKind.CLOSED, EventKind.RESET, EventKind.DOWN)

    def test_a_repeated_syn_is_answered_by_the_same_syn_ack(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).syn_received()
        net.advance(0.5)
        client.syn()
        net.turn()
        client.expect("SA", seq=0, ack=1)

    def test_the_handshake_completes_after_a_lost_syn_ack(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).syn_received()
        net.advance(1.1)
        client.expect("SA", seq=0, ack=1, at=1)
        client.ack()
        net.turn()
        assert net.take_events(EventKind.ESTABLISHED)
        net.advance(20)
        client.expect_nothing()

    @pytest.mark.requirement("RFC 6298 5.7")
    def test_rto_after_a_lost_syn_ack_is_three_seconds(self, net: Net) -> None:
        """RFC 6298 (5.7), without a timestamp that could have measured the round trip."""
        group = net.group(7)
        client = net.client(group, timestamps=False).syn_received()
        net.advance(1.1)
        client.expect("SA", at=1)
        client.ack()
        net.turn()
        [(_, _, cd, _)] = net.take_events(EventKind.ESTABLISHED)
        group.send(cd, b"x")
        net.flush()
        client.expect("A", data=b"x", at=1.1)
        net.advance(2.99)
        client.expect_nothing()
        net.advance(0.02)
        client.expect("A", data=b"x", at=4.1)

    @pytest.mark.requirement("RFC 9293 3.10.7.4 fifth SYN-RECEIVED")
    def test_a_wrong_acknowledgement_is_reset_and_changes_nothing(self, net: Net) -> None:
        """RFC 9293 3.10.7.4, SYN-RECEIVED: <SEQ=SEG.ACK><CTL=RST>."""
        group = net.group(7)
        client = net.client(group).syn_received()
        client.ack(500)
        net.turn()
        client.expect("R", seq=500)
        client.ack()
        net.turn()
        assert net.take_events(EventKind.ESTABLISHED)

    @pytest.mark.requirement("RFC 9293 MUST-11", "RFC 9293 3.10.7.4 second")
    def test_a_reset_returns_quietly_to_listen(self, net: Net) -> None:
        """RFC 9293 MUST-11: a passive opener tells nobody."""
        group = net.group(7)
        client = net.client(group).syn_received()
        client.rst()
        net.turn()
        net.advance(10)
        client.expect_nothing()
        assert net.take_events() == []
        assert net.engine.snapshot().half_open == 0

    def test_a_reset_outside_of_the_window_does_not_end_the_handshake(self, net: Net) -> None:
        """RFC 5961 section 3 holds in SYN-RECEIVED too."""
        group = net.group(7)
        client = net.client(group).syn_received()
        client.rst(seq=1_000_000_000)
        net.turn()
        client.take()
        client.ack()
        net.turn()
        assert net.take_events(EventKind.ESTABLISHED)

    def test_a_fin_with_the_last_acknowledgement(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).syn_received()
        client.fin(b"bye")
        net.turn()
        assert net.kinds() == [EventKind.ESTABLISHED, EventKind.DATA, EventKind.EOF]
        client.expect("A", ack=5)


def test_a_withdrawn_request(net: Net) -> None:
    """A RST while the application thinks takes the request back."""
    group = net.group(7)
    client = net.client(group).asked()
    pending = client.pending_id()
    client.rst(seq=1)
    net.turn()
    assert group.pending() == []
    with pytest.raises(StalePending):
        group.accept(pending)


@pytest.mark.requirement("RFC 4987 3.2")
def test_half_open_entries_are_bounded(make_net: MakeNet) -> None:
    """A flood fills the table and nothing else; what was there before can still be accepted or times out."""
    net = make_net(max_half_open=16)
    group = net.group(7)
    for index in range(200):
        net.inject(build(f"198.51.100.{index + 20}", "192.0.2.1", 1024, 7, seq=index, flags="S"))
    net.advance(0)
    assert net.engine.snapshot().half_open <= 16
    assert len(group.pending()) <= 16
    net.advance(2)
    net.take_events()
    net.strays.clear()
    assert net.engine.snapshot().half_open == 0
    net.client(group).established().is_alive()


def test_when_the_record_table_is_full_a_syn_is_dropped_and_counted(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(16)]
    before = net.counters()
    late = net.client(group).asked()
    late.expect_nothing()
    assert net.counters() != before
    for client in clients:
        client.is_alive()
    group.abort(clients[0].cd)
    net.turn()
    late.syn()
    net.turn()
    late.expect("SA", ack=1)


@pytest.mark.requirement("RFC 9293 MUST-63", "RFC 1122 3.2.1.3")
@pytest.mark.parametrize(
    "source", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "0.1.2.3"]
)
def test_a_syn_from_a_martian_is_ignored(net: Net, source: str) -> None:
    """RFC 9293 MUST-57, -63; LAND: our own address from outside."""
    group = net.group(7)
    net.inject(build(source, "192.0.2.1", 7, 7, seq=1, flags="S"))
    net.turn()
    assert group.pending() == []
    net.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-57")
@pytest.mark.parametrize(
    "here", ["224.0.0.1", "239.1.2.3", "255.255.255.255", "0.0.0.0", "127.0.0.1", "ff02::1", "::"]
)
def test_a_syn_to_nobody_in_particular_is_ignored(make_net: MakeNet, here: str) -> None:
    """RFC 9293 MUST-57: broadcast and multicast, even if somebody said that they are ours."""
    net = make_net(addresses=("224.0.0.0/3", "0.0.0.0/8", "127.0.0.0/8", "ff00::/8", "::"))
    groups = [net.group(7), net.group(7, v6=True)]
    net.inject(build("2001:db8:c::7" if ":" in here else PEER_V4, here, 999, 7, seq=1, flags="S"))
    net.turn()
    assert [group.pending() for group in groups] == [[], []]
    net.expect_nothing()


@pytest.mark.requirement("RFC 9293 3.10.7.2")
@pytest.mark.parametrize("flags", ["SA", "SR", "SRA", "SFR"])
def test_only_a_plain_syn_is_a_request(net: Net, flags: str) -> None:
    group = net.group(7)
    net.inject(build(PEER_V4, "192.0.2.1", 999, 7, seq=1, ack=1, flags=flags))
    net.turn()
    assert group.pending() == []
    if "R" in flags:
        net.expect_nothing()


def test_data_on_a_syn_is_not_lost_for_good(net: Net) -> None:
    """RFC 9293 allows data on a SYN; without Fast Open it may be dropped, never acknowledged unseen."""
    group = net.group(7)
    client = net.client(group)
    client.send(b"early", "S", seq=0, options=[("MSS", 1460)])
    with net.in_turn():
        cd = group.accept()
    got = client.expect("SA")
    assert (got.ack - client.iss) % 2**32 in (1, 6)
    client.send(b"early", seq=1)
    net.turn()
    assert group.recv(100) == (cd, b"early")


def test_a_request_to_a_port_that_nobody_has(net: Net) -> None:
    net.group(7)
    client = net.client(port=9)
    client.syn()
    net.turn()
    assert client.expect("RA", ack=1).seq == 0


@pytest.mark.requirement("RFC 9293 MUST-43")
def test_a_group_with_an_address_takes_that_address_only(make_net: MakeNet) -> None:
    net = make_net(addresses=("192.0.2.1", "192.0.2.2"))
    group = net.group(7, address="192.0.2.2")
    wrong = net.client(port=7, server="192.0.2.1")
    wrong.syn()
    net.turn()
    wrong.expect("RA", ack=1)
    net.client(group, server="192.0.2.2").established()


@pytest.mark.requirement("RFC 9293 MUST-45")
def test_every_address_of_a_prefix_answers(make_net: MakeNet) -> None:
    net = make_net(addresses=("192.0.2.0/24",))
    group = net.group(7)
    for server in ("192.0.2.3", "192.0.2.200"):
        client = net.client(group, server=server).established()
        assert tuple(group.local(client.cd)) == (server, 7)


@pytest.mark.parametrize("prefix", ["::/0", "::/64", "::ffff:0:0/96"])
def test_a_prefix_of_ipv6_that_would_take_all_of_ipv4_is_refused(make_net: MakeNet, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="holds all of IPv4"):
        make_net(addresses=(prefix,))


def test_a_packet_for_a_foreign_address_is_not_ours(net: Net) -> None:
    """A router's business: neither answered nor reset."""
    group = net.group(7)
    net.inject(build(PEER_V4, "192.0.2.77", 999, 7, seq=1, flags="S"))
    net.turn()
    assert group.pending() == []
    net.expect_nothing()
