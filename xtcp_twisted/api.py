"""The calls of the patent's Fig. 4, under their own names, for programs without Twisted::

    with ApplicationServer(engine):
        xtcp_initialize(16 * MiB)
        gd = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 5222)
        ...

Whatever an application can cause is answered as C does it: by a negative errno,
and nothing has changed; `xtcp_strerror` tells in a sentence what was wrong.
docs/api.md has every call with each errno, and a paragraph on each point that the
patent leaves open.

Each function here is the method of that name of the current `ApplicationServer`,
where its arguments and results are described.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import wraps
from socket import AF_INET as PF_INET
from socket import AF_INET6 as PF_INET6
from socket import AF_UNIX as PF_UNIX
from socket import SOCK_STREAM
from typing import Concatenate, Final, ParamSpec

from xtcp_twisted.application import ApplicationServer, current
from xtcp_twisted.config import ALL as XTCP_ALL
from xtcp_twisted.locations import is_descriptor, sockaddr_in, sockaddr_in6, sockaddr_un, xtcp_cd, xtcp_set

__all__ = [
    "PF_INET",
    "PF_INET6",
    "PF_UNIX",
    "SOCK_STREAM",
    "XTCP_ALL",
    "XTCP_CLR",
    "XTCP_ISSET",
    "XTCP_SET",
    "XTCP_ZERO",
    "ApplicationServer",
    "sockaddr_in",
    "sockaddr_in6",
    "sockaddr_un",
    "xtcp_accept",
    "xtcp_cd",
    "xtcp_close",
    "xtcp_close_group",
    "xtcp_connect",
    "xtcp_finalize",
    "xtcp_initialize",
    "xtcp_need",
    "xtcp_open_group",
    "xtcp_options",
    "xtcp_pars",
    "xtcp_pending",
    "xtcp_rcv",
    "xtcp_recv",
    "xtcp_refuse",
    "xtcp_select",
    "xtcp_send",
    "xtcp_set",
    "xtcp_strerror",
    "xtcp_writable",
]

P = ParamSpec("P")


# --- sets of groups (410) ------------------------------------------------------


def XTCP_ZERO(set: xtcp_set) -> int:
    """Empty a set; 0, or -EFAULT when `set` is none."""
    if not isinstance(set, xtcp_set):
        return -errno.EFAULT
    set.replace(())
    return 0


def XTCP_SET(gd: int, set: xtcp_set) -> int:
    """Put the group `gd` into a set; 0, or -EBADF when `gd` cannot be one, -EFAULT when `set` is none."""
    if not isinstance(set, xtcp_set):
        return -errno.EFAULT
    if not is_descriptor(gd):
        return -errno.EBADF
    set.add(gd)
    return 0


def XTCP_CLR(gd: int, set: xtcp_set) -> int:
    """Take the group `gd` out of a set; 0, or -EFAULT when `set` is none."""
    if not isinstance(set, xtcp_set):
        return -errno.EFAULT
    set.discard(gd)
    return 0


def XTCP_ISSET(gd: int, set: xtcp_set) -> int:
    """1 if the group `gd` is in a set, else 0; -EFAULT when `set` is none."""
    if not isinstance(set, xtcp_set):
        return -errno.EFAULT
    return int(gd in set)


# --- the calls as functions ------------------------------------------------------

_NO_SERVER: Final = "no application server is current; use 'with ApplicationServer(engine):'"


def _of_current(method: Callable[Concatenate[ApplicationServer, P], int]) -> Callable[P, int]:
    """The same call for the current application server; -ESRCH when there is none."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> int:
        server = current.get(None)
        if server is None:
            return -errno.ESRCH
        return method(server, *args, **kwargs)

    return call


#: As `ApplicationServer.xtcp_initialize`.
xtcp_initialize = _of_current(ApplicationServer.xtcp_initialize)
#: As `ApplicationServer.xtcp_finalize`.
xtcp_finalize = _of_current(ApplicationServer.xtcp_finalize)
#: As `ApplicationServer.xtcp_open_group`.
xtcp_open_group = _of_current(ApplicationServer.xtcp_open_group)
#: As `ApplicationServer.xtcp_close_group`.
xtcp_close_group = _of_current(ApplicationServer.xtcp_close_group)
#: As `ApplicationServer.xtcp_options`.
xtcp_options = _of_current(ApplicationServer.xtcp_options)
#: As `ApplicationServer.xtcp_accept`.
xtcp_accept = _of_current(ApplicationServer.xtcp_accept)
#: As `ApplicationServer.xtcp_pending`.
xtcp_pending = _of_current(ApplicationServer.xtcp_pending)
#: As `ApplicationServer.xtcp_refuse`.
xtcp_refuse = _of_current(ApplicationServer.xtcp_refuse)
#: As `ApplicationServer.xtcp_connect`.
xtcp_connect = _of_current(ApplicationServer.xtcp_connect)
#: As `ApplicationServer.xtcp_pars`.
xtcp_pars = _of_current(ApplicationServer.xtcp_pars)
#: As `ApplicationServer.xtcp_close`.
xtcp_close = _of_current(ApplicationServer.xtcp_close)
#: As `ApplicationServer.xtcp_recv`; the patent has both names.
xtcp_recv = xtcp_rcv = _of_current(ApplicationServer.xtcp_recv)
#: As `ApplicationServer.xtcp_send`.
xtcp_send = _of_current(ApplicationServer.xtcp_send)
#: As `ApplicationServer.xtcp_need`.
xtcp_need = _of_current(ApplicationServer.xtcp_need)
#: As `ApplicationServer.xtcp_writable`.
xtcp_writable = _of_current(ApplicationServer.xtcp_writable)
#: As `ApplicationServer.xtcp_select`.
xtcp_select = _of_current(ApplicationServer.xtcp_select)


def xtcp_strerror() -> str:
    """What the last call of the current application server that failed has to say."""
    server = current.get(None)
    return _NO_SERVER if server is None else server.error
