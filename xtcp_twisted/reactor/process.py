"""What the kernel says of this process (proc(5)).

Knows /proc; must not know engines.
"""

from __future__ import annotations

import os
from typing import Final

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def rss_bytes() -> int:
    """Memory of the process that is in RAM, bytes."""
    with open("/proc/self/statm", "rb", buffering=0) as statm:
        return int(statm.read().split()[1]) * PAGE_BYTES


def descriptors() -> int:
    """How many descriptors the process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # less the listing's own
