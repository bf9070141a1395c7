"""``python -m benchmarks``: see the package's docstring."""

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

from benchmarks import loadgen, machine, plot, rounds, table
from benchmarks.bulk import command as bulk
from benchmarks.rounds import Plan, Sample
from benchmarks.servers import SERVERS, Server, ServerError, default_servers
from xtcp_twisted.errors import XTCPError

QUICK = Plan(connections=2_000, seconds=0.5, warmup=0.1, settle=0.2, repeat=1)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; leaves with status 2 and a sentence if they are wrong."""
    plan = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure XTCP and kernel TCP servers with the same application, in turn, in one run.",
        epilog="'python -m benchmarks bulk --help': one bulk stream each way instead.",
    )
    every = ", ".join(SERVERS)
    add = parser.add_argument
    add("--servers", metavar="A,B", help=f"of {every} ({','.join(default_servers())})")
    add("--quick", action="store_true", help="few connections, once each: does it work at all?")
    add("--connections", type=int, metavar="N", help=f"open connections ({plan.connections:,})")
    add("--seconds", type=float, help=f"measured time of each kind of load ({plan.seconds:g})")
    add("--repeat", type=int, metavar="N", help=f"measurements of each server ({plan.repeat})")
    add("--inflight", type=int, metavar="N", help=f"requests on the way ({plan.inflight})")
    add("--size", type=int, metavar="BYTES", help=f"of a request and its answer ({plan.size:,})")
    add("--rate", type=float, help=f"requests/s of the paced load ({plan.rate:,.0f})")
    add("--json", type=Path, metavar="FILE", help="write every measurement")
    add("--plot", type=Path, metavar="FILE", help="draw the main figures (.svg, .png, .pdf)")
    options = parser.parse_args(arguments)
    names = options.servers.split(",") if options.servers else default_servers()
    if unknown := [name for name in names if name not in SERVERS]:
        parser.error(f"unknown server {unknown[0]!r}; there are {every}")
    if options.plot and not find_spec("matplotlib"):
        parser.error("--plot needs matplotlib: pip install 'xtcp_twisted[bench]'")
    chosen = {
        field.name: value
        for field in attrs.fields(Plan)
        if (value := getattr(options, field.name, None)) is not None
    }
    options.plan = attrs.evolve(QUICK if options.quick else plan, **chosen)
    low = {"connections": 20, "seconds": 0.05, "repeat": 1, "inflight": 1, "size": 16, "rate": 1}
    for name, least in low.items():
        if getattr(options.plan, name) < least:
            parser.error(f"--{name}: {getattr(options.plan, name)} is not allowed; give {least} or more")
    options.chosen = [SERVERS[name] for name in names]
    return options


def measure(options: argparse.Namespace) -> dict[str, list[Sample]]:
    """Run the plan and say on standard error how far it is."""
    plan: Plan = options.plan

    def progress(number: int, server: Server) -> None:
        print(f"round {number} of {plan.repeat}: {server.label}", file=sys.stderr, flush=True)

    print(f"This takes about {plan.duration(len(options.chosen)):.0f} seconds.", file=sys.stderr)
    return rounds.run(options.chosen, plan, progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and one line of JSON; 1 if a server answered wrongly."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["bulk"]:
        return bulk.main(words[1:])
    options = parse(words)
    plan: Plan = options.plan
    command = shlex.join(["python", "-m", "benchmarks", *words])
    try:
        about = machine.describe()
        loadgen.build()
        samples = measure(options)
    except (ServerError, loadgen.LoadGeneratorError, XTCPError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"\n{about}\n$ {command}")
    print(
        f"{plan.size:,} bytes each way, {plan.repeat} x {plan.seconds:g} s of each load, in private network"
        " namespaces: kernel TCP on loopback, XTCP on a TUN device\n"
    )
    print(*table.lines(samples, plan), sep="\n")
    result: dict[str, Any] = {
        "benchmark": "xtcp_twisted",
        "command": command,
        "machine": attrs.asdict(about),
        "plan": attrs.asdict(plan),
        "reference": table.reference(samples),
        "other_user_cores": round(table.noise(samples), 3),
        "problems": sum(len(sample.problems) for measured in samples.values() for sample in measured),
        "medians": table.summary(samples, plan),
    }
    if options.json:
        every = {name: [attrs.asdict(sample) for sample in measured] for name, measured in samples.items()}
        options.json.write_text(json.dumps({**result, "samples": every}, indent=1) + "\n")
    if options.plot:
        plot.draw(samples, plan, options.plot)
    print(json.dumps(result))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
