"""The descriptors of this process."""

from __future__ import annotations

import gc
import os
import select


def open_descriptors() -> int:
    """How many there are, without those of other tests' garbage, which would be closed at any time."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def readable(fd: int) -> bool:
    """Whether a descriptor is readable now."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))
