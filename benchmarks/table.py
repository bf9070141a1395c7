"""The result as text: one block per figure, one line per server.

Each line has the median of the measurements, their range, and the ratio to the
reference server, taken round by round.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from benchmarks.figures import Spread, kernel_side, ratios
from benchmarks.rounds import LOADS, Plan, Sample
from benchmarks.servers import SERVERS

Samples = Mapping[str, Sequence[Sample]]

#: What the others are compared with, if it was measured.
REFERENCE: Final = "twisted"
#: What no stack on a TUN device can be faster than.
CEILING: Final = "responder"
#: What is compared with both.
OURS: Final = ("xtcp-group", "xtcp-protocol")
MEBIBYTE: Final = 1 << 20
LABEL_WIDTH: Final = 30
NUMBER_WIDTH: Final = 11


@attrs.frozen
class Figure:
    """One figure: its key in the JSON line, heading and title, and how to read it off a sample."""

    key: str
    heading: str
    title: str
    value: Callable[[Sample], float | None]
    digits: int = 0

    def samples(self, samples: Sequence[Sample]) -> list[float]:
        """The figure of each sample that has it."""
        return [value for sample in samples if (value := self.value(sample)) is not None]

    def show(self, number: float) -> str:
        """The number as the table has it."""
        return f"{number:,.{self.digits}f}"


def client_side(samples: Samples) -> float | None:
    """Kernel bytes per connection where only the client is a socket of this kernel; None if not measured."""
    slabs = [
        sample.slab_bytes
        for name, measured in samples.items()
        if not SERVERS[name].kernel_tcp
        for sample in measured
        if sample.slab_bytes is not None
    ]
    return statistics.median(slabs) if slabs else None


def figures(samples: Samples, plan: Plan) -> tuple[Figure, ...]:
    """All figures, in the order of the table."""
    client = client_side(samples)

    def kernel(sample: Sample) -> float | None:
        if not SERVERS[sample.server].kernel_tcp:
            return 0.0
        return None if sample.slab_bytes is None else kernel_side(sample.slab_bytes, client)[0]

    def both(sample: Sample) -> float | None:
        beside = kernel(sample)
        return None if beside is None else sample.process_bytes + beside

    how = kernel_side(0, client)[1]
    heading = "Memory and descriptors"
    memory = (
        Figure(
            "process_bytes_per_connection",
            heading,
            "bytes per idle connection, server process (resident, from a tenth of the connections to all)",
            lambda sample: sample.process_bytes,
        ),
        Figure(
            "kernel_bytes_per_connection",
            heading,
            f"bytes per idle connection, kernel, server's side (slab, {how}; 0 where no socket is)",
            kernel,
        ),
        Figure("bytes_per_connection", heading, "bytes per idle connection, process and kernel", both),
        Figure(
            "resident_mib",
            heading,
            "MiB resident, server process, all connections idle",
            lambda sample: sample.resident_idle / MEBIBYTE,
            1,
        ),
        Figure(
            "resident_after_load_mib",
            heading,
            "MiB resident, server process, after all loads",
            lambda sample: sample.resident_after / MEBIBYTE,
            1,
        ),
        Figure(
            "descriptors",
            heading,
            "open descriptors of the server process",
            lambda sample: sample.descriptors,
        ),
    )
    return memory + tuple(figure for name in LOADS for figure in _load_figures(name, plan))


def _load_figures(name: str, plan: Plan) -> tuple[Figure, ...]:
    heading = {
        "sticky": f"Closed loop: {plan.inflight} of the connections ask again and again",
        "random": f"Closed loop: {plan.inflight} requests on the way, each on any of the connections",
        "paced": f"Open loop: {plan.rate:,.0f} requests per second, each on any of the connections",
        "churn": f"Connect, ask once, close: {plan.inflight} at a time",
    }[name]
    what = "connection" if name == "churn" else "message"
    return (
        Figure(f"{name}_per_second", heading, f"{what}s per second", lambda s: s.loads[name].per_second),
        Figure(f"{name}_p50_us", heading, "latency p50, us", lambda s: s.loads[name].answer_us.p50),
        Figure(f"{name}_p99_us", heading, "latency p99, us", lambda s: s.loads[name].answer_us.p99),
        Figure(
            f"{name}_server_cpu_us",
            heading,
            f"CPU time of the server, us per {what}",
            lambda sample: sample.loads[name].server_cpu_us,
            1,
        ),
    )


def reference(samples: Samples) -> str:
    """The server that the ratios are to."""
    return REFERENCE if REFERENCE in samples else next(iter(samples))


def lines(samples: Samples, plan: Plan) -> Iterator[str]:
    """The table, line by line."""
    base = reference(samples)
    yield f"{'':{LABEL_WIDTH + 4}}{'median':>{NUMBER_WIDTH}}{'range':^{2 * NUMBER_WIDTH + 6}}   ratio (range)"
    heading = ""
    for figure in figures(samples, plan):
        theirs = figure.samples(samples[base])
        rows = [
            _row(figure, SERVERS[name].label, numbers, ratios(numbers, theirs) if name != base else None)
            for name, measured in samples.items()
            if (numbers := figure.samples(measured))
        ]
        if rows and figure.heading != heading:
            heading = figure.heading
            yield f"\n{heading}"
        if rows:
            yield f"  {figure.title}"
            yield from rows
    yield ""
    yield from remarks(samples)


def _row(figure: Figure, label: str, numbers: list[float], ratio: Spread | None) -> str:
    spread = Spread.of(numbers)
    low, high = figure.show(spread.low), figure.show(spread.high)
    row = (
        f"    {label:{LABEL_WIDTH}}{figure.show(spread.median):>{NUMBER_WIDTH}}"
        f"   {low:>{NUMBER_WIDTH - 2}} .. {high:<{NUMBER_WIDTH - 2}}"
    )
    if ratio is not None:
        row += f"   {ratio.median:.3g} ({ratio.low:.3g} .. {ratio.high:.3g})"
    return row.rstrip()


def remarks(samples: Samples) -> Iterator[str]:
    """What one has to know to read the figures rightly, and whatever went wrong."""
    client = client_side(samples)
    yield f"Ratios are to {SERVERS[reference(samples)].label}, round by round."
    for name, measured in samples.items():
        server, counts = SERVERS[name], {sample.connections for sample in measured}
        slab = [sample.slab_bytes for sample in measured if sample.slab_bytes is not None]
        ends = "both ends" if server.kernel_tcp else "the client's end"
        found = f"; kernel slab of {ends} {statistics.median(slab):,.0f} bytes each" if slab else ""
        yield f"{server.label}: {' / '.join(f'{count:,}' for count in sorted(counts))} connections{found}"
    if not any(sample.slab_bytes is not None for measured in samples.values() for sample in measured):
        yield "Kernel memory is not shown: /proc/slabinfo may be read by root alone."
    elif client is None:
        yield "No server without kernel sockets was measured: the server's slab is half of both ends'."
    yield from _comparisons(samples)
    yield f"Noise: other programs used up to {noise(samples):.0%} of a core during a measured load."
    for name, measured in samples.items():
        for number, sample in enumerate(measured, 1):
            for problem in sample.problems:
                yield f"WRONG: {SERVERS[name].label}, round {number}, {problem}"


def _comparisons(samples: Samples) -> Iterator[str]:
    """XTCP's rates as multiples of Twisted's and as shares of the ceiling; by CPU time, too."""
    for name in ("random", "sticky"):
        for ours, theirs in itertools.product(OURS, (REFERENCE, CEILING)):
            pair = [
                [sample.loads[name] for sample in samples.get(server, ()) if sample.loads[name].messages]
                for server in (ours, theirs)
            ]
            rates = ratios(*([load.per_second for load in loads] for loads in pair))
            costs = ratios(*([load.server_cpu_us for load in loads] for loads in reversed(pair)))
            if rates is not None and costs is not None:
                yield (
                    f"{SERVERS[ours].label}, {name}: {_times(rates)} times the messages per second of"
                    f" {SERVERS[theirs].label}, {_times(costs)} times for a second of the server's CPU time"
                )


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f} .. {spread.high:.2f})"


def noise(samples: Samples) -> float:
    """User CPU time of other programs during a measured load, at worst, in cores."""
    shares = [
        load.other_user_seconds / load.seconds
        for measured in samples.values()
        for sample in measured
        for load in sample.loads.values()
        if load.seconds
    ]
    return max(shares, default=0.0)


def summary(samples: Samples, plan: Plan) -> dict[str, dict[str, float]]:
    """The medians, by server and figure."""
    return {
        name: {
            figure.key: round(Spread.of(numbers).median, 3)
            for figure in figures(samples, plan)
            if (numbers := figure.samples(measured))
        }
        for name, measured in samples.items()
    }
