"""Groups: closing, foreign and stale ids, what a connection can be asked (P07, P10, P11)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.net import PEER_V4, PEER_V6, MakeNet, Net

from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.errors import (
    AddressNotAvailable,
    GroupClosed,
    LocalError,
    StaleConnection,
)

Call = Callable[[Group, int], object]

#: Every call that takes a connection id.
CALLS: dict[str, Call] = {
    "send": lambda group, cd: group.send(cd, b"x"),
    "acknowledge": lambda group, cd: group.send(cd, b"", ackd=ALL),
    "need": lambda group, cd: group.need(cd, 10),
    "shutdown": lambda group, cd: group.shutdown(cd),
    "finish": lambda group, cd: group.finish(cd),
    "abort": lambda group, cd: group.abort(cd),
    "pause": lambda group, cd: group.pause(cd),
    "resume": lambda group, cd: group.resume(cd),
    "set_user": lambda group, cd: group.set_user(cd, 1),
    "user": lambda group, cd: group.user(cd),
    "peer": lambda group, cd: group.peer(cd),
    "local": lambda group, cd: group.local(cd),
    "info": lambda group, cd: group.info(cd),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@every_call
def test_an_id_that_never_was(net: Net, call: Call) -> None:
    group = net.group(7)
    client = net.client(group).established()
    for cd in (0, -1, 1, client.cd + 1, client.cd ^ (1 << 32), (1 << 62) + 5, 1 << 70):
        with pytest.raises((StaleConnection, OverflowError)):
            call(group, cd)
    net.flush()
    client.is_alive()


@every_call
@pytest.mark.feature("P11")
def test_an_id_is_stale_once_the_connection_was_closed(net: Net, call: Call) -> None:
    group = net.group(7)
    gone, stays = net.client(group).established(), net.client(group).established()
    group.abort(gone.cd)
    net.turn()
    gone.expect_reset(seq=1)
    with pytest.raises(StaleConnection):
        call(group, gone.cd)
    net.flush()
    stays.is_alive()


@every_call
def test_an_id_is_not_valid_for_the_next_connection_in_its_slot(make_net: MakeNet, call: Call) -> None:
    """Slots are used again; generations tell the old id from the new."""
    net = make_net(max_connections=16)
    group = net.group(7, accept_credits=UNLIMITED)
    old = net.client(group).established().cd
    group.abort(old)
    net.turn()
    seen = set()
    for _ in range(40):
        client = net.client(group).established()
        assert client.cd != old
        seen.add(client.cd)
        with pytest.raises(StaleConnection):
            call(group, old)
        client.is_alive()
        group.abort(client.cd)
        net.turn()
        net.clients.clear()
    assert len(seen) == 40, "an id came again"


@every_call
def test_the_connection_of_another_group(net: Net, call: Call) -> None:
    mine, other = net.group(7), net.group(8)
    client = net.client(other).established()
    with pytest.raises(StaleConnection):
        call(mine, client.cd)
    net.flush()
    client.expect_nothing()
    client.is_alive()


@every_call
@pytest.mark.feature("P07")
def test_a_closed_group(net: Net, call: Call) -> None:
    group = net.group(7)
    client = net.client(group).established()
    group.close(abort=True)
    with pytest.raises((GroupClosed, StaleConnection)):
        call(group, client.cd)
    net.flush()
    client.take()


@pytest.mark.feature("P07")
def test_calls_of_a_closed_group(net: Net) -> None:
    group = net.group(7)
    group.close()
    group.close()
    assert group.closed
    for call in (
        lambda: group.recv(1),
        lambda: group.recv_batch(1),
        group.accept,
        lambda: group.refuse(1),
        lambda: group.credit(1),
        group.pending,
        lambda: group.broadcast(b"x"),
        group.fileno,
    ):
        with pytest.raises(GroupClosed):
            call()


@pytest.mark.feature("P07")
def test_close_by_abort_resets_every_connection(net: Net) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(5)]
    group.close(abort=True)
    net.turn()
    for client in clients:
        client.expect_reset(seq=1)
    net.advance(0.1)
    assert net.engine.snapshot().connections == 0
    assert not net.take_events(*ENDS), "the application closed them itself"


@pytest.mark.feature("P07")
def test_close_in_order_sends_fin_and_lingers(net: Net) -> None:
    """The group is gone at once; its connections finish what was queued."""
    group = net.group(7)
    client = net.client(group).established()
    group.send(client.cd, b"last words")
    group.close()
    net.turn()
    client.expect("FA", seq=1, data=b"last words")
    net.group(7)
    client.ack()
    client.fin()
    net.turn()
    client.expect("A", seq=12, ack=2)
    assert net.engine.snapshot().connections == 0
    assert net.engine.snapshot().time_wait == 1


@pytest.mark.feature("P07")
def test_close_with_data_that_was_not_delivered_is_a_reset(net: Net) -> None:
    """RFC 9293 SHLD-3, as for one connection."""
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"nobody will read this")
    net.turn()
    group.close()
    net.turn()
    assert "R" in client.take()[-1].flags


@pytest.mark.feature("P07")
def test_close_answers_pending_requests(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).asked()
    group.close()
    net.turn()
    client.expect("RA", ack=1)
    assert net.engine.snapshot().half_open == 0


@pytest.mark.feature("P07")
def test_close_of_a_large_group_reaches_everybody(make_net: MakeNet) -> None:
    """A sliced sweep: however many turns it takes, poll_at asks for them."""
    net = make_net(max_connections=4_096)
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(700)]
    group.close(abort=True)
    net.advance(1)
    for client in clients:
        client.expect_reset(seq=1)
        client.expect_nothing()
    assert net.engine.snapshot().connections == 0


@pytest.mark.feature("P07")
def test_a_new_request_during_an_orderly_close_meets_no_listener(net: Net) -> None:
    group = net.group(7)
    net.client(group).established()
    group.close()
    net.turn()
    late = net.client(port=7)
    late.syn()
    net.turn()
    late.expect("RA", ack=1)


@pytest.mark.feature("P10")
@pytest.mark.parametrize("v6, server, peer", [(False, "192.0.2.1", PEER_V4), (True, "2001:db8::1", PEER_V6)])
def test_both_ends_of_a_connection(net: Net, v6: bool, server: str, peer: str) -> None:
    group = net.group(7, v6=v6)
    client = net.client(group, sport=51_234).established()
    assert tuple(group.peer(client.cd)) == (peer, 51_234)
    assert tuple(group.local(client.cd)) == (server, 7)
    info = group.info(client.cd)
    assert (tuple(info.peer), tuple(info.local)) == ((peer, 51_234), (server, 7))


@pytest.mark.feature("P10")
def test_the_peer_is_known_until_the_end_was_reported(net: Net) -> None:
    """Twisted's getPeer works in connectionLost: the slot is free only when `events` told the end."""
    group = net.group(7)
    client = net.client(group).established()
    client.rst()
    net.engine.poll(net.now)
    assert tuple(group.peer(client.cd)) == client.key
    net.gather()
    assert net.kinds() == [EventKind.RESET]
    with pytest.raises(StaleConnection):
        group.peer(client.cd)
    net.flush()


