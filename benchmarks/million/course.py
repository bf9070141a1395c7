"""What happens at the server, in its order: the way up, the loads, the storm, the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import attrs

from benchmarks.accounts import read_account, read_slab
from benchmarks.figures import socket_slab
from benchmarks.loadgen import Latency, LoadGenerator, Outcome
from benchmarks.million.plan import STEP_LIMIT, Plan
from benchmarks.million.watch import Cpu, Look, Watch, children, read_cpu, read_tcp
from xtcp_twisted.errors import ResourceError
from xtcp_twisted.lab import Lab
from xtcp_twisted.lab.server import Server

#: The status socket, by which the server is asked for its counters: a descriptor only for this.
ASKING: Final = 1
#: How long the server may take to answer, or to notice that connections have gone, seconds.
NOTICE_LIMIT: Final = 30.0


class Show(Protocol):
    """Who is told how far it is."""

    def phase(self, text: str) -> None:
        """Another phase has begun."""

    def look(self, look: Look) -> None:
        """The watch has looked."""

    def done(self, text: str) -> None:
        """What came out of a phase."""


@attrs.frozen(kw_only=True)
class Stop:
    """What was seen with so many connections open."""

    connections: int
    #: Of them, since the stop before; and how fast they came.
    added: int
    per_second: float
    #: Of the server, before the loops, bytes.
    resident: int
    #: From connect() to established.
    connect_us: Latency


@attrs.frozen(kw_only=True)
class Loaded(Stop):
    """A stop at which there were loads, too."""

    closed_loop: Outcome
    open_loop: Outcome


@attrs.frozen(kw_only=True)
class Idle:
    """All connections open and idle, at the last stop before its loops."""

    #: Connections, as each side counts them.
    clients: int
    kernel: int
    engine: int
    #: Of the server: bytes, and open descriptors but for the status socket.
    resident: int
    descriptors: int
    #: Kernel memory of a client's socket, bytes; None where it may not be read.
    slab_bytes: float | None


def opened(plan: Plan, client: LoadGenerator, total: int, before: int, pid: int) -> Stop:
    """Open until there are `total`, without a request: what is timed is being accepted.

    :param before: connections that are open already.
    :param pid: the server.
    :raises ResourceError: some failed.
    """
    step = client.step("open", total=total, window=plan.window, ask="no", seconds=STEP_LIMIT)
    if step.failed or step.open != total:
        raise ResourceError(
            f"{step.failed:,} of {total:,} connections failed, and {step.open:,} are open:"
            f" {step.note or 'no reason was given'}"
        )
    time.sleep(plan.settle)
    return Stop(
        connections=total,
        added=total - before,
        per_second=(total - before) / step.seconds,
        resident=read_account(pid).resident,
        connect_us=step.connect_us,
    )


class Course:
    """The clients' doings at one server; the methods are to be called once each, in their order."""

    def __init__(
        self, plan: Plan, show: Show, lab: Lab, server: Server, client: LoadGenerator, watch: Watch
    ) -> None:
        #: Processors kept busy, by phase and by whom.
        self.cpu: dict[str, dict[str, float]] = {}
        self._plan, self._show = plan, show
        self._lab, self._server, self._client, self._watch = lab, server, client, watch
        self._slab_before = read_slab()
        self._tcp_before = read_tcp(lab.keeper_pid)

    @contextmanager
    def _phase(self, key: str) -> Iterator[None]:
        """Say what begins, and note who uses the processors until it is over."""
        self._show.phase(key)
        self._watch.phase = key
        before = self._read_cpu()
        yield
        used = (self._read_cpu() - before).cores
        self.cpu[key] = {name: round(cores, 4) for name, cores in used.items()}
        self._watch.phase = ""

    def _read_cpu(self) -> Cpu:
        return read_cpu(self._server.pid, [self._client.pid, *children(self._client.pid)])

    def _snapshot(self) -> dict[str, Any]:
        status = self._server.status(NOTICE_LIMIT)
        if status is None:
            raise ResourceError(f"the server does not answer; its log ends:\n{self._server.tail()}")
        snapshot: dict[str, Any] = status["snapshot"]
        return snapshot

    def _await(self, count: int) -> int:
        """Wait until the engine has so many connections, or for a while; gives how many it has then."""
        deadline = time.monotonic() + NOTICE_LIMIT
        while (held := int(self._snapshot()["connections"])) != count and time.monotonic() < deadline:
            time.sleep(0.1)
        return held

    def climb(self) -> tuple[list[Loaded], Idle]:
        """Open more and more connections, and load the server at each stop."""
        plan, stops = self._plan, list[Loaded]()
        for number in plan.stops:
            with self._phase(f"open to {number:,}"):
                before = stops[-1].connections if stops else 0
                stop = opened(plan, self._client, number, before, self._server.pid)
            if number == plan.connections:
                idle = self._idle()
            workers = plan.talking_of(number)
            closed = self._echo(
                f"closed loop at {number:,}", plan.probe, inflight=plan.inflight, workers=workers
            )
            paced = self._echo(f"open loop at {number:,}", plan.probe, rate=plan.rate, workers=workers)
            fields = {field.name: getattr(stop, field.name) for field in attrs.fields(Stop)}
            stops.append(Loaded(**fields, closed_loop=closed, open_loop=paced))
            self._show.done(
                f"{number:,} connections at {stop.per_second:,.0f} a second,"
                f" {stop.resident / 2**20:,.0f} MiB;"
                f" {closed.per_second:,.0f} messages a second; at {plan.rate:,.0f} a second {told(paced)}"
            )
        return stops, idle

    def _idle(self) -> Idle:
        held = self._await(self._plan.connections)
        time.sleep(self._plan.settle)
        account = read_account(self._server.pid)
        return Idle(
            clients=self._plan.connections,
            kernel=read_tcp(self._lab.keeper_pid)["CurrEstab"] - self._tcp_before["CurrEstab"],
            engine=held,
            resident=account.resident,
            descriptors=account.descriptors - ASKING,
            slab_bytes=socket_slab(self._slab_before, account.slab) / self._plan.connections
            if account.slab
            else None,
        )

    def _echo(self, key: str, seconds: float, **settings: object) -> Outcome:
        with self._phase(key):
            return self._client.step("echo", seconds=seconds, **{**self._plan.load, **settings})

    def loads(self) -> dict[str, Any]:
        """The two long open loops."""
        plan = self._plan
        few = self._echo("traffic from few", plan.seconds, rate=plan.rate)
        self._show.done(f"{plan.talking:,} of the connections: {told(few)}")
        every = self._echo("traffic from all", plan.seconds, rate=plan.rate, workers=0)
        self._show.done(f"all connections: {told(every)}")
        now = read_tcp(self._lab.keeper_pid)
        return {
            "few": few,
            "every": every,
            "kernel": {name: now[name] - then for name, then in self._tcp_before.items()},
            "counters_loaded": self._snapshot()["counters"],
        }

    def storm(self) -> dict[str, Any]:
        """Many clients are gone at once, by reset, and back at once, each with a request."""
        plan = self._plan
        with self._phase("storm"):
            drop = self._client.step("drop", total=plan.storm, how="reset", seconds=STEP_LIMIT)
            back = self._client.step(
                "open", total=plan.connections, window=max(1, plan.storm), size=plan.size, seconds=STEP_LIMIT
            )
        self._show.done(
            f"{plan.storm:,} dropped in {drop.seconds:.2f} s, back in {back.seconds:.2f} s;"
            f" {back.open:,} are open"
        )
        self._await(back.open)
        time.sleep(plan.settle)
        account = read_account(self._server.pid)
        return {
            "storm": {"drop": drop, "back": back},
            "resident_after": account.resident,
            "descriptors_after": account.descriptors - ASKING,
        }

    def close(self) -> dict[str, Any]:
        """Half of the connections end in order, the rest by reset."""
        plan = self._plan
        with self._phase("close by FIN"):
            fin = self._client.step(
                "drop", total=plan.connections // 2, how="fin", window=plan.window, seconds=STEP_LIMIT
            )
        with self._phase("close by reset"):
            reset = self._client.step("close", how="reset", seconds=STEP_LIMIT)
        left = self._await(0)
        self._show.done(
            f"{plan.connections - fin.open:,} closed by FIN in {fin.seconds:.1f} s, {fin.open:,} by RST in"
            f" {reset.seconds:.1f} s"
        )
        return {
            "endings": {"fin": fin, "reset": reset},
            "left": left,
            "counters": self._snapshot()["counters"],
        }


def told(load: Outcome) -> str:
    """Latency and cost of a load, for a line of progress."""
    return (
        f"p50 {load.answer_us.p50 / 1e3:.2f} ms, p99 {load.answer_us.p99 / 1e3:.2f} ms,"
        f" {load.server_cpu_seconds / load.seconds:.0%} of a core"
    )
