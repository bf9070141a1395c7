"""Which groups a page shows, and when it is out of date.

Knows snapshots; must not know pages.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from hashlib import blake2s
from typing import Final

from xtcp_console.rates import Sample
from xtcp_twisted.engine.snapshot import GroupSnapshot, PoolSnapshot

#: Groups that a tick shows at most.
GROUPS_SHOWN: Final = 50
#: How long the same ones are shown: a page cannot follow each change of rank, seconds.
RANKING_S: Final = 30.0


class Selection:
    """The groups with most connections of one engine."""

    def __init__(self) -> None:
        self._serials: list[int] = []
        self._until = 0.0
        self._seen: tuple[tuple[int, ...], ...] | None = None
        self._layout = ""

    def choose(self, sample: Sample) -> tuple[GroupSnapshot, ...]:
        """The groups that are shown now, in the order of their opening.

        All of them, if there are not too many; else those with most connections
        at the last ranking.
        """
        groups = sample.groups
        if len(groups) <= GROUPS_SHOWN:
            self._serials = list(groups)
        elif sample.at >= self._until or len(self._serials) < GROUPS_SHOWN or self._lost(groups):
            self._serials = sorted(
                heapq.nlargest(GROUPS_SHOWN, groups, key=lambda serial: groups[serial].connections)
            )
            self._until = sample.at + RANKING_S
        return tuple(groups[serial] for serial in self._serials)

    def _lost(self, groups: Mapping[int, GroupSnapshot]) -> bool:
        return any(serial not in groups for serial in self._serials)

    def layout(self, sample: Sample) -> str:
        """A text that is another one when a pool or group was opened or closed, or others are shown."""
        seen = (tuple(sample.pools), tuple(sample.groups), tuple(self._serials))
        if seen != self._seen:
            self._seen = seen
            names = (*_names(sample.pools.values()), *_names(sample.groups.values()), *self._serials)
            self._layout = blake2s(repr(names).encode(), digest_size=6).hexdigest()
        return self._layout


def _names(rows: Iterable[PoolSnapshot | GroupSnapshot]) -> Iterable[tuple[int, int, str]]:
    return ((row.serial, row.row, row.name) for row in rows)
