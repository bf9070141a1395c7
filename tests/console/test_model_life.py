"""Engines stop and start; the model stays, and tells it."""

from __future__ import annotations

import math
import sys

import pytest
from support.net import MakeNet, Net
from support.watched import EPOCH, Filler, Watched

from xtcp_twisted.config import KiB


@pytest.fixture
def watched(net: Net) -> Watched:
    return Watched(net)


def busy(watched: Watched, seconds: int = 3, each: int = 4) -> int:
    """A group with one client that talks; returns the group's row."""
    group = watched.net.group(7)
    client = watched.net.client(group).established()

    def talk() -> None:
        for _ in range(each):
            client.exchange(b"request", b"answer")

    watched.seconds(seconds, talk)
    return group.row


def test_the_start_is_told(watched: Watched) -> None:
    [event] = watched.events()
    assert (event.id, event.t, event.severity, event.kind, event.ref) == (
        1,
        EPOCH + 1_000,
        "ok",
        "engine",
        "engine",
    )
    assert event.text == "The engine started"
    assert event.detail == "0 pools · 0 groups · room for 1,024 connections"


def test_what_an_engine_starts_with_is_no_news(net: Net) -> None:
    net.group(7)
    watched = Watched(net)
    watched.seconds(2)
    [event] = watched.events()
    assert event.detail == "1 pool · 1 group · room for 1,024 connections"


def test_an_engine_that_starts_under_pressure_says_so(make_net: MakeNet) -> None:
    net = make_net(transmit_buffer=64 * KiB)
    group = net.group(9)
    while net.transmit_used < 33 * KiB:
        group.send(net.client(group).established().cd, b"a" * 1_000)
        net.turn()
    Filler(net).fill(200)
    watched = Watched(net)
    assert watched.texts() == [
        "The engine started",
        "Pool im came under pressure: withholding",
        "The transmit buffer came under pressure: frozen",
    ]


@pytest.mark.parametrize("gone", [False, True], ids=["closed", "gone"])
def test_an_engine_that_failed(watched: Watched, gone: bool) -> None:
    """Its last figures stay, nothing moves any more, and the event is told once."""
    row = str(busy(watched))
    before = watched.tick
    assert before.rates.requests_per_s > 0
    watched.net.close()
    watched.engine = None if gone else watched.net.engine
    watched.failure = "The link is gone: the device was removed"
    watched.usage = type(watched.usage)(1_000_000, 9, watched.usage.cpu_s)
    watched.seconds(5)
    tick = watched.tick
    assert (tick.engine.state, tick.engine.reason) == ("stopped", watched.failure)
    assert (tick.t, tick.serial) == (before.t + 5, before.serial + 5)
    assert (tick.engine.connections, tick.engine.uptime_s) == (1, before.engine.uptime_s)
    assert tick.engine.rss_bytes == 1_000_000, "the process still lives"
    assert tick.rates.requests_per_s == tick.rates.answers_per_s == tick.rates.in_bytes_per_s == 0
    assert tick.rates.acks_piggybacked is None
    assert tick.groups[row].connections == before.groups[row].connections
    assert tick.groups[row].requests_per_s == 0
    assert (tick.layout, tick.group_count) == (before.layout, 1)
    stopped = watched.events("engine")[1:]
    assert [(event.severity, event.text, event.detail) for event in stopped] == [
        ("crit", "The engine stopped", "The link is gone: the device was removed")
    ]


def test_an_engine_that_was_stopped_in_order(watched: Watched) -> None:
    watched.seconds(1)
    watched.net.close()
    watched.seconds(2)
    assert (watched.tick.engine.state, watched.tick.engine.reason) == ("stopped", None)
    last = watched.events()[-1]
    assert (last.severity, last.text, last.detail) == ("info", "The engine was stopped", "")


