"""What a view has of the past: rings that forget, spans of pressure."""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import MakeNet, Net
from support.watched import EPOCH, Filler, Watched

from xtcp_console.figures import PRESSURES, Span
from xtcp_console.history import RIBBON_S, Column, History, Ribbon
from xtcp_twisted.config import KiB


@pytest.fixture
def watched(net: Net) -> Watched:
    return Watched(net)


def test_the_key_figures_of_the_last_minute(watched: Watched) -> None:
    group = watched.net.group(7)
    client = watched.net.client(group).established()
    watched.seconds(70, lambda: client.exchange(b"request", b"answer"))
    sparks = watched.view.sparks
    assert set(sparks.columns) == {
        "engine.connections",
        "engine.rss_bytes",
        "rates.requests_per_s",
        "rates.acks_piggybacked",
        "rates.resends_per_s",
        "transmit.unacked_bytes",
        f"groups.{group.row}.requests_per_s",
    }
    assert len(sparks.times) == 60
    assert sparks.times[-1] == watched.tick.t
    assert all(len(column) == 60 for column in sparks.columns.values())
    assert sparks.columns["rates.requests_per_s"][-1] == 1.0
    assert sparks.columns["engine.rss_bytes"][-1] == watched.tick.engine.rss_bytes


def test_the_occupancy_of_the_last_ten_minutes(watched: Watched) -> None:
    filler = Filler(watched.net)
    row = filler.pool.row
    watched.seconds(1)
    filler.fill(64)
    watched.seconds(620)
    occupancy = watched.view.occupancy
    assert set(occupancy.columns) == {"transmit.buffer.used", f"pools.{row}.receive.used"}
    assert occupancy.times[0] == pytest.approx(watched.tick.t - 600, abs=1.0)
    assert occupancy.columns[f"pools.{row}.receive.used"][-1] == 0.25


def test_the_eight_fullest_pools(watched: Watched) -> None:
    fillers = [Filler(watched.net, f"pool-{n}", 1_000 + n) for n in range(10)]
    for chunks, filler in enumerate(fillers):
        filler.fill(chunks + 1)
    watched.seconds(1)
    rows = {f"pools.{filler.pool.row}.receive.used" for filler in fillers[2:]}
    assert set(watched.view.occupancy.columns) == {"transmit.buffer.used"} | rows
    assert len(watched.tick.pools) == 10
    fillers[0].fill(100)
    watched.seconds(1)
    path = f"pools.{fillers[0].pool.row}.receive.used"
    assert watched.view.occupancy.columns[path][-2:] == (1 / 256, 100 / 256), "its past was kept"


def test_a_figure_that_is_not_known_is_a_gap(watched: Watched) -> None:
    watched.seconds(2)
    assert all(math.isnan(value) for value in watched.view.sparks.columns["rates.acks_piggybacked"])


def test_a_ribbon_of_the_worst_pressure(watched: Watched) -> None:
    filler = Filler(watched.net)
    watched.seconds(3)
    filler.fill(200)
    watched.seconds(4)
    filler.drain(0)
    watched.seconds(2)
    begin = EPOCH + 1_000
    assert watched.view.ribbon == (
        Span(begin, begin + 3, "open"),
        Span(begin + 3, begin + 7, "withholding"),
        Span(begin + 7, begin + 9, "open"),
    )


def test_pressure_between_two_samples_is_in_the_ribbon(watched: Watched) -> None:
    filler = Filler(watched.net)
    watched.seconds(3)
    filler.fill(230)
    filler.drain(0)
    watched.seconds(3)
    begin = EPOCH + 1_000
    assert watched.tick.pools[str(filler.pool.row)].receive.pressure.state == "open"
    assert Span(begin + 3, begin + 4, "discarding") in watched.view.ribbon


def test_the_ribbon_shows_the_worst_of_all_buffers(make_net: MakeNet) -> None:
    net = make_net(transmit_buffer=64 * KiB)
    watched = Watched(net)
    Filler(net).fill(130)
    group = net.group(9)
    while net.transmit_used < 50 * KiB:
        group.send(net.client(group).established().cd, b"a" * 1_000)
        net.turn()
    watched.seconds(2)
    assert watched.tick.transmit.buffer.pressure.state == "withholding"
    assert watched.view.ribbon[-1].state == "withholding"


# --- Rings ------------------------------------------------------------------------

ROWS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.none() | st.floats(0, 1), max_size=3))


@given(rows=ROWS, capacity=st.integers(1, 7), start=st.integers(0, 30))
def test_a_ring_has_the_last_rows(rows: list[dict[str, float | None]], capacity: int, start: int) -> None:
    """Against a list: the columns of the last row, as far back as each was in every row."""
    history = History(capacity)
    for t, row in enumerate(rows):
        history.add(t, {(path, None): value for path, value in row.items()})
    kept = list(enumerate(rows))[-capacity:]
    series = history.since(start)
    shown = [(t, row) for t, row in kept if t >= start]
    assert series.times == tuple(t for t, _ in shown)
    assert set(series.columns) == set(rows[-1] if rows else ())
    for path, column in series.columns.items():
        begun = max((t + 1 for t, row in enumerate(rows) if path not in row), default=0)
        wanted = [row[path] if t >= begun else None for t, row in shown]
        assert [None if math.isnan(value) else value for value in column] == wanted


@given(owners=st.lists(st.sets(st.integers(0, 50), max_size=5), min_size=1, max_size=50))
def test_the_memory_of_a_ring_is_that_of_the_last_row(owners: list[set[int]]) -> None:
    history = History(10)
    for t, present in enumerate(owners):
        history.add(t, {("groups.1.requests_per_s", owner): 1.0 for owner in present})
    assert len(history._columns) == len(owners[-1])
    assert all(len(cells) == 10 for cells in history._columns.values())


def test_only_the_columns_wanted_that_exist() -> None:
    history = History(3)
    keys: list[tuple[str, Hashable]] = [("a", None), ("b", None)]
    history.add(1.0, dict.fromkeys(keys, 0.5))
    wanted: list[Column] = [("b", None), ("c", None)]
    assert dict(history.since(0.0, wanted).columns) == {"b": (0.5,)}


@given(st.lists(st.tuples(st.floats(0.5, 300), st.sampled_from(PRESSURES)), min_size=1, max_size=40))
def test_a_ribbon_has_the_last_half_hour_and_no_seams(steps: list[tuple[float, str]]) -> None:
    ribbon, now = Ribbon(), 0.0
    for seconds, state in steps:
        ribbon.add(now, now + seconds, state)
        now += seconds
    spans = ribbon.until(now)
    assert spans[-1].end == now
    assert len(ribbon._spans) == len(spans), "what is older is kept no longer"
    assert spans[0].start == pytest.approx(max(now - RIBBON_S, 0.0))
    for left, right in pairwise(spans):
        assert left.end == right.start
        assert left.state != right.state
    assert sum(span.end - span.start for span in spans) == pytest.approx(min(now, RIBBON_S))
