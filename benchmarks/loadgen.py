"""The load generator: many real kernel TCP connections, driven step by step.

The work is done by the C program under ``generator/`` (its header says how it
works), because the client must cost little of a machine that it shares with
the server.  It is compiled when it is first needed.  `LoadGenerator` starts it
and hands it steps; between steps the connections stay open, and whoever wants
to may look at the machine meanwhile.

By itself::

    python -m benchmarks.loadgen --target 127.0.0.1:7 --connections 1000 --pick random
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs

from benchmarks import building

SOURCES: Final = Path(__file__).with_name("generator")
#: Descriptors of a worker that are not connections, amply.
SPARE_DESCRIPTORS: Final = 100


class LoadGeneratorError(Exception):
    """The load generator could not be built, or refused a step; the text says why."""


@attrs.frozen
class Latency:
    """A summary of many times, in microseconds; a quantile is right to 1/64."""

    count: int
    mean: float = 0.0
    min: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


@attrs.frozen
class Outcome:
    """What one step did.  The counts of what went wrong are all zero in a good run."""

    step: str
    #: Connections open at the end of the step.
    open: int
    #: Connection attempts that failed.
    failed: int
    #: Answers with a wrong byte, or with more bytes than the request had.
    wrong: int
    #: Connections that ended under us.
    broken: int
    #: Requests that had no answer two seconds after the end.
    unanswered: int
    seconds: float
    #: The first thing that went wrong, in words.
    note: str
    connect_us: Latency
    answer_us: Latency
    size: int = 0
    inflight: int = 0
    pick: str = ""
    rate: float = 0.0
    messages: int = 0
    per_second: float = 0.0
    #: Open loop: requests that were due when no connection was idle.
    skipped: int = 0
    server_cpu_seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    #: User CPU time of everything else on the machine: how noisy it was.
    other_user_seconds: float = 0.0

    @property
    def errors(self) -> int:
        """Everything that should not have happened, added up."""
        return self.failed + self.wrong + self.broken + self.unanswered

    @property
    def server_cpu_us(self) -> float:
        """CPU time of the server per message, microseconds."""
        return self.server_cpu_seconds * 1e6 / self.messages if self.messages else 0.0


def build() -> Path:
    """Compile the generator if its sources changed; the path of the program.

    Raises `LoadGeneratorError` when the C compiler (``$CC``, else gcc) is
    missing or fails.
    """
    try:
        return building.program("loadgen", sorted(SOURCES.glob("*.c")))
    except building.BuildError as error:
        raise LoadGeneratorError(str(error)) from None


def descriptor_limit() -> int:
    """How many descriptors one process may open at most."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def workers_for(connections: int, limit: int | None = None) -> int:
    """How many processes it takes to hold `connections` below the descriptor limit of each."""
    room = (descriptor_limit() if limit is None else limit) - SPARE_DESCRIPTORS
    if room < 1:
        raise LoadGeneratorError(
            f"a process may open {room + SPARE_DESCRIPTORS} descriptors, and the load generator"
            f" needs more than {SPARE_DESCRIPTORS}; raise the limit with 'ulimit -n'"
        )
    return max(1, -(-connections // room))


class LoadGenerator:
    """The running generator: a context manager whose exit closes every connection.

    `target` is ``ADDRESS[-ADDRESS]:PORT[-PORT]``, IPv4; connections are spread
    over all of them.  `workers` processes share the connections; with a
    `capacity`, one is filled with so many after the other.  `watch` is
    the process id whose CPU time is taken around each measured time.  `core`
    pins all of the generator to one processor.  `popen` starts it: the `popen`
    of a lab puts it there.
    """

    def __init__(
        self,
        target: str,
        *,
        workers: int = 1,
        capacity: int = 0,
        watch: int = 0,
        core: int | None = None,
        popen: Callable[..., Any] = subprocess.Popen,
    ) -> None:
        settings = {
            "target": target,
            "workers": workers,
            "capacity": capacity,
            "watch": watch,
            "core": -1 if core is None else core,
        }
        self._command = [str(build()), *(f"{name}={value}" for name, value in settings.items())]
        self._popen = popen

    def __enter__(self) -> Self:
        self._process: subprocess.Popen[str] = self._popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if kind is not None:
            self._process.terminate()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Of the coordinator, whose children the workers are; once it runs."""
        return self._process.pid

    def step(self, verb: str, **settings: object) -> Outcome:
        """Carry out one step, such as ``open`` or ``echo``, as the generator's header says.

        Returns when it is over.  Raises `LoadGeneratorError` if it was refused.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it said why before it died
            print(verb, *(f"{name}={value}" for name, value in settings.items()), file=self._process.stdin)
        line = self._process.stdout.readline()
        if not line:
            raise LoadGeneratorError(f"the load generator died in step {verb!r}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LoadGeneratorError(answer["error"])
        for name in ("connect_us", "answer_us"):
            answer[name] = Latency(**answer[name])
        return Outcome(**answer)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; one line of JSON per step, exit status 1 if anything went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loadgen",
        description="Open many TCP connections to an echo server, send requests, compare every answer.",
    )
    add = parser.add_argument
    add("--target", required=True, help="ADDRESS[-ADDRESS]:PORT[-PORT], IPv4")
    add("--connections", type=int, default=100, help="to open first (100)")
    add("--mode", choices=("echo", "churn", "idle"), default="echo", help="what to do then (echo)")
    add("--pick", choices=("sticky", "random"), default="sticky", help="who asks next (sticky)")
    add("--rate", type=float, default=0, help="open loop: requests a second (0: closed loop)")
    add("--inflight", type=int, default=100, help="closed loop: requests on the way (100)")
    add("--size", type=int, default=1024, help="bytes of a request and of its answer (1024)")
    add("--seconds", type=float, default=5, help="measured time (5)")
    add("--warmup", type=float, default=0.5, help="before it (0.5)")
    add("--workers", type=int, default=0, help="processes (as many as descriptors demand)")
    add("--watch", type=int, default=0, metavar="PID", help="take this process's CPU time")
    options = parser.parse_args(arguments)
    outcomes = []
    timing = {"seconds": options.seconds, "warmup": options.warmup}
    load = {"size": options.size, "inflight": options.inflight, **timing}
    try:
        workers = options.workers or workers_for(options.connections)
        with LoadGenerator(options.target, workers=workers, watch=options.watch) as generator:

            def step(verb: str, **settings: object) -> None:
                outcomes.append(generator.step(verb, **settings))
                print(json.dumps(attrs.asdict(outcomes[-1])), flush=True)

            step("open", total=options.connections, size=options.size)
            if options.mode == "echo":
                step("echo", pick=options.pick, rate=options.rate, **load)
            elif options.mode == "churn":
                step("churn", **load)
            else:
                time.sleep(options.seconds)
            step("close")
    except LoadGeneratorError as error:
        print(f"loadgen: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 1 if any(outcome.errors for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
