"""Made-up figures for what shows them: one pool, one group, a little history.

Real ones come from an engine; these are for tests of pages and of who may see them.
"""

from __future__ import annotations

from xtcp_console.figures import (
    PRESSURES,
    Buffer,
    Census,
    Engine,
    Event,
    Group,
    Pool,
    Pressure,
    Rates,
    Series,
    Span,
    Thresholds,
    Tick,
    Transmit,
    View,
)

#: When the figures are of, Unix time.
THEN = 1_800_000_000.0


def buffer(used: float = 0.25, size_bytes: int = 64 << 20, state: str = "open") -> Buffer:
    """A buffer that is this full and this pressed."""
    return Buffer(
        size_bytes=size_bytes,
        used_bytes=round(used * size_bytes),
        used=used,
        peak_bytes=round(used * size_bytes),
        delta_bytes_per_s=0.0,
        next_state_s=None,
        pressure=Pressure(
            state=state,
            since=THEN - 60,
            entries=dict.fromkeys(PRESSURES, 0) | {state: 1},
            durations_s=dict.fromkeys(PRESSURES, 0.0) | {state: 60.0},
            thresholds=Thresholds(frozen=0.5, withholding=0.75, discarding=0.875, hysteresis=0.05),
        ),
    )


def group(name: str = "chat", row: int = 0, pool: int = 0) -> Group:
    """A quiet group of a thousand connections."""
    return Group(
        row=row,
        gd=row + 1,
        name=name,
        pool=pool,
        address=None,
        port=7,
        priority="normal",
        ack_policy="defer",
        connections=1_000,
        pending=2,
        readable=3,
        held_bytes=4_096,
        share=0.01,
        requests_per_s=120.0,
        answers_per_s=120.0,
        in_bytes_per_s=12_000.0,
        out_bytes_per_s=24_000.0,
        resends_per_s=0.0,
        acks_piggybacked=0.987,
        pressure="open",
    )


def tick(group_name: str = "chat", pool_name: str = "main", state: str = "open") -> Tick:
    """One second's figures of a running engine, or of one that is pressed (`state`)."""
    pool = Pool(0, pool_name, 1_000, 1, buffer(state=state), group_name, 1.0)
    return Tick(
        t=THEN,
        serial=1,
        layout="1",
        engine=Engine(
            state="running",
            reason=None,
            started=THEN - 3_600,
            uptime_s=3_600.0,
            host="testhost",
            pid=4_711,
            version="0.1.0",
            addresses=("192.0.2.1",),
            connections=1_000,
            max_connections=1_000_000,
            half_open=1,
            time_wait=2,
            active=5,
            descriptors=12,
            rss_bytes=100 << 20,
            connection_bytes=1_000 * 164,
            bytes_per_connection=164.0,
            cpu=0.1,
            loop_delay_ms=0.3,
        ),
        rates=Rates(120.0, 120.0, 12_000.0, 24_000.0, 1.0, 1.0, 0.0, 2.0, 0.987, 118.0),
        pools={"0": pool},
        transmit=Transmit(buffer(), 2_048, 1_024, 0.2, 0.05, 7),
        groups={"0": group(group_name)},
        group_count=1,
        pending=2,
        readable=3,
        census=Census(THEN - 1, (1, 60, 600), {"ESTABLISHED": (1, 2, 3, 994)}, 1_000),
        counters={},
    )


def view(group_name: str = "chat", pool_name: str = "main", state: str = "open") -> View:
    """What the pages show of `tick`, with one event about the group."""
    return View(
        tick=tick(group_name, pool_name, state),
        occupancy=Series(
            (THEN - 1, THEN), {"pools.0.receive.used": (0.2, 0.25), "transmit.buffer.used": (0.1, 0.25)}
        ),
        sparks=Series((THEN - 1, THEN), {"engine.connections": (999.0, 1_000.0)}),
        ribbon=(Span(THEN - 60, THEN, state),),
        events=(Event(1, THEN - 5, "info", "group", "group/0", f"Group {group_name} opened", "port 7"),),
    )
