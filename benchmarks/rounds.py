"""The measurement: every server in turn, under the same load, several times over.

A sample is of one server in one round.  It has two parts, each with a fresh lab,
server and load generator.  In the first nothing but memory is read: connections
are opened, a tenth and then all, and what server and kernel hold is compared.  In
the second connections are opened up to one number after the other, and carry load
at each.  Servers take turns (A, B, A, B, ...) so that a machine that grows slower
or noisier does so for all.

Knows servers, generator and accounts; knows nothing of tables and plots.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import attrs

from benchmarks.accounts import Account, read_account, small_pages
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
#: What each part takes besides connections and load: start of lab and server, end.
OVERHEAD_S: Final = 0.7
#: About how many connections a server opens in a second.
OPENED_PER_SECOND: Final = 25_000


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured; times in seconds, sizes in bytes."""

    #: Open connections under load, in rising order.  Kernel servers get what their descriptors allow.
    connections: tuple[int, ...] = (100, 10_000, 19_000)
    #: The kinds of load, of `LOADS`.
    loads: tuple[str, ...] = ("random", "churn")
    #: Of a request and of its answer.
    size: int = 1_024
    #: Closed loop: requests on the way at any time.
    inflight: int = 100
    #: Open loop: requests per second.
    rate: float = 5_000.0
    #: Measured time of each load: short, because many rounds bring slow phases of the machine to all ...
    seconds: float = 0.8
    #: ... and load before it that is not measured.
    warmup: float = 0.2
    #: Quiet time before memory is read.
    settle: float = 0.4
    #: Measurements of each server.
    repeat: int = 5

    @property
    def most(self) -> int:
        """The greatest number of connections."""
        return self.connections[-1]

    def loads_at(self, connections: int) -> list[str]:
        """The kinds of load with so many connections open: `ONCE` ones with the most alone."""
        return [name for name in self.loads if name not in ONCE or connections == self.most]

    def fit(self, server: Server, connections: int) -> int:
        """How many of so many connections `server` can hold."""
        limit = descriptor_limit() - SPARE_DESCRIPTORS
        return min(connections, limit) if server.kernel_tcp else connections

    def duration(self, servers: int) -> float:
        """About how long it takes to measure so many servers, seconds."""
        loads = sum(len(self.loads_at(connections)) for connections in self.connections)
        opening = 2 * self.most / OPENED_PER_SECOND
        each = loads * (self.seconds + self.warmup) + 3 * self.settle + 2 * OVERHEAD_S + opening
        return servers * self.repeat * each


#: The kinds of load, by name: verb and settings of the generator's step.
LOADS: Final[dict[str, Callable[[Plan], tuple[str, dict[str, object]]]]] = {
    "random": lambda plan: ("echo", {"pick": "random", "inflight": plan.inflight}),
    "sticky": lambda plan: ("echo", {"pick": "sticky", "inflight": plan.inflight}),
    "paced": lambda plan: ("echo", {"rate": plan.rate}),
    "churn": lambda plan: ("churn", {"inflight": plan.inflight}),
}
#: Those that hardly depend on how many connections are open beside.
ONCE: Final = ("churn",)


@attrs.frozen(kw_only=True)
class Memory:
    """What idle connections take; bytes."""

    connections: int
    #: Resident memory of the process per connection, between the first tenth and all of them.
    process_bytes: float
    #: Kernel slab per connection, of whichever ends are sockets of this kernel.  None: unknown.
    slab_bytes: float | None


@attrs.frozen(kw_only=True)
class Sample:
    """One measurement of one server."""

    server: str
    memory: Memory
    #: Resident memory of the process before the first connection, bytes.
    resident_before: int
    #: The same after all loads, with all connections open.
    resident_after: int
    #: Of the server process with all connections open.
    descriptors: int
    opened_per_second: float
    #: By number of open connections, as the plan has it, and by kind.
    loads: dict[int, dict[str, Outcome]]
    #: What went wrong, in sentences; empty in a good run.
    problems: tuple[str, ...]


def cores() -> tuple[int | None, int | None]:
    """The processors for client and server: two different ones, or none when there is but one."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else (None, None)


@contextlib.contextmanager
def _running(server: Server, connections: int) -> Iterator[tuple[int, LoadGenerator]]:
    """`server` in a fresh lab, and a generator for so many connections; gives the server's pid and that."""
    client_core, server_core = cores()
    with Lab() as lab, server.running(lab, connections, server_core) as pid:
        workers = workers_for(connections)
        with LoadGenerator(
            server.target, workers=workers, watch=pid, core=client_core, popen=lab.popen
        ) as client:
            yield pid, client


def measure(server: Server, plan: Plan) -> Sample:
    """Measure `server` once.

    Raises `benchmarks.servers.ServerError` when it does not come up, and
    `LoadGeneratorError` when connections cannot be opened at all.
    """
    steps: dict[str, Outcome] = {}
    memory = _measure_memory(server, plan, steps)
    loads: dict[int, dict[str, Outcome]] = {}
    opened, seconds = 0, 0.0
    with _running(server, plan.fit(server, plan.most)) as (pid, client):
        before = read_account(pid)
        step = partial(client.step, size=plan.size)
        for connections in plan.connections:
            growth = step("open", total=plan.fit(server, connections), window=WINDOW)
            steps[f"open {connections:,}"] = growth
            _require_more(server, opened, growth)
            opened, seconds = growth.open, seconds + growth.seconds
            loads[connections] = {}
            for name in plan.loads_at(connections):
                verb, settings = LOADS[name](plan)
                outcome = step(verb, seconds=plan.seconds, warmup=plan.warmup, **settings)
                loads[connections][name] = steps[f"{name} at {connections:,}"] = outcome
        after = read_account(pid)
        steps["close"] = step("close")
    return Sample(
        server=server.name,
        memory=memory,
        resident_before=before.resident,
        resident_after=after.resident,
        descriptors=after.descriptors,
        opened_per_second=opened / seconds,
        loads=loads,
        problems=problems(steps),
    )


def _measure_memory(server: Server, plan: Plan, steps: dict[str, Outcome]) -> Memory:
    """What idle connections take, in a server that has done nothing before; adds what it does to `steps`.

    Without huge pages: memory that comes in steps of 2 MiB says nothing of a single connection.
    """
    connections = plan.fit(server, plan.most)
    with small_pages(), _running(server, connections) as (pid, client):
        step = partial(client.step, size=plan.size, window=WINDOW)
        first = steps["open for memory, a tenth"] = step("open", total=connections // 10)
        few = _quiet(plan, pid)
        rest = steps["open for memory"] = step("open", total=connections)
        _require_more(server, first.open, rest)
        many = _quiet(plan, pid)
        steps["close after memory"] = client.step("close")
    added = rest.open - first.open
    return Memory(
        connections=rest.open,
        process_bytes=marginal(few.resident, many.resident, first.open, rest.open),
        slab_bytes=socket_slab(few.slab, many.slab) / added if many.slab else None,
    )


def _require_more(server: Server, before: int, growth: Outcome) -> None:
    if growth.open <= before:
        raise LoadGeneratorError(f"{server.label}: no more than {growth.open} connections: {growth.note}")


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
