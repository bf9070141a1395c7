"""The variants of throttling: withhold, discard, or both, and always take acknowledgements (P28 to P30)."""

from __future__ import annotations

import pytest
from support.net import MakeNet
from support.peer import Client
from support.pressure import DISCARDING, FROZEN, WITHHOLDING, Crowd

from xtcp_twisted.errors import LocalError, PoolClosed

NOTHING = dict.fromkeys(
    (
        "AcksWithheld",
        "PressureSynDrops",
        "PressureDropSegs",
        "PressureDropBytes",
        "PressureAcks",
        "PressureAborts",
    ),
    0,
)
TOTALS = set(NOTHING)


def held(client: Client) -> int:
    assert client.group is not None
    return client.group.info(client.cd).held


def grown(crowd: Crowd, before: dict[str, int]) -> dict[str, int]:
    """The counters of the pool that have grown, and by how much."""
    return {name: count - before[name] for name, count in crowd.counters.items() if count != before[name]}


@pytest.mark.feature("P28", "P29")
@pytest.mark.parametrize(
    "throttling, withheld, discarded",
    [("both", True, True), ("withhold", True, False), ("discard", False, True)],
)
def test_each_variant_by_itself(make_net: MakeNet, throttling: str, withheld: bool, discarded: bool) -> None:
    """Variant 1 lets acknowledgements wait in a withholding pool, variant 2 discards in a discarding one."""
    crowd = Crowd(make_net(), throttling=throttling)
    client, other = crowd.client(), crowd.client()
    assert crowd.pool.throttling == crowd.net.engine.snapshot().pools[0].throttling == throttling
    crowd.fill(WITHHOLDING)
    before = crowd.counters
    client.send(b"first")
    other.send(b"first")
    crowd.net.turn()
    assert (client.take() == []) == (other.take() == []) == withheld
    assert grown(crowd, before) == ({"AcksWithheld": 2} if withheld else {})
    crowd.net.advance(0.5)
    client.take()
    other.take()
    crowd.fill(DISCARDING)
    before = crowd.counters
    client.send(b"second")
    crowd.net.turn()
    client.take()
    assert held(client) == (5 if discarded else 11)
    assert grown(crowd, before) == (
        {"PressureDropSegs": 1, "PressureDropBytes": 6} if discarded else {"AcksWithheld": 1}
    )


@pytest.mark.feature("P28")
def test_withholding_alone_takes_all_that_there_is_room_for(make_net: MakeNet) -> None:
    """To the last chunk; then the rest is over quota, which is no throttling."""
    crowd = Crowd(make_net(), throttling="withhold")
    crowd.fill(DISCARDING)
    assert crowd.state == "discarding"
    for newcomer in crowd.newcomers:
        for _ in range(6):
            newcomer.send(b"n" * 1_220)
            crowd.net.turn()
        newcomer.take()
    assert crowd.used == 1_024
    assert crowd.counters["PressureDropSegs"] == 0
    assert crowd.net.counters()["TCPRcvQDrop"] > 0
    for member in crowd.members:
        member.take()


@pytest.mark.feature("P30")
@pytest.mark.parametrize("throttling", ["both", "withhold", "discard"])
@pytest.mark.parametrize(
    "chunks, priority, counted",
    [
        (FROZEN, "normal", 0),
        (WITHHOLDING, "high", 0),
        (FROZEN, "low", 1),
        (WITHHOLDING, "normal", 1),
        (DISCARDING, "normal", 1),
        (DISCARDING, "high", 1),
    ],
)
def test_acknowledgements_are_taken_and_counted(
    make_net: MakeNet, throttling: str, chunks: int, priority: str, counted: int
) -> None:
    """Variant 3 in every variant: what is acknowledged leaves the transmit buffer, whatever comes with it."""
    crowd = Crowd(make_net(), throttling=throttling)
    client = crowd.client(priority=priority)
    group = client.group
    assert group is not None
    client.send(b"first")
    crowd.net.turn()
    group.send(client.cd, b"news")
    crowd.net.flush()
    client.take()
    crowd.fill(chunks)
    before = crowd.counters
    client.send(b"second")
    crowd.net.turn()
    assert crowd.net.transmit_used == 0
    assert grown(crowd, before).get("PressureAcks", 0) == counted
    client.take()


@pytest.mark.feature("P28", "P29")
def test_the_variant_changes_while_the_pool_is_pressed(make_net: MakeNet) -> None:
    """What is no longer withheld, or discarded, is told to the client in the next turn."""
    crowd = Crowd(make_net(), throttling="both")
    early, late = crowd.client(), crowd.client()
    late.send(b"first")
    crowd.net.turn()
    late.take()
    crowd.fill(WITHHOLDING)
    early.send(b"first")
    crowd.net.turn()
    early.expect_nothing()
    crowd.pool.set_throttling("discard")
    assert crowd.net.engine.poll_at() == crowd.net.now
    crowd.net.turn()
    early.expect("A", ack=6)
    crowd.fill(DISCARDING)
    late.send(b"second")
    crowd.net.turn()
    late.expect_nothing()
    crowd.pool.set_throttling("withhold")
    crowd.net.turn()
    late.expect("A", ack=6)
    late.send(b"second", seq=6)
    crowd.net.turn()
    assert held(late) == 11
    late.take()


def test_the_counters_of_pools_groups_and_the_engine_agree(make_net: MakeNet) -> None:
    """A pool's are the sums over its groups, and outlive them; the engine's are the sums over its pools."""
    net = make_net()
    crowd = Crowd(net)
    calm = net.engine.create_pool(1 << 20, name="calm")
    net.client(net.group(5, pool=calm)).established().exchange(b"request", b"answer")
    clients = [crowd.client() for _ in range(3)]
    late = net.client(crowd.group)
    for client in clients:
        client.send(b"first")
        net.turn()
        client.take()
    crowd.fill(WITHHOLDING)
    late.syn()
    for client in clients:
        client.send(b"second")
        net.turn()
    crowd.fill(DISCARDING)
    for client in clients[1:]:
        client.send(b"third")
        net.turn()
    pools = net.engine.snapshot().pools
    everything = net.counters()
    assert dict(pools[1].counters) == NOTHING
    for name in TOTALS:
        assert pools[0].counters[name] == sum(group.counters[name] for group in pools[0].groups)
        assert pools[0].counters[name] == everything[name]
    assert pools[0].counters["AcksWithheld"] >= 3
    assert pools[0].counters["PressureSynDrops"] == 1
    assert pools[0].counters["PressureDropBytes"] == 10
    before = dict(pools[0].counters)
    for client in clients:
        assert client.group is not None
        client.group.close(abort=True)
    assert dict(net.engine.snapshot().pools[0].counters) == before
    net.turn()
    for client in clients:
        client.take()


@pytest.mark.parametrize("bad", ["none", "", 3, None, ["both"], True])
def test_a_variant_that_is_refused_changes_nothing(make_net: MakeNet, bad: object) -> None:
    net = make_net()
    pool = net.engine.create_pool(1 << 16)
    before = net.engine.snapshot()
    with pytest.raises(LocalError, match=r"throttling: .* is not allowed; give one of 'both', 'withhold'"):
        pool.set_throttling(bad)  # type: ignore[arg-type]
    with pytest.raises(LocalError, match=r"throttling: .* is not allowed; give one of 'both', 'withhold'"):
        net.engine.create_pool(1 << 16, throttling=bad)  # type: ignore[arg-type]
    assert net.engine.snapshot() == before
    pool.close()
    with pytest.raises(PoolClosed):
        pool.set_throttling("both")
