"""What a run is to reach, and whether it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from benchmarks.million.measure import Run
from benchmarks.million.plan import Plan

#: The number of connections that the bounds of memory were set for.
FULL: Final = 1_000_000
MEGABYTE: Final = 1_000_000


@attrs.frozen
class Target:
    """One bound: what was found, and what it is to be."""

    key: str
    title: str
    found: float
    bound: float
    #: Whether the bound is the most that is allowed, rather than the least.
    at_most: bool
    unit: str = ""
    digits: int = 0

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.found <= self.bound if self.at_most else self.found >= self.bound

    def show(self, number: float) -> str:
        """A number with its unit."""
        return f"{number:,.{self.digits}f}{self.unit}"

    @property
    def demand(self) -> str:
        """The bound in words."""
        return f"{'at most' if self.at_most else 'at least'} {self.show(self.bound)}"


def resets(run: Run) -> int:
    """Connections that somebody reset who should not have, up to the end of the loads: as the clients'
    kernel counts those that it was told of, and as the engine counts what it sent."""
    return run.kernel["EstabResets"] + run.kernel["AttemptFails"] + run.counters_loaded["OutRsts"]


def targets(run: Run, plan: Plan) -> Iterator[Target]:
    """The bounds of a run of `plan`, in the order of the table."""
    idle, storm = run.idle, run.storm["back"]
    yield Target(
        "established",
        "connections that clients, their kernel and the engine agree on",
        min(idle.clients, idle.kernel, idle.engine),
        plan.connections,
        at_most=False,
    )
    if plan.connections >= FULL:
        for key, title, found, most in (
            ("resident_idle", "resident, all idle", idle.resident, 230),
            ("resident_after", "resident, after loads and storm", run.resident_after, 300),
        ):
            yield Target(key, title, found / MEGABYTE, most, at_most=True, unit=" MB")
    yield Target(
        "descriptors",
        "descriptors of the server, but for the status socket",
        max(idle.descriptors, run.descriptors_after),
        16,
        at_most=True,
    )
    yield Target(
        "accept_ratio",
        "connections accepted per second, to the bare responder's",
        100 * run.per_second / run.ceiling.per_second,
        60,
        at_most=False,
        unit="%",
    )
    for key, load, who in (("few", run.few, f"{plan.talkers} client processes"), ("every", run.every, "all")):
        yield Target(
            f"server_cores_{key}",
            f"of a core at {plan.rate:,.0f} messages/s, {who}",
            100 * load.server_cpu_seconds / load.seconds,
            60,
            at_most=True,
            unit="%",
        )
    yield Target(
        "p99_few",
        f"p99 at {plan.rate:,.0f} messages/s, {plan.talkers} client processes",
        run.few.answer_us.p99 / 1e3,
        5,
        at_most=True,
        unit=" ms",
        digits=2,
    )
    yield Target("errors", "steps with errors", len(run.errors), 0, at_most=True)
    yield Target("resets", "resets before the storm", resets(run), 0, at_most=True)
    yield Target("back", "connections after the storm", storm.open, plan.connections, at_most=False)
    yield Target("left", "connections that the engine kept at the end", run.left, 0, at_most=True)
