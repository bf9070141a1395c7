"""Options of a group that change while it has connections: each behaves differently afterwards (P05)."""

from __future__ import annotations

from typing import Any

import pytest
from support.net import MakeNet, Net
from support.peer import Client
from support.throng import connect

from xtcp_twisted.config import ALL, SWEEP_S, UNLIMITED, KiB
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.errors import ConfigurationError, GroupClosed

pytestmark = pytest.mark.feature("P05")

MSS = 1_448
#: Records that one poll visits for changed options.
SLICE = 4_096


def live(net: Net, **options: Any) -> Client:
    """A connection that lives before anything changes."""
    return net.client(net.group(7, **options)).established()


def change(client: Client, **changes: Any) -> None:
    assert client.group is not None
    client.group.set_options(**changes)
    for name, value in changes.items():
        assert getattr(client.group.options, name) == value


def writes(net: Net, client: Client, *pieces: bytes) -> list[bytes]:
    """Each piece in a turn of its own; the payloads that have left."""
    assert client.group is not None
    for piece in pieces:
        client.group.send(client.cd, piece)
        net.turn()
    return [segment.data for segment in client.take() if segment.data]


def ask(net: Net, client: Client) -> None:
    client.send(b"question")
    net.turn()


# --- acknowledgements ----------------------------------------------------------


def test_the_policy_becomes_immediate(net: Net) -> None:
    client = live(net, ack_policy="bounded")
    change(client, ack_policy="immediate")
    ask(net, client)
    client.expect("A", ack=9)


def test_a_held_acknowledgement_leaves_when_the_policy_becomes_immediate(net: Net) -> None:
    client = live(net, ack_policy="bounded", ack_delay_ms=200)
    ask(net, client)
    client.expect_nothing()
    change(client, ack_policy="immediate")
    net.turn()
    client.expect("A", ack=9)
    client.expect_nothing()


def test_the_policy_becomes_the_applications(net: Net) -> None:
    """What was held waits for the application now, however long; what it takes is acknowledged."""
    client = live(net, ack_policy="bounded")
    ask(net, client)
    change(client, ack_policy="application")
    net.advance(10)
    client.expect_nothing()
    assert client.group is not None
    with net.in_turn():
        assert client.group.recv(100) == (client.cd, b"question")
        client.group.send(client.cd, b"", ALL)
    client.expect("A", ack=9)


@pytest.mark.parametrize("policy, delay", [("immediate", 0.0), ("bounded", 0.04)])
def test_what_waited_for_the_application_is_acknowledged(net: Net, policy: str, delay: float) -> None:
    client = live(net, ack_policy="application")
    ask(net, client)
    net.advance(5)
    client.expect_nothing()
    change(client, ack_policy=policy, ack_delay_ms=40)
    start = net.now - net.ladder.start
    net.advance(1)
    client.expect("A", ack=9, at=start + delay)
    client.expect_nothing()


def test_a_shorter_delay_holds_for_one_that_waits(net: Net) -> None:
    client = live(net, ack_policy="bounded", ack_delay_ms=400)
    ask(net, client)
    change(client, ack_delay_ms=20)
    start = net.now - net.ladder.start
    net.advance(1)
    client.expect("A", ack=9, at=start + 0.02)


def test_a_longer_delay_holds_for_the_next(net: Net) -> None:
    client = live(net, ack_policy="bounded", ack_delay_ms=20)
    ask(net, client)
    first = net.now - net.ladder.start
    change(client, ack_delay_ms=300)
    net.advance(1)
    client.expect("A", ack=9, at=first + 0.02)
    ask(net, client)
    second = net.now - net.ladder.start
    net.advance(1)
    client.expect("A", ack=17, at=second + 0.3)


# --- the end of patience ---------------------------------------------------------


def test_a_shorter_user_timeout(net: Net) -> None:
    client = live(net, user_timeout_s=0)
    assert client.group is not None
    client.group.send(client.cd, b"answer")
    net.turn()
    net.advance(3)
    assert net.take_events(*ENDS) == []
    change(client, user_timeout_s=5)
    net.advance(3)
    [(kind, _, cd, _)] = net.take_events(*ENDS)
    assert (kind, cd) == (EventKind.DOWN, client.cd)
    client.take()


