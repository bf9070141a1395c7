"""What the kernel says of this process (proc(5)).

Knows /proc; must not know engines.
"""

from __future__ import annotations

import os
from pathlib import Path


def rss_bytes() -> int:
    """Memory of the process that is in RAM, bytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """How many descriptors the process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # less the listing's own
