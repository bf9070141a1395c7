"""What came out: a table for each direction, remarks, and the medians for the JSON line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from benchmarks.bulk.rounds import DIRECTIONS, Plan, Sample, Stream
from benchmarks.bulk.sides import HEADER, MODES, PLAIN, SIDES, Side
from benchmarks.figures import Spread, ratios

Samples = Mapping[str, Sequence[Sample]]

TITLES: Final = {"up": "Client to server", "down": "Server to client"}
#: What everything is compared with, beside the ceiling.
REFERENCE: Final = "twisted"
#: The share of the bare responder's rate that XTCP has to reach in each mode.
BARS: Final = {PLAIN: 1 / 3, HEADER: 1 / 4}
LABEL_WIDTH: Final = 34


@attrs.frozen
class Row:
    """The figures of one side in one direction."""

    #: Gbit/s of payload.
    rate: Spread
    #: To the bare responder of the same mode, round by round; None where there is none.
    to_ceiling: Spread | None
    #: To Twisted's own TCP, round by round.
    to_twisted: Spread | None
    #: CPU time of the server, cores; a median.
    server_cpu: float
    #: Gbit for each second of the server's CPU time, which other programs disturb less; a median.
    per_cpu_second: float


def rows(samples: Samples, direction: str) -> dict[str, Row]:
    """The figures by side."""

    def each(name: str, value: Callable[[Stream], float]) -> list[float]:
        return [value(sample.streams[direction]) for sample in samples.get(name, ())]

    def rates(name: str) -> list[float]:
        return each(name, lambda stream: stream.gigabits)

    return {
        name: Row(
            rate=Spread.of(rates(name)),
            to_ceiling=ratios(rates(name), rates(ceiling)) if (ceiling := ceiling_of(SIDES[name])) else None,
            to_twisted=ratios(rates(name), rates(REFERENCE)) if name != REFERENCE else None,
            server_cpu=Spread.of(
                each(name, lambda s: s.server_cpu_seconds / s.seconds if s.seconds else 0.0)
            ).median,
            per_cpu_second=Spread.of(
                each(
                    name, lambda s: s.bytes * 8 / 1e9 / s.server_cpu_seconds if s.server_cpu_seconds else 0.0
                )
            ).median,
        )
        for name, measured in samples.items()
        if measured
    }


def ceiling_of(side: Side) -> str:
    """The name of the bare responder of the same mode; empty for the responder itself, and on loopback."""
    name = f"responder-{side.mode}"
    return name if name in SIDES and name != side.name else ""


def lines(samples: Samples, skipped: Mapping[str, str]) -> Iterator[str]:
    """Both tables, line by line; `skipped` says why sides are missing."""
    for direction in DIRECTIONS:
        yield (
            f"{TITLES[direction]:{LABEL_WIDTH}}{'Gbit/s':>8}{'range':^18}{'to the responder':^22}"
            f"{'to Twisted':^22}server CPU   Gbit per CPU s"
        )
        found = rows(samples, direction)
        for mode, title in MODES.items():
            names = [name for name in (*samples, *skipped) if SIDES[name].mode == mode]
            if names:
                yield f"  {title}"
            for name in names:
                label = f"    {SIDES[name].label}"
                yield _line(label, found[name]) if name in found else f"{label}: skipped, {skipped[name]}"
        yield ""
    yield from remarks(samples)


def _line(label: str, row: Row) -> str:
    def share(spread: Spread | None) -> str:
        return f"{spread.median:.2f} ({spread.low:.2f} .. {spread.high:.2f})" if spread else "-"

    low_to_high = f"{row.rate.low:.2f} .. {row.rate.high:.2f}"
    return (
        f"{label:{LABEL_WIDTH}}{row.rate.median:>8.2f}{low_to_high:^18}{share(row.to_ceiling):^22}"
        f"{share(row.to_twisted):^22}{row.server_cpu:>8.0%}{row.per_cpu_second:>17.2f}"
    )


def remarks(samples: Samples) -> Iterator[str]:
    """How to read the figures, whether XTCP reaches what it has to, and whatever went wrong."""
    yield "Gbit/s of payload, medians; ratios are taken round by round.  Server CPU is of one core, and"
    yield "includes what the kernel does for the client when the server writes."
    for direction in DIRECTIONS:
        for name, row in rows(samples, direction).items():
            bar = BARS.get(SIDES[name].mode)
            if bar and row.to_ceiling and name.startswith("xtcp"):
                verdict = "reached" if row.to_ceiling.median >= bar else "MISSED"
                yield (
                    f"{verdict}: {SIDES[name].label}, {TITLES[direction].lower()}, {SIDES[name].mode}:"
                    f" {row.to_ceiling.median:.2f} of the responder's rate; {bar:.2f} is asked for"
                )
    yield f"Noise: other programs used up to {noise(samples):.0%} of a core during a stream."
    for name, measured in samples.items():
        for number, sample in enumerate(measured, 1):
            for problem in sample.problems:
                yield f"WRONG: {SIDES[name].label} ({SIDES[name].mode}), round {number}, {problem}"


def noise(samples: Samples) -> float:
    """User CPU time of other programs during a stream, at worst, in cores."""
    shares = [
        stream.other_user_seconds / stream.seconds
        for measured in samples.values()
        for sample in measured
        for stream in sample.streams.values()
        if stream.seconds
    ]
    return max(shares, default=0.0)


def summary(samples: Samples, plan: Plan) -> dict[str, object]:
    """Plan and medians, for the JSON line."""
    medians: dict[str, dict[str, dict[str, float | None]]] = {}
    for direction in DIRECTIONS:
        for name, row in rows(samples, direction).items():
            medians.setdefault(name, {})[direction] = {
                "gbit_per_second": round(row.rate.median, 3),
                "to_responder": round(row.to_ceiling.median, 3) if row.to_ceiling else None,
                "to_twisted": round(row.to_twisted.median, 3) if row.to_twisted else None,
                "server_cpu": round(row.server_cpu, 3),
                "gbit_per_cpu_second": round(row.per_cpu_second, 3),
            }
    return {"plan": attrs.asdict(plan), "medians": medians}
