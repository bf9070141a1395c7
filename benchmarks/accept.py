"""``python -m benchmarks.accept``: a million connections come; what each takes, and the collector's pauses.

Each server is a process of its own: a stack over a memory link, an ordinary protocol or
a group protocol, and clients that are no more than the packets of a handshake.  While
they come, every pause of Python's garbage collector is timed; when all are there and
idle, what the process has grown by since before there was an engine is divided by their
number: records, index and whatever else.

Pauses are CPU time: on a shared machine other programs would be measured as well.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import attrs

from benchmarks.accounts import read_memory
from benchmarks.crowd import APPLICATIONS, Crowd
from xtcp_twisted.reactor.collector import Collector

ROOT: Final = Path(__file__).parent.parent
#: Who keeps the collector in check: XTCP as `twistd xtcp` has it, or nobody.
COLLECTORS: Final = ("frozen", "default")


@attrs.define
class Pauses:
    """How often the collector has stopped the process and for how long; entered while it counts."""

    #: By generation.
    collections: list[int] = attrs.field(factory=lambda: [0, 0, 0])
    longest_ms: list[float] = attrs.field(factory=lambda: [0.0, 0.0, 0.0])
    total_s: float = 0.0
    _begun: float = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.insert(0, self._told)
        return self

    def __exit__(self, *raised: object) -> None:
        gc.callbacks.remove(self._told)

    def _told(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.thread_time()
            return
        took = time.thread_time() - self._begun
        generation = info["generation"]
        self.collections[generation] += 1
        self.longest_ms[generation] = max(self.longest_ms[generation], took * 1e3)
        self.total_s += took


def measure(name: str, connections: int, collector: str) -> dict[str, Any]:
    """What so many connections cost this process, which should be new."""
    before = read_memory(os.getpid())["Rss"]
    server = Crowd(APPLICATIONS[name], connections)
    keeper = Collector(server.stack)
    if collector == "frozen":
        keeper.start()
    begun = time.process_time()
    with Pauses() as pauses:
        server.open(0, connections)
    spent = time.process_time() - begun
    gc.collect(1)
    grown = read_memory(os.getpid())["Rss"] - before
    rows = server.stack.engine.snapshot().connection_bytes
    keeper.stop()
    server.stack.stop()
    return {
        "application": name,
        "collector": collector,
        "connections": connections,
        "bytes_per_connection": grown / connections,
        "engine_bytes": rows / connections,
        "cpu_us_per_connection": spent * 1e6 / connections,
        "collections": pauses.collections,
        "longest_ms": pauses.longest_ms,
        "collector_s": pauses.total_s,
    }


def _in_process(connections: int, name: str, collector: str) -> dict[str, Any]:
    command = (
        sys.executable, "-m", "benchmarks.accept", "--connections", str(connections), "--only", name,
        "--collector", collector, "--json",
    )  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def row(found: dict[str, Any]) -> str:
    """A line of the table."""
    pauses = " ".join(
        f"{count:>6,} {ms:>7.1f}" for count, ms in zip(found["collections"], found["longest_ms"], strict=True)
    )
    return (
        f"{found['application']:18} {found['collector']:8} {found['connections']:>10,}"
        f" {found['bytes_per_connection']:>8.0f} {found['cpu_us_per_connection']:>8.1f}  {pauses}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accept", description="What connections cost, and the collector's pauses."
    )
    add = parser.add_argument
    add("--connections", type=int, default=1_000_000, metavar="N", help="how many come (1,000,000)")
    add("--only", choices=APPLICATIONS, help="one application, in this process")
    add("--collector", choices=COLLECTORS, default=COLLECTORS[0], help="with --only (frozen)")
    add("--json", action="store_true", help="with --only: one line of JSON")
    options = parser.parse_args(arguments)
    if not 2 <= options.connections <= 1 << 24:
        parser.error(f"--connections: {options.connections} is not allowed; give 2 to {1 << 24:,}")
    if options.only:
        found = measure(options.only, options.connections, options.collector)
        print(json.dumps(found) if options.json else row(found))
        return 0
    run = partial(_in_process, options.connections)
    print(
        f"{'application':18} {'collector':8} {'open':>10} {'bytes':>8} {'us':>8}"
        "  collections and longest pause (ms) of generations 0, 1, 2"
    )
    runs = [("ordinary protocol", name) for name in COLLECTORS] + [("group protocol", COLLECTORS[0])]
    for name, collector in runs:
        print(row(run(name, collector)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