@pytest.mark.feature("P11")
def test_finish_and_abort_are_not_reported_back(net: Net) -> None:
    group = net.group(7)
    first, second = net.client(group).established(), net.client(group).established()
    group.finish(first.cd)
    group.abort(second.cd)
    net.turn()
    first.expect("FA", seq=1)
    second.expect_reset(seq=1)
    first.ack()
    first.fin()
    net.advance(200)
    assert net.take_events() == []


@pytest.mark.requirement("RFC 9293 3.10.5")
@pytest.mark.feature("P11")
def test_abort_gives_the_right_sequence_number(net: Net) -> None:
    """A RST counts only at the peer's RCV.NXT (RFC 5961): after unacknowledged data it is SND.NXT."""
    group = net.group(7)
    client = net.client(group).established()
    group.send(client.cd, b"12345")
    net.turn()
    client.expect("A", data=b"12345")
    group.abort(client.cd)
    net.turn()
    client.expect_reset(seq=6)
    net.advance(300)
    client.expect_nothing()
    assert net.transmit_used == 0


def test_user_cookie(net: Net) -> None:
    group = net.group(7)
    first, second = net.client(group).established(), net.client(group).established()
    assert group.user(first.cd) == 0
    group.set_user(first.cd, 0xFFFF_FFFF)
    group.set_user(second.cd, 7)
    assert (group.user(first.cd), group.user(second.cd)) == (0xFFFF_FFFF, 7)
    assert group.info(second.cd).user == 7
    for bad in (-1, 1 << 32):
        with pytest.raises((LocalError, OverflowError, ValueError)):
            group.set_user(first.cd, bad)
    assert group.user(first.cd) == 0xFFFF_FFFF


