"""Connection pools: several at once, each with its own receive buffer (P01, P02)."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import ALL, MiB
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import (
    AddressInUse,
    EngineClosed,
    GroupClosed,
    LocalError,
    PoolClosed,
    PoolExhausted,
    StaleConnection,
)


@pytest.mark.feature("P01")
def test_a_pool_has_the_buffer_that_was_asked_for(net: Net) -> None:
    pool = net.engine.create_pool(1 * MiB, name="im")
    [snapshot] = net.engine.snapshot().pools
    assert (pool.name, pool.size, pool.closed) == ("im", 1 * MiB, False)
    assert (snapshot.name, snapshot.receive_buffer.size, snapshot.receive_buffer.used) == ("im", 1 * MiB, 0)
    assert net.engine.pools() == (pool,)


@pytest.mark.feature("P01")
def test_pools_do_not_share_their_buffers(net: Net) -> None:
    """A pool filled by clients whose application does not read leaves the other pool untouched."""
    small = net.engine.create_pool(64 * 1024, name="small")
    large = net.engine.create_pool(1 * MiB, name="large")
    hogs, other = net.group(7, pool=small), net.group(8, pool=large)
    clients = [net.client(hogs).established() for _ in range(8)]
    guest = net.client(other).established()
    for _ in range(60):
        for client in clients:
            client.send(bytes(1_000))
        net.turn()
    use = {pool.name: pool.receive_buffer.used for pool in net.engine.snapshot().pools}
    # Each holds its least share, 8 chunks of 256 bytes, and no more than 8 more for what was promised.
    assert 8 * 8 * 256 <= use["small"] <= 8 * 16 * 256
    assert use["large"] == 0
    guest.is_alive()


@pytest.mark.feature("P01")
@pytest.mark.parametrize("size", [0, -1, 1 << 60])
def test_a_size_that_cannot_be_is_an_error_that_says_so(net: Net, size: int) -> None:
    with pytest.raises((LocalError, ValueError, OverflowError)) as caught:
        net.engine.create_pool(size)
    assert str(caught.value)
    assert net.engine.pools() == ()


@pytest.mark.feature("P01")
def test_a_pool_that_does_not_fit_the_arena(make_net: MakeNet) -> None:
    net = make_net(arena_limit=64 * MiB)
    with pytest.raises(PoolExhausted) as caught:
        net.engine.create_pool(1024 * MiB)
    assert str(caught.value)
    net.engine.create_pool(1 * MiB)


@pytest.mark.feature("P02")
def test_closing_a_pool_closes_its_groups_and_connections(net: Net) -> None:
    pool = net.pool
    group = net.group(7)
    client = net.client(group).established()
    client.request(b"held until the pool goes")
    pool.close()
    net.turn()
    assert pool.closed
    assert group.closed
    assert net.engine.pools() == ()
    assert {"R"} <= {f for s in client.take() for f in s.flags} or client.judge.fin_at is not None
    with pytest.raises(GroupClosed):
        group.recv(10)
    with pytest.raises(PoolClosed):
        pool.open_group(8)


@pytest.mark.feature("P02")
def test_close_may_be_called_twice(net: Net) -> None:
    pool = net.pool
    pool.close()
    pool.close()


@pytest.mark.feature("P02")
def test_pools_come_and_go_without_a_leak(make_net: MakeNet) -> None:
    """The arena gives a pool's memory back: many pools in turn fit where two at once would not."""
    net = make_net(arena_limit=96 * MiB)
    baseline = None
    for round_ in range(20):
        pool = net.engine.create_pool(32 * MiB, name=f"pool {round_}")
        group = net.group(7, pool=pool)
        client = net.client(group).established()
        client.request(bytes(1_400))
        client.send(bytes(500), seq=5_000)
        group.send(client.cd, b"cached")
        net.turn()
        pool.close()
        net.advance(400)
        snapshot = net.engine.snapshot()
        assert snapshot.connections == 0
        assert snapshot.transmit_buffer.used == 0
        baseline = baseline or snapshot.arena_bytes
        assert snapshot.arena_bytes == baseline, "the arena grows with each pool"
        net.clients.clear()


@pytest.mark.feature("P02")
def test_the_other_pool_lives_on(net: Net) -> None:
    doomed = net.engine.create_pool(1 * MiB)
    group = net.group(8, pool=doomed)
    victim = net.client(group).established()
    survivor = net.client(net.group(7)).established()
    doomed.close()
    net.turn()
    survivor.is_alive()
    victim.take()
    reopened = net.group(8)
    assert reopened.port == 8
    with pytest.raises(StaleConnection):
        reopened.send(victim.cd, b"x")


@pytest.mark.feature("P02")
def test_closing_a_pool_with_pending_requests(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).asked()
    net.pool.close()
    net.turn()
    assert net.engine.snapshot().half_open == 0
    assert all("R" in s.flags for s in client.take())


@pytest.mark.feature("P02")
def test_no_event_of_a_closed_pool_is_reported(net: Net) -> None:
    """The ids in it would name nothing."""
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"data")
    net.engine.poll(net.now)
    net.pool.close()
    assert net.engine.events() == []
    net.flush()
    client.take()


