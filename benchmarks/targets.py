"""What XTCP has to reach beside the others, and whether it does.

They are judged with 10,000 connections open, each request on any of them; memory with at least as many, since
what grows in pages and slabs says nothing of a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from benchmarks.figures import Spread
from benchmarks.layout import whole
from benchmarks.rounds import Plan
from benchmarks.servers import SERVERS
from benchmarks.table import CEILING, REFERENCE, Samples, lighter, rate, ratio, thrift

CONNECTIONS: Final = 10_000
LOAD: Final = "random"


@attrs.frozen
class Target:
    """`ours` is to have at least `bar` times the messages per second of `theirs`."""

    ours: str
    theirs: str
    bar: float


TARGETS: Final = (
    Target("xtcp-group", "epoll", 1.0),
    Target("xtcp-group", "uvloop", 1.3),
    Target("xtcp-group", REFERENCE, 3.5),
    Target("xtcp-group", CEILING, 0.65),
    Target("xtcp-group", CEILING, 0.75),
    Target("xtcp-protocol", REFERENCE, 2.0),
)
#: The same for the memory that a connection takes, process and kernel: the reference's to the server's.
LIGHTER: Final = Target("xtcp-group", REFERENCE, 20.0)


@attrs.frozen
class Verdict:
    """One target with what was measured."""

    text: str
    asked: float
    reached: Spread
    #: By CPU time of the server instead of by time; None for memory.
    by_cpu: Spread | None

    @property
    def met(self) -> bool:
        """Whether the median reaches it."""
        return self.reached.median >= self.asked

    def __str__(self) -> str:
        by_cpu = f"; by CPU time {whole(self.by_cpu)}" if self.by_cpu else ""
        return (
            f"{'met' if self.met else 'MISSED'}: {self.text}: {whole(self.reached)} times"
            f"{by_cpu}; at least {self.asked:g} is asked for"
        )


def verdicts(samples: Samples, plan: Plan) -> Iterator[Verdict]:
    """Those of the targets whose servers were measured."""
    if CONNECTIONS in plan.connections and LOAD in plan.loads:
        for target in TARGETS:
            pair = samples.get(target.ours, ()), samples.get(target.theirs, ())
            reached = ratio(*pair, rate(CONNECTIONS, LOAD))
            if reached is not None:
                yield Verdict(
                    f"{SERVERS[target.ours].label}, messages per second to {SERVERS[target.theirs].label}",
                    target.bar,
                    reached,
                    ratio(*pair, thrift(CONNECTIONS, LOAD)),
                )
    times = lighter(samples, LIGHTER.ours)
    if plan.most >= CONNECTIONS and times is not None:
        heavy, light = SERVERS[LIGHTER.theirs].label, SERVERS[LIGHTER.ours].label
        yield Verdict(f"memory per connection of {heavy} to {light}", LIGHTER.bar, times, None)
