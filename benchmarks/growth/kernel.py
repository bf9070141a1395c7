"""What a message costs and a connection takes, with clients of the kernel at one ``twistd xtcp``.

The clients, their lab and the server are those of ``make million``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.accounts import read_account
from benchmarks.loadgen import LoadGenerator, Outcome
from benchmarks.million import measure as million
from benchmarks.million import sides
from benchmarks.million.course import opened
from benchmarks.million.plan import Plan
from xtcp_twisted.errors import ResourceError
from xtcp_twisted.lab import Lab

#: Times that a load is tried.
_ATTEMPTS: Final = 3


@attrs.frozen
class Point:
    """A closed loop over random connections, with so many open."""

    connections: int
    #: Of a request and of its answer, bytes.
    size: int
    per_second: float
    #: CPU time of the server for a message, what the kernel does for it included, microseconds.
    cpu_us: float
    #: Of the server with all connections idle, before the first loop with so many, bytes.
    resident: int
    #: Before the first connection.
    resident_before: int


def measure(
    stops: Sequence[int], sizes: Sequence[int], seconds: float, told: Callable[[str], None]
) -> Iterator[Point]:
    """Open more and more connections; at each stop load with 1 KB, at the first and the last with each size.

    :param seconds: of each loop.
    :param told: is told how far it is.
    :raises ResourceError: connections or messages have failed.
    """
    plan = Plan(connections=stops[-1], warmup=0.3, settle=0.5)
    with Lab(sockets=plan.connections) as lab:
        # A client hands its whole request to its kernel at once.
        lab.call(Path("/proc/sys/net/ipv4/tcp_wmem").write_text, f"4096 {4 * max(sizes)} 4194304")
        server = sides.xtcp(lab, plan.connections)
        before, reached = read_account(server.pid).resident, 0
        with million.generator(plan, lab, server.pid) as client:
            for stop in stops:
                told(f"{stop:,} connections of the kernel")
                found = opened(plan, client, stop, reached, server.pid)
                reached = stop
                for size in sizes if stop in (stops[0], stops[-1]) else (plan.size,):
                    done = _load(client, plan, stop, size, seconds)
                    yield Point(stop, size, done.per_second, done.server_cpu_us, found.resident, before)
        server.stop()


def _load(client: LoadGenerator, plan: Plan, connections: int, size: int, seconds: float) -> Outcome:
    """One closed loop; again where the accounts were taken too late, on a machine that others use.

    The requests on the way are shared out among the processes that have connections: one is filled after
    the other.
    """
    workers = math.ceil(connections / plan.capacity)
    for _ in range(_ATTEMPTS):
        done = client.step(
            "echo",
            pick="random",
            size=size,
            inflight=min(plan.inflight, connections),
            workers=workers,
            seconds=seconds,
            warmup=plan.warmup,
        )
        if done.errors:
            raise ResourceError(f"{size:,} bytes at {done.open:,}: {done.note or 'some failed'}")
        if done.seconds > seconds / 2:
            return done
    raise ResourceError(f"{_ATTEMPTS} loads were timed in vain: the machine is too busy")
