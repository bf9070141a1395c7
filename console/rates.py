"""Rates from counters that only grow, over a window of a few seconds.

A `Sample` is a snapshot of the engine and when it was taken; a `Window` keeps the
last few of one engine.  Pools and groups are found by their serial, which no other
one of that engine ever has, so a row that is used anew inherits nothing.

Knows snapshots; must not know clocks, engines or pages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from xtcp_console.figures import Rates
from xtcp_twisted.engine.snapshot import EngineSnapshot, GroupSnapshot, PoolSnapshot

#: Intervals between samples that a rate is taken over.
INTERVALS: Final = 5

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sample:
    """The engine at one moment.

    :ivar t: Unix time.
    :ivar at: seconds of the monotonic clock that the engine is driven by.
    :ivar pools: by serial.
    :ivar groups: by serial.
    """

    t: float
    at: float
    snapshot: EngineSnapshot
    pools: Mapping[int, PoolSnapshot] = field(init=False)
    groups: Mapping[int, GroupSnapshot] = field(init=False)

    def __post_init__(self) -> None:
        pools = self.snapshot.pools
        object.__setattr__(self, "pools", {pool.serial: pool for pool in pools})
        object.__setattr__(self, "groups", {group.serial: group for pool in pools for group in pool.groups})


@dataclass(frozen=True, slots=True)
class Change:
    """What some counters did in some time."""

    old: Mapping[str, int]
    new: Mapping[str, int]
    seconds: float

    def count(self, name: str) -> int:
        """By how much it grew; none when it began anew."""
        return max(self.new[name] - self.old[name], 0)

    def rate(self, name: str) -> float:
        """Its growth per second."""
        count = self.new[name] - self.old[name]
        return count / self.seconds if count > 0 and self.seconds > 0 else 0.0

    def share(self, name: str, other: str) -> float | None:
        """What `name` has of the growth of both; None when neither grew."""
        mine, others = self.count(name), self.count(other)
        return mine / (mine + others) if mine or others else None


def per_second(growth: float, seconds: float) -> float:
    """A growth per second; 0 when no time has passed."""
    return growth / seconds if seconds > 0 else 0.0


class Slope:
    """How fast one value grows over the window."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=INTERVALS + 1)

    def add(self, at: float, value: float) -> float:
        """Take another value in; returns its growth per second."""
        self._points.append((at, value))
        since, first = self._points[0]
        return per_second(max(value - first, 0.0), at - since)


class Window:
    """The last samples of one engine."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=INTERVALS + 1)

    def __bool__(self) -> bool:
        return bool(self._samples)

    @property
    def latest(self) -> Sample:
        return self._samples[-1]

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)

    def clear(self) -> None:
        """Another engine begins."""
        self._samples.clear()

    def rest(self) -> None:
        """The engine has ended: its last figures stay, and every rate is zero from now on."""
        while len(self._samples) > 1:
            self._samples.popleft()

    def engine(self) -> Change:
        """What the engine's counters did."""
        first = self._samples[0]
        return Change(first.snapshot.counters, self.latest.snapshot.counters, self.latest.at - first.at)

    def group(self, group: GroupSnapshot) -> Change:
        """What the counters of a group of the latest sample did."""
        first, at = self._begin(lambda sample: sample.groups.get(group.serial))
        old = dict.fromkeys(group.counters, 0) if first is None else first.counters
        return Change(old, group.counters, self.latest.at - at)

    def growth(self, measure: Callable[[Sample], int | None]) -> float:
        """How fast something grows or shrinks, per second.

        :param measure: how much it is in a sample; None before it existed.
        """
        first, at = self._begin(measure)
        return per_second((measure(self.latest) or 0) - (first or 0), self.latest.at - at)

    def _begin(self, find: Callable[[Sample], _T | None]) -> tuple[_T | None, float]:
        """The first value in the window and when it was taken.

        None and the time before, when it came into being within the window: it was nothing then.
        """
        before: Sample | None = None
        for sample in self._samples:
            if (found := find(sample)) is not None:
                return (found, sample.at) if before is None else (None, before.at)
            before = sample
        return None, self.latest.at


def rates(change: Change) -> Rates:
    """The engine-wide rates."""
    return Rates(
        requests_per_s=change.rate("DataSegsIn"),
        answers_per_s=change.rate("DataSegsOut"),
        in_bytes_per_s=change.rate("InBytes"),
        out_bytes_per_s=change.rate("OutBytes"),
        opened_per_s=change.rate("PassiveOpens") + change.rate("ActiveOpens"),
        closed_per_s=change.rate("Ended"),
        resends_per_s=change.rate("RetransSegs"),
        acks_per_s=change.rate("PiggybackedAcks") + change.rate("PureAcks"),
        acks_piggybacked=change.share("PiggybackedAcks", "PureAcks"),
        acks_saved_per_s=change.rate("PiggybackedAcks"),
    )
