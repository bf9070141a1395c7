"""The frozen view of the engine: its sums agree with each other and with what happened."""

from __future__ import annotations

import dataclasses

import pytest
from support.net import Net

from xtcp_twisted.config import ALL, UNLIMITED
from xtcp_twisted.engine.snapshot import GroupSnapshot, PoolSnapshot


def test_the_counts_reconcile(net: Net) -> None:
    one, two = net.group(7, accept_credits=UNLIMITED), net.group(8)
    for _ in range(5):
        net.client(one).established()
    for _ in range(3):
        net.client(two).established()
    net.client(two).asked()
    net.client(two).syn_received()
    talking = net.client(one).established()
    talking.send(b"unread")
    net.turn()
    net.client(one).time_wait()
    net.client(two).close_wait()
    snapshot = net.engine.snapshot()
    [pool] = snapshot.pools
    by_port = {group.port: group for group in pool.groups}
    assert snapshot.connections == sum(group.connections for group in pool.groups) == 10
    assert sum(snapshot.states.values()) == snapshot.connections
    assert snapshot.states["ESTABLISHED"] == 9
    assert snapshot.states["CLOSE_WAIT"] == 1
    assert (by_port[7].connections, by_port[8].connections) == (6, 4)
    assert (len(one), len(two)) == (6, 4)
    assert (by_port[7].pending, by_port[8].pending) == (0, 1)
    assert (by_port[7].readable, by_port[8].readable) == (1, 1)
    assert snapshot.half_open == 2
    assert snapshot.time_wait == 1
    assert snapshot.time == net.now
    assert snapshot.max_connections == net.engine.config.max_connections


def test_it_names_the_groups(net: Net) -> None:
    pool = net.engine.create_pool(1 << 20, name="im")
    group = net.group(5222, pool=pool, ack_policy="application", priority="low")
    named = pool.open_group(5223, name="presence")
    first, second = net.engine.snapshot().pools[0].groups
    assert (first.port, first.ack_policy, first.priority, first.address) == (5222, "application", "low", None)
    assert second.name == named.name == "presence"
    assert first.gd is None
    gd = group.fileno()
    assert net.engine.snapshot().pools[0].groups[0].gd == gd


def test_a_row_used_anew_has_another_serial(net: Net) -> None:
    """However alike the two are: a rate must not be taken across them."""

    def opened() -> tuple[PoolSnapshot, GroupSnapshot]:
        pool = net.engine.create_pool(1 << 20, name="im")
        pool.open_group(5222, name="chat")
        [shown] = net.engine.snapshot().pools
        [group] = shown.groups
        pool.close()
        return shown, group

    old_pool, old_group = opened()
    new_pool, new_group = opened()
    assert (new_pool.row, new_group.row) == (old_pool.row, old_group.row)
    assert len({old_pool.serial, old_group.serial, new_pool.serial, new_group.serial}) == 4


@pytest.mark.feature("P05")
def test_a_group_counts_its_data_segments_apart(net: Net) -> None:
    one, two = net.group(7, ack_policy="immediate"), net.group(8)
    net.client(two).established()
    client = net.client(one).established()
    for request in (b"q1", b"q2", b"q3"):
        client.send(request)
        net.turn()
    one.send(client.cd, b"answer", ALL)
    net.turn()
    client.take()
    counters = {group.port: group.counters for group in net.engine.snapshot().pools[0].groups}
    assert (counters[7]["DataSegsIn"], counters[7]["DataSegsOut"]) == (3, 1)
    assert (counters[8]["DataSegsIn"], counters[8]["DataSegsOut"]) == (0, 0)
    assert counters[7]["InSegs"] > 3, "the handshake's is no data segment"


def test_bytes_of_closed_groups_stay_counted(net: Net) -> None:
    group = net.group(7, ack_policy="immediate")
    client = net.client(group).established()
    client.send(b"request")
    net.turn()
    group.send(client.cd, b"answer", ALL)
    net.turn()
    client.take()
    group.close()
    net.turn()
    client.take()
    counters = net.engine.snapshot().counters
    assert (counters["InBytes"], counters["OutBytes"]) == (7, 6)


def test_it_is_frozen_and_does_not_change(net: Net) -> None:
    group = net.group(7)
    before = net.engine.snapshot()
    net.client(group).established()
    assert before.connections == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.connections = 5  # type: ignore[misc]


def test_counters_only_grow_and_count_segments(net: Net) -> None:
    """InSegs, OutSegs, RetransSegs, PassiveOpens: the TCP-MIB's names (RFC 4022)."""
    group = net.group(7)
    before = net.counters()
    client = net.client(group).established()
    client.exchange(b"q", b"a")
    group.send(client.cd, b"lost")
    net.turn()
    net.advance(0.25)
    after = net.counters()
    assert all(after[name] >= before[name] for name in before)
    assert after["InSegs"] - before["InSegs"] == 4
    assert after["OutSegs"] - before["OutSegs"] == 3, "retransmissions are not in it (RFC 4022)"
    assert after["RetransSegs"] - before["RetransSegs"] == 1
    assert after["PassiveOpens"] - before["PassiveOpens"] == 1
    assert dict(net.engine.snapshot().counters) == after
    client.take()


@pytest.mark.feature("P12", "P19")
def test_buffers_are_accounted_back_to_zero(net: Net) -> None:
    """Twenty conversations, in all their parts, leave nothing behind but their records."""
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(20)]
    for client in clients:
        client.send(b"part two", seq=9)
        client.send(b"part one", seq=1)
    net.turn()
    for cd, _ in group.recv_batch(100):
        group.send(cd, b"answer" * 100, ackd=ALL)
    net.turn()
    assert net.transmit_used > 0
    for client in clients:
        client.ack()
    net.turn()
    snapshot = net.engine.snapshot()
    assert (net.receive_used, net.transmit_used, snapshot.active) == (0, 0, 0)
    assert snapshot.connections == 20
    assert snapshot.pools[0].receive_buffer.peak > 0


def test_memory_is_not_touched_by_idle_room(net: Net) -> None:
    """128 bytes a record: a thousand more connections may not cost more than their tables."""
    group = net.group(7, accept_credits=UNLIMITED)
    empty = net.engine.snapshot().arena_bytes
    for _ in range(500):
        net.client(group).established()
    used = net.engine.snapshot().arena_bytes - empty
    assert used <= 500 * 1_024