def test_a_longer_user_timeout(net: Net) -> None:
    client = live(net, user_timeout_s=5)
    assert client.group is not None
    client.group.send(client.cd, b"answer")
    net.turn()
    change(client, user_timeout_s=100)
    net.advance(50)
    assert net.take_events(*ENDS) == []
    net.advance(60)
    assert len(net.take_events(*ENDS)) == 1
    client.take()


def test_keepalive_begins_and_ends(net: Net) -> None:
    client = live(net)
    net.advance(400)
    client.expect_nothing()
    change(client, keepalive_s=300)
    net.advance(5)
    client.expect("A", seq=0, ack=1)
    net.advance(20)
    client.expect_nothing()
    client.ack()
    net.turn()
    change(client, keepalive_s=0)
    net.advance(1_000)
    client.expect_nothing()


def test_times_and_number_of_probes(net: Net) -> None:
    client = live(net, keepalive_s=10_000, keepalive_probes=100)
    change(client, keepalive_s=60, keepalive_interval_s=60, keepalive_probes=2)
    net.advance(60 + 2 * (60 + SWEEP_S) + SWEEP_S)
    assert len(client.take()) == 2
    assert len(net.take_events(*ENDS)) == 1


# --- segments ---------------------------------------------------------------------


def test_nagle_begins_and_ends(net: Net) -> None:
    client = live(net)
    change(client, nagle=True)
    assert writes(net, client, b"a", b"b", b"c") == [b"a"]
    change(client, nagle=False)
    net.turn()
    client.expect("PA", data=b"bc")
    assert writes(net, client, b"d", b"e") == [b"d", b"e"]
    client.ack()
    net.turn()


def test_a_lower_mss_bounds_the_next_segments(net: Net) -> None:
    client = live(net)
    assert [len(data) for data in writes(net, client, bytes(2 * MSS))] == [MSS, MSS]
    client.ack()
    net.turn()
    change(client, mss=600)
    assert set(map(len, writes(net, client, bytes(4 * 588)))) == {588}
    client.ack()
    net.turn()
    change(client, mss=0)
    assert set(map(len, writes(net, client, bytes(2 * 588)))) == {588}, "a higher one is for new connections"
    client.ack()
    net.turn()


def test_fields_of_the_ip_header(net: Net) -> None:
    client = live(net)
    change(client, dscp=46, hop_limit=99)
    assert client.group is not None
    client.group.send(client.cd, b"answer")
    net.turn()
    segment = client.expect("PA", data=b"answer")
    assert (segment.raw[1] >> 2, segment.raw[8]) == (46, 99)
    client.ack()
    net.turn()


def test_weight_is_the_share_that_a_connection_may_hold(net: Net) -> None:
    pool = net.engine.create_pool(512 * KiB)
    client = net.client(net.group(7, pool=pool)).established()
    ask(net, client)
    net.advance(0.1)
    [before] = client.take()
    change(client, weight=16)
    ask(net, client)
    net.advance(0.1)
    [after] = client.take()
    assert after.window > 2 * before.window


# --- requests --------------------------------------------------------------------


def test_credits_take_the_place_of_those_that_are_left(net: Net) -> None:
    group = net.group(7)
    net.client(group).asked()
    group.set_options(accept_credits=2)
    net.client(group).asked()
    assert group.waiting == 0
    net.client(group).asked()
    assert group.waiting == 1
    group.set_options(accept_credits=UNLIMITED)
    assert group.waiting == 0
    group.set_options(accept_credits=0)
    net.client(group).asked()
    assert group.waiting == 1
    group.close()


def test_a_rate_that_ends_lets_those_in_that_wait(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED, accept_rate=1)
    for _ in range(4):
        net.client(group).asked()
    assert group.waiting == 3
    group.set_options(accept_rate=0.0)
    assert group.waiting == 0
    group.close()


@pytest.mark.parametrize("refuse", ["reset", "silent"])
def test_how_a_request_is_refused(net: Net, refuse: str) -> None:
    group = net.group(7, refuse="silent" if refuse == "reset" else "reset")
    client = net.client(group).asked()
    group.set_options(refuse=refuse)
    group.refuse(client.pending_id())
    net.turn()
    assert len(client.take()) == (refuse == "reset")


