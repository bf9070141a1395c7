"""Rates: over the last five seconds, never negative, and nobody inherits another one's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import Net
from support.watched import Filler, Watched

from xtcp_console.rates import INTERVALS, Change, Slope, per_second
from xtcp_twisted.config import ALL


@pytest.fixture
def watched(net: Net) -> Watched:
    return Watched(net)


def test_requests_and_answers_and_their_bytes(watched: Watched) -> None:
    client = watched.net.client(watched.net.group(7)).established()

    def talk() -> None:
        for _ in range(10):
            client.exchange(b"request", b"the answer")

    watched.seconds(INTERVALS, talk)
    rates = watched.tick.rates
    assert (rates.requests_per_s, rates.answers_per_s) == (10, 10)
    assert (rates.in_bytes_per_s, rates.out_bytes_per_s) == (70, 100)
    assert rates.resends_per_s == 0


def test_bare_acknowledgements_and_repeated_requests_are_none(watched: Watched) -> None:
    client = watched.net.client(watched.net.group(7, ack_policy="immediate")).established()
    watched.seconds(1)

    def repeat() -> None:
        client.ack()
        client.send(b"once", seq=1)
        watched.net.turn()

    watched.seconds(INTERVALS, repeat)
    assert watched.tick.rates.requests_per_s == 1 / INTERVALS


def test_the_window_slides(watched: Watched) -> None:
    client = watched.net.client(watched.net.group(7)).established()
    watched.seconds(1, lambda: client.exchange(b"request", b"answer"))
    seen = []
    for _ in range(6):
        seen.append(watched.tick.rates.requests_per_s)
        watched.seconds(1)
    assert seen == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 0]


def test_seconds_that_were_missed_count_as_time(watched: Watched) -> None:
    client = watched.net.client(watched.net.group(7)).established()
    client.exchange(b"request", b"answer")
    watched.pass_by(4.0)
    assert watched.tick.rates.requests_per_s == 1 / 4


def test_the_share_of_acknowledgements_that_rode_on_an_answer(watched: Watched) -> None:
    group = watched.net.group(7)
    client = watched.net.client(group).established()
    watched.seconds(INTERVALS + 1)
    assert watched.tick.rates.acks_piggybacked is None
    assert watched.tick.groups[str(group.row)].acks_piggybacked is None
    watched.seconds(1, lambda: client.exchange(b"request", b"answer"))
    assert watched.tick.rates.acks_piggybacked == 1.0

    def late() -> None:
        assert client.request(b"never answered") == b"never answered"
        watched.pass_by(0.75)
        with watched.net.in_turn():
            group.send(client.cd, b"", ackd=ALL)
        client.take()

    late()
    watched.pass_by(0.25)
    rates = watched.tick.rates
    assert rates.acks_piggybacked == 0.5
    assert watched.tick.groups[str(group.row)].acks_piggybacked == 0.5
    assert rates.acks_per_s == pytest.approx(2 / INTERVALS)
    assert rates.acks_saved_per_s == pytest.approx(1 / INTERVALS)


def test_opened_and_closed(watched: Watched) -> None:
    group = watched.net.group(7)

    def come_and_go() -> None:
        watched.net.client(group).established()
        watched.net.client(group).established().rst()
        watched.net.turn()
        watched.net.take_events()

    watched.seconds(INTERVALS, come_and_go)
    assert (watched.tick.rates.opened_per_s, watched.tick.rates.closed_per_s) == (2, 1)


def test_resends(watched: Watched) -> None:
    group = watched.net.group(7)
    client = watched.net.client(group).established()
    group.send(client.cd, b"lost")
    watched.net.turn()
    watched.seconds(1)
    resent = sum(segment.data == b"lost" for segment in client.take()) - 1
    assert resent >= 1
    assert watched.tick.rates.resends_per_s == resent
    assert watched.tick.groups[str(group.row)].resends_per_s == resent


def test_rates_of_groups_are_their_own(watched: Watched) -> None:
    one, two = watched.net.group(7), watched.net.group(8)
    clients = [watched.net.client(one).established(), watched.net.client(two).established()]

    def talk() -> None:
        clients[0].exchange(b"request", b"answer")
        for _ in range(2):
            clients[1].exchange(b"a longer request", b"a longer answer")

    watched.seconds(INTERVALS, talk)
    tick = watched.tick
    assert [group.requests_per_s for group in tick.groups.values()] == [1, 2]
    assert [group.answers_per_s for group in tick.groups.values()] == [1, 2]
    assert [group.in_bytes_per_s for group in tick.groups.values()] == [7, 32]
    assert [group.out_bytes_per_s for group in tick.groups.values()] == [6, 30]
    assert tick.rates.requests_per_s == 3


def test_a_group_inherits_nothing_from_the_last_one_in_its_row(watched: Watched) -> None:
    """Also when the new one has counted more within one second than the old one in its life."""
    net = watched.net
    old = net.group(7)
    net.client(old).established().exchange(b"request", b"answer")
    watched.seconds(2)
    old.close(abort=True)
    net.turn()
    net.take_events()
    new = net.group(8)
    assert new.row == old.row
    busy = net.client(new).established()
    for _ in range(50):
        busy.exchange(b"request", b"answer")
    watched.seconds(1)
    shown = watched.tick.groups[str(new.row)]
    assert (shown.name, shown.requests_per_s) == ("test:8", 50)
    busy.exchange(b"request", b"answer")
    watched.seconds(1)
    assert watched.tick.groups[str(new.row)].requests_per_s == 51 / 2
    path = f"groups.{new.row}.requests_per_s"
    assert [value for value in watched.view.sparks.columns[path] if not math.isnan(value)] == [50, 51 / 2]


def test_a_pool_inherits_nothing_from_the_last_one_in_its_row(watched: Watched) -> None:
    engine = watched.net.engine
    filler = Filler(watched.net, "old")
    filler.fill(100)
    watched.seconds(INTERVALS + 1)
    filler.group.close(abort=True)
    filler.pool.close()
    watched.net.turn()
    watched.net.take_events()
    new = engine.create_pool(1 << 20, name="new")
    assert new.row == filler.pool.row
    watched.seconds(1)
    receive = watched.tick.pools[str(new.row)].receive
    assert receive.delta_bytes_per_s == 0
    path = f"pools.{new.row}.receive.used"
    assert [value for value in watched.view.occupancy.columns[path] if not math.isnan(value)] == [0]


def test_bytes_of_a_group_that_closes_stay_in_the_rates(watched: Watched) -> None:
    group = watched.net.group(7)
    watched.seconds(INTERVALS)
    client = watched.net.client(group).established()
    client.exchange(b"r" * 500, b"a" * 700)
    group.close()
    watched.seconds(1)
    assert watched.tick.groups == {}
    rates = watched.tick.rates
    assert (rates.in_bytes_per_s, rates.out_bytes_per_s) == (100, 140)
    client.take()


# --- The arithmetic -------------------------------------------------------------


@given(old=st.integers(0, 1 << 64), new=st.integers(0, 1 << 64), seconds=st.floats(0, 1e6))
def test_a_rate_is_never_negative(old: int, new: int, seconds: float) -> None:
    change = Change({"Counter": old}, {"Counter": new}, seconds)
    assert change.rate("Counter") >= 0
    assert change.count("Counter") == (new - old if new > old else 0)


@given(
    mine=st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)),
    others=st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)),
)
def test_a_share_is_of_what_has_grown(mine: tuple[int, int], others: tuple[int, int]) -> None:
    change = Change({"a": mine[0], "b": others[0]}, {"a": mine[1], "b": others[1]}, 1.0)
    share = change.share("a", "b")
    grown = [max(new - old, 0) for old, new in (mine, others)]
    if sum(grown) == 0:
        assert share is None
    else:
        assert share == grown[0] / sum(grown)


@given(st.lists(st.tuples(st.floats(0.5, 3), st.floats(0, 100)), min_size=1, max_size=20))
def test_a_slope_is_that_of_the_last_intervals(steps: list[tuple[float, float]]) -> None:
    slope, at, value = Slope(), 0.0, 0.0
    points = []
    for seconds, more in steps:
        at, value = at + seconds, value + more
        points.append((at, value))
        told = slope.add(at, value)
    first = points[-(INTERVALS + 1) :][0]
    assert told == pytest.approx(per_second(value - first[1], at - first[0]))
