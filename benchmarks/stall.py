"""A server that is held up in the midst of an open loop: what is sent again, and how soon that is over.

    python -m benchmarks.stall --connections 120000 --rate 25000 --stops 0.5,1,3

The clients, their lab and the server are those of ``make million``.  The server is
stopped (SIGSTOP) for so many seconds, as if others had its processor; meanwhile the
clients go on asking, and their kernel sends again what is not acknowledged.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, Self

import attrs

from benchmarks.layout import Table, number
from benchmarks.loadgen import LoadGenerator, LoadGeneratorError, Outcome
from benchmarks.million import measure, sides
from benchmarks.million.course import NOTICE_LIMIT, opened
from benchmarks.million.plan import Plan
from benchmarks.million.watch import read_tcp
from xtcp_twisted.errors import ResourceError, XTCPError
from xtcp_twisted.lab import Lab
from xtcp_twisted.lab.server import Server

#: Load before the server is stopped, seconds.
_LEAD: Final = 1.0
#: Between two looks at what the clients' kernel has sent again, seconds.
_LOOK: Final = 0.05
_COLUMNS: Final = (
    "stopped, s",
    "requests",
    "clients sent again",
    "for so long after it, s",
    "server sent again",
    "cached answers",
    "bare ACKs",
    "p99, ms",
    "errors",
)
#: Segments sent again within one look that count as none: a few are lost in any case.
_FEW: Final = 10


@attrs.frozen(kw_only=True)
class Row:
    """One stop."""

    seconds: float
    load: Outcome
    #: Segments that the clients' kernel has sent again, and for how long it went on after the stop, seconds.
    copies: int
    went_on: float
    #: What the engine has counted meanwhile.
    counters: dict[str, int]


class Stopper:
    """Stops a process for a while in a thread of its own, and looks at what comes of it; a context manager.

    :param pid: the process.
    :param seconds: for so long.
    :param inside: a process whose network namespace is the clients'.
    """

    def __init__(self, pid: int, seconds: float, inside: int) -> None:
        self.went_on = 0.0
        self._pid, self._seconds, self._inside = pid, seconds, inside
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        if self._over.wait(_LEAD):
            return
        os.kill(self._pid, signal.SIGSTOP)
        try:
            self._over.wait(self._seconds)
        finally:
            os.kill(self._pid, signal.SIGCONT)
        began, seen = time.monotonic(), read_tcp(self._inside)["RetransSegs"]
        while not self._over.wait(_LOOK):
            now = read_tcp(self._inside)["RetransSegs"]
            if now > seen + _FEW:
                self.went_on = time.monotonic() - began
            seen = now


def _counters(server: Server) -> dict[str, int]:
    status = server.status(NOTICE_LIMIT)
    if status is None:
        raise ResourceError(f"the server does not answer; its log ends:\n{server.tail()}")
    counters: dict[str, int] = status["snapshot"]["counters"]
    return counters


def stopped(lab: Lab, server: Server, client: LoadGenerator, seconds: float, load: dict[str, Any]) -> Row:
    """One open loop with a stop in it.

    :raises XTCPError: the server has died, or does not answer.
    """
    counters, kernel = _counters(server), read_tcp(lab.keeper_pid)["RetransSegs"]
    with Stopper(server.pid, seconds, lab.keeper_pid) as stopper:
        outcome = client.step("echo", **load)
    now = _counters(server)
    return Row(
        seconds=seconds,
        load=outcome,
        copies=read_tcp(lab.keeper_pid)["RetransSegs"] - kernel,
        went_on=stopper.went_on,
        counters={name: now[name] - then for name, then in counters.items()},
    )


def table(rows: Sequence[Row]) -> Table:
    """A row for each stop."""
    return Table("A server that is held up", _COLUMNS, tuple(_words(row) for row in rows))


def _words(row: Row) -> tuple[str, ...]:
    counted = (row.counters[name] for name in ("RetransSegs", "AnswersReplayed", "PureAcks"))
    return (
        f"{row.seconds:g}",
        number(row.load.messages),
        number(row.copies),
        number(row.went_on, 2),
        *map(number, counted),
        number(row.load.answer_us.p99 / 1e3),
        number(row.load.errors),
    )


def _numbers(text: str) -> list[float]:
    found = [float(word) for word in text.split(",")]
    if not all(0 < seconds <= 60 for seconds in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; give seconds up to 60, as 0.5,1,3")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit status 1 if requests went wrong, 2 if this machine cannot do it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stall", description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("--connections", type=int, default=120_000, metavar="N", help="clients (%(default)s)")
    add("--rate", type=float, default=25_000, help="requests per second, open loop (%(default)g)")
    add("--seconds", type=float, default=8, help="of each load (%(default)g)")
    add("--stops", type=_numbers, default=[0.5, 1.0, 3.0], metavar="S,S", help="seconds (0.5,1,3)")
    options = parser.parse_args(arguments)
    plan, rows = Plan(connections=options.connections), list[Row]()
    load = {**plan.load, "rate": options.rate, "seconds": options.seconds, "workers": 0}
    try:
        with Lab(sockets=plan.connections) as lab:
            server = sides.xtcp(lab, plan.connections)
            with measure.generator(plan, lab, server.pid) as client:
                opened(plan, client, plan.connections, 0, server.pid)
                rows.extend(stopped(lab, server, client, seconds, load) for seconds in options.stops)
            server.stop()
    except (LoadGeneratorError, XTCPError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(*table(rows).grid(), sep="\n")
    return 1 if any(row.load.errors for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
