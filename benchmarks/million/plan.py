"""What a run does, in numbers."""

from __future__ import annotations

import math
from typing import Final

import attrs

from benchmarks.loadgen import SPARE_DESCRIPTORS, LoadGeneratorError, descriptor_limit

#: Open connections at which everything is looked at on the way up.
STOPS: Final = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000)
#: Client processes at least, so that traffic from some of them is not traffic from all.
LEAST_WORKERS: Final = 4
#: The generator's own limit.
MOST_WORKERS: Final = 256
#: A step of the generator that has not ended by then is given up, seconds.
STEP_LIMIT: Final = 180.0
#: Of one process of clients, whatever the machine would allow.
MOST_DESCRIPTORS: Final = 20_000


@attrs.frozen(kw_only=True)
class Plan:
    """One run; times in seconds, sizes in bytes."""

    connections: int = 1_000_000
    #: Open loop: requests per second ...
    rate: float = 30_000.0
    #: ... for so long, once from few client processes and once from all.
    seconds: float = 60.0
    #: Of a request and of its answer.
    size: int = 1_024
    #: Client processes whose connections carry the traffic, where not all of them do.
    talkers: int = 2
    #: Clients that are dropped at once and come back at once; a tenth, unless given.
    storm: int = attrs.field(default=attrs.Factory(lambda self: self.connections // 10, takes_self=True))
    #: At each stop: measured time of the closed and of the open loop ...
    probe: float = 3.0
    #: ... with so many requests on the way in the closed one.
    inflight: int = 100
    #: Handshakes on the way while connections are opened.
    window: int = 1_024
    #: Load before each measured time.
    warmup: float = 0.5
    #: Quiet time before memory is read.
    settle: float = 1.0

    @property
    def stops(self) -> tuple[int, ...]:
        """Numbers of open connections at which everything is looked at; the last is all of them."""
        return (*(stop for stop in STOPS if stop < self.connections), self.connections)

    @property
    def workers(self) -> int:
        """Client processes.

        :raises LoadGeneratorError: a process may not open enough descriptors.
        """
        room = min(descriptor_limit(), MOST_DESCRIPTORS) - SPARE_DESCRIPTORS
        needed = math.ceil(self.connections / max(room, 1))
        if needed > MOST_WORKERS:
            least = math.ceil(self.connections / MOST_WORKERS) + SPARE_DESCRIPTORS
            raise LoadGeneratorError(
                f"{self.connections:,} clients in at most {MOST_WORKERS} processes need"
                f" {least:,} descriptors each, and a process may open {descriptor_limit():,} here: raise the"
                f" limit with 'ulimit -Hn {least}', or give a smaller CONNECTIONS"
            )
        return max(LEAST_WORKERS, needed)

    @property
    def capacity(self) -> int:
        """Connections of one client process."""
        return math.ceil(self.connections / self.workers)

    def talking_of(self, connections: int) -> int:
        """Client processes that talk with so many open; one is filled after the other."""
        return min(self.talkers, math.ceil(connections / self.capacity))

    @property
    def load(self) -> dict[str, object]:
        """Settings that all loads have, unless they change one."""
        return {"pick": "random", "size": self.size, "warmup": self.warmup, "workers": self.talkers}

    @property
    def ceiling_seconds(self) -> float:
        """How long the bare responder gets the open loop."""
        return min(self.seconds, 20.0)

    @property
    def talking(self) -> int:
        """Connections of the client processes that talk where not all do."""
        return min(self.connections, self.talkers * self.capacity)
