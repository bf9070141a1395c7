"""The comparison in words: tables of all servers, and what one has to know to read them.

Every figure is a median over the rounds; ratios are taken round by round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from benchmarks.figures import Spread, kernel_side, ratios
from benchmarks.layout import Table, extent, median, number
from benchmarks.loadgen import Outcome
from benchmarks.rounds import ONCE, Plan, Sample
from benchmarks.servers import SERVERS

Samples = Mapping[str, Sequence[Sample]]
Reading = Callable[[Sample], float | None]

#: What the others are compared with, if it was measured.
REFERENCE: Final = "twisted"
#: What no stack on a TUN device can be faster than.
CEILING: Final = "responder"
MEBIBYTE: Final = 1 << 20
#: A client that uses so much of its core, and more of it than the server of its own, sets the rate.
BUSY: Final = 0.9
MARK: Final = " *"


def spread(samples: Sequence[Sample], reading: Reading) -> Spread | None:
    """A figure of one server; None if no sample has it."""
    found = [value for sample in samples if (value := reading(sample)) is not None]
    return Spread.of(found) if found else None


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample], reading: Reading) -> Spread | None:
    """Our figure over theirs, round by round; None if either is missing."""
    pairs = [
        (one, other)
        for a, b in zip(ours, theirs, strict=False)
        if (one := reading(a)) is not None and (other := reading(b)) is not None
    ]
    return ratios([one for one, _ in pairs], [other for _, other in pairs])


# --- Readings -----------------------------------------------------------------


def of_load(connections: int, name: str, value: Callable[[Outcome], float]) -> Reading:
    """A reading of one load; None where nothing was answered."""

    def reading(sample: Sample) -> float | None:
        outcome = sample.loads[connections].get(name)
        return value(outcome) if outcome is not None and outcome.messages else None

    return reading


def rate(connections: int, name: str) -> Reading:
    """Messages (or connections) per second."""
    return of_load(connections, name, lambda outcome: outcome.per_second)


def cost(connections: int, name: str) -> Reading:
    """CPU time of the server for each, microseconds."""
    return of_load(connections, name, lambda outcome: outcome.server_cpu_us)


def thrift(connections: int, name: str) -> Reading:
    """Messages (or connections) for each second of the server's CPU time."""
    return of_load(
        connections, name, lambda o: o.messages / o.server_cpu_seconds if o.server_cpu_seconds else 0.0
    )


def client_side(samples: Samples) -> float | None:
    """Kernel bytes per connection where only the client is a socket of this kernel; None if not measured.

    The bare responder keeps nothing, so it tells best.
    """
    for names in ((CEILING,), tuple(name for name in samples if not SERVERS[name].kernel_tcp)):
        slabs = [
            sample.memory.slab_bytes
            for name in names
            for sample in samples.get(name, ())
            if sample.memory.slab_bytes is not None
        ]
        if slabs:
            return statistics.median(slabs)
    return None


def kernel_bytes(samples: Samples) -> Reading:
    """Kernel bytes per connection, the server's side; None where /proc/slabinfo may not be read."""
    client = client_side(samples)

    def reading(sample: Sample) -> float | None:
        slab = sample.memory.slab_bytes
        return None if slab is None else kernel_side(slab, client)[0]

    return reading


def all_bytes(samples: Samples) -> Reading:
    """Bytes per connection, process and the server's side of the kernel."""
    kernel = kernel_bytes(samples)

    def reading(sample: Sample) -> float | None:
        beside = kernel(sample)
        return None if beside is None else sample.memory.process_bytes + beside

    return reading


# --- Tables -------------------------------------------------------------------


def tables(samples: Samples, plan: Plan) -> Iterator[Table]:
    """All of them: the loads by number of connections, then what idle connections take."""
    for name in plan.loads:
        for connections in plan.connections:
            if name in plan.loads_at(connections):
                yield load_table(samples, plan, connections, name)
    yield memory_table(samples, plan)