def test_a_request_that_waits_goes_on_waiting_under_another_priority(net: Net) -> None:
    group = net.group(7)
    first, second = net.client(group).asked(), net.client(group).asked()
    group.set_options(priority="high")
    net.turn()
    assert [peer for _, peer in group.pending()] == [first.key, second.key]
    group.refuse(first.pending_id())
    group.refuse(second.pending_id())
    group.set_options(priority="low")
    net.turn()
    assert group.waiting == 0
    first.take(), second.take()


# --- what stays -------------------------------------------------------------------


def test_what_was_set_for_one_connection_stays(net: Net) -> None:
    group = net.group(7)
    own, other = net.client(group).established(), net.client(group).established()
    group.set_nodelay(own.cd, True)
    group.set_keepalive(own.cd, False)
    group.set_options(nagle=True, keepalive_s=60)
    assert (group.info(own.cd).nagle, group.info(own.cd).keepalive) == (False, False)
    assert (group.info(other.cd).nagle, group.info(other.cd).keepalive) == (True, True)


def test_so_does_what_was_set_before_the_handshake(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).syn_received()
    group.set_nodelay(client.cd, True)
    client.ack()
    net.turn()
    group.set_options(nagle=True)
    assert not group.info(client.cd).nagle


def test_what_a_handshake_agreed_on_stays_and_is_other_for_the_next(net: Net) -> None:
    group = net.group(7)
    old = net.client(group).established()
    group.set_options(timestamps=False, sack=False, window_scaling=False)
    group.send(old.cd, b"answer")
    net.turn()
    assert old.expect("PA", data=b"answer").tsval is not None
    old.ack()
    new = net.client(group).asked()
    group.accept(new.pending_id())
    net.turn()
    assert set(new.expect("SA").options) == {2}, "nothing but the MSS"


@pytest.mark.parametrize(
    "wrong, what",
    [
        ({"nagel": True}, "'nagel': no such option; there are: ack_policy, "),
        ({"dscp": 64}, "dscp: 64 is not allowed"),
        ({"nagle": True, "weight": 0}, "weight: 0 is not allowed"),
        ({"nagle": True, "unknown": 0}, "'unknown': no such option"),
    ],
)
def test_a_wrong_change_changes_nothing(net: Net, wrong: dict[str, Any], what: str) -> None:
    client = live(net)
    assert client.group is not None
    before = client.group.options
    with pytest.raises(ConfigurationError) as error:
        client.group.set_options(**wrong)
    assert str(error.value).startswith(what)
    assert client.group.options is before
    assert writes(net, client, b"a", b"b") == [b"a", b"b"]
    client.ack()
    net.turn()


def test_a_closed_group_has_no_options_to_change(net: Net) -> None:
    group = net.group(7)
    group.close()
    with pytest.raises(GroupClosed):
        group.set_options(dscp=1)


# --- many connections ------------------------------------------------------------


def test_many_connections_follow_in_slices(make_net: MakeNet) -> None:
    """The first slice at once, one more in each poll, until all have followed; others are left alone."""
    net = make_net(max_connections=2 * SLICE + 600)
    group = net.group(7, accept_credits=UNLIMITED)
    other = net.group(8, accept_credits=UNLIMITED)
    ids = [connect(net, bytes([198, 51, 100, 7]), 1_024 + n)[0] for n in range(2 * SLICE + 100)]
    apart, _ = connect(net, bytes([198, 51, 100, 7]), 1_024, 8)

    def followed() -> int:
        return sum(group.info(cd).nagle for cd in ids)

    group.set_options(nagle=True)
    assert followed() == SLICE
    assert net.engine.poll_at() <= net.now, "the next slice is due"
    net.engine.poll(net.now)
    assert followed() == 2 * SLICE
    # Another change meanwhile: all of them are visited for both.
    group.set_options(keepalive_s=60)
    for _ in range(3):
        net.engine.poll(net.now)
    assert followed() == len(ids)
    assert all(group.info(cd).keepalive for cd in ids)
    assert not other.info(apart).nagle
    net.engine.flush(net.now)
    assert net.engine.poll_at() > net.now, "the walk is over"
    group.set_options(nagle=False)
    group.close(abort=True)
    net.engine.poll(net.now)
    net.engine.flush(net.now)
