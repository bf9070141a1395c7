"""What an application server keeps of a group: the events that its application has not taken yet.

Only what needs a word is kept: a connection that failed, and one that refused
data and takes it again.  Data, ends of streams and requests stay in the engine
until they are asked for, so an idle connection costs nothing here.

Knows the engine's events; must not know who drives the engine.
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any, Final

from xtcp_twisted.engine import ENDS, Engine, EventKind
from xtcp_twisted.locations import Refused

#: Failed connections that one group remembers for an application that does not ask; then the oldest
#: is forgotten, and its id is merely stale.
MOST_ENDS: Final = 65_536
#: Events taken from the engine at once.
_EVENTS: Final = 4_096

#: What `Served.is_ready` is asked about, in the order of the sets of `xtcp_select`.
READ: Final = 0
ACCEPT: Final = 1


class Served:
    """One group of an application server.

    :param group: the engine's group.
    :ivar ends: connections that have failed -> errno; the application has not been told.
    :ivar wanting: connections that are being opened, or refused data.
    :ivar writable: those of `wanting` that take data now, in the order in which that happened.
    """

    __slots__ = ("ends", "group", "wanting", "writable")

    def __init__(self, group: Any) -> None:
        self.group = group
        self.ends: dict[int, int] = {}
        self.wanting: set[int] = set()
        self.writable: dict[int, None] = {}

    def logPrefix(self) -> str:
        """By this name a reactor's log calls it."""
        return f"xtcp group {self.group.name}"

    @property
    def unix(self) -> bool:
        """Whether it is a group of Unix sockets."""
        return bool(self.group.domain == socket.AF_UNIX)

    def turn(self, events: Iterable[tuple[int, int, int]], limit: int = 0, context: object = None) -> bool:
        """Take note of events: (kind, cd, detail).

        Also called by a reactor that drives the engine (`Engine.routes`); `limit` and `context` are its own.
        """
        for kind, cd, detail in events:
            if kind in ENDS:
                self.forget(cd)
                if kind != EventKind.CLOSED:
                    self._failed(cd, detail or (_ERRNO[EventKind(kind)]))
            elif kind in (EventKind.ESTABLISHED, EventKind.WRITABLE) and cd in self.wanting:
                self.wanting.discard(cd)
                self.writable[cd] = None
        return False

    def _failed(self, cd: int, number: int) -> None:
        self.ends[cd] = number
        if len(self.ends) > MOST_ENDS:
            del self.ends[next(iter(self.ends))]
        self.group.attention = True

    def take_end(self) -> tuple[int, int]:
        """The next connection that has failed, and its errno."""
        cd = next(iter(self.ends))
        number = self.ends[cd]
        self.forget(cd)
        return cd, number

    def take_writable(self) -> int:
        """The next connection that takes data again."""
        cd = next(iter(self.writable))
        del self.writable[cd]
        return cd

    def forget(self, cd: object) -> bool:
        """Nothing is kept of the connection any more; whether it was one that had failed."""
        if not isinstance(cd, int):
            return False
        self.wanting.discard(cd)
        self.writable.pop(cd, None)
        failed = self.ends.pop(cd, 0) != 0
        if failed and not self.ends:
            self.group.attention = False
        return failed

    def check_alive(self, cd: object, number: int) -> None:
        """Refuse with errno `number` what a connection that has failed cannot do."""
        if isinstance(cd, int) and cd in self.ends:
            raise Refused(number, f"connection {cd} has failed; xtcp_recv tells why")

    def is_ready(self, which: int) -> bool:
        """Whether `xtcp_recv`, `xtcp_accept` or `xtcp_writable` would find something.

        Of data the group's notification settings decide when it is told (P05).
        """
        if which == READ:
            return bool(self.ends or self.group.notified)
        if which == ACCEPT:
            return bool(self.group.waiting > 0)
        return bool(self.writable)


_ERRNO: Final = {EventKind.RESET: errno.ECONNRESET, EventKind.DOWN: errno.ETIMEDOUT}


def serve_events(engine: Engine) -> None:
    """Tell everybody who serves a group of the engine what has happened; frees the slots of the ended."""
    more = True
    while more:
        batch = engine.events(_EVENTS)
        more = len(batch) >= _EVENTS
        for kind, gd, cd, detail in batch:
            route = engine.routes.get(gd)
            if route is not None:
                route.turn([(kind, cd, detail)])


def running_loop() -> str | None:
    """The event loop that runs in this thread, by name; found without importing any."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return "the asyncio event loop"
    reactor, threadable = (
        sys.modules.get(f"twisted.{name}") for name in ("internet.reactor", "python.threadable")
    )
    if getattr(reactor, "running", False) and getattr(threadable, "ioThread", None) == threading.get_ident():
        return "Twisted's reactor"
    return None
