"""What the connections take of the engine's memory, counted, and how many have ended."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine.kinds import EventKind

#: Sizes as the architecture sets them; a local address is a row of 24 bytes in a table of its own.
RECORD, ACTIVE, HALF_OPEN, TIME_WAIT, EXTENT, CHUNK, ENTRY, LOCAL = 128, 128, 64, 40, 32, 256, 8, 24

#: The first connection to an address of the engine brings its row.
ADDRESS = LOCAL + ENTRY


def taken(net: Net) -> int:
    return net.engine.snapshot().connection_bytes


def test_an_engine_without_connections_takes_nothing(net: Net) -> None:
    net.group(7)
    assert taken(net) == 0


@pytest.mark.feature("P34")
def test_an_idle_connection_is_a_record_and_its_index_entry(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    for n in range(1, 6):
        net.client(group).established()
        assert taken(net) == n * (RECORD + ENTRY) + ADDRESS


def test_a_request_for_a_connection(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).asked()
    assert taken(net) == HALF_OPEN + ENTRY + ADDRESS
    group.accept(client.pending_id())
    assert taken(net) == HALF_OPEN + RECORD + ENTRY + ADDRESS, "the record is promised"
    net.turn()
    client.expect("SA")
    client.ack()
    net.turn()
    assert taken(net) == RECORD + ENTRY + ADDRESS


@pytest.mark.feature("P34")
def test_what_is_pending_takes_more_and_gives_it_back(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    idle = taken(net)
    client.request(b"x" * 300)
    assert taken(net) == idle + ACTIVE + 2 * CHUNK
    group.send(client.cd, bytes(100), ackd=ALL)
    assert taken(net) == idle + ACTIVE + EXTENT + CHUNK
    net.turn()
    client.expect("PA", ack=301, data=bytes(100))
    client.ack()
    net.turn()
    assert taken(net) == idle


def test_a_broadcast_takes_its_payload_once(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(10)]
    idle = taken(net)
    group.broadcast(bytes(200))
    assert taken(net) == idle + 10 * (ACTIVE + EXTENT) + CHUNK
    net.turn()
    for client in clients:
        client.take()


def test_time_wait_takes_the_place_of_the_record(net: Net) -> None:
    group = net.group(7)
    net.client(group).established()
    idle = taken(net)
    net.client(group).time_wait()
    assert taken(net) == idle + TIME_WAIT + ENTRY
    net.advance(100)
    assert taken(net) == idle


@pytest.mark.parametrize("how", ["abort", "reset", "finish", "group", "pool"])
def test_ended_counts_every_connection_once(net: Net, how: str) -> None:
    group = net.group(7)
    client = net.client(group).established()
    net.client(group).established()
    assert net.counters()["Ended"] == 0
    if how == "abort":
        group.abort(client.cd)
    elif how == "reset":
        client.rst()
    elif how == "finish":
        group.finish(client.cd)
        client.fin()
    elif how == "group":
        group.close(abort=True)
    else:
        net.pool.close()
    net.turn()
    net.advance(400)
    counters = net.counters()
    assert counters["Ended"] == (2 if how in ("group", "pool") else 1)
    assert counters["PassiveOpens"] - counters["Ended"] == net.engine.snapshot().connections
    for peer in net.clients.values():
        peer.take()


def test_ended_waits_for_the_application(net: Net) -> None:
    """As long as a connection counts in `connections` it has not ended."""
    group = net.group(7)
    client = net.client(group).established()
    client.rst()
    net.engine.poll(net.now)
    assert (net.counters()["Ended"], net.engine.snapshot().connections) == (0, 1)
    assert [kind for kind, *_ in net.engine.events()] == [EventKind.RESET]
    assert (net.counters()["Ended"], net.engine.snapshot().connections) == (1, 0)


def test_a_request_that_came_to_nothing_has_not_ended(make_net: MakeNet) -> None:
    net = make_net()
    group = net.group(7)
    refused, unanswered = net.client(group).asked(), net.client(group).syn_received()
    group.refuse(refused.pending_id())
    net.turn()
    net.advance(120)
    assert net.engine.snapshot().half_open == 0
    assert net.counters()["Ended"] == 0
    refused.take()
    unanswered.take()
