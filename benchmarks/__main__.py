"""``python -m benchmarks``: see the package's docstring."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks import folder, loadgen, machine, plot, rounds, table
from benchmarks.bulk import command as bulk
from benchmarks.growth import command as growth
from benchmarks.machine import Machine
from benchmarks.rounds import LOADS, Plan
from benchmarks.servers import SERVERS, Server, ServerError, default_servers
from benchmarks.table import Samples
from benchmarks.targets import Verdict, verdicts
from xtcp_twisted.errors import XTCPError

QUICK: Final = Plan(connections=(100, 2_000), seconds=0.4, warmup=0.1, settle=0.2, repeat=1)
LEAST: Final = {"seconds": 0.05, "repeat": 1, "inflight": 1, "size": 16, "rate": 1}
LEAST_CONNECTIONS: Final = 20


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; leaves with status 2 and a sentence if they are wrong."""
    plan = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure XTCP and what one would serve with else: the same client, in turn, in one run.",
        epilog="'bulk --help': one bulk stream each way; 'growth --help': what grows with connections.",
    )
    add = parser.add_argument
    add("--servers", metavar="A,B", help=f"of {', '.join(SERVERS)} (all)")
    add("--loads", metavar="A,B", help=f"of {', '.join(LOADS)} ({','.join(plan.loads)})")
    add("--quick", action="store_true", help="few connections, once each: does it work at all?")
    sizes = ",".join(map(str, plan.connections))
    add("--connections", metavar="N,M", help=f"how many are open under load ({sizes})")
    add("--seconds", type=float, help=f"measured time of each load ({plan.seconds:g})")
    add("--repeat", type=int, metavar="N", help=f"rounds, of which each has every server ({plan.repeat})")
    add("--inflight", type=int, metavar="N", help=f"requests on the way ({plan.inflight})")
    add("--size", type=int, metavar="BYTES", help=f"of a request and its answer ({plan.size:,})")
    add("--rate", type=float, help=f"requests/s of the paced load ({plan.rate:,.0f})")
    add("--results", type=Path, default=folder.FOLDER, metavar="DIR", help="where results go (%(default)s)")
    options = parser.parse_args(arguments)
    if not find_spec("matplotlib"):
        parser.error("the plots need matplotlib: pip install 'xtcp_twisted[bench]'")
    names = options.servers.split(",") if options.servers else default_servers()
    _known(parser, "server", names, SERVERS)
    try:
        options.connections = _connections(options.connections)
        options.loads = tuple(options.loads.split(",")) if options.loads else None
        _known(parser, "load", options.loads or (), LOADS)
    except ValueError as error:
        parser.error(f"--connections: {error}")
    chosen = {
        field.name: value
        for field in attrs.fields(Plan)
        if (value := getattr(options, field.name, None)) is not None
    }
    options.plan = attrs.evolve(QUICK if options.quick else plan, **chosen)
    for name, least in LEAST.items():
        if getattr(options.plan, name) < least:
            parser.error(f"--{name}: {getattr(options.plan, name)} is not allowed; give {least} or more")
    options.chosen = [SERVERS[name] for name in names]
    return options


def _known(parser: argparse.ArgumentParser, what: str, names: Sequence[str], every: Collection[str]) -> None:
    if unknown := [name for name in names if name not in every]:
        parser.error(f"unknown {what} {unknown[0]!r}; there are {', '.join(every)}")
    if len(set(names)) < len(names):
        parser.error(f"a {what} is given twice: {', '.join(names)}")


def _connections(text: str | None) -> tuple[int, ...] | None:
    """The numbers in rising order; raises `ValueError` with a sentence."""
    if text is None:
        return None
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not allowed; give numbers, such as 100,10000") from None
    if low := [number for number in numbers if number < LEAST_CONNECTIONS]:
        raise ValueError(f"{low[0]} is not allowed; give {LEAST_CONNECTIONS} or more")
    return tuple(sorted(set(numbers)))


def measure(options: argparse.Namespace) -> Samples:
    """Run the plan and say on standard error how far it is."""
    plan: Plan = options.plan

    def progress(number: int, server: Server) -> None:
        print(f"round {number} of {plan.repeat}: {server.label}", file=sys.stderr, flush=True)

    minutes, seconds = divmod(round(plan.duration(len(options.chosen))), 60)
    left_out = [server.label for name, server in SERVERS.items() if name not in default_servers()]
    if left_out and not options.servers:
        print(f"Not installed, so not measured: {', '.join(left_out)}.", file=sys.stderr)
    print(f"This takes about {minutes} min {seconds} s.", file=sys.stderr)
    return rounds.run(options.chosen, plan, progress)


def heading(about: Machine, command: str, plan: Plan) -> Iterator[str]:
    """On what, how and what was measured, a paragraph each."""
    yield str(about)
    yield f"$ {command}"
    yield (
        f"{plan.size:,} bytes each way, {plan.repeat} rounds by turns with {plan.seconds:g} s of each load,"
        " in private network namespaces: kernel TCP on loopback, XTCP and the bare responder on a TUN device;"
        " the server on one processor, the client on another."
    )


def document(
    about: Machine, command: str, plan: Plan, samples: Samples, judged: Sequence[Verdict]
) -> dict[str, Any]:
    """Everything but the single samples, for JSON."""
    return {
        "benchmark": "xtcp_twisted compare",
        "command": command,
        "machine": attrs.asdict(about),
        "plan": attrs.asdict(plan),
        "other_user_cores": round(table.noise(samples), 3),
        "problems": sum(len(sample.problems) for measured in samples.values() for sample in measured),
        "targets": [{**attrs.asdict(verdict), "met": verdict.met} for verdict in judged],
        "medians": table.summary(samples, plan),
    }


def show(head: Sequence[str], samples: Samples, plan: Plan, judged: Sequence[Verdict]) -> None:
    """Everything, for a terminal."""
    print("", *head, "", sep="\n")
    for each in table.tables(samples, plan):
        print(*each.text(), "", sep="\n")
    print(*table.remarks(samples, plan), "", *judged, sep="\n")


def page(head: Sequence[str], samples: Samples, plan: Plan, judged: Sequence[Verdict]) -> Iterator[str]:
    """The same as a page of markdown."""
    about, command, what = head
    yield from ("# The comparison", "", f"{about}.", "", f"    {command}", "", what, "")
    for each in table.tables(samples, plan):
        yield from (*each.markdown(), "")
    for line in (*table.remarks(samples, plan), *judged):
        yield f"- {line}"


def _name(samples: Samples, plan: Plan) -> str:
    """Of the results: less than the whole comparison must not be taken for it."""
    whole = plan.connections == Plan().connections and set(samples) == set(SERVERS)
    return "compare" if whole else "compare-part"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables, targets and one line of JSON, write results; 1 if a server answered wrongly."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["bulk"]:
        return bulk.main(words[1:])
    if words[:1] == ["growth"]:
        return growth.main(words[1:])
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
    head, judged = list(heading(about, command, plan)), list(verdicts(samples, plan))
    result = document(about, command, plan, samples, judged)
    show(head, samples, plan, judged)
    every = {name: [attrs.asdict(sample) for sample in measured] for name, measured in samples.items()}
    written = folder.write(
        options.results,
        _name(samples, plan),
        {**result, "samples": every},
        page(head, samples, plan, judged),
        lambda path: plot.draw(samples, plan, path),
    )
    print("\nwritten:", *written)
    print(json.dumps(result))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
