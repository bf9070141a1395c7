"""The pressure states of a pool's receive buffer and of the transmit buffer (P27 to P30)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import UNLIMITED, EngineConfig, KiB, PressureThresholds
from xtcp_twisted.engine import BufferSnapshot, Pool, PressureSnapshot
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import ConfigurationError, EngineClosed, LocalError, PoolClosed

CHUNK = 244
#: Chunks of the smallest pool, and of the smallest transmit buffer.
CHUNKS = 256
NAMES = ("open", "frozen", "withholding", "discarding")
#: Most whole chunks in one segment of an MTU of 1500.
AT_ONCE = 5


class Holder:
    """A client that may fill a whole pool of 64 KiB, chunk by chunk."""

    def __init__(self, net: Net, thresholds: PressureThresholds | None = None, **options: Any) -> None:
        self.net = net
        more = {} if thresholds is None else {"thresholds": thresholds}
        self.pool: Pool = net.engine.create_pool(64 * KiB, **more)
        self.group = net.group(7, pool=self.pool, weight=64, ack_policy="immediate", **options)
        self.client: Client = net.client(self.group).established()

    @property
    def buffer(self) -> BufferSnapshot:
        return self.net.engine.snapshot().pools[0].receive_buffer

    @property
    def pressure(self) -> PressureSnapshot:
        return self.buffer.pressure

    @property
    def used(self) -> int:
        return self.buffer.used // 256

    def take(self, chunks: int) -> None:
        """One segment with as many chunks of data, at most AT_ONCE."""
        self.client.send(b"p" * chunks * CHUNK, seq=1 + self.received)
        self.net.turn()
        self.client.take()

    @property
    def received(self) -> int:
        return (self.group.info(self.client.cd).rcv_nxt - self.client.iss - 1) % 2**32

    def fill(self, chunks: int) -> None:
        """Until `chunks` are in use."""
        while self.used < chunks:
            self.take(min(AT_ONCE, chunks - self.used))

    def drain(self, chunks: int) -> None:
        """The application acknowledges all but the last `chunks`."""
        with self.net.in_turn():
            while self.group.recv(65_536):
                pass
            held = self.group.info(self.client.cd).delivered
            self.group.send(self.client.cd, b"", ackd=max(0, held - chunks * CHUNK))
        self.client.take()


def test_every_engine_is_open_from_the_start(make_net: MakeNet) -> None:
    holder = Holder(make_net())
    snapshot = holder.net.engine.snapshot()
    for buffer in (snapshot.transmit_buffer, snapshot.pools[0].receive_buffer):
        assert buffer.pressure.state == "open"
        assert buffer.pressure.entries == dict.fromkeys(NAMES, 0)
        assert buffer.pressure.thresholds == PressureThresholds()


def test_a_buffer_made_before_the_first_poll_counts_from_that_poll_on(make_net: MakeNet) -> None:
    net = make_net(start=5_000.0)
    net.engine.create_pool(64 * KiB)
    net.turn()
    net.advance(2.5)
    snapshot = net.engine.snapshot()
    for pressure in (snapshot.transmit_buffer.pressure, snapshot.pools[0].receive_buffer.pressure):
        assert pressure.since == 5_000.0
        assert pressure.durations["open"] == pytest.approx(2.5)


@pytest.mark.feature("P27")
@pytest.mark.parametrize(
    "state, begins, ends", [("frozen", 128, 116), ("withholding", 192, 180), ("discarding", 224, 212)]
)
def test_a_state_begins_at_its_threshold_and_ends_five_percent_below(
    make_net: MakeNet, state: str, begins: int, ends: int
) -> None:
    """50, 75 and 87.5 % of 256 chunks; 45, 70 and 82.5 % are 115.2, 179.2 and 211.2."""
    holder = Holder(make_net())
    calmer = NAMES[NAMES.index(state) - 1]
    holder.fill(begins - 1)
    assert holder.pressure.state == calmer
    holder.take(1)
    assert (holder.used, holder.pressure.state) == (begins, state)
    holder.drain(ends)
    assert (holder.used, holder.pressure.state) == (ends, state)
    holder.drain(ends - 1)
    assert (holder.used, holder.pressure.state) == (ends - 1, calmer)


@pytest.mark.feature("P27")
def test_entries_and_durations_are_counted(make_net: MakeNet) -> None:
    holder = Holder(make_net())
    begun = holder.pressure.since
    holder.net.stall(1.0)
    holder.fill(130)
    frozen_at = holder.pressure.since
    assert frozen_at - begun == pytest.approx(1.0, abs=1e-5)
    holder.net.stall(2.0)
    holder.fill(200)
    holder.net.stall(4.0)
    holder.drain(0)
    holder.net.stall(0.5)
    holder.net.turn()
    pressure = holder.pressure
    assert pressure.state == "open"
    assert pressure.since == pytest.approx(frozen_at + 6.0, abs=1e-5)
    assert pressure.entries == {"open": 1, "frozen": 1, "withholding": 1, "discarding": 0}
    assert pressure.durations == pytest.approx(
        {"open": 1.5, "frozen": 2.0, "withholding": 4.0, "discarding": 0.0}, abs=1e-4
    )


@pytest.mark.feature("P27")
def test_around_a_threshold_it_does_not_flap(make_net: MakeNet) -> None:
    holder = Holder(make_net())
    holder.fill(128)
    for _ in range(5):
        holder.drain(120)
        holder.fill(130)
    assert holder.pressure.entries["frozen"] == 1


def test_a_reset_gives_everything_back_at_once(make_net: MakeNet) -> None:
    holder = Holder(make_net())
    holder.fill(200)
    holder.client.rst()
    holder.net.turn()
    assert (holder.used, holder.pressure.state) == (0, "open")


@pytest.mark.feature("P27")
def test_data_behind_a_gap_counts(make_net: MakeNet) -> None:
    holder = Holder(make_net(), PressureThresholds(frozen=0.01, hysteresis=0))
    holder.client.send(b"g" * CHUNK * AT_ONCE, seq=1_001)
    holder.net.turn()
    assert holder.pressure.state == "frozen"


@pytest.mark.feature("P30")
@pytest.mark.parametrize(
    "chunks, seen",
    [
        (127, ("open", "open", "open")),
        (128, ("open", "frozen", "withholding")),
        (192, ("frozen", "withholding", "discarding")),
        (224, ("withholding", "discarding", "discarding")),
    ],
)
def test_priority_moves_what_a_group_sees_by_one(
    make_net: MakeNet, chunks: int, seen: tuple[str, ...]
) -> None:
    holder = Holder(make_net())
    for port, priority in enumerate(("high", "low"), 8):
        holder.net.group(port, pool=holder.pool, priority=priority)
    holder.fill(chunks)
    normal, high, low = holder.net.engine.snapshot().pools[0].groups
    assert (high.pressure, normal.pressure, low.pressure) == seen


@pytest.mark.feature("P27")
def test_the_pools_of_an_engine_do_not_share_their_states(make_net: MakeNet) -> None:
    holder = Holder(make_net())
    holder.net.engine.create_pool(64 * KiB, name="other", thresholds=PressureThresholds(frozen=0.2))
    holder.fill(128)
    one, other = holder.net.engine.snapshot().pools
    assert (one.receive_buffer.pressure.state, other.receive_buffer.pressure.state) == ("frozen", "open")
    assert other.receive_buffer.pressure.thresholds.frozen == 0.2


@pytest.mark.feature("P27")
def test_the_transmit_buffer_has_its_own(make_net: MakeNet) -> None:
    """Answers fill it, the clients' acknowledgements empty it; its thresholds are the engine's."""
    net = make_net(transmit_buffer=64 * KiB, pressure=PressureThresholds(withholding=0.6))
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(30)]
    states = []
    for client in clients:
        assert group.send(client.cd, b"a" * 8 * CHUNK) == 8 * CHUNK
        net.turn()
        states.append(net.engine.snapshot().transmit_buffer.pressure.state)
    assert net.transmit_used == 240 * 256
    assert [states.index(name) for name in NAMES] == [0, 15, 19, 27]
    assert states == sorted(states, key=NAMES.index)
    for client in clients:
        client.ack()
    net.turn()
    pressure = net.engine.snapshot().transmit_buffer.pressure
    assert pressure.state == "open"
    assert pressure.entries == {"open": 1, "frozen": 2, "withholding": 2, "discarding": 1}
    assert net.engine.snapshot().pools[0].receive_buffer.pressure.entries == dict.fromkeys(NAMES, 0)
    for client in clients:
        client.take()


@pytest.mark.parametrize(
    "values, words",
    [
        ({"frozen": 0}, "frozen: 0 is not allowed"),
        ({"discarding": 1.1}, "discarding: 1.1 is not allowed"),
        ({"frozen": True}, "frozen: True is not allowed"),
        ({"frozen": 0.8}, "frozen: 0.8, withholding: 0.75"),
        ({"withholding": 0.875}, "withholding: 0.875 and discarding: 0.875"),
        ({"hysteresis": 0.5}, "hysteresis: 0.5 is not allowed; give less than frozen, 0.5"),
        ({"hysteresis": -0.1}, "hysteresis: -0.1 is not allowed"),
    ],
)
def test_thresholds_out_of_range_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        PressureThresholds(**values)


def test_thresholds_of_another_type_are_refused(net: Net) -> None:
    with pytest.raises(LocalError, match="thresholds"):
        net.engine.create_pool(64 * KiB, thresholds=0.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="pressure"):
        EngineConfig(addresses=("192.0.2.1",), pressure=0.5)  # type: ignore[arg-type]


LOW = PressureThresholds(frozen=0.1, withholding=0.15, discarding=0.2, hysteresis=0.05)


@pytest.mark.feature("P27")
def test_the_thresholds_of_a_pool_change_while_it_is_used(make_net: MakeNet) -> None:
    """The state follows at once, in one change; so do the snapshot and what groups see."""
    holder = Holder(make_net())
    holder.fill(100)
    assert holder.pressure.state == "open"
    holder.pool.set_thresholds(LOW)
    assert holder.pool.thresholds == LOW
    assert (holder.pressure.state, holder.pressure.thresholds) == ("discarding", LOW)
    assert holder.net.engine.snapshot().pools[0].groups[0].pressure == "discarding"
    assert holder.pressure.entries == {"open": 0, "frozen": 0, "withholding": 0, "discarding": 1}
    holder.pool.set_thresholds(PressureThresholds())
    assert holder.pressure.state == "open"
    assert holder.pressure.entries == {"open": 1, "frozen": 0, "withholding": 0, "discarding": 1}


@pytest.mark.feature("P27")
def test_other_thresholds_that_change_no_state_are_no_entry_of_it(make_net: MakeNet) -> None:
    """And the present state ends where the new hysteresis says."""
    holder = Holder(make_net())
    holder.fill(130)
    since = holder.pressure.since
    holder.net.stall(1.0)
    holder.pool.set_thresholds(PressureThresholds(hysteresis=0.25))
    assert (holder.pressure.state, holder.pressure.since) == ("frozen", since)
    assert holder.pressure.entries["frozen"] == 1
    holder.drain(64)
    assert holder.pressure.state == "frozen"
    holder.drain(63)
    assert holder.pressure.state == "open"


@pytest.mark.feature("P27")
def test_a_higher_threshold_ends_a_state_only_with_its_hysteresis(make_net: MakeNet) -> None:
    """30 of 256 chunks are less than 31, but not less than 29."""
    holder = Holder(make_net(), LOW)
    holder.fill(30)
    assert holder.pressure.state == "frozen"
    holder.pool.set_thresholds(PressureThresholds(frozen=31 / 256, hysteresis=2 / 256))
    assert holder.pressure.state == "frozen"
    holder.pool.set_thresholds(PressureThresholds(frozen=33 / 256, hysteresis=2 / 256))
    assert holder.pressure.state == "open"


@pytest.mark.feature("P27")
def test_the_thresholds_of_the_transmit_buffer_change_while_it_is_used(make_net: MakeNet) -> None:
    """Who was cut short hears of it in the same turn when they let the pressure fall."""
    net = make_net(transmit_buffer=64 * KiB)
    net.engine.set_thresholds(LOW)
    assert net.engine.thresholds == LOW
    group, low = net.group(7), net.group(8, priority="low")
    clients = [net.client(group).established() for _ in range(6)]
    other = net.client(low).established()
    for client in clients:
        assert group.send(client.cd, b"a" * 8 * CHUNK) == 8 * CHUNK
    net.turn()
    pressure = net.engine.snapshot().transmit_buffer.pressure
    assert (pressure.state, pressure.thresholds) == ("withholding", LOW)
    assert low.send(other.cd, b"news") == 0
    net.engine.set_thresholds(PressureThresholds())
    assert net.engine.snapshot().transmit_buffer.pressure.state == "open"
    assert net.engine.poll_at() == net.now
    net.turn()
    assert [event[2] for event in net.take_events(EventKind.WRITABLE)] == [other.cd]
    for client in clients:
        client.take()


def test_thresholds_that_are_refused_change_nothing(make_net: MakeNet) -> None:
    holder = Holder(make_net())
    before = holder.net.engine.snapshot()
    for target in (holder.pool, holder.net.engine):
        with pytest.raises(LocalError, match=r"thresholds: 0.5 is not allowed; give PressureThresholds"):
            target.set_thresholds(0.5)  # type: ignore[arg-type]
    assert holder.net.engine.snapshot() == before
    holder.pool.close()
    with pytest.raises(PoolClosed):
        holder.pool.set_thresholds(LOW)
    holder.net.engine.close()
    with pytest.raises(EngineClosed):
        holder.net.engine.set_thresholds(LOW)


class Model:
    """The state after a history of uses and of thresholds, by the definition."""

    def __init__(self, thresholds: PressureThresholds, now: float) -> None:
        self.state = 0
        self.bound(thresholds)
        self.since = now
        self.entries = [0, 0, 0, 0]
        self.durations = [0.0, 0.0, 0.0, 0.0]

    def bound(self, thresholds: PressureThresholds) -> None:
        shares = (thresholds.frozen, thresholds.withholding, thresholds.discarding)
        self.begins = (0.0, *(share * CHUNKS for share in shares))
        self.ends = (0.0, *((share - thresholds.hysteresis) * CHUNKS for share in shares))

    def use(self, used: int, now: float) -> None:
        risen = max(i for i in range(4) if used >= self.begins[i])
        kept = max(i for i in range(self.state + 1) if used >= self.ends[i])
        state = max(risen, kept)
        if state != self.state:
            self.entries[state] += 1
            self.durations[self.state] += now - self.since
            self.state, self.since = state, now


@st.composite
def thresholds(draw: st.DrawFn) -> PressureThresholds:
    shares = draw(st.lists(st.integers(2, 64), min_size=3, max_size=3, unique=True).map(sorted))
    below = draw(st.integers(0, min(shares[0] - 1, 16)))
    # Multiples of 1/64 are exact in binary.
    frozen, withholding, discarding, hysteresis = (n / 64 for n in (*shares, below))
    return PressureThresholds(
        frozen=frozen, withholding=withholding, discarding=discarding, hysteresis=hysteresis
    )


@given(
    thresholds=thresholds(),
    history=st.lists(
        st.tuples(st.integers(0, 230), st.integers(0, 100), st.none() | thresholds()), min_size=1, max_size=8
    ),
)
def test_the_state_is_a_function_of_the_uses(
    thresholds: PressureThresholds, history: list[tuple[int, int, PressureThresholds | None]]
) -> None:
    """Any uses and thresholds: state, entries and durations are those of the definition."""
    net = Net()
    holder = Holder(net, thresholds)
    model = Model(thresholds, holder.pressure.since)
    for goal, milliseconds, others in history:
        net.stall(milliseconds / 1_000)
        if others is not None:
            net.turn()
            holder.pool.set_thresholds(others)
            model.bound(others)
            model.use(holder.used, net.now)
        while holder.used < goal:
            before = holder.used
            holder.take(min(AT_ONCE, goal - before))
            model.use(holder.used, net.now)
            if holder.used == before:
                break
        if holder.used > goal:
            holder.drain(goal)
            model.use(holder.used, net.now)
    net.turn()
    pressure = holder.pressure
    assert pressure.state == NAMES[model.state]
    assert list(pressure.entries.values()) == model.entries
    model.durations[model.state] += net.now - model.since
    assert list(pressure.durations.values()) == pytest.approx(model.durations, abs=1e-4)
    net.close()