def load_table(samples: Samples, plan: Plan, connections: int, name: str) -> Table:
    """The servers under one load."""
    what = "connections/s" if name in ONCE else "messages/s"
    title = {
        "random": f"{plan.inflight} requests on the way, each on any of the connections",
        "sticky": f"{plan.inflight} requests on the way, again and again on the same {plan.inflight}",
        "paced": f"{plan.rate:,.0f} requests per second, each on any of the connections",
        "churn": f"connect, ask once, close; {plan.inflight} at a time beside those that stay",
    }[name]
    compared = [other for other in (REFERENCE, CEILING) if other in samples]
    heads = {REFERENCE: "to Twisted", CEILING: "to ceiling"}
    columns = ["server", what, "range", "CPU us each"]
    columns += [head for other in compared for head in (heads[other], "by CPU")]
    columns += ["server CPU", "client CPU", "p50 us", "p99 us"]
    rows = []
    for server, measured in samples.items():
        speed = spread(measured, rate(connections, name))
        row = [
            SERVERS[server].label,
            median(speed) + (MARK if client_bound(measured, connections, name) else ""),
            extent(speed),
            median(spread(measured, cost(connections, name)), 2),
        ]
        row += [
            median(ratio(measured, samples[other], reading), 2) if other != server else ""
            for other in compared
            for reading in (rate(connections, name), thrift(connections, name))
        ]
        row += _shares_and_latency(measured, connections, name)
        rows.append(tuple(row))
    return Table(f"{connections:,} connections open: {title}", tuple(columns), tuple(rows))


def _shares_and_latency(measured: Sequence[Sample], connections: int, name: str) -> list[str]:
    shares = (
        spread(measured, of_load(connections, name, share))
        for share in (lambda o: o.server_cpu_seconds / o.seconds, lambda o: o.client_cpu_seconds / o.seconds)
    )
    quantiles = (
        spread(measured, of_load(connections, name, quantile))
        for quantile in (lambda o: o.answer_us.p50, lambda o: o.answer_us.p99)
    )
    return [f"{share.median:.0%}" if share else "-" for share in shares] + [*map(median, quantiles)]


def client_bound(measured: Sequence[Sample], connections: int, name: str) -> bool:
    """Whether the client was the bottleneck in most rounds: then the rate says nothing of the server."""
    reading = of_load(
        connections,
        name,
        lambda o: o.client_cpu_seconds >= max(BUSY * o.seconds, o.server_cpu_seconds),
    )
    bound = [value for sample in measured if (value := reading(sample)) is not None]
    return bool(bound) and statistics.median(bound) > 0.5


def memory_table(samples: Samples, plan: Plan) -> Table:
    """What idle connections take, and how fast they come."""
    kernel, both = kernel_bytes(samples), all_bytes(samples)
    columns = (
        "server", "process, bytes each", "kernel, bytes each", "both", "Twisted's to it", "descriptors",
        "MiB at first", "MiB after all loads", "opened/s",
    )  # fmt: skip
    rows = [
        (
            SERVERS[name].label,
            median(spread(measured, lambda s: s.memory.process_bytes)),
            median(spread(measured, kernel)),
            median(spread(measured, both)),
            median(times, 1) if (times := lighter(samples, name)) else "",
            median(spread(measured, lambda s: s.descriptors)),
            median(spread(measured, lambda s: s.resident_before / MEBIBYTE), 1),
            median(spread(measured, lambda s: s.resident_after / MEBIBYTE), 1),
            median(spread(measured, lambda s: s.opened_per_second)),
        )
        for name, measured in samples.items()
    ]
    return Table(f"{plan.most:,} idle connections", columns, tuple(rows))


def lighter(samples: Samples, name: str) -> Spread | None:
    """How many times as much memory per connection the reference takes, process and kernel.

    None where it takes none, or where it is not known.
    """
    ours, theirs = samples.get(name, ()), samples.get(REFERENCE, ())
    both = all_bytes(samples)
    if name in (REFERENCE, CEILING) or any((both(sample) or 0) < 1 for sample in ours):
        return None
    return ratio(theirs, ours, both)


