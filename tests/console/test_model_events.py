"""Events: what is told, in which words, and how often."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import MakeNet, Net
from support.packets import build
from support.watched import Filler, Watched

from xtcp_console.figures import PRESSURES
from xtcp_console.losses import LOSSES
from xtcp_console.notices import CAPACITY, MINUTE_S, Flood, Log, Notice
from xtcp_console.pressures import Passage
from xtcp_twisted.config import KiB, MiB, PressureThresholds
from xtcp_twisted.engine.snapshot import BufferSnapshot, PressureSnapshot
from xtcp_twisted.tcp.counters import NAMES


@pytest.fixture
def watched(net: Net) -> Watched:
    return Watched(net)


# --- Pools and groups ---------------------------------------------------------------


def test_pools_and_groups_that_are_opened_and_closed(watched: Watched) -> None:
    pool = watched.net.engine.create_pool(1 * MiB, name="im-eu")
    group = pool.open_group(5222, name="chat-eu", address="192.0.2.1")
    watched.seconds(1)
    opened = watched.events()[1:]
    assert [(event.kind, event.ref, event.severity, event.text, event.detail) for event in opened] == [
        ("pool", f"pool/{pool.row}", "info", "Pool im-eu was opened", "receive buffer 1.00\u00a0MiB"),
        ("group", f"group/{group.row}", "info", "Group chat-eu was opened", "port 5222 of 192.0.2.1"),
    ]
    group.close()
    pool.close()
    watched.seconds(1)
    closed = watched.events()[3:]
    assert [event.text for event in closed] == ["Pool im-eu was closed", "Group chat-eu was closed"]
    assert [event.id for event in watched.events()] == [1, 2, 3, 4, 5]
    assert [event.t for event in closed] == [watched.tick.t] * 2


@pytest.mark.feature("P31")
def test_a_group_of_a_unix_socket_is_told_by_its_path(watched: Watched, tmp_path: Path) -> None:
    pool = watched.net.engine.create_pool(1 * MiB, name="im-eu")
    pool.open_group(0, domain=socket.AF_UNIX, path=f"\0{tmp_path.name}-{os.getpid()}", name="local")
    watched.seconds(1)
    event = watched.events()[-1]
    assert event.text == "Group local was opened"
    assert event.detail == f"Unix socket \0{tmp_path.name}-{os.getpid()}"


def test_a_row_that_is_used_anew_was_closed_and_opened(watched: Watched) -> None:
    watched.net.group(7)
    watched.seconds(1)
    watched.net.pool.groups()[0].close()
    watched.net.group(7)
    watched.seconds(1)
    assert watched.texts("group") == [
        "Group test:7 was opened",
        "Group test:7 was closed",
        "Group test:7 was opened",
    ]


def test_hundreds_of_groups_do_not_push_all_else_out_of_the_log(watched: Watched) -> None:
    groups = [watched.net.group(1_000 + n) for n in range(300)]
    watched.seconds(1)
    assert len(watched.texts("group")) == 10
    watched.seconds(MINUTE_S)
    assert watched.texts("group")[10:] == ["290 more groups were opened within a minute"]
    for group in groups[:11]:
        group.close()
    watched.seconds(MINUTE_S + 1)
    assert watched.texts("group")[21:] == ["1 more group was closed within a minute"]
    watched.seconds(2 * MINUTE_S)
    assert len(watched.texts("group")) == 22, "nothing more has happened"


# --- Pressure -----------------------------------------------------------------------


def test_the_pressure_of_a_pool_rises_and_falls(watched: Watched) -> None:
    filler = Filler(watched.net, "im-eu")
    watched.seconds(1)
    for chunks in (130, 200, 230):
        filler.fill(chunks)
        watched.seconds(1)
    for chunks in (200, 150, 20):
        filler.drain(chunks)
        watched.seconds(1)
    told = watched.events("pressure")
    assert [(event.severity, event.text) for event in told] == [
        ("info", "Pool im-eu came under pressure: frozen"),
        ("warn", "Pool im-eu came under pressure: withholding"),
        ("crit", "Pool im-eu came under pressure: discarding"),
        ("warn", "Pool im-eu recovered from discarding: withholding"),
        ("info", "Pool im-eu recovered from withholding: frozen"),
        ("ok", "Pool im-eu recovered from frozen: open"),
    ]
    assert {event.ref for event in told} == {f"pool/{filler.pool.row}"}
    assert told[1].detail == ("78.1\u00a0% in use (50.0\u00a0KiB of 64.0\u00a0KiB) · threshold 75.0\u00a0%")
    assert told[3].detail.endswith("threshold 82.5\u00a0%")


def test_pressure_that_came_and_went_between_two_samples(watched: Watched) -> None:
    filler = Filler(watched.net)
    watched.seconds(1)
    filler.fill(230)
    watched.net.advance(0.25)
    filler.drain(0)
    watched.seconds(1)
    [event] = watched.events("pressure")
    assert (event.severity, event.text) == (
        "crit",
        "Pool test was discarding for a moment".replace("test", "im"),
    )
    assert event.detail == "250\u00a0ms in all · 0.0\u00a0% in use (0\u00a0B of 64.0\u00a0KiB)"


def test_the_transmit_buffer(make_net: MakeNet) -> None:
    net = make_net(transmit_buffer=64 * KiB)
    watched = Watched(net)
    group = net.group(7)
    while net.transmit_used < 33 * KiB:
        group.send(net.client(group).established().cd, b"a" * 1_000)
        net.turn()
    watched.seconds(1)
    [event] = watched.events("pressure")
    assert (event.ref, event.text) == ("transmit", "The transmit buffer came under pressure: frozen")


def test_a_new_pool_that_is_under_pressure_already(watched: Watched) -> None:
    Filler(watched.net).fill(140)
    watched.seconds(1)
    assert watched.texts()[1:] == [
        "Pool im was opened",
        "Group im:7 was opened",
        "Pool im came under pressure: frozen",
    ]


def test_a_buffer_that_flutters_is_told_of_ten_times_a_minute(watched: Watched) -> None:
    filler = Filler(watched.net)

    def flutter() -> None:
        filler.fill(130)
        watched.pass_by(1.0)
        filler.drain(0)

    watched.seconds(25, flutter)
    assert len(watched.events("pressure")) == 10
    watched.seconds(11)
    assert watched.texts("pressure")[10:] == [
        "Pool im changed its state of pressure 40 more times within a minute"
    ]
    last = watched.events("pressure")[-1]
    assert (last.severity, last.detail) == ("ok", "now open · 0.0\u00a0% in use (0\u00a0B of 64.0\u00a0KiB)")


def passage(states: list[str]) -> Passage:
    """A buffer that went through these states between two samples."""
    entries = dict.fromkeys(PRESSURES, 0)
    durations = dict.fromkeys(PRESSURES, 0.0)
    thresholds = PressureThresholds()
    first = PressureSnapshot(
        state=states[0], since=0.0, entries=dict(entries), durations=durations, thresholds=thresholds
    )
    for state in states[1:]:
        entries[state] += 1
    last = replace(first, state=states[-1], entries=entries)
    buffers = [BufferSnapshot(size=1_000, used=10, peak=10, pressure=pressure) for pressure in (first, last)]
    return Passage("Pool im", "pool/0", *buffers)


@pytest.mark.parametrize(
    "states, texts",
    [
        (["open"], []),
        (["open", "discarding"], ["came under pressure: discarding"]),
        (["open", "frozen", "withholding"], ["came under pressure: withholding"]),
        (["withholding", "frozen", "open"], ["recovered from withholding: open"]),
        (["open", "discarding", "open"], ["was discarding for a moment"]),
        (["open", "discarding", "frozen"], ["was discarding for a moment", "came under pressure: frozen"]),
        (["frozen", "open", "frozen"], ["went to and fro between open and frozen"]),
        (
            ["open", "frozen", "open", "frozen"],
            ["went to and fro between open and frozen", "came under pressure: frozen"],
        ),
        (["withholding", "open", "withholding"], ["went to and fro between open and withholding"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_the_words_for_each_way(states: list[str], texts: list[str]) -> None:
    assert [notice.text for notice in passage(states).notices()] == [f"Pool im {text}" for text in texts]


@given(st.lists(st.sampled_from(PRESSURES), min_size=1, max_size=12))
def test_each_way_is_told_in_at_most_two_sentences(way: list[str]) -> None:
    """Nothing is told of a buffer that stayed; a peak that was left again is always told."""
    states = [way[0], *(new for old, new in pairwise(way) if new != old)]
    told = list(passage(states).notices())
    assert bool(told) == (len(states) > 1)
    assert len(told) <= 2
    if told:
        peak = max(states, key=PRESSURES.index)
        entered = peak in states[1:]
        assert not entered or any(peak in notice.text for notice in told)
    assert passage(states).met() == {states[-1], *states[1:]}


# --- Counters that should stand still -----------------------------------------------


def test_the_engine_has_all_of_these_counters() -> None:
    assert set(LOSSES) <= set(NAMES)


@pytest.mark.feature("P27")
def test_an_abort_for_a_stuck_pool_is_told(watched: Watched) -> None:
    filler = Filler(watched.net)
    filler.fill(230)
    watched.seconds(12)
    [event] = watched.events("loss")
    assert (event.severity, event.ref) == ("crit", "engine")
    assert event.text.startswith("Connections were aborted: their pool was full")
    assert event.detail == "1 time · counter PressureAborts"
    assert watched.tick.counters["PressureAborts"] == 1
    assert watched.texts("pressure")[-1] == "Pool im recovered from discarding: open"
    assert "R" in filler.client.take()[-1].flags
    for newcomer in filler.newcomers:
        newcomer.take()


@pytest.mark.feature("P27")
def test_thresholds_that_change_are_shown_at_once(watched: Watched) -> None:
    """By the gauges, which read them from each tick, and by the event of the state that they make."""
    filler = Filler(watched.net)
    filler.fill(100)
    watched.seconds(2)
    limits = PressureThresholds(frozen=0.25, withholding=0.5, discarding=0.9, hysteresis=0.1)
    filler.pool.set_thresholds(limits)
    watched.net.engine.set_thresholds(limits)
    watched.seconds(1)
    tick = watched.tick
    for pressure in (tick.pools[str(filler.pool.row)].receive.pressure, tick.transmit.buffer.pressure):
        shown = pressure.thresholds
        assert (shown.frozen, shown.withholding, shown.discarding, shown.hysteresis) == (0.25, 0.5, 0.9, 0.1)
    event = watched.events("pressure")[-1]
    assert event.text == "Pool im came under pressure: frozen"
    assert event.detail.endswith("threshold 25.0\u00a0%")
    filler.client.take()


def damaged() -> bytes:
    packet = bytearray(build("198.51.100.7", "192.0.2.1", 40_000, 7, seq=1, ack=0, flags="S", window=1_000))
    packet[-1] ^= 0xFF
    return bytes(packet)


def test_a_counter_that_begins_to_rise(watched: Watched) -> None:
    watched.seconds(2)
    for _ in range(3):
        watched.net.inject(damaged())
    watched.seconds(1)
    [event] = watched.events("loss")
    assert (event.t, event.severity, event.ref) == (watched.tick.t, "warn", "engine")
    assert event.text == "Packets arrived damaged: their checksum was wrong"
    assert event.detail == "3 times · counter InCsumErrors"
    assert watched.tick.counters["InCsumErrors"] == 3


def test_a_flood_is_one_event_a_minute(watched: Watched) -> None:
    def loss() -> None:
        for _ in range(5):
            watched.net.inject(damaged())

    watched.seconds(3 * MINUTE_S, loss)
    details = [event.detail for event in watched.events("loss")]
    assert details == [
        "5 times · counter InCsumErrors",
        "300 times within a minute · counter InCsumErrors",
        "300 times within a minute · counter InCsumErrors",
    ]
    watched.seconds(2 * MINUTE_S)
    assert len(watched.events("loss")) == 4, "the rest of the last minute, then silence"
    watched.seconds(1, loss)
    assert watched.events("loss")[-1].detail == "5 times · counter InCsumErrors", "it began again"


def test_requests_that_find_no_room(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    watched = Watched(net)
    group = net.group(7)
    for _ in range(16):
        net.client(group).established()
    net.client(group).asked()
    watched.seconds(1)
    [event] = watched.events("loss")
    assert event.text == "Connection requests were left unanswered: no room for a connection"
    assert event.detail == "1 time · counter ListenDrops"


def test_the_rest_of_a_flood_is_told_though_the_engine_has_stopped(watched: Watched) -> None:
    def loss() -> None:
        watched.net.inject(damaged())

    watched.seconds(3, loss)
    watched.net.close()
    watched.seconds(MINUTE_S)
    assert watched.events("loss")[-1].detail == "2 times within a minute · counter InCsumErrors"


# --- The log ------------------------------------------------------------------------


def test_the_log_keeps_the_last_ones_and_counts_on() -> None:
    log = Log()
    for n in range(CAPACITY + 20):
        log.add(float(n), Notice("info", "engine", "engine", f"Event {n}"))
    assert len(log.events) == CAPACITY == 500
    assert [log.events[0].id, log.events[-1].id] == [21, CAPACITY + 20]
    assert log.events[-1].text == f"Event {CAPACITY + 19}"


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 9)), max_size=60), st.integers(1, 4))
def test_a_flood_loses_nothing_and_tells_little(happened: list[tuple[float, int]], most: int) -> None:
    """All is told, singly or in a sum; in one minute no more than `most` singly and one sum."""
    flood, at, sums, singly = Flood(), 0.0, [], 0

    def summary(count: int) -> Notice:
        sums.append((at, count))
        return Notice("info", "loss", "engine", "Again")

    def look() -> None:
        flood.over(at)

    for wait, count in happened:
        at += wait
        look()
        if flood.admit("sort", at, summary, most=most, count=count):
            singly += count
    while flood._minutes:
        at += 1
        look()
    assert singly + sum(count for _, count in sums) == sum(count for _, count in happened)
    assert all(later - earlier >= MINUTE_S for (earlier, _), (later, _) in pairwise(sums))
