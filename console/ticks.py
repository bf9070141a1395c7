"""From samples to the figures of one second.

Knows samples and figures; must not know clocks, engines or history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from xtcp_console.figures import PRESSURES, Buffer, Group, Pool, Pressure, Thresholds, Transmit
from xtcp_console.losses import LOSSES
from xtcp_console.rates import Sample, Window
from xtcp_twisted.engine.snapshot import BufferSnapshot, GroupSnapshot, PoolSnapshot, PressureSnapshot

#: What pressure made the engine do.
PRESSURE_COUNTERS: Final = (
    "AcksWithheld",
    "PressureSynDrops",
    "PressureDropSegs",
    "PressureDropBytes",
    "PressureAcks",
)


def pools(window: Window) -> dict[str, Pool]:
    """All pools, by row."""
    return {str(pool.row): _pool(window, pool) for pool in window.latest.pools.values()}


def _pool(window: Window, pool: PoolSnapshot) -> Pool:
    def used(sample: Sample) -> int | None:
        seen = sample.pools.get(pool.serial)
        return None if seen is None else seen.receive_buffer.used

    buffer = pool.receive_buffer
    largest = max(pool.groups, key=lambda group: group.held, default=None)
    if largest is not None and not largest.held:
        largest = None
    return Pool(
        row=pool.row,
        name=pool.name,
        connections=sum(group.connections for group in pool.groups),
        groups=len(pool.groups),
        receive=_buffer(window.latest, buffer, window.growth(used)),
        largest=None if largest is None else largest.name,
        largest_share=None if largest is None else largest.held / buffer.used,
    )


def transmit(window: Window) -> Transmit:
    """The transmit buffer."""
    snapshot = window.latest.snapshot
    buffer = snapshot.transmit_buffer
    payload = snapshot.unacked_bytes + snapshot.queued_bytes
    # What a broadcast stores once counts for each of its receivers: no more than is in use is shown.
    scale = min(1.0, buffer.used / payload) / buffer.size if payload else 0.0
    growth = window.growth(lambda sample: sample.snapshot.transmit_buffer.used)
    return Transmit(
        buffer=_buffer(window.latest, buffer, growth),
        unacked_bytes=snapshot.unacked_bytes,
        queued_bytes=snapshot.queued_bytes,
        unacked=snapshot.unacked_bytes * scale,
        queued=snapshot.queued_bytes * scale,
        connections=snapshot.sending,
    )


def _buffer(sample: Sample, buffer: BufferSnapshot, growth: float) -> Buffer:
    return Buffer(
        size_bytes=buffer.size,
        used_bytes=buffer.used,
        used=buffer.used / buffer.size,
        peak_bytes=buffer.peak,
        delta_bytes_per_s=growth,
        next_state_s=next_state_s(buffer, growth),
        pressure=_pressure(sample, buffer.pressure),
    )


def next_state_s(buffer: BufferSnapshot, growth: float) -> float | None:
    """Until the use reaches the next higher pressure state.

    :param growth: bytes per second.
    :return: seconds; None when it does not grow or is in the highest state.
    """
    state = buffer.pressure.state
    if growth <= 0 or state == PRESSURES[-1]:
        return None
    above = PRESSURES[PRESSURES.index(state) + 1]
    threshold: float = getattr(buffer.pressure.thresholds, above)
    return max(threshold * buffer.size - buffer.used, 0.0) / growth


def _pressure(sample: Sample, pressure: PressureSnapshot) -> Pressure:
    limits = pressure.thresholds
    # An engine at rest knows no later time than that of its last turn.
    rested_s = sample.at - sample.snapshot.time
    durations = dict(pressure.durations)
    durations[pressure.state] += rested_s
    return Pressure(
        state=pressure.state,
        since=sample.t - sample.at + pressure.since,
        entries=pressure.entries,
        durations_s=durations,
        thresholds=Thresholds(limits.frozen, limits.withholding, limits.discarding, limits.hysteresis),
    )


def groups(window: Window, shown: Iterable[GroupSnapshot]) -> dict[str, Group]:
    """These groups of the latest sample, by row."""
    homes = {group.serial: pool for pool in window.latest.pools.values() for group in pool.groups}
    return {str(group.row): _group(window, group, homes[group.serial]) for group in shown}


def _group(window: Window, group: GroupSnapshot, pool: PoolSnapshot) -> Group:
    change = window.group(group)
    return Group(
        row=group.row,
        gd=group.gd,
        name=group.name,
        pool=pool.row,
        address=group.address,
        port=group.port,
        priority=group.priority,
        ack_policy=group.ack_policy,
        connections=group.connections,
        pending=group.pending,
        readable=group.readable,
        held_bytes=group.held,
        share=group.held / pool.receive_buffer.size,
        requests_per_s=change.rate("DataSegsIn"),
        answers_per_s=change.rate("DataSegsOut"),
        in_bytes_per_s=change.rate("InBytes"),
        out_bytes_per_s=change.rate("OutBytes"),
        resends_per_s=change.rate("RetransSegs"),
        acks_piggybacked=change.share("PiggybackedAcks", "PureAcks"),
        pressure=group.pressure,
    )


def counters(every: Mapping[str, int]) -> dict[str, int]:
    """Of all counters of the engine those of pressure, and those that should stand still."""
    return {name: every[name] for name in (*PRESSURE_COUNTERS, *LOSSES)}
