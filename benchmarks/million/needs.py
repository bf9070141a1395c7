"""What the machine has to have, looked at before anything is started."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.million.plan import Plan
from xtcp_twisted.errors import ResourceError
from xtcp_twisted.lab.namespace import require_privileges

MEMINFO: Final = Path("/proc/meminfo")
#: Kernel memory of a client's socket (see docs/performance.md) with what else a file takes, bytes.
CLIENT_BYTES: Final = 5_000
#: Of the server, for each connection.
SERVER_BYTES: Final = 250
#: Server and client processes without connections, bytes.
BASE_BYTES: Final = 400 << 20
#: One for the clients, one for the server.
CORES: Final = 2


def memory_needed(plan: Plan) -> int:
    """Bytes that a run takes at its highest, about."""
    return BASE_BYTES + plan.connections * (CLIENT_BYTES + SERVER_BYTES)


def memory_available(meminfo: Path = MEMINFO) -> int:
    """Bytes that programs may still take without swapping."""
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    raise ResourceError(f"{meminfo} does not say how much memory is available")


def check(plan: Plan, *, cores: int | None = None, available: int | None = None) -> None:
    """See whether this machine can do it.

    :param cores: processors that may be used, if not this process's.
    :param available: bytes of memory, if not those of this machine.
    :raises XTCPError: it cannot; the text says what is missing and what to do.
    :raises LoadGeneratorError: descriptors are what is missing.
    """
    require_privileges()
    have = len(os.sched_getaffinity(0)) if cores is None else cores
    if have < CORES:
        raise ResourceError(
            f"clients and server take {CORES} processors, one each, and this process may use {have}:"
            " on one of them they would measure each other"
        )
    free = memory_available() if available is None else available
    if (needed := memory_needed(plan)) > free:
        fit = max(0, (free - BASE_BYTES) // (CLIENT_BYTES + SERVER_BYTES))
        raise ResourceError(
            f"{plan.connections:,} clients take about {needed / 2**30:.1f} GiB of memory, most of it the"
            f" kernel's, and {free / 2**30:.1f} GiB are available; give CONNECTIONS={fit // 1000 * 1000} or"
            " fewer, or free some"
        )
    assert plan.workers
    for module, extra in (("flask", "console"), ("matplotlib", "bench")):
        if not find_spec(module):
            raise ResourceError(f"{module} is missing: pip install 'xtcp_twisted[{extra}]'")