def test_a_new_connection_does_not_inherit_the_cookie(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    group = net.group(7)
    for _ in range(20):
        client = net.client(group).established()
        assert group.user(client.cd) == 0
        group.set_user(client.cd, 99)
        group.abort(client.cd)
        net.turn()
        net.clients.clear()


def test_info_carries_the_sequence_variables(net: Net) -> None:
    group = net.group(7)
    client = net.client(group, mss=1200).established()
    client.request(b"0123456789")
    group.send(client.cd, b"abcd", ackd=4)
    net.turn()
    info = group.info(client.cd)
    iss, irs = client.judge.irs, client.iss
    assert iss is not None
    assert info.cd == client.cd
    assert info.state == "ESTABLISHED"
    assert (info.snd_una - iss) % 2**32 == 1
    assert (info.snd_nxt - iss) % 2**32 == 5
    assert (info.snd_lbb - iss) % 2**32 == 5
    assert info.snd_wnd == client.window - client.window % 128
    assert (info.rcv_nxt - irs) % 2**32 == 11
    assert (info.rcv_ackd - irs) % 2**32 == 5
    assert (info.wire_ack - irs) % 2**32 == client.judge.last_ack
    assert info.delivered == 6
    assert info.held == 6
    assert info.out_of_order == 0
    assert info.mss in (1200 - 12, 1200), "the MSS, or what it leaves beside the timestamps"
    assert (info.snd_scale, info.rcv_scale) == (7, 7)
    assert info.timestamps
    assert info.active
    client.ack()
    net.advance(2.5)
    later = group.info(client.cd)
    assert (later.snd_una - iss) % 2**32 == 5
    assert 2_400 <= later.idle_ms <= 2_600
    assert later.age_s in (2, 3)


def test_an_idle_connection_leases_nothing(net: Net) -> None:
    """The 128-byte record is all of it once everything is acknowledged on both sides."""
    group = net.group(7)
    client = net.client(group).established()
    assert net.engine.snapshot().active == 0
    client.request(b"question")
    assert net.engine.snapshot().active == 1
    assert group.info(client.cd).active
    group.send(client.cd, b"answer", ackd=ALL)
    net.turn()
    client.expect("A", ack=9, data=b"answer")
    client.ack()
    net.turn()
    assert net.engine.snapshot().active == 0
    assert not group.info(client.cd).active
    assert (net.receive_used, net.transmit_used) == (0, 0)


def test_a_group_address_must_be_the_engines(net: Net) -> None:
    with pytest.raises(AddressNotAvailable) as caught:
        net.group(7, address="203.0.113.9")
    assert "203.0.113.9" in str(caught.value)
    with pytest.raises(LocalError):
        net.group(7, address="not an address")
    assert net.pool.groups() == ()


def test_the_length_of_a_group_is_its_connections(net: Net) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(3)]
    assert len(group) == 3
    group.abort(clients[0].cd)
    clients[1].rst()
    net.turn()
    assert len(group) == 1


def test_groups_compare_by_identity_through_their_descriptor(net: Net) -> None:
    group = net.group(7)
    assert net.engine.group(group.fileno()) is group
    assert isinstance(group, Group)
    with pytest.raises(LocalError):
        net.engine.group(999_999)
