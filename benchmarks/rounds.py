"""The measurement: every server in turn, under the same load, several times over.

One measurement is a fresh lab with one server and one load generator: some
connections are opened, then many, and what the server and the kernel hold is
read at both points; then the same connections carry load.  Servers take turns
(A, B, A, B, ...) so that a machine that grows slower or noisier does so for all.

Knows servers, generator and accounts; knows nothing of tables and plots.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs

from benchmarks.accounts import Account, read_account
from benchmarks.figures import marginal, socket_slab
from benchmarks.loadgen import (
    SPARE_DESCRIPTORS,
    LoadGenerator,
    LoadGeneratorError,
    Outcome,
    descriptor_limit,
    workers_for,
)
from benchmarks.servers import Server
from xtcp_twisted.lab import Lab

#: Connections opened at a time: enough to keep both cores busy, few enough for any backlog.
WINDOW: Final = 256
#: What a measurement takes besides its load: start of lab and server, connections, end.
OVERHEAD_S: Final = 1.5


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured; times in seconds, sizes in bytes."""

    #: Open connections under load.  Kernel servers get what their descriptors allow.
    connections: int = 10_000
    #: Of a request and of its answer.
    size: int = 1_024
    #: Closed loop: requests on the way at any time.
    inflight: int = 100
    #: Open loop: requests per second.
    rate: float = 5_000.0
    #: Measured time of each kind of load ...
    seconds: float = 1.2
    #: ... and load before it that is not measured.
    warmup: float = 0.3
    #: Quiet time before memory is read.
    settle: float = 0.5
    #: Measurements of each server.
    repeat: int = 3

    def fit(self, server: Server) -> int:
        """Connections that `server` can hold."""
        limit = descriptor_limit() - SPARE_DESCRIPTORS
        return min(self.connections, limit) if server.kernel_tcp else self.connections

    def duration(self, servers: int) -> float:
        """About how long it takes to measure so many servers, seconds."""
        loads = len(LOADS) * (self.seconds + self.warmup)
        return servers * self.repeat * (loads + 2 * self.settle + OVERHEAD_S + self.connections / 10_000)


#: The kinds of load, by name: verb and settings of the generator's step.
LOADS: Final[dict[str, Callable[[Plan], tuple[str, dict[str, object]]]]] = {
    "sticky": lambda plan: ("echo", {"pick": "sticky", "inflight": plan.inflight}),
    "random": lambda plan: ("echo", {"pick": "random", "inflight": plan.inflight}),
    "paced": lambda plan: ("echo", {"rate": plan.rate}),
    "churn": lambda plan: ("churn", {"inflight": plan.inflight}),
}


@attrs.frozen(kw_only=True)
class Sample:
    """One measurement of one server."""

    server: str
    connections: int
    #: Resident memory without connections, with all of them, and after the load; bytes.
    resident_before: int
    resident_idle: int
    resident_after: int
    #: Resident memory per idle connection, between the first tenth and all of them; bytes.
    process_bytes: float
    #: Kernel slab per connection, of whichever ends are sockets of this kernel; bytes.  None: unknown.
    slab_bytes: float | None
    #: Of the server process with all connections open.
    descriptors: int
    opened_per_second: float
    loads: dict[str, Outcome]
    #: What went wrong, in sentences; empty in a good run.
    problems: tuple[str, ...]


def cores() -> tuple[int | None, int | None]:
    """The processors for client and server: two different ones, or none when there is but one."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else (None, None)


def measure(server: Server, plan: Plan) -> Sample:
    """Measure `server` once, in a lab of its own.

    Raises `benchmarks.servers.ServerError` when it does not come up, and
    `LoadGeneratorError` when connections cannot be opened at all.
    """
    client_core, server_core = cores()
    connections = plan.fit(server)
    with Lab() as lab, server.running(lab, connections, server_core) as pid:
        before = read_account(pid)
        generator = LoadGenerator(
            server.target,
            workers=workers_for(connections),
            watch=pid,
            core=client_core,
            popen=lab.popen,
        )
        with generator as client:
            step = partial(client.step, size=plan.size)
            opened = step("open", total=connections // 10, window=WINDOW)
            few = _quiet(plan, pid)
            rest = step("open", total=connections, window=WINDOW)
            many = _quiet(plan, pid)
            if rest.open <= opened.open:
                raise LoadGeneratorError(f"{server.label}: no more than {rest.open} connections: {rest.note}")
            loads = {}
            for name, load in LOADS.items():
                verb, settings = load(plan)
                loads[name] = step(verb, seconds=plan.seconds, warmup=plan.warmup, **settings)
            after = read_account(pid)
            closed = step("close")
    added = rest.open - opened.open
    return Sample(
        server=server.name,
        connections=rest.open,
        resident_before=before.resident,
        resident_idle=many.resident,
        resident_after=after.resident,
        process_bytes=marginal(few.resident, many.resident, opened.open, rest.open),
        slab_bytes=socket_slab(few.slab, many.slab) / added if many.slab else None,
        descriptors=many.descriptors,
        opened_per_second=added / rest.seconds,
        loads=loads,
        problems=problems({"open (first)": opened, "open": rest, **loads, "close": closed}),
    )


def _quiet(plan: Plan, pid: int) -> Account:
    time.sleep(plan.settle)
    return read_account(pid)


def problems(outcomes: dict[str, Outcome]) -> tuple[str, ...]:
    """A sentence for each step in which something went wrong."""
    return tuple(
        f"{name}: {outcome.failed} connections failed, {outcome.broken} broke, {outcome.wrong} answers wrong,"
        f" {outcome.unanswered} requests unanswered, first: {outcome.note or 'unknown'}"
        for name, outcome in outcomes.items()
        if outcome.errors
    )


def run(
    servers: Sequence[Server], plan: Plan, progress: Callable[[int, Server], None]
) -> dict[str, list[Sample]]:
    """Measure each server `plan.repeat` times, in turn; samples by server, in order of time.

    `progress` is called before each measurement with its round, from 1.
    """
    samples: dict[str, list[Sample]] = {server.name: [] for server in servers}
    for number in range(1, plan.repeat + 1):
        for server in servers:
            progress(number, server)
            samples[server.name].append(measure(server, plan))
    return samples
