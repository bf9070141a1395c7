"""The measurement: every side in turn, one stream each way, several times over.

A sample is a fresh lab with one server, in which one client sends for a while and
another one receives.  Sides take turns (A, B, C, A, B, C, ...), so that a machine
that grows slower or noisier does so for all.

Knows sides and the client's report; knows nothing of tables.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from benchmarks.bulk.sides import SOCKETS, Side, build
from benchmarks.rounds import cores
from benchmarks.servers import ServerError
from xtcp_twisted.lab import Lab

#: Client to server, and server to client.
DIRECTIONS: Final = ("up", "down")
#: What a sample takes besides its streams: start of lab and server, end.
OVERHEAD_S: Final = 1.5
#: The client gives up by itself long before this.
LIMIT_S: Final = 30.0


@attrs.frozen(kw_only=True)
class Plan:
    """What is measured; times in seconds."""

    #: Measured time of each stream ...
    seconds: float = 1.0
    #: ... and time before it, in which windows open.
    warmup: float = 0.5
    #: Samples of each side.
    repeat: int = 5

    def duration(self, sides: int) -> float:
        """About how long it takes to measure so many sides."""
        return sides * self.repeat * (len(DIRECTIONS) * (self.seconds + self.warmup) + OVERHEAD_S)


@attrs.frozen
class Stream:
    """One stream, as its client saw it."""

    seconds: float
    #: That came to the receiver in the measured time.
    bytes: int
    #: That were sent, or received, in all.
    total: int
    #: That the server says it received in all, negative when some were wrong; -1: it says nothing.
    confirmed: int
    #: Pieces that arrived at the client and were not the stream's.
    wrong: int
    note: str
    server_cpu_seconds: float
    client_cpu_seconds: float
    #: User CPU time of everything else on the machine: how noisy it was.
    other_user_seconds: float

    @property
    def gigabits(self) -> float:
        """Gbit/s of payload."""
        return self.bytes * 8 / 1e9 / self.seconds if self.seconds else 0.0

    def problem(self, *, counts: bool) -> str:
        """What went wrong, in words; empty in a good stream.  `counts`: the server says what it got."""
        if self.note:
            return self.note
        if self.wrong:
            return f"{self.wrong} pieces with wrong bytes"
        if counts and self.confirmed != self.total:
            return f"{self.total:,} bytes sent, {self.confirmed:,} received"
        return ""


@attrs.frozen
class Sample:
    """One measurement of one side: a stream for each direction."""

    streams: dict[str, Stream]
    #: What went wrong, in sentences; empty in a good run.
    problems: tuple[str, ...]


def measure(side: Side, plan: Plan) -> Sample:
    """Measure `side` once, in a lab of its own.

    :raises ServerError: the server does not come up, or the client cannot connect.
    """
    client_core, server_core = cores()
    with Lab() as lab, side.running(lab, server_core) as pid:
        streams = {
            direction: _stream(lab, side, direction, plan, pid, client_core) for direction in DIRECTIONS
        }
    counting = side.mode == SOCKETS or side.name.startswith("xtcp")
    problems = {
        direction: stream.problem(counts=counting and direction == "up")
        for direction, stream in streams.items()
    }
    return Sample(streams, tuple(f"{name}: {text}" for name, text in problems.items() if text))


def _stream(lab: Lab, side: Side, direction: str, plan: Plan, pid: int, core: int | None) -> Stream:
    numbers = (plan.warmup, plan.seconds, pid, -1 if core is None else core)
    command = [str(build("stream")), side.address, direction, *map(str, numbers)]
    limit = plan.warmup + plan.seconds + LIMIT_S
    done = lab.run(command, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL)
    if not done.stdout:
        raise ServerError(f"{side.label}: {done.stderr.strip() or 'the client died'}")
    return Stream(**json.loads(done.stdout))


def run(sides: Sequence[Side], plan: Plan, progress: Callable[[int, Side], None]) -> dict[str, list[Sample]]:
    """Measure each side `plan.repeat` times, in turn; samples by side, in order of time.

    `progress` is called before each measurement with its round, from 1.
    """
    samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
    for number in range(1, plan.repeat + 1):
        for side in sides:
            progress(number, side)
            samples[side.name].append(measure(side, plan))
    return samples
