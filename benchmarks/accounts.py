"""What a process and the kernel hold, read from /proc.

Linux only, as the whole benchmark.  Knows nothing of servers or connections;
the arithmetic is in `benchmarks.figures`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from benchmarks.figures import Cache

PAGE: Final = resource.getpagesize()
SLABINFO: Final = Path("/proc/slabinfo")
#: Of prctl(2): no huge pages for this process, nor for those that it starts.
PR_SET_THP_DISABLE: Final = 41


@attrs.frozen
class Account:
    """One reading of the server process and of the kernel."""

    #: Resident memory of the process, bytes, as its page tables have it.
    resident: int
    #: Of it, in huge pages: memory that comes in steps of 2 MiB.
    huge: int
    descriptors: int
    #: Empty where /proc/slabinfo may not be read.
    slab: dict[str, Cache]


def read_account(pid: int) -> Account:
    """The account of process `pid` and of the kernel, now."""
    memory = read_memory(pid)
    return Account(
        resident=memory["Rss"],
        huge=memory["AnonHugePages"],
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        slab=read_slab(),
    )


@contextlib.contextmanager
def small_pages() -> Iterator[None]:
    """Meanwhile processes are started without huge pages, so that what they touch is what they get.

    :raises OSError: the kernel does not know how.
    """
    _disable_huge_pages(1)
    try:
        yield
    finally:
        _disable_huge_pages(0)


def _disable_huge_pages(flag: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_THP_DISABLE, *map(ctypes.c_ulong, (flag, 0, 0, 0))):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_THP_DISABLE): {os.strerror(number)}")


def read_memory(pid: int) -> dict[str, int]:
    """`/proc/PID/smaps_rollup` in bytes.

    VmRSS would be cheaper and is wrong by up to some hundred kilobytes: the
    kernel keeps it in counters for each processor.
    """
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = (line.split() for line in text.splitlines()[1:])
    return {name.rstrip(":"): int(kilobytes) * 1024 for name, kilobytes, _ in fields}


def read_slab(path: Path = SLABINFO) -> dict[str, Cache]:
    """Every slab cache of the kernel; empty without the right to know.

    An object's slot is what its slab's pages come to when shared out among the
    objects that fit, so it includes alignment and the slab's own waste.
    """
    try:
        lines = path.read_text().splitlines()[2:]
    except PermissionError:
        return {}
    caches = {}
    for line in lines:
        name, active, _, _, per_slab, pages, *_ = line.split()
        caches[name] = Cache(int(active), PAGE * int(pages) / int(per_slab))
    return caches
