"""The command line of ``python -m benchmarks.million``."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import attrs

from benchmarks import folder as results
from benchmarks import loadgen, machine
from benchmarks.loadgen import LoadGeneratorError
from benchmarks.machine import Machine
from benchmarks.million import host, measure, needs, page, table
from benchmarks.million.measure import Run
from benchmarks.million.plan import Plan
from benchmarks.million.screen import Progress
from benchmarks.million.targets import FULL, resets, targets
from benchmarks.servers import ServerError
from xtcp_twisted.errors import XTCPError
from xtcp_twisted.lab.server import ServerDied

PROG: Final = "python -m benchmarks.million"

#: Exit statuses.
OK: Final = 0
WENT_WRONG: Final = 1  #: a server died, or clients saw errors
NOT_STARTED: Final = 2  #: the machine does not have what it takes, or an option is wrong
MOST: Final = 4_000_000


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; leaves with status 2 and a sentence if they are wrong."""
    plan = Plan()
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Connect very many kernel TCP clients to one `twistd xtcp` process, load it, drop and"
        " bring back a tenth of them, close them all, and draw what was seen.",
        epilog="Progress goes to standard error, the table to standard output; JSON, Markdown and a page of"
        f" plots are written beside each other. Exit status: {OK}, {WENT_WRONG} if anything went wrong"
        f" (a target that is missed is no error), {NOT_STARTED} if this machine cannot do it.",
    )
    add = parser.add_argument
    add("--connections", type=int, default=plan.connections, metavar="N", help="clients (%(default)s)")
    add("--rate", type=float, default=plan.rate, help="requests per second, open loop (%(default)g)")
    add("--seconds", type=float, default=plan.seconds, help="of each long load (%(default)g)")
    add(
        "--probe",
        type=float,
        default=plan.probe,
        help="seconds of each load on the way up (%(default)g)",
    )
    add("--storm", type=int, metavar="N", help="clients that are dropped at once (a tenth)")
    add(
        "--allow-host-sysctls",
        action="store_true",
        help="raise settings of the whole host where they do not suffice; they are put back at the end",
    )
    add(
        "--results",
        type=Path,
        default=results.FOLDER,
        metavar="DIR",
        help="for files (benchmarks/results)",
    )
    options = parser.parse_args(arguments)
    low = {"connections": 1_000, "rate": 1, "seconds": 0.1, "probe": 0.1, "storm": 1}
    for name, least in low.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= MOST:
            parser.error(f"--{name}: {value} is not allowed; give {least} to {MOST:,}")
    if options.storm is None:
        options.storm = options.connections // 10
    elif options.storm > options.connections:
        parser.error(f"--storm: there are only {options.connections} clients")
    options.plan = Plan(
        connections=options.connections,
        rate=options.rate,
        seconds=options.seconds,
        probe=options.probe,
        storm=options.storm,
    )
    return options


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it all; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parse(words)
    plan: Plan = options.plan
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        needs.check(plan)
        about = machine.describe()
        loadgen.build()
        with host.raised(_consented(plan, options.allow_host_sysctls)):
            run = measure.run(plan, Progress(sys.stderr))
    except KeyboardInterrupt:
        print(f"\n{PROG}: interrupted; everything it had started has ended", file=sys.stderr)
        return 130
    except ServerDied as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return WENT_WRONG
    except (ServerError, LoadGeneratorError, XTCPError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return NOT_STARTED
    command = shlex.join(["python", "-m", "benchmarks.million", *words])
    written = write(run, plan, about, command, options.results)
    print(f"{about}\n$ {command}")
    for shown in table.tables(run, plan):
        print("", *shown.text(), sep="\n")
    print("", *table.remarks(run, plan), sep="\n")
    print(f"Written: {', '.join(map(str, written))}")
    return WENT_WRONG if run.errors or resets(run) or run.left else OK


def _consented(plan: Plan, consent: bool) -> list[host.Setting]:
    """The settings to raise; says on standard error what is raised, or what would be with consent."""
    settings = host.wanted(plan)
    for setting in settings:
        print(f"{'Raised for this run' if consent else 'Not touched'}: {setting}", file=sys.stderr)
    if settings and not consent:
        print(
            "To raise them for the run: --allow-host-sysctls (make million SYSCTLS=yes)",
            file=sys.stderr,
        )
    return settings if consent else []


def write(run: Run, plan: Plan, about: Machine, command: str, folder: Path) -> list[Path]:
    """Write JSON, Markdown and the page of plots into `folder`; their paths."""
    name = "million" if plan.connections == FULL else f"million-{plan.connections}"
    document = {
        "benchmark": "million",
        "command": command,
        "machine": attrs.asdict(about),
        "plan": {**attrs.asdict(plan), "workers": plan.workers, "capacity": plan.capacity},
        "targets": {target.key: {**attrs.asdict(target), "met": target.met} for target in targets(run, plan)},
        "errors": run.errors,
        **attrs.asdict(run),
    }
    lines = [f"# {plan.connections:,} connections", "", str(about), "", f"    {command}"]
    for shown in table.tables(run, plan):
        lines += ["", *shown.markdown()]
    lines += ["", *(f"* {line}" for line in table.remarks(run, plan))]
    return results.write(
        folder, name, document, lines, lambda path: page.draw(run, plan, f"{about}\n{command}", path)
    )
