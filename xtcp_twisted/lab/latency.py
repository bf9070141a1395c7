"""Latencies by bucket: small enough to send every second, exact enough for percentiles.

Sixteen buckets to each doubling, from 1 microsecond on, so a percentile is at
most 4.5 % too high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

BUCKETS_PER_DOUBLING = 16


class Latencies:
    """A histogram of durations.

    :ivar counts: bucket number -> count; buckets that have none are not there.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one duration."""
        bucket = int(math.log2(max(seconds * 1e6, 1.0)) * BUCKETS_PER_DOUBLING)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add the counts of another histogram."""
        for bucket, count in counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def percentile(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of all do not exceed, milliseconds; None without any."""
        left = share * sum(self.counts.values())
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return float(2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING) / 1000)
        return None
