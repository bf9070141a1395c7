"""Which figures are kept, and for how long.

Knows ticks and rings; must not know engines.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final

from xtcp_console.figures import Series, Span, Tick
from xtcp_console.history import Column, History, Ribbon
from xtcp_twisted.engine.snapshot import GroupSnapshot, PoolSnapshot

#: How long the use of the buffers is kept, and how much of it a view has, seconds.
OCCUPANCY_KEPT_S: Final = 3_600
OCCUPANCY_SHOWN_S: Final = 600
#: Pools whose use is kept, and how many of them a view has: the fullest.
POOLS_KEPT: Final = 64
POOLS_SHOWN: Final = 8
#: How long the key figures are kept, seconds.
SPARKS_S: Final = 60


class Past:
    """The history that a view has, a row per tick."""

    def __init__(self) -> None:
        self._occupancy = History(OCCUPANCY_KEPT_S)
        self._sparks = History(SPARKS_S)
        self._ribbon = Ribbon()
        self._shown: list[Column] = []

    def add(self, tick: Tick, pools: Iterable[PoolSnapshot], shown: Iterable[GroupSnapshot]) -> None:
        """Keep what is known of a running engine.

        :param pools: all of the tick's, as the engine tells of them.
        :param shown: the tick's groups.
        """
        transmit: Column = ("transmit.buffer.used", None)
        used: dict[Column, float | None] = {transmit: tick.transmit.buffer.used}
        fullest = heapq.nlargest(POOLS_KEPT, pools, key=lambda pool: tick.pools[str(pool.row)].receive.used)
        for pool in fullest:
            path = f"pools.{pool.row}.receive.used"
            used[path, (pool.serial, pool.name)] = tick.pools[str(pool.row)].receive.used
        self._shown = list(used)[: 1 + POOLS_SHOWN]
        self._occupancy.add(tick.t, used)
        self._sparks.add(tick.t, _sparks(tick, shown))

    def gap(self, t: float) -> None:
        """A tick without an engine, at `t`, a Unix time."""
        self._occupancy.gap(t)
        self._sparks.gap(t)

    def pressed(self, start: float, end: float, state: str) -> None:
        """The worst pressure state of all buffers from `start` to `end`, Unix times."""
        self._ribbon.add(start, end, state)

    def occupancy(self, now: float) -> Series:
        """The use of the transmit buffer and the fullest pools, until `now`, a Unix time."""
        return self._occupancy.since(now - OCCUPANCY_SHOWN_S, self._shown)

    def sparks(self, now: float) -> Series:
        """The key figures until `now`, a Unix time."""
        return self._sparks.since(now - SPARKS_S)

    def ribbon(self, now: float) -> tuple[Span, ...]:
        """Pressure until `now`, a Unix time."""
        return self._ribbon.until(now)


def _sparks(tick: Tick, shown: Iterable[GroupSnapshot]) -> dict[Column, float | None]:
    values: dict[Column, float | None] = {
        ("engine.connections", None): tick.engine.connections,
        ("engine.rss_bytes", None): tick.engine.rss_bytes,
        ("rates.requests_per_s", None): tick.rates.requests_per_s,
        ("rates.acks_piggybacked", None): tick.rates.acks_piggybacked,
        ("rates.resends_per_s", None): tick.rates.resends_per_s,
        ("transmit.unacked_bytes", None): tick.transmit.unacked_bytes,
    }
    for group in shown:
        path = f"groups.{group.row}.requests_per_s"
        values[path, (group.serial, group.name)] = tick.groups[str(group.row)].requests_per_s
    return values
