"""Why a connection ended, in Twisted's words.

The failures carry no traceback and are shared by all connections: a million
connections that are lost at once must not make a million of them.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from twisted.internet import error
from twisted.python.failure import Failure

from xtcp_twisted.engine.kinds import EventKind

#: Closed in order, by either side.
DONE: Final = Failure(error.ConnectionDone())
#: The peer reset it.
RESET: Final = Failure(error.ConnectionLost(os.strerror(errno.ECONNRESET)))
#: We reset it.
ABORTED: Final = Failure(error.ConnectionAborted())
#: The reactor or the stack stopped.
LOST: Final = Failure(error.ConnectionLost())

_down: dict[int, Failure] = {}
_refused: dict[int, Failure] = {}


def reasonOf(kind: int, detail: int) -> Failure:
    """The reason of an end event.

    :param kind: one of `xtcp_twisted.engine.kinds.ENDS`.
    :param detail: the event's detail; for `DOWN` the errno.
    """
    if kind == EventKind.CLOSED:
        return DONE
    if kind == EventKind.RESET:
        return RESET
    number = detail or errno.ETIMEDOUT
    if number not in _down:
        _down[number] = Failure(error.ConnectionLost(os.strerror(number)))
    return _down[number]


def refusalOf(number: int) -> Failure:
    """Why a connection that we began was never made.

    :param number: the errno in the detail of its end event.
    """
    if number not in _refused:
        _refused[number] = Failure(error.getConnectError((number, os.strerror(number))))
    return _refused[number]
