"""A fleet: many real kernel TCP clients in a lab, spread over processes.

A process can hold no more connections than its limit of descriptors, so the
clients are divided among workers (`fleet_worker`).  This module plans,
starts and stops the workers and adds up what they report; it judges nothing.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, Self

import xtcp_twisted
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.lab.fleet_worker import FAREWELL_S, TALKS, Plan
from xtcp_twisted.lab.lab import Lab
from xtcp_twisted.lab.latency import Latencies

#: Descriptors of a worker that are no connections: standard streams, epoll, a log.
RESERVED_DESCRIPTORS: Final = 32
#: One process can do it up to here; beyond, more cores help.
CLIENTS_PER_WORKER: Final = 5_000
#: Connections that the whole fleet is opening at a time.
WINDOW: Final = 256


@dataclass(frozen=True)
class Target:
    """Where clients connect to, and what they talk there (a name of `fleet_worker.TALKS`)."""

    talk: str
    host: str
    port: int


@dataclass(frozen=True)
class Figures:
    """What the fleet has seen so far."""

    clients: int
    opened: int  #: connections that were established
    connections: int  #: that are established now
    requests: int
    answers: int
    late: int  #: requests that were due while every client waited for an answer
    errors: Mapping[str, int]  #: kind -> count; each costs a connection
    examples: Sequence[str]  #: texts of the first errors
    per_second: float  #: answers, since `Fleet.mark`
    recent_per_second: float  #: answers, between the last two reports
    latencies: Latencies  #: since `Fleet.mark`
    recent: Latencies  #: since the figures before these


class _Worker:
    """One worker process as its fleet sees it."""

    def __init__(self, process: subprocess.Popen[bytes], plan: Plan) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.orders: IO[bytes] = process.stdin
        self.reports: IO[bytes] = process.stdout
        self.report: dict[str, Any] = {"state": "opening", "errors": {}, "examples": []}
        #: Time and answers of one report: where `Fleet.mark` was, and the last before the farewell.
        self.marked = self.talked = (0.0, 0)
        self.rate = 0.0  #: answers per second between the last two reports
        self._partial = b""
        os.set_blocking(self.reports.fileno(), False)
        self.orders.write(json.dumps(asdict(plan)).encode() + b"\n")
        self.orders.flush()

    def read(self, latencies: Latencies) -> bool:
        """Take in the reports that are there; False at their end."""
        data = self.reports.read()
        if data is None:
            return True
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self.report = json.loads(line)
            if self.report["state"] != "done":
                before, self.talked = self.talked, (self.report["time"], self.report["answers"])
                self.rate = _rate(before, self.talked)
            latencies.merge({int(bucket): n for bucket, n in self.report["latencies"].items()})
        if data:
            return True
        if self.report["state"] != "done":
            # Whatever it had counted, its clients are gone.
            self.report["errors"] = Counter(self.report["errors"]) + Counter({"worker died": 1})
            self.report["examples"] = [f"worker {self.process.pid} died", *self.report["examples"]]
            self.report.update(state="done", connections=0)
        return False


def _rate(before: tuple[float, int], after: tuple[float, int]) -> float:
    """Answers per second between two reports of a worker, by its own clock."""
    seconds = after[0] - before[0]
    return (after[1] - before[1]) / seconds if seconds > 0 else 0.0


class Fleet:
    """`clients` kernel TCP clients in `lab`; a context manager that starts and ends them.

    :param targets: destinations, taken in turn (`destinations` makes them from a configuration).
    :param rate: requests per second of all clients together; 0: every client's first alone.
    :param patience_s: an answer or a handshake that takes longer is an error, seconds.
    :raises ConfigurationError: a number is out of range, or a talk is unknown.
    """

    def __init__(
        self,
        lab: Lab,
        targets: Sequence[Target],
        *,
        clients: int,
        rate: float,
        patience_s: float = 20.0,
    ) -> None:
        _validate(targets, clients, rate)
        self.clients = clients
        self._lab = lab
        self._plans = _plans(targets, clients, rate, patience_s)
        self._workers: list[_Worker] = []
        self._latencies = Latencies()
        self._recent = Latencies()
        self.selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        # The workers need this very package, wherever it was imported from.
        package = str(Path(xtcp_twisted.__file__).parents[1])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        for plan in self._plans:
            process = self._lab.popen(
                [sys.executable, "-P", "-m", "xtcp_twisted.lab.fleet_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                # A Ctrl-C is for the caller, who ends the fleet in order.
                start_new_session=True,
            )
            worker = _Worker(process, plan)
            self._workers.append(worker)
            self.selector.register(worker.reports, selectors.EVENT_READ, worker)
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.orders.close()
            worker.process.kill()
            worker.process.wait()
            worker.reports.close()
        self.selector.close()

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """The worker processes."""
        return [worker.process for worker in self._workers]

    def update(self, timeout: float) -> None:
        """Take in reports for `timeout` seconds, or until the fleet gets ready or done, or
        something else that is registered with `selector` is readable."""
        was_ready = self.ready()
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in self.selector.select(left):
                if not isinstance(key.data, _Worker):
                    return
                if not key.data.read(self._recent):
                    self.selector.unregister(key.fileobj)
            if self.done() or self.ready() != was_ready:
                return

    def ready(self) -> bool:
        """Whether every client was connected or has failed."""
        return all(worker.report["state"] != "opening" for worker in self._workers)

    def done(self) -> bool:
        """Whether every worker has ended."""
        return all(worker.report["state"] == "done" for worker in self._workers)

    def mark(self) -> None:
        """Count `per_second` and `latencies` of the figures from here on."""
        for worker in self._workers:
            worker.marked = worker.talked
        self._latencies, self._recent = Latencies(), Latencies()

    def finish(self) -> Figures:
        """Stop asking, wait for the answers that are due, and return the final figures."""
        for worker in self._workers:
            worker.orders.close()
        deadline = time.monotonic() + FAREWELL_S + 1
        while not self.done() and time.monotonic() < deadline:
            self.update(0.2)
        return self.figures()

    def figures(self) -> Figures:
        """The sums over all workers, as of their last reports (each twice a second)."""
        errors: Counter[str] = Counter()
        for worker in self._workers:
            errors.update(worker.report["errors"])

        recent, self._recent = self._recent, Latencies()
        self._latencies.merge(recent.counts)

        def total(key: str) -> int:
            return sum(worker.report.get(key, 0) for worker in self._workers)

        return Figures(
            clients=self.clients,
            opened=total("opened"),
            connections=total("connections"),
            requests=total("requests"),
            answers=total("answers"),
            late=total("late"),
            errors=errors,
            examples=[text for worker in self._workers for text in worker.report["examples"]],
            per_second=sum(_rate(worker.marked, worker.talked) for worker in self._workers),
            recent_per_second=sum(worker.rate for worker in self._workers),
            latencies=self._latencies,
            recent=recent,
        )


def _validate(targets: Sequence[Target], clients: int, rate: float) -> None:
    if not targets:
        raise ConfigurationError("targets: none are given; a fleet needs a destination")
    for target in targets:
        if target.talk not in TALKS:
            raise ConfigurationError(f"talk: {target.talk!r} is not known; give one of {', '.join(TALKS)}")
    if not 1 <= clients <= 10_000_000:
        raise ConfigurationError(f"clients: {clients} is not allowed; give a number from 1 to 10,000,000")
    if not 0 <= rate <= 1_000_000:
        raise ConfigurationError(
            f"rate: {rate:g} is not allowed; give requests per second from 0 (one each) to 1,000,000"
        )


def _plans(targets: Sequence[Target], clients: int, rate: float, patience_s: float) -> list[Plan]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = CLIENTS_PER_WORKER
    if limit != resource.RLIM_INFINITY:
        room = min(room, limit - RESERVED_DESCRIPTORS)
    if room < 1:
        raise ConfigurationError(f"clients: a process may open {limit} descriptors only; raise `ulimit -n`")
    workers = -(-clients // room)
    bounds = [clients * i // workers for i in range(workers + 1)]
    return [
        Plan(
            first=first,
            clients=end - first,
            targets=[(target.talk, target.host, target.port) for target in targets],
            rate=rate * (end - first) / clients,
            window=max(8, WINDOW // workers),
            patience_s=patience_s,
        )
        for first, end in pairwise(bounds)
    ]
