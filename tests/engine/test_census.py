"""Connections by state and idle time, counted in slices while things happen."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine import Census
from xtcp_twisted.errors import EngineClosed, LocalError


def taken(net: Net, rows: int = 32_768, edges_s: tuple[float, ...] = (1, 10, 60, 600, 3600)) -> Census:
    """A complete census, made in slices of `rows`."""
    census = net.engine.census(edges_s)
    for _ in range(100_000):
        if census.advance(rows):
            return census
    raise AssertionError("it never ends")


def sums(census: Census) -> dict[str, int]:
    return {state: sum(columns) for state, columns in census.counts.items()}


def populate(net: Net) -> None:
    """Every state in which the engine keeps anything, some of them more than once."""
    group, other = net.group(7), net.group(8)
    for _ in range(3):
        net.client(group).asked()
    for _ in range(4):
        net.client(group).syn_received()
    for _ in range(7):
        net.client(other).established()
    for _ in range(2):
        net.client(group).fin_wait_1()
    net.client(group).fin_wait_2()
    net.client(other).close_wait()
    net.client(other).last_ack()
    net.client(other).closing()
    for _ in range(5):
        net.client(other).time_wait()
    reset = net.client(other).established()
    reset.rst()
    net.engine.poll(net.now)


@pytest.mark.parametrize("rows", [1, 2, 7, 32_768])
def test_it_reconciles_with_the_snapshot(net: Net, rows: int) -> None:
    populate(net)
    census, snapshot = taken(net, rows), net.engine.snapshot()
    found = sums(census)
    assert found == {
        "CLOSED": 1,
        "SYN_RECEIVED": 7,
        "ESTABLISHED": 7,
        "FIN_WAIT_1": 2,
        "FIN_WAIT_2": 1,
        "CLOSE_WAIT": 1,
        "CLOSING": 1,
        "LAST_ACK": 1,
        "TIME_WAIT": 5,
    }
    assert found.pop("SYN_RECEIVED") == snapshot.half_open
    assert found.pop("TIME_WAIT") == snapshot.time_wait
    assert sum(found.values()) == snapshot.connections
    assert found == {state: n for state, n in snapshot.states.items() if n}
    assert census.total == snapshot.connections + snapshot.half_open + snapshot.time_wait


def test_an_end_that_was_not_reported_yet(net: Net) -> None:
    """The record of a connection in TIME-WAIT, kept for its end of stream, is one of the snapshot's."""
    group = net.group(7)
    client = net.client(group).established()
    group.shutdown(client.cd)
    net.turn()
    client.expect("FA", seq=1)
    client.fin(ack=2)
    net.turn()
    client.expect("A", ack=2)
    assert sums(taken(net)) == {"CLOSED": 1, "TIME_WAIT": 1}
    snapshot = net.engine.snapshot()
    assert (snapshot.connections, snapshot.time_wait) == (1, 1)
    assert group.recv(10) == (client.cd, b"")
    net.turn()
    assert sums(taken(net)) == {"TIME_WAIT": 1}
    assert net.engine.snapshot().connections == 0


def test_an_empty_engine(net: Net) -> None:
    census = net.engine.census()
    assert census.counts == {}
    assert census.advance()
    assert (census.counts, census.total) == ({}, 0)
    assert census.edges_s == (1, 10, 60, 600, 3600)


