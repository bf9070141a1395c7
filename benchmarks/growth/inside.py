"""``python -m benchmarks.growth.inside CONNECTIONS GROUPS``: the steps, in one process; JSON lines.

The first half has so many connections in one group, the second a thousand connections beside so
many groups.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import attrs

from benchmarks.accounts import read_memory
from benchmarks.crowd import SYN, segment
from benchmarks.growth import steps
from benchmarks.growth.stopwatch import Lap, settle
from xtcp_twisted.api import PF_INET, SOCK_STREAM, ApplicationServer, xtcp_set
from xtcp_twisted.config import EngineConfig
from xtcp_twisted.engine import Engine
from xtcp_twisted.link.memory import MemoryLink

ROOT = Path(__file__).parents[2]


@attrs.frozen
class Row:
    """One step, at one size."""

    step: str
    connections: int
    groups: int
    total: float
    longest: float
    turns: int


def over_connections(connections: int) -> Iterator[Row]:
    """Every step with so many connections."""

    def rows(laps: Iterator[tuple[str, Lap]]) -> Iterator[Row]:
        for name, lap in laps:
            yield Row(name, connections, 1, lap.total, lap.longest, lap.turns)

    yield from rows(iter([("start of the engine", _start(connections))]))
    site = steps.Site(connections)
    laps = site.open()
    yield from rows(iter([("the first tenth comes", laps[0]), ("the last tenth comes", laps[-1])]))
    # As `twistd xtcp` has it: no collection looks at what lives long.
    gc.collect()
    gc.freeze()
    for step in steps.LASTING:
        yield from rows(step(site))
    for step in steps.EMPTYING:
        yield from rows(step(site))
        site.forget()
        for port in list(site.stack.stage.ports):
            port.stackStopped(None)  # type: ignore[arg-type]
        site.forget()
        site.listen()
        site.open()
    for step in steps.ENDING:
        yield from rows(step(site))
        if step is not steps.ENDING[-1]:
            site = steps.Site(connections)
            site.open()


def _start(connections: int) -> Lap:
    """The engine's tables are reserved, and no page is touched that is not needed."""
    lap = Lap()
    before = read_memory(os.getpid())["Rss"]
    with lap.one():
        site = steps.Site(connections)
    grown = read_memory(os.getpid())["Rss"] - before
    site.stack.stop()
    # The tables of a million would be 150 MB.
    if grown > 32 << 20:
        raise AssertionError(f"an engine without connections takes {grown:,} bytes")
    return lap


def over_groups(groups: int) -> Iterator[Row]:
    """What looks at groups, with so many beside a thousand connections."""
    site = steps.Site(1_000)
    site.open()
    opening = Lap()
    more = []
    for number in range(groups - 1):
        with opening.one():
            more.append(site.crowd.pool.open_group(1_000 + number))
    gc.collect()
    gc.freeze()

    def row(name: str, lap: Lap) -> Row:
        return Row(name, 1_000, groups, lap.total, lap.longest, lap.turns)

    yield row("groups opened", opening)
    first = Lap()
    with first.one():
        site.engine.snapshot()
    yield row("Engine.snapshot, first", first)
    for step in (steps.messages, steps.looks, steps.console):
        for name, lap in step(site):
            yield row(name, lap)
    busy = Lap()
    for dscp in range(steps.LOOKS):
        for group in more:
            group.set_dscp(dscp + 1)
        with busy.one():
            site.engine.snapshot()
    yield row("Engine.snapshot, all have changed", attrs.evolve(busy, total=busy.total / steps.LOOKS))
    for number in range(groups - 1):
        site.crowd.deliver([segment(9_000_000 + number, 0, 0, SYN, port=1_000 + number)])
        if number % 256 == 255:
            settle(site.crowd, Lap())
    settle(site.crowd, Lap())
    turn = Lap()
    for _ in range(steps.LOOKS):
        turn.turn(site.crowd)
    yield row("a turn, a request waits in each", attrs.evolve(turn, total=turn.total / steps.LOOKS))
    closing = Lap()
    for group in more:
        with closing.one():
            group.close()
    settle(site.crowd, closing)
    yield row("groups closed", closing)
    site.stack.stop()


def select(groups: int) -> Iterator[Row]:
    """`xtcp_select` and `Engine.poll` with so many groups, of which none is ready."""
    link = MemoryLink()
    config = EngineConfig(addresses=("192.0.2.1",), max_connections=1_024)  # type: ignore[arg-type]
    clock = steps.Time()
    with Engine(link, config) as engine, ApplicationServer(engine, clock=clock) as server:
        server.xtcp_initialize(1 << 20)
        gds = [server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 1_000 + number) for number in range(groups)]

        def ask() -> None:
            if server.xtcp_select(groups, xtcp_set(gds), None, 0):
                raise AssertionError("a group without connections is ready")

        for name, call in (("xtcp_select", ask), ("Engine.poll", lambda: engine.poll(clock.now))):
            lap = steps.least(call)
            yield Row(name, 0, groups, lap.total, lap.longest, lap.turns)


def measure(connections: int, groups: int, limit: float) -> list[Row]:
    """The rows of a process of its own.

    :param limit: it is given up after so many seconds.
    :raises subprocess.SubprocessError: it fails, or takes longer.
    """
    command = [sys.executable, "-m", "benchmarks.growth.inside", str(connections), str(groups)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=limit)
    return [Row(**json.loads(line)) for line in done.stdout.splitlines()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; with 0 connections or groups that half is left out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth.inside", description=__doc__)
    parser.add_argument("connections", type=int)
    parser.add_argument("groups", type=int)
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    if options.connections:
        for row in over_connections(options.connections):
            print(json.dumps(attrs.asdict(row)), flush=True)
    if options.groups:
        for row in chain(over_groups(options.groups), select(options.groups)):
            print(json.dumps(attrs.asdict(row)), flush=True)
    print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
