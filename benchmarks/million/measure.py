"""The run: the bare responder first, then the server from its start to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import attrs

from benchmarks.accounts import read_account
from benchmarks.loadgen import LoadGenerator, Outcome
from benchmarks.million import sides
from benchmarks.million.course import Course, Idle, Loaded, Show, Stop, opened, told
from benchmarks.million.plan import STEP_LIMIT, Plan
from benchmarks.million.watch import Look, Watch, read_sockets
from xtcp_twisted.lab import Lab


@attrs.frozen(kw_only=True)
class Ceiling:
    """What the bare responder was found to do."""

    stops: list[Stop]
    #: Sockets of the clients with all connections open, as the kernel counts them.
    held: int
    #: The same traffic as the server's from few client processes.
    few: Outcome

    @property
    def per_second(self) -> float:
        """Connections per second over the whole way."""
        return mean_rate(self.stops)


@attrs.frozen(kw_only=True)
class Run:
    """Everything that one run has found."""

    ceiling: Ceiling
    #: Of the server before the first connection, bytes.
    resident_before: int
    stops: list[Loaded]
    idle: Idle
    few: Outcome
    every: Outcome
    storm: dict[str, Outcome]
    #: Of the server after loads and storm: bytes, and descriptors.
    resident_after: int
    descriptors_after: int
    endings: dict[str, Outcome]
    #: Connections that the engine still had when all clients had gone.
    left: int
    #: From the order to end until the process had gone.
    stop_seconds: float
    #: Processors kept busy, by phase and by whom.
    cpu: dict[str, dict[str, float]]
    #: What the clients' kernel counted up to the end of the loads (TCP-MIB, TcpExt).
    kernel: dict[str, int]
    #: The engine's counters at the end of the loads, and at the end of everything.
    counters_loaded: dict[str, int]
    counters: dict[str, int]
    looks: list[Look]

    @property
    def per_second(self) -> float:
        """Connections per second over the whole way."""
        return mean_rate(self.stops)

    @property
    def loads(self) -> Iterator[tuple[str, Outcome]]:
        """Every load, with its name."""
        for stop in self.stops:
            yield f"closed loop at {stop.connections:,}", stop.closed_loop
            yield f"open loop at {stop.connections:,}", stop.open_loop
        yield "traffic from few", self.few
        yield "traffic from all", self.every

    @property
    def errors(self) -> dict[str, str]:
        """What went wrong, in words, by the step in which it did."""
        steps = [*self.loads, *self.storm.items(), *self.endings.items()]
        return {
            name: f"{step.failed} failed, {step.broken} broke, {step.wrong} wrong,"
            f" {step.unanswered} unanswered: {step.note or 'unknown'}"
            for name, step in steps
            if step.errors
        }


def mean_rate(stops: Sequence[Stop]) -> float:
    """Connections per second of all stops together, quiet times left out."""
    seconds = sum(stop.added / stop.per_second for stop in stops)
    return sum(stop.added for stop in stops) / seconds


def run(plan: Plan, show: Show) -> Run:
    """Everything, one after the other.

    :raises XTCPError: a server does not come up, or connections fail.
    :raises LoadGeneratorError: the generator refuses a step.
    """
    ceiling = measure_responder(plan, show)
    return measure_server(plan, show, ceiling)


def generator(plan: Plan, lab: Lab, pid: int) -> LoadGenerator:
    """The clients of this run, for the server with that process id."""
    return LoadGenerator(
        sides.TARGET,
        workers=plan.workers,
        capacity=plan.capacity,
        watch=pid,
        popen=lab.popen,
    )


def measure_responder(plan: Plan, show: Show) -> Ceiling:
    """How many connections the bare responder holds, and how fast they come."""
    stops = list[Stop]()
    with (
        Lab(sockets=plan.connections) as lab,
        sides.responder(lab) as pid,
        generator(plan, lab, pid) as client,
        Watch(pid, lab.keeper_pid, show.look),
    ):
        for number in plan.stops:
            show.phase(f"bare responder: up to {number:,} connections")
            stops.append(opened(plan, client, number, stops[-1].connections if stops else 0, pid))
        held = read_sockets(lab.keeper_pid)
        show.phase("bare responder: traffic from few")
        few = client.step("echo", rate=plan.rate, seconds=plan.ceiling_seconds, **plan.load)
        ceiling = Ceiling(stops=stops, held=held, few=few)
        show.done(f"{held:,} at {ceiling.per_second:,.0f} a second; {told(few)}")
        client.step("close", seconds=STEP_LIMIT)
    return ceiling


def measure_server(plan: Plan, show: Show, ceiling: Ceiling) -> Run:
    """The server, from its start to its end."""
    show.phase("start of twistd xtcp")
    with Lab(sockets=plan.connections) as lab:
        server = sides.xtcp(lab, plan.connections)
        before = read_account(server.pid)
        with (
            Watch(server.pid, lab.keeper_pid, show.look) as watch,
            generator(plan, lab, server.pid) as client,
        ):
            course = Course(plan, show, lab, server, client, watch)
            stops, idle = course.climb()
            found = course.loads() | course.storm() | course.close()
        show.phase("end of twistd xtcp")
        began = time.monotonic()
        server.stop()
    return Run(
        ceiling=ceiling,
        resident_before=before.resident,
        stops=stops,
        idle=idle,
        stop_seconds=time.monotonic() - began,
        cpu=course.cpu,
        looks=watch.looks,
        **found,
    )
