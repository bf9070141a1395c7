"""What `xtcp_select` asks before it waits, and how a program without an event loop waits.

Knows sets of groups and who may drive an engine; must not know what an application
server keeps.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable, Iterable
from typing import Final

from xtcp_twisted.errors import EngineBusy
from xtcp_twisted.locations import Refused, xtcp_set
from xtcp_twisted.serving import running_loop

#: The longest that `wait_readable` waits at once; poll(2) takes milliseconds in an int.
_LONGEST_WAIT_S: Final = 1_000_000


def wait_readable(fd: int, timeout_s: float | None) -> None:
    """Block until the descriptor is readable or time is up, the milliseconds rounded up; None: no end."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.poll(None if timeout_s is None else min(timeout_s, _LONGEST_WAIT_S) * 1000)


def check_sets(n: object, sets: Iterable[object], check: Callable[[int], object]) -> None:
    """Refuse what are no sets of groups, one set given twice, or more elements than `n`.

    :param check: raises for what is no group of the caller.
    """
    total = 0
    given = [gds for gds in sets if gds is not None]
    for gds in given:
        if not isinstance(gds, xtcp_set):
            raise Refused(errno.EFAULT, f"{gds!r} is no set of groups; give xtcp_set() or None")
        for gd in gds:
            check(gd)
            total += 1
    if len(set(map(id, given))) < len(given):
        raise Refused(
            errno.EINVAL, "one set is given twice, and cannot hold two answers; give a set for each"
        )
    if not isinstance(n, int) or isinstance(n, bool) or n < total:
        raise Refused(errno.EINVAL, f"n: {n!r} is not allowed; the sets have {total} elements together")


def check_may_block(driver: object, limit: float | None) -> None:
    """Refuse to wait in the thread of an event loop for what only that loop can do.

    :param driver: who drives the engine, or None.
    """
    if limit == 0:
        return
    if hasattr(driver, "xtcp_select"):
        raise EngineBusy("another xtcp_select waits, and drives the engine; give a timeout of 0 meanwhile")
    loop = "the reactor that drives this engine" if driver is not None else running_loop()
    if loop is not None:
        raise Refused(
            errno.EDEADLK,
            f"xtcp_select would stop {loop}, in whose thread it was called; give a timeout of 0, and let"
            " the loop watch the groups' descriptors",
        )
