"""``python -m benchmarks bulk``: see the package's docstring."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from benchmarks import machine
from benchmarks.building import BuildError
from benchmarks.bulk import plot, rounds, table
from benchmarks.bulk.rounds import Plan, Sample
from benchmarks.bulk.sides import SIDES, Side, build
from benchmarks.servers import ServerError
from xtcp_twisted.errors import XTCPError

QUICK = Plan(seconds=0.2, warmup=0.1, repeat=1)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; leaves with status 2 and a sentence if they are wrong."""
    plan = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks bulk",
        description="Time one bulk stream each way: XTCP, a bare TUN device, kernel TCP; in turn.",
    )
    add = parser.add_argument
    add("--sides", metavar="A,B", help=f"of {', '.join(SIDES)} (all)")
    add("--quick", action="store_true", help="short streams, once each: does it work at all?")
    add("--seconds", type=float, help=f"measured time of each stream ({plan.seconds:g})")
    add("--warmup", type=float, help=f"time before it ({plan.warmup:g})")
    add("--repeat", type=int, metavar="N", help=f"measurements of each side ({plan.repeat})")
    add("--json", type=Path, metavar="FILE", help="write every measurement")
    add("--plot", type=Path, metavar="FILE", help="draw the rates (.svg, .png, .pdf)")
    options = parser.parse_args(arguments)
    names = options.sides.split(",") if options.sides else list(SIDES)
    if unknown := [name for name in names if name not in SIDES]:
        parser.error(f"unknown side {unknown[0]!r}; there are {', '.join(SIDES)}")
    if options.plot and not find_spec("matplotlib"):
        parser.error("--plot needs matplotlib: pip install 'xtcp_twisted[bench]'")
    chosen = {
        field.name: value
        for field in attrs.fields(Plan)
        if (value := getattr(options, field.name, None)) is not None
    }
    options.plan = attrs.evolve(QUICK if options.quick else plan, **chosen)
    for name, least in {"seconds": 0.05, "warmup": 0.0, "repeat": 1}.items():
        if getattr(options.plan, name) < least:
            parser.error(f"--{name}: {getattr(options.plan, name)} is not allowed; give {least} or more")
    options.chosen = [SIDES[name] for name in names if not SIDES[name].missing]
    options.skipped = {name: SIDES[name].missing for name in names if SIDES[name].missing}
    return options


def measure(options: argparse.Namespace) -> dict[str, list[Sample]]:
    """Run the plan and say on standard error how far it is."""
    plan: Plan = options.plan

    def progress(number: int, side: Side) -> None:
        print(f"round {number} of {plan.repeat}: {side.label}, {side.mode}", file=sys.stderr, flush=True)

    for name in ("stream", "kernel", "responder"):
        build(name)
    print(f"This takes about {plan.duration(len(options.chosen)):.0f} seconds.", file=sys.stderr)
    return rounds.run(options.chosen, plan, progress)


def main(arguments: Sequence[str]) -> int:
    """Measure, print the tables and one line of JSON; 1 if a stream went wrong."""
    options = parse(arguments)
    plan: Plan = options.plan
    command = shlex.join(["python", "-m", "benchmarks", "bulk", *arguments])
    try:
        about = machine.describe()
        samples = measure(options)
    except (ServerError, BuildError, XTCPError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"\n{about}\n$ {command}")
    print(
        f"One stream at a time, {plan.repeat} x {plan.seconds:g} s each way, in private network namespaces\n"
    )
    print(*table.lines(samples, options.skipped), sep="\n")
    result: dict[str, Any] = {
        "benchmark": "xtcp_twisted bulk",
        "command": command,
        "machine": attrs.asdict(about),
        **table.summary(samples, plan),
        "skipped": options.skipped,
        "other_user_cores": round(table.noise(samples), 3),
        "problems": sum(len(sample.problems) for measured in samples.values() for sample in measured),
    }
    if options.json:
        every = {name: [attrs.asdict(sample) for sample in measured] for name, measured in samples.items()}
        options.json.write_text(json.dumps({**result, "samples": every}, indent=1) + "\n")
    if options.plot:
        plot.draw(samples, options.plot)
    print(json.dumps(result))
    return 1 if result["problems"] else 0