# --- Remarks ------------------------------------------------------------------


def remarks(samples: Samples, plan: Plan) -> Iterator[str]:
    """What one has to know to read the figures rightly, and whatever went wrong."""
    yield (
        "Medians of the rounds; ratios are taken round by round.  By CPU: messages for each second of the"
        " server's CPU time, which includes what the kernel does for the client when the server writes."
    )
    if any(
        client_bound(measured, connections, name)
        for measured in samples.values()
        for connections in plan.connections
        for name in plan.loads_at(connections)
    ):
        yield f"({MARK.strip()}) The client used up its core before the server did: the rate is the client's."
    yield from _about_memory(samples)
    for name in samples:
        fewer = plan.fit(SERVERS[name], plan.most)
        if fewer < plan.most:
            instead = f"{fewer:,} connections instead of {plan.most:,}"
            yield f"{SERVERS[name].label}: {instead}, for want of descriptors."
    yield f"Noise: other programs used up to {noise(samples):.0%} of a core during a measured load."
    for name, measured in samples.items():
        for turn, sample in enumerate(measured, 1):
            for problem in sample.problems:
                yield f"WRONG: {SERVERS[name].label}, round {turn}, {problem}"


def _about_memory(samples: Samples) -> Iterator[str]:
    yield (
        "Bytes of the process: what its resident memory grows by from a tenth of the connections to all, in a"
        " fresh process without huge pages; with them XTCP's grows in steps of 2 MiB.  MiB: under load, with"
        " huge pages and buffers."
    )
    both_ends = [
        sample.memory.slab_bytes
        for name, measured in samples.items()
        if SERVERS[name].kernel_tcp
        for sample in measured
        if sample.memory.slab_bytes is not None
    ]
    client = client_side(samples)
    if client is None and not both_ends:
        yield "Kernel memory is not shown: /proc/slabinfo may be read by root alone."
    elif client is None:
        yield "No server without kernel sockets was measured: the server's slab is half of both ends'."
    else:
        ends = f"both ends of a kernel connection {statistics.median(both_ends):,.0f}, " if both_ends else ""
        yield f"Bytes of the kernel: slab; {ends}the client's own {number(client)}, taken off everywhere."


def noise(samples: Samples) -> float:
    """User CPU time of other programs during a measured load, at worst, in cores."""
    shares = [
        load.other_user_seconds / load.seconds
        for measured in samples.values()
        for sample in measured
        for loads in sample.loads.values()
        for load in loads.values()
        if load.seconds
    ]
    return max(shares, default=0.0)


# --- For the JSON -------------------------------------------------------------


def summary(samples: Samples, plan: Plan) -> dict[str, dict[str, float]]:
    """The medians, by server and figure."""
    readings: dict[str, Reading] = {
        "process_bytes_per_connection": lambda sample: sample.memory.process_bytes,
        "kernel_bytes_per_connection": kernel_bytes(samples),
        "bytes_per_connection": all_bytes(samples),
        "descriptors": lambda sample: sample.descriptors,
        "opened_per_second": lambda sample: sample.opened_per_second,
    }
    for connections in plan.connections:
        for name in plan.loads_at(connections):
            key = f"{name}_{connections}"
            readings[f"{key}_per_second"] = rate(connections, name)
            readings[f"{key}_server_cpu_us"] = cost(connections, name)
            readings[f"{key}_p50_us"] = of_load(connections, name, lambda o: o.answer_us.p50)
            readings[f"{key}_p99_us"] = of_load(connections, name, lambda o: o.answer_us.p99)
    return {
        name: {
            key: round(found.median, 3)
            for key, reading in readings.items()
            if (found := spread(measured, reading))
        }
        for name, measured in samples.items()
    }