def test_a_closed_engine_says_so(make_net: MakeNet) -> None:
    net = make_net()
    pool = net.pool
    group = net.group(7)
    client = net.client(group).established()
    net.engine.close()
    net.engine.close()
    assert net.engine.closed
    for call in (
        lambda: net.engine.create_pool(MiB),
        lambda: net.engine.poll(net.now),
        lambda: net.engine.flush(net.now),
        lambda: group.recv(1),
        lambda: group.send(client.cd, b"x", ackd=ALL),
        lambda: pool.open_group(9),
    ):
        with pytest.raises((EngineClosed, GroupClosed, PoolClosed)):
            call()


@pytest.mark.feature("P03")
def test_several_groups_in_a_pool(net: Net) -> None:
    groups = [net.group(port) for port in (7, 80, 5222)]
    assert net.pool.groups() == tuple(groups)
    for group in groups:
        net.client(group).established().is_alive()
        assert len(group) == 1


@pytest.mark.feature("P03")
def test_port_zero_is_a_free_port(net: Net) -> None:
    first, second = net.group(0), net.group(0)
    assert first.port != second.port
    assert min(first.port, second.port) >= 1_024
    net.client(second).established()


@pytest.mark.feature("P03")
@pytest.mark.parametrize("port", [-1, 65_536, 1 << 40])
def test_a_port_that_cannot_be(net: Net, port: int) -> None:
    with pytest.raises((LocalError, ValueError, OverflowError)) as caught:
        net.group(port)
    assert str(caught.value)
    assert net.pool.groups() == ()


@pytest.mark.requirement("RFC 9293 MUST-41")
@pytest.mark.feature("P03")
def test_a_port_in_use_is_refused_and_its_owner_unaffected(net: Net) -> None:
    owner = net.group(7)
    with pytest.raises(AddressInUse) as caught:
        net.group(7)
    assert "7" in str(caught.value)
    with pytest.raises(AddressInUse):
        net.group(7, address="192.0.2.1")
    assert net.pool.groups() == (owner,)
    net.client(owner).established().is_alive()


@pytest.mark.feature("P03")
def test_a_port_is_free_again_after_close(net: Net) -> None:
    net.group(7).close()
    net.client(net.group(7)).established().is_alive()


@pytest.mark.feature("P03", "P32")
def test_the_families_have_ports_of_their_own(net: Net) -> None:
    four, six = net.group(7), net.group(7, v6=True)
    net.client(four).established().is_alive()
    net.client(six).established().is_alive()
    assert (len(four), len(six)) == (1, 1)


@pytest.mark.feature("P05")
def test_options_belong_to_the_group(net: Net) -> None:
    """Two groups of one pool behave differently at the same time."""
    quick, slow = net.group(7, ack_policy="immediate"), net.group(8, ack_policy="bounded")
    first, second = net.client(quick).established(), net.client(slow).established()
    first.send(b"now")
    second.send(b"later")
    net.turn()
    first.expect("A", ack=4)
    second.expect_nothing()
    net.advance(0.050)
    second.expect("A", ack=6)
    assert quick.options.ack_policy == "immediate"


@pytest.mark.feature("P05")
def test_counters_are_kept_per_group(net: Net) -> None:
    busy, idle = net.group(7), net.group(8)
    client = net.client(busy).established()
    net.client(idle).established()
    for _ in range(5):
        client.exchange(b"q", b"a")
    [pool] = net.engine.snapshot().pools
    by_port = {group.port: group for group in pool.groups}
    assert by_port[7].connections == by_port[8].connections == 1
    assert dict(by_port[7].counters) != dict(by_port[8].counters)
    net.take_events(EventKind.DATA)


@pytest.mark.feature("P02")
def test_a_pool_ends_what_a_group_that_is_closing_has_left(make_net: MakeNet) -> None:
    """A large group is ended in slices; the buffer of its pool is freed with the last of them."""
    net = make_net(max_connections=70_000)
    others = net.group(7)
    for i in range(65_536):
        others.connect((f"198.51.{i >> 8}.{1 + (i & 127)}", 80))
    net.engine.flush(net.now)
    net.link.take()  # nobody answers
    pool = net.engine.create_pool(65_536)
    group = net.group(8, pool=pool, accept_credits=1)
    client = net.client(group).established()
    assert client.cd & 0xFFFF_FFFF >= 65_536
    client.send(b"held")
    net.turn()
    assert group.recv(100) == (client.cd, b"held")
    before = net.engine.snapshot().arena_bytes
    group.close(abort=True)
    pool.close()
    assert net.engine.pools() == (others.pool,)
    assert net.engine.snapshot().arena_bytes == before, "the client's record has not been looked at"
    fresh = net.engine.create_pool(65_536)
    for _ in range(2):
        net.turn()
    client.expect("RA")
    assert net.engine.snapshot().arena_bytes == before
    shown = {pool.name: pool.receive_buffer.used for pool in net.engine.snapshot().pools}
    assert shown == {"test": 0, "": 0}
    fresh.close()