def test_a_slice_looks_at_no_more_rows_than_it_is_told(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    for _ in range(10):
        net.client(group).established()
    census = net.engine.census()
    for slice_ in range(1, 4):
        assert not census.advance(3)
        assert census.total == 3 * slice_
    assert census.advance(3)
    assert census.total == 10
    assert census.advance(3)
    assert census.total == 10, "a complete census changes no more"


def test_columns_by_idle_time(net: Net) -> None:
    """A connection that is idle for exactly an edge is in the column above it."""
    group = net.group(7, accept_credits=UNLIMITED, keepalive_s=0)
    talks = net.client(group).established()
    for wait in (1, 9, 50, 540, 3_000):
        net.client(group).established()
        net.advance(wait)
    assert taken(net).counts == {"ESTABLISHED": (0, 0, 0, 0, 4, 2)}
    talks.exchange(b"q", b"a")
    assert taken(net).counts == {"ESTABLISHED": (1, 0, 0, 0, 4, 1)}
    net.advance(0.999)
    assert taken(net).counts["ESTABLISHED"][:2] == (1, 0)
    net.advance(0.001)
    assert taken(net).counts["ESTABLISHED"][:2] == (0, 1)
    assert taken(net, edges_s=(0.5, 3_000)).counts == {"ESTABLISHED": (0, 1, 5)}


def test_a_request_counts_from_its_syn(net: Net) -> None:
    net.client(net.group(7)).asked()
    net.advance(0.5)
    assert taken(net, edges_s=(0.5, 0.501)).counts == {"SYN_RECEIVED": (0, 1, 0)}


def test_an_accepted_request_counts_from_the_last_syn_ack(net: Net) -> None:
    """They leave after 0, 1 and 3 seconds."""
    client = net.client(net.group(7)).syn_received()
    for at, since in ((0.5, 0.5), (1.5, 0.5), (2.75, 1.75), (3.25, 0.25)):
        net.advance(at - (net.now - net.ladder.start))
        assert taken(net, edges_s=(since, since + 0.001)).counts == {"SYN_RECEIVED": (0, 1, 0)}
    client.take()


def test_time_wait_counts_from_its_start(net: Net) -> None:
    net.group(7)
    net.client(net.group(8)).time_wait()
    net.advance(5)
    # One bit of the time is used for something else.
    assert taken(net, edges_s=(5, 5.002)).counts == {"TIME_WAIT": (0, 1, 0)}
    net.advance(100)
    assert taken(net).counts == {}


def test_the_ring_of_time_wait_goes_round(make_net: MakeNet) -> None:
    """Overflowing entries, expired ones, and live ones on both sides of the ring's seam."""
    net = make_net(max_time_wait=16)
    group = net.group(7)
    for _ in range(6):
        for _ in range(4):
            net.client(group).time_wait()
        for rows in (1, 5, 100):
            assert sums(taken(net, rows)).get("TIME_WAIT", 0) == net.engine.snapshot().time_wait
        net.advance(20)
    assert net.counters()["TCPTimeWaitOverflow"] == 0
    for _ in range(40):
        net.client(group).time_wait()
        assert sums(taken(net, 3)) == {"TIME_WAIT": net.engine.snapshot().time_wait}
    assert net.engine.snapshot().time_wait == 16


def test_a_reopened_time_wait_entry_is_gone(net: Net) -> None:
    client = net.client(net.group(7)).time_wait()
    net.advance(1)
    again = net.client(client.group, sport=client.sport, iss=client.iss + 1_000_000)
    again.syn()
    net.turn()
    assert sums(taken(net)) == {"SYN_RECEIVED": 1}


def test_one_that_moves_on_during_a_census_is_not_counted_twice(net: Net) -> None:
    """From record to TIME-WAIT, and from half-open entry to record."""
    group = net.group(7)
    closing, opening = net.client(group).fin_wait_2(), net.client(group).syn_received()
    census = net.engine.census()
    assert not census.advance(1)
    assert sums(census) == {"FIN_WAIT_2": 1}
    closing.fin()
    opening.ack()
    net.turn()
    while not census.advance(1):
        pass
    assert census.total <= 2
    assert sums(census)["FIN_WAIT_2"] == 1
    assert sums(taken(net)) == {"ESTABLISHED": 1, "TIME_WAIT": 1}
    closing.take()


def test_one_that_closes_or_opens_during_a_census(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(6)]
    census = net.engine.census()
    census.advance(3)
    group.abort(clients[0].cd)
    group.abort(clients[5].cd)
    for _ in range(2):
        net.client(group).established()
    net.turn()
    while not census.advance(3):
        pass
    assert census.counts == {"ESTABLISHED": (3 + 2 + 2, 0, 0, 0, 0, 0)}
    for client in clients:
        client.take()


@pytest.mark.parametrize(
    "edges_s",
    [(), (0,), (-1, 1), (1, 1), (2, 1), (1, math.nan), (math.inf,), (1, "2"), (1e7,), 5, None, range(1, 17)],
    ids=str,
)
def test_edges_that_cannot_be(net: Net, edges_s: Any) -> None:
    with pytest.raises(LocalError, match="edges_s: .* is not allowed; give"):
        net.engine.census(edges_s)


@pytest.mark.parametrize("rows", [0, -1, 1 << 32, 1.5, None])
def test_slices_that_cannot_be(net: Net, rows: Any) -> None:
    census = net.engine.census(range(1, 16))
    with pytest.raises(LocalError, match="rows: .* is not allowed; give"):
        census.advance(rows)


def test_a_closed_engine_counts_no_more(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    for _ in range(2):
        net.client(group).established()
    census = net.engine.census()
    census.advance(1)
    net.engine.close()
    with pytest.raises(EngineClosed):
        census.advance()
    with pytest.raises(EngineClosed):
        net.engine.census()
    assert census.total == 1, "what was counted can still be read"
