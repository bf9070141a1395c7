"""The result as tables, and the sentences that belong below them."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.layout import Table, number
from benchmarks.loadgen import Latency, Outcome
from benchmarks.million.measure import Run
from benchmarks.million.plan import Plan
from benchmarks.million.targets import MEGABYTE, targets


def tables(run: Run, plan: Plan) -> tuple[Table, ...]:
    """All of them, in the order in which they are shown."""
    return way_up(run), loads(run, plan), storm(run, plan), processors(run), judged(run, plan)


def judged(run: Run, plan: Plan) -> Table:
    """The targets."""
    return Table(
        "Targets",
        ("", "found", "to be", "verdict"),
        tuple((t.title, t.show(t.found), t.demand, "met" if t.met else "MISSED") for t in targets(run, plan)),
    )


def _milliseconds(microseconds: float) -> str:
    return number(microseconds / 1e3, 2)


def _latency(times: Latency) -> tuple[str, ...]:
    return tuple(_milliseconds(value) for value in (times.p50, times.p90, times.p99, times.p999))


def _cores(load: Outcome) -> str:
    return number(load.server_cpu_seconds / load.seconds, 2)


def way_up(run: Run) -> Table:
    """What was seen at each stop."""
    return Table(
        "On the way up",
        (
            "connections", "resident MB", "accepted/s", "responder/s", "closed loop, messages/s",
            "open loop: p50 ms", "p90", "p99", "p99.9", "server, cores",
        ),
        tuple(
            (
                f"{stop.connections:,}",
                number(stop.resident / MEGABYTE, 1),
                number(stop.per_second),
                number(ceiling.per_second),
                number(stop.closed_loop.per_second),
                *_latency(stop.open_loop.answer_us),
                _cores(stop.open_loop),
            )
            for stop, ceiling in zip(run.stops, run.ceiling.stops, strict=True)
        ),
    )  # fmt: skip


def loads(run: Run, plan: Plan) -> Table:
    """The two long open loops, and the responder's."""
    every = (
        (f"traffic on {plan.talking:,} of the connections", run.few),
        ("traffic on all connections", run.every),
        (f"bare responder, traffic on {plan.talking:,}", run.ceiling.few),
    )
    return Table(
        f"Open loop, {plan.rate:,.0f} messages per second for {plan.seconds:g} s, all connections open",
        (
            "", "messages/s", "p50 ms", "p90", "p99", "p99.9", "longest",
            "server, cores", "us of its CPU each", "clients, cores",
        ),
        tuple(
            (
                name,
                number(load.per_second),
                *_latency(load.answer_us),
                _milliseconds(load.answer_us.max),
                _cores(load),
                number(load.server_cpu_us, 1),
                number(load.client_cpu_seconds / load.seconds, 2),
            )
            for name, load in every
        ),
    )  # fmt: skip


def storm(run: Run, plan: Plan) -> Table:
    """How clients went, and came back."""
    drop, back = run.storm["drop"], run.storm["back"]
    fin, reset = run.endings["fin"], run.endings["reset"]
    by_fin = plan.connections // 2
    rows = (
        ("dropped at once, by RST", plan.storm, drop, None),
        ("back at once, each with a request", plan.storm, back, back.answer_us),
        ("closed in order, FIN both ways", by_fin, fin, None),
        ("closed by RST", plan.connections - by_fin, reset, None),
    )
    return Table(
        "The storm, and the end",
        ("", "connections", "seconds", "per second", "connect p50 ms", "p99"),
        (
            *(
                (
                    name,
                    number(count),
                    number(step.seconds, 2),
                    number(count / step.seconds),
                    _milliseconds(step.connect_us.p50) if times else "-",
                    _milliseconds(step.connect_us.p99) if times else "-",
                )
                for name, count, step, times in rows
            ),
            ("the server, after all had gone", "-", number(run.stop_seconds, 2), "-", "-", "-"),
        ),
    )


def processors(run: Run) -> Table:
    """Processors kept busy, by phase."""
    people = tuple(next(iter(run.cpu.values())))
    return Table(
        "Cores busy",
        ("", *people),
        tuple((phase, *(number(used[name], 2) for name in people)) for phase, used in run.cpu.items()),
    )


def remarks(run: Run, plan: Plan) -> Iterator[str]:
    """What else has to be said."""
    grown = run.idle.resident - run.resident_before
    yield (
        f"Server: {run.resident_before / MEGABYTE:,.1f} MB before the first connection, with the console;"
        f" {grown / plan.connections:,.0f} bytes more for each."
    )
    if run.idle.slab_bytes is not None:
        yield f"Kernel: {run.idle.slab_bytes:,.0f} bytes for each client's socket."
    yield (
        f"Over the whole way up: {run.per_second:,.0f} connections a second, the bare responder"
        f" {run.ceiling.per_second:,.0f} ({run.ceiling.held:,} of them); {plan.workers} client processes of"
        f" at most {plan.capacity:,} connections."
    )
    others = [used["everything else"] for phase, used in run.cpu.items() if phase.startswith("traffic")]
    yield (
        f"Other programs took up to {max(others):.2f} of a core during the long loads. What they hold up is"
        " in all latencies: compare them with the responder's."
    )
    sent_again = run.kernel["RetransSegs"], run.counters_loaded["RetransSegs"]
    yield (
        f"Segments sent again before the storm: {sent_again[0]:,} by clients, {sent_again[1]:,} by the"
        " server."
    )
    for name, load in run.loads:
        if load.skipped:
            yield f"Not sent, as no connection was idle: {load.skipped:,} requests of {name}."
    for name, text in run.errors.items():
        yield f"WRONG: {name}: {text}"
