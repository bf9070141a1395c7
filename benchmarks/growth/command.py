"""``python -m benchmarks growth``: the command line."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import attrs

from benchmarks import folder, machine
from benchmarks.growth import inside, kernel, report
from benchmarks.growth.inside import Row
from benchmarks.growth.kernel import Point
from benchmarks.loadgen import LoadGeneratorError
from xtcp_twisted.errors import XTCPError

CONNECTIONS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
SIZES = (64, 256, 1_024, 4_096, 16_384, 65_536)
GROUPS = (10, 1_000, 10_000)
#: A process of the steps that has not ended by then is given up, seconds.
LIMIT_S = 1_200.0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; leaves with status 2 and a sentence if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks growth",
        description="What grows with the number of connections, and what must not.",
    )
    add = parser.add_argument
    for name, values in (("connections", CONNECTIONS), ("sizes", SIZES), ("groups", GROUPS)):
        add(f"--{name}", metavar="N,M", help=f"({','.join(map(str, values))})", default=values, type=_numbers)
    add(
        "--kernel",
        metavar="N,M",
        type=_numbers,
        help="open connections of kernel clients; 0: none (as connections)",
    )
    add("--seconds", type=float, default=2.0, help="of each load of kernel clients (%(default)g)")
    add("--results", type=Path, default=folder.FOLDER, metavar="DIR", help="where results go (%(default)s)")
    options = parser.parse_args(arguments)
    if not find_spec("matplotlib"):
        parser.error("the plots need matplotlib: pip install 'xtcp_twisted[bench]'")
    if min(options.connections) < 512:
        parser.error(f"--connections: {min(options.connections)} is not allowed; give 512 or more")
    if not 0.05 <= options.seconds <= 60:
        parser.error(f"--seconds: {options.seconds:g} is not allowed; give 0.05 to 60")
    options.kernel = options.connections if options.kernel is None else options.kernel
    return options


def _numbers(text: str) -> tuple[int, ...]:
    """Rising integers."""
    found = tuple(int(word) for word in text.replace("_", "").split(","))
    if list(found) != sorted(set(found)) or found[0] < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give rising numbers, such as 1000,10000")
    return found


def name(options: argparse.Namespace) -> str:
    """What the results are called: what is smaller does not replace the run that the pages cite."""
    asked = (options.connections, options.kernel, options.sizes, options.groups)
    return "growth" if asked == (CONNECTIONS, CONNECTIONS, SIZES, GROUPS) else "growth-part"


def measure(options: argparse.Namespace) -> tuple[list[Row], list[Point]]:
    """Everything, one after the other; says on standard error how far it is."""

    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    rows = []
    for connections in options.connections:
        told(f"steps with {connections:,} connections")
        rows += inside.measure(connections, 0, LIMIT_S)
    for groups in options.groups:
        told(f"steps with {groups:,} groups")
        rows += inside.measure(0, groups, LIMIT_S)
    points = []
    if options.kernel[-1]:
        points = list(kernel.measure(options.kernel, options.sizes, options.seconds, told))
    return rows, points


def main(arguments: Sequence[str]) -> int:
    """Measure, print the tables, write the results."""
    options = parse(arguments)
    command = shlex.join(["python", "-m", "benchmarks", "growth", *arguments])
    try:
        about = machine.describe()
        rows, points = measure(options)
    except (XTCPError, LoadGeneratorError, subprocess.SubprocessError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    made = list(report.tables(rows, points))
    for table in made:
        print(*table.text(), "", sep="\n")
    page = [f"{about}", "", f"    {command}"]
    for table in made:
        page += ["", *table.markdown()]
    document = {
        "benchmark": "growth",
        "command": command,
        "machine": attrs.asdict(about),
        "steps": [attrs.asdict(row) for row in rows],
        "messages": [attrs.asdict(point) for point in points],
    }
    written = folder.write(
        options.results,
        name(options),
        document,
        page,
        lambda path: report.draw(rows, points, f"{about}   {command}", path),
    )
    print(json.dumps([str(path) for path in written]))
    return 0
