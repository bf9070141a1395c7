"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

import attrs

from xtcp_twisted.lab import Lab

CONGESTION_CONTROL: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")
DISTRIBUTIONS: Final = ("xtcp-twisted", "Twisted", "uvloop")


@attrs.frozen
class Machine:
    """Processor, memory, kernel and versions, in words."""

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    distributions: dict[str, str]
    load: float
    congestion_control: str

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.distributions.items())
        return (
            f"{self.cores} x {self.processor}, {self.memory_gib:.0f} GiB, Linux {self.kernel}"
            f" (congestion control {self.congestion_control}), Python {self.python}, {versions};"
            f" load before the start {self.load:.2f}"
        )


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def describe() -> Machine:
    """The machine that this runs on, and what the kernel does in a lab on it.

    Raises `xtcp_twisted.errors.XTCPError` where no lab can be made.
    """
    with Lab() as lab:
        congestion_control = lab.call(CONGESTION_CONTROL.read_text)
    distributions = {}
    for name in DISTRIBUTIONS:
        try:
            distributions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Machine(
        processor=_field("/proc/cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=int(_field("/proc/meminfo", "MemTotal").split()[0]) / 2**20,
        kernel=platform.release(),
        python=platform.python_version(),
        distributions=distributions,
        load=os.getloadavg()[0],
        congestion_control=congestion_control.strip(),
    )