def test_a_buffer_of_a_stopped_engine_does_not_grow(watched: Watched) -> None:
    filler = Filler(watched.net)
    filler.fill(50)
    watched.seconds(1)
    assert watched.tick.pools[str(filler.pool.row)].receive.delta_bytes_per_s > 0
    watched.net.close()
    watched.seconds(1)
    receive = watched.tick.pools[str(filler.pool.row)].receive
    assert (receive.delta_bytes_per_s, receive.next_state_s) == (0, None)
    assert receive.used == 50 / 256


def test_a_stopped_engine_is_let_go(watched: Watched) -> None:
    """The model must not keep the memory of an engine that nobody else needs."""
    watched.seconds(6)
    engine = watched.net.engine
    watched.net.close()
    watched.engine = None
    held = sys.getrefcount(engine)
    watched.seconds(1)
    assert sys.getrefcount(engine) < held


def test_a_new_engine_begins_anew(watched: Watched, make_net: MakeNet) -> None:
    busy(watched, each=50)
    watched.net.close()
    watched.seconds(2)
    watched.restart(make_net())
    began = watched.net.now
    row = str(busy(watched, seconds=1, each=1))
    tick = watched.tick
    assert (tick.engine.state, tick.engine.reason) == ("running", None)
    assert (tick.engine.started, tick.engine.uptime_s) == (EPOCH + began + 1, 0)
    assert tick.rates.requests_per_s == tick.groups[row].requests_per_s == 0
    busy_again = watched.net.client(watched.net.engine.pools()[0].groups()[0]).established()
    watched.seconds(2, lambda: busy_again.exchange(b"request", b"answer"))
    assert watched.tick.rates.requests_per_s == 1
    assert watched.texts("engine") == ["The engine started", "The engine was stopped", "The engine started"]


def test_an_engine_that_was_replaced_within_a_second(watched: Watched, make_net: MakeNet) -> None:
    busy(watched, each=50)
    watched.net.close()
    watched.restart(make_net())
    watched.seconds(1)
    assert watched.texts("engine") == ["The engine started", "The engine was stopped", "The engine started"]
    assert watched.tick.rates.requests_per_s == 0
    assert watched.tick.group_count == 0


def test_the_time_without_an_engine_is_a_gap(watched: Watched, make_net: MakeNet) -> None:
    """Pools and groups that are opened again as they were keep their past."""
    row = busy(watched, seconds=3)
    watched.net.close()
    watched.seconds(3)
    connections = watched.view.sparks.columns["engine.connections"]
    assert [math.isnan(value) for value in connections] == [False] * 4 + [True] * 3
    watched.restart(make_net())
    busy(watched, seconds=2)
    sparks, occupancy = watched.view.sparks, watched.view.occupancy
    for column in (
        sparks.columns["engine.connections"],
        occupancy.columns["transmit.buffer.used"],
        sparks.columns[f"groups.{row}.requests_per_s"],
    ):
        assert [math.isnan(value) for value in column[-6:]] == [False] + [True] * 3 + [False] * 2
    gap = [
        (left.end, right.start)
        for left, right in zip(watched.view.ribbon, watched.view.ribbon[1:], strict=False)
    ]
    assert gap == [(EPOCH + 1_003, EPOCH + 1_007)]


def test_a_group_of_the_new_engine_has_not_the_past_of_another_one(
    watched: Watched, make_net: MakeNet
) -> None:
    row = busy(watched, seconds=3)
    watched.net.close()
    watched.seconds(1)
    watched.restart(make_net())
    watched.net.group(8)
    watched.seconds(1)
    column = watched.view.sparks.columns[f"groups.{row}.requests_per_s"]
    assert [value for value in column if not math.isnan(value)] == [0]


def test_pages_of_the_same_pools_and_groups_stay_good_over_a_restart(
    watched: Watched, make_net: MakeNet
) -> None:
    watched.net.group(7)
    watched.seconds(1)
    layout = watched.tick.layout
    watched.net.close()
    net = make_net()
    watched.restart(net)
    net.group(7)
    watched.seconds(1)
    assert watched.tick.layout == layout
    net.close()
    other = make_net()
    watched.restart(other)
    other.group(8)
    watched.seconds(1)
    assert watched.tick.layout != layout
