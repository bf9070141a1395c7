"""What is seen from outside while a run goes on: CPU time, connections, memory.

Everything is read from /proc; knows nothing of what the run does.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import attrs

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = resource.getpagesize()
#: Between two looks, seconds.
INTERVAL: Final = 0.5


@attrs.frozen
class Cpu:
    """CPU time since some time, seconds; a difference of two is what was used between them."""

    #: When it was read (CLOCK_MONOTONIC).
    at: float
    server_user: float
    server_system: float
    clients_user: float
    clients_system: float
    #: Of the whole machine, interrupts included.
    all_user: float
    all_system: float

    def __sub__(self, earlier: Cpu) -> Cpu:
        return Cpu(
            *(now - then for now, then in zip(attrs.astuple(self), attrs.astuple(earlier), strict=True))
        )

    @property
    def cores(self) -> dict[str, float]:
        """Of a difference: processors kept busy, by whom."""
        others = (self.all_user + self.all_system) - (
            self.server_user + self.server_system + self.clients_user + self.clients_system
        )
        seconds = {
            "server, user": self.server_user,
            "server, system": self.server_system,
            "client processes, user": self.clients_user,
            "client processes, system": self.clients_system,
            "everything else": max(0.0, others),
        }
        return {name: used / self.at for name, used in seconds.items()} if self.at > 0 else {}


def _of_process(pid: int) -> tuple[float, float]:
    """User and system time of a process, all threads; zeros when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def children(pid: int) -> list[int]:
    """The processes that `pid` has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def read_cpu(server: int, clients: Sequence[int]) -> Cpu:
    """CPU time of the process `server`, of the processes `clients`, and of the machine."""
    server_user, server_system = _of_process(server)
    theirs = [_of_process(pid) for pid in clients]
    words = Path("/proc/stat").read_text().split(maxsplit=8)
    user, nice, system, _, _, hard, soft = (int(word) / TICKS for word in words[1:8])
    return Cpu(
        time.monotonic(),
        server_user,
        server_system,
        sum(user for user, _ in theirs),
        sum(system for _, system in theirs),
        user + nice,
        system + hard + soft,
    )


def read_tcp(pid: int) -> dict[str, int]:
    """The kernel's own TCP counters in the network namespace of process `pid` (TCP-MIB, TcpExt)."""
    counters: dict[str, int] = {}
    for file, kinds in (("snmp", ("Tcp",)), ("netstat", ("TcpExt",))):
        lines = Path(f"/proc/{pid}/net/{file}").read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            kind, _, rest = names.partition(":")
            if kind in kinds:
                numbers = values.partition(":")[2].split()
                counters.update(zip(rest.split(), map(int, numbers), strict=True))
    return counters


def read_sockets(pid: int) -> int:
    """TCP sockets in the network namespace of process `pid`, TIME-WAIT left out."""
    for line in Path(f"/proc/{pid}/net/sockstat").read_text().splitlines():
        kind, _, rest = line.partition(":")
        if kind == "TCP":
            words = rest.split()
            return int(words[words.index("inuse") + 1])
    return 0


@attrs.frozen
class Look:
    """One look."""

    #: Seconds since the watch began.
    at: float
    phase: str
    #: TCP sockets of the clients.
    connections: int
    #: Resident memory of the server, bytes, as the kernel's cheap counters have it.
    resident: int
    #: Of the server's CPU time, what it used since the look before, in cores.
    server_cores: float


class Watch:
    """Looks twice a second, in a thread of its own; a context manager.

    :param server: the server's process id.
    :param inside: a process whose network namespace is the clients'.
    :param show: gets each `Look`.
    """

    def __init__(self, server: int, inside: int, show: Callable[[Look], None]) -> None:
        self.looks: list[Look] = []
        self.phase = ""
        self._server, self._inside, self._show = server, inside, show
        self._over = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        used, at = sum(_of_process(self._server)), self._began
        while not self._over.wait(INTERVAL):
            try:
                statm = Path(f"/proc/{self._server}/statm").read_text().split()
                sockets = read_sockets(self._inside)
            except OSError:
                return  # the server, or the lab, has gone
            now, spent = time.monotonic(), sum(_of_process(self._server))
            look = Look(
                round(now - self._began, 3),
                self.phase,
                sockets,
                int(statm[1]) * PAGE,
                round((spent - used) / (now - at), 3),
            )
            used, at = spent, now
            self.looks.append(look)
            self._show(look)
