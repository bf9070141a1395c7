"""The arithmetic of the benchmark: medians, ratios, and what a connection costs.

Pure functions of numbers; knows no process and no network.

Machines are shared and noisy, so a figure is the median of several short runs
and is shown with its range, and two servers are compared by the ratios of runs
that stood side by side, not by the ratio of two medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

import attrs

#: Kernel objects that every file on the machine has: what other programs open
#: meanwhile would be counted as ours.  A socket has one of each, so they are
#: counted by the number of sockets instead.
PER_SOCKET_CACHES: Final = ("dentry", "lsm_inode_cache")
SOCKET_CACHE: Final = "sock_inode_cache"
#: Caches that no socket is in, by the beginning or end of their names: file
#: systems and processes.
UNRELATED_PREFIXES: Final = (
    "bio-", "btrfs_", "buffer_head", "ext4_", "extent_", "files_cache", "inode_cache", "jbd2_", "kernfs_",
    "maple_node", "mm_struct", "names_cache", "ovl_", "pid", "radix_tree_node", "seq_file", "sighand_cache",
    "signal_cache", "task_", "vm_area_struct", "vmap_area", "xfs_",
)  # fmt: skip
UNRELATED_SUFFIXES: Final = ("_inode_cache", "_inode", "_inode_info")


@attrs.frozen
class Spread:
    """A figure: the median of several runs, and the least and the greatest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> Self:
        """The spread of at least one sample; raises `ValueError` if there is none."""
        numbers = list(samples)
        if not numbers:
            raise ValueError("no samples")
        return cls(statistics.median(numbers), min(numbers), max(numbers))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """The spread of ours/theirs, run by run in the order in which they were made.

    None when there is nothing to compare: no pair of runs, or nothing but
    zeros on their side.
    """
    pairs = [a / b for a, b in zip(ours, theirs, strict=False) if b]
    return Spread.of(pairs) if pairs else None


def marginal(before: float, after: float, few: int, many: int) -> float:
    """What one more connection costs: the growth from `few` to `many` connections, for each."""
    if many <= few:
        raise ValueError(f"a marginal cost needs more than {few} connections, not {many}")
    return (after - before) / (many - few)


@attrs.frozen
class Cache:
    """One kernel slab cache: objects in use, and bytes that each takes with its share of slack."""

    objects: int
    slot: float


def socket_slab(before: Mapping[str, Cache], after: Mapping[str, Cache]) -> float:
    """Bytes of kernel slab that sockets took between two readings of `/proc/slabinfo`.

    Leaves out what programs that have nothing to do with the measurement
    allocate or free: the objects of file systems and processes, and directory
    entries but one for each socket.
    """
    grown = {name: cache.objects - before.get(name, Cache(0, 0)).objects for name, cache in after.items()}
    sockets = grown.get(SOCKET_CACHE, 0)
    total = 0.0
    for name, objects in grown.items():
        if name in PER_SOCKET_CACHES:
            total += sockets * after[name].slot
        elif name == SOCKET_CACHE or not (
            name.startswith(UNRELATED_PREFIXES) or name.endswith(UNRELATED_SUFFIXES)
        ):
            total += objects * after[name].slot
    return total


def kernel_side(both_ends: float, client_only: float | None) -> tuple[float, str]:
    """Kernel bytes per connection on the server's side, and how they were found.

    `both_ends` was measured where client and server are both sockets of this
    kernel.  `client_only` was measured, by the same generator in the same run,
    where only the client is one; without it, half of both ends is taken.
    """
    if client_only is None:
        return both_ends / 2, "half of both ends"
    return both_ends - client_only, "both ends less the client's"
