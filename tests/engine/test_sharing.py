"""Groups that share a port (P06): all see a request, one of them takes it."""

from __future__ import annotations

import select

import pytest
from support.net import V4, MakeNet, Net
from support.packets import SACK_OK
from support.peer import Client

from xtcp_twisted.config import UNLIMITED, GroupOptions, MiB
from xtcp_twisted.engine import Group, Pool
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.snapshot import GroupSnapshot
from xtcp_twisted.errors import AddressInUse, LocalError, NothingPending, StalePending

pytestmark = pytest.mark.feature("P06")


def sharing(net: Net, name: str, *, pool: Pool | None = None, port: int = 7, **options: object) -> Group:
    address = options.pop("address", None)
    return (pool or net.pool).open_group(
        port,
        name=name,
        address=address,  # type: ignore[arg-type]
        share=True,
        options=GroupOptions(**options),  # type: ignore[arg-type]
    )


def readable(group: Group) -> bool:
    poll = select.poll()
    poll.register(group.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def snapshots(net: Net) -> list[GroupSnapshot]:
    return [group for pool in net.engine.snapshot().pools for group in pool.groups]


@pytest.fixture
def pair(net: Net) -> tuple[Group, Group]:
    """Two groups of two pools on one port; the first is the older."""
    other = net.engine.create_pool(1 * MiB, name="other")
    return sharing(net, "old"), sharing(net, "new", pool=other)


Pair = tuple[Group, Group]


# --- Who may share ------------------------------------------------------------


@pytest.mark.parametrize("one, other", [(False, False), (True, False), (False, True)])
def test_all_of_them_must_say_so(net: Net, one: bool, other: bool) -> None:
    net.pool.open_group(7, share=one, name="first")
    with pytest.raises(AddressInUse, match="taken by group 'first'.*share=True"):
        net.pool.open_group(7, share=other, name="second")
    assert [group.name for group in net.pool.groups()] == ["first"]
    net.client(net.pool.groups()[0]).established()


@pytest.mark.parametrize("share", ["yes", 1, None])
def test_share_is_true_or_false(net: Net, share: object) -> None:
    with pytest.raises(LocalError, match=f"share: {share!r} is not allowed; give True or False"):
        net.pool.open_group(7, share=share)  # type: ignore[arg-type]
    assert net.pool.groups() == ()


def test_a_third_that_does_not_share_is_kept_out(net: Net, pair: Pair) -> None:
    with pytest.raises(AddressInUse):
        net.pool.open_group(7)
    pair[0].close()
    pair[1].close()
    net.group(7)


def test_one_that_listens_again_must_share_too(net: Net) -> None:
    alone = net.group(7)
    alone.stop_listening()
    shared = sharing(net, "shared")
    with pytest.raises(AddressInUse):
        alone.listen()
    shared.close()
    alone.listen()
    net.client(alone).established()


# --- A request is offered to each ---------------------------------------------


def test_each_group_sees_the_request(net: Net, pair: Pair) -> None:
    client = net.client(pair[0]).asked()
    client.expect_nothing()
    ids = [group.pending() for group in pair]
    assert ids[0] == ids[1] == [(client.pending_id(), client.key)]
    assert all(readable(group) for group in pair)
    assert [(kind, gd) for kind, gd, _, _ in net.take_events()] == [
        (EventKind.PENDING, group.fileno()) for group in pair
    ], "each hears of it once"
    net.turn()
    assert net.take_events() == []


@pytest.mark.parametrize("taker", [0, 1])
@pytest.mark.parametrize("by_id", [False, True])
def test_the_first_to_accept_takes_it(net: Net, pair: Pair, taker: int, by_id: bool) -> None:
    client = net.client(pair[taker]).asked()
    pending_id = client.pending_id()
    cd = pair[taker].accept(pending_id if by_id else None)
    for group in pair:
        assert group.pending() == []
        with pytest.raises(NothingPending):
            group.accept()
        with pytest.raises(StalePending):
            group.accept(pending_id)
        assert not readable(group)
    net.flush()
    client.expect("SA", ack=1)
    client.ack()
    net.turn()
    assert [len(group) for group in pair] == [taker == 0, taker == 1]
    client.cd = cd
    client.exchange(b"hello", b"world")
    assert pair[taker].info(cd).peer == client.key


def test_the_data_lie_in_the_pool_of_the_group_that_took_it(net: Net, pair: Pair) -> None:
    client = net.client(pair[1]).established()
    client.send(b"x" * 1000)
    net.turn()
    held = {group.name: group.held for group in snapshots(net)}
    assert held["old"] == 0 < held["new"]


def test_the_application_decides_by_the_address_of_the_peer(net: Net, pair: Pair) -> None:
    """One handler for the port: 198.51.100/24 is for the one group, the rest for the other."""
    clients = [net.client(pair[0], ip=ip).asked() for ip in ("198.51.100.9", "203.0.113.9", "198.51.100.8")]
    for pending_id, (host, _) in pair[0].pending():
        pair[0].accept(pending_id, into=pair[0] if host.startswith("198.51.100.") else pair[1])
    net.flush()
    for client in clients:
        client.expect("SA", ack=1)
        client.ack()
    net.turn()
    assert [len(group) for group in pair] == [2, 1]


def test_a_connection_may_be_accepted_into_a_group_that_does_not_listen(net: Net, pair: Pair) -> None:
    elsewhere = net.group(8)
    elsewhere.stop_listening()
    client = net.client(pair[0]).asked()
    cd = pair[1].accept(into=elsewhere)
    net.flush()
    client.expect("SA", ack=1)
    client.ack()
    net.turn()
    assert elsewhere.info(cd).state == "ESTABLISHED"


def test_the_oldest_request_comes_first_whoever_holds_it(net: Net) -> None:
    """A group of one address beside one of all: what each holds is merged by age."""
    everywhere = sharing(net, "everywhere", address=None)
    here = sharing(net, "here", address=V4)
    everywhere.stop_listening()
    first = net.client(here).asked()
    everywhere.listen()
    net.advance(0.010)
    # Now `here` is the oldest and holds both.
    second = net.client(here).asked()
    assert [peer for _, peer in everywhere.pending()] == [first.key, second.key]
    here.stop_listening()
    assert [peer for _, peer in everywhere.pending()] == [first.key, second.key]
    here.listen()
    third = net.client(here).asked()
    assert [peer for _, peer in here.pending()] == [first.key, second.key, third.key]
    here.accept()
    net.flush()
    first.expect("SA", ack=1)
    second.expect_nothing()


def test_a_group_does_not_see_what_is_for_another_address(make_net: MakeNet) -> None:
    net = make_net(addresses=("192.0.2.1", "192.0.2.2"))
    everywhere = sharing(net, "everywhere")
    one = sharing(net, "one", address="192.0.2.1")
    client = net.client(everywhere, server="192.0.2.2").asked()
    assert [peer for _, peer in everywhere.pending()] == [client.key]
    assert one.pending() == [] and not readable(one)
    with pytest.raises(StalePending):
        one.accept(client.pending_id())
    with pytest.raises(NothingPending):
        one.accept()
    for_one = net.client(one).asked()
    assert [peer for _, peer in one.pending()] == [for_one.key]
    assert [peer for _, peer in everywhere.pending()] == [client.key, for_one.key]


# --- Refusing -----------------------------------------------------------------


@pytest.mark.parametrize("refuser", [0, 1])
def test_a_refusal_is_final(net: Net, pair: Pair, refuser: int) -> None:
    client = net.client(pair[0]).asked()
    pair[refuser].refuse(client.pending_id())
    assert [group.pending() for group in pair] == [[], []]
    net.flush()
    client.expect("RA", seq=0, ack=1)
    refused = [group.name for group in snapshots(net) if group.counters["Refused"]]
    assert refused == [pair[refuser].name], "it counts for the group that refused"


def test_who_refuses_chooses_silence(net: Net) -> None:
    sharing(net, "loud")
    silent = sharing(net, "silent", refuse="silent")
    client = net.client(silent).asked()
    silent.refuse(client.pending_id())
    net.flush()
    client.expect_nothing()


def test_nobody_in_time_is_one_refusal(net: Net, pair: Pair) -> None:
    client = net.client(pair[0]).asked()
    net.advance(1.0)
    client.expect("RA", seq=0, ack=1)
    assert [group.pending() for group in pair] == [[], []]
    assert not any(readable(group) for group in pair)
    assert net.engine.counters()["AcceptTimeouts"] == 1


# --- The handshake ------------------------------------------------------------


def test_the_options_of_the_oldest_shape_what_the_syn_ack_agrees_to(net: Net) -> None:
    sharing(net, "old", timestamps=False)
    young = sharing(net, "young", sack=False)
    client = net.client(young).asked()
    young.accept()
    net.flush()
    syn_ack = client.expect("SA", ack=1)
    assert syn_ack.tsval is None
    assert SACK_OK in syn_ack.options


def test_the_group_that_takes_it_clamps_the_segment_size(net: Net) -> None:
    sharing(net, "old")
    young = sharing(net, "young", mss=500)
    client = net.client(young).asked()
    cd = young.accept()
    net.flush()
    assert client.expect("SA", ack=1).mss == 500
    client.ack()
    net.turn()
    assert young.info(cd).mss == 500


# --- Accept credits -----------------------------------------------------------


def accepted_by(net: Net, client: Client, *groups: Group) -> Group:
    client.syn()
    net.turn()
    client.expect("SA", ack=1)
    before = [len(group) for group in groups]
    client.ack()
    net.turn()
    [taker] = [group for group, n in zip(groups, before, strict=True) if len(group) > n]
    return taker


def test_a_credit_of_the_highest_priority_is_taken_first_then_the_oldest(net: Net) -> None:
    low = sharing(net, "low", priority="low", accept_credits=1)
    old = sharing(net, "old", accept_credits=1)
    young = sharing(net, "young", accept_credits=1)
    high = sharing(net, "high", priority="high", accept_credits=2)
    groups = (low, old, young, high)
    taken = [accepted_by(net, net.client(low), *groups).name for _ in range(5)]
    assert taken == ["high", "high", "old", "young", "low"]
    last = net.client(low).asked()
    last.expect_nothing()
    assert all(len(group.pending()) == 1 for group in groups)


def test_a_group_with_credits_takes_what_one_without_would_be_asked_about(net: Net, pair: Pair) -> None:
    pair[1].credit(UNLIMITED)
    assert accepted_by(net, net.client(pair[0]), *pair) is pair[1]
    assert net.kinds() == [EventKind.ESTABLISHED]


def test_credits_that_come_later_take_what_waits(net: Net, pair: Pair) -> None:
    clients = [net.client(pair[0]).asked() for _ in range(3)]
    pair[1].credit(2)
    net.flush()
    for client in clients[:2]:
        client.expect("SA", ack=1)
    clients[2].expect_nothing()
    assert [peer for _, peer in pair[0].pending()] == [clients[2].key]


def test_who_comes_later_waits_behind_who_waits_for_the_rate(net: Net) -> None:
    """The accept rate of a group delays requests; it does not let them overtake each other."""
    slow = sharing(net, "slow", accept_credits=UNLIMITED, accept_rate=10.0)
    other = sharing(net, "other")
    clients = [net.client(slow) for _ in range(3)]
    for client in clients:
        client.syn()
    net.turn()
    clients[0].expect("SA", ack=1)
    assert [peer for _, peer in other.pending()] == [clients[1].key, clients[2].key]
    net.advance(0.101)
    clients[1].expect("SA", ack=1)
    clients[2].expect_nothing()
    net.advance(0.100)
    clients[2].expect("SA", ack=1)
    assert not readable(other)


def test_a_credit_is_given_back_to_the_group_that_spent_it(net: Net, pair: Pair) -> None:
    pair[1].credit(1)
    lost = net.client(pair[0])
    lost.syn()
    net.turn()
    lost.expect("SA", ack=1)
    lost.rst(seq=1)
    net.turn()
    assert accepted_by(net, net.client(pair[0]), *pair) is pair[1]


def test_syn_cookies_count_on_the_same_credits(make_net: MakeNet) -> None:
    net = make_net(syn_cookies="always")
    old = sharing(net, "old", accept_credits=UNLIMITED)
    high = sharing(net, "high", priority="high", accept_credits=1, timestamps=False)
    assert accepted_by(net, net.client(old), old, high) is high
    assert accepted_by(net, net.client(old), old, high) is old
    counters = net.engine.counters()
    assert counters["SyncookiesSent"] == counters["SyncookiesRecv"] == 2
    assert net.engine.snapshot().half_open == 0


def test_pressure_on_one_pool_leaves_the_port_to_the_other(net: Net) -> None:
    """A SYN is left unanswered only when no group that sees it may have another connection."""
    small = net.engine.create_pool(64 * 1024, name="small")
    full = sharing(net, "full", pool=small, accept_credits=UNLIMITED, weight=64)
    holder = net.client(full).established()
    while net.engine.snapshot().pools[0].receive_buffer.pressure.state not in ("withholding", "discarding"):
        holder.send(b"x" * 1000)
        net.turn()
    net.take_events()
    fresh = net.client(full)
    fresh.syn()
    net.turn()
    assert not any("S" in segment.flags for segment in fresh.take())
    roomy = sharing(net, "roomy", accept_credits=UNLIMITED)
    assert accepted_by(net, net.client(roomy), full, roomy) is roomy


# --- Groups come and go -------------------------------------------------------


def test_what_waits_goes_to_the_others_when_a_group_closes(net: Net, pair: Pair) -> None:
    clients = [net.client(pair[0]).asked() for _ in range(3)]
    net.take_events()
    pair[0].close()
    net.flush()
    for client in clients:
        client.expect_nothing()
    assert [peer for _, peer in pair[1].pending()] == [client.key for client in clients]
    assert readable(pair[1])
    assert net.take_events() == [], "it had heard of them"
    for _ in clients:
        pair[1].accept()
    net.flush()
    for client in clients:
        client.expect("SA", ack=1)
    assert not readable(pair[1])


def test_events_that_are_due_stay_due_when_the_holder_closes(net: Net, pair: Pair) -> None:
    client = net.client(pair[0])
    client.syn()
    net.engine.poll(net.now)
    pair[0].close()
    net.turn()
    assert [(kind, gd) for kind, gd, _, _ in net.take_events()] == [(EventKind.PENDING, pair[1].fileno())]


def test_what_nobody_else_sees_is_refused_when_a_group_closes(net: Net) -> None:
    first = sharing(net, "first")
    sharing(net, "elsewhere", port=8)
    client = net.client(first).asked()
    first.close()
    net.flush()
    client.expect("RA", seq=0, ack=1)


def test_who_sees_but_does_not_hold_may_leave(net: Net, pair: Pair) -> None:
    client = net.client(pair[0]).asked()
    pair[1].stop_listening()
    assert pair[1].pending() == [] and not readable(pair[1])
    with pytest.raises(StalePending):
        pair[1].accept(client.pending_id())
    assert [peer for _, peer in pair[0].pending()] == [client.key]
    client.expect_nothing()


@pytest.mark.parametrize("told", [False, True])
def test_who_joins_is_told_of_what_waits(net: Net, told: bool) -> None:
    first = sharing(net, "first")
    client = net.client(first).asked()
    if told:
        net.take_events()
    second = sharing(net, "second")
    assert [peer for _, peer in second.pending()] == [client.key]
    assert readable(second)
    net.turn()
    heard = [(kind, gd) for kind, gd, _, _ in net.take_events()]
    assert heard.count((EventKind.PENDING, second.fileno())) == 1
    assert heard.count((EventKind.PENDING, first.fileno())) == (not told)
    second.accept()
    net.flush()
    client.expect("SA", ack=1)


def test_who_joins_is_not_told_of_what_was_decided_meanwhile(net: Net) -> None:
    first = sharing(net, "first")
    client = net.client(first).asked()
    net.take_events()
    second = sharing(net, "second")
    first.refuse(client.pending_id())
    net.turn()
    assert net.take_events() == []
    assert not readable(second)


def test_the_requests_of_a_closed_pool_go_to_the_other_pools(net: Net, pair: Pair) -> None:
    client = net.client(pair[0]).asked()
    pair[0].pool.close()
    cd = pair[1].accept()
    net.flush()
    client.expect("SA", ack=1)
    client.ack()
    net.turn()
    assert pair[1].info(cd).state == "ESTABLISHED"


def test_lists_of_two_holders_are_merged_by_age(make_net: MakeNet) -> None:
    """Each holds what comes for an address of its own until one of them goes."""
    net = make_net(addresses=("192.0.2.1", "192.0.2.2"))
    one = sharing(net, "one", address="192.0.2.1")
    two = sharing(net, "two", address="192.0.2.2")
    both = sharing(net, "both")
    clients = []
    for i in range(6):
        clients.append(net.client((one, two)[i % 2]).asked())
        if i == 3:
            net.take_events()
        net.advance(0.010)
    two.close()
    one.close()
    assert [peer for _, peer in both.pending()] == [client.key for client in clients]
    assert {cd for _, gd, cd, _ in net.take_events() if gd == both.fileno()} == {
        pending_id for pending_id, _ in both.pending()[4:]
    }, "of four it had heard"
    # Their times are what they were: the first is due first.
    net.advance(0.900 - 0.060 + 0.001)
    clients[0].expect("RA", ack=1)
    clients[1].expect_nothing()
    net.advance(0.060)
    for client in clients[1:]:
        client.expect("RA", ack=1)
    assert both.pending() == [] and not readable(both)
