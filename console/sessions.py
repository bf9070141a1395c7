"""Who is signed in: kept here, in memory, under an id of 256 bits that the cookie carries.

A session ends when it was not used for half an hour, twelve hours after sign-in, at
sign-out, or with the process.  An open event stream is no use of it: a tab left alone
signs itself out.  Whoever has to know, such as the stream, is told by `Sessions.onEnd`.

Any thread may call anything here.  Knows nothing of HTTP.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

#: Seconds without use after which a session ends.
IDLE_S: Final = 30 * 60
#: Seconds after which it ends in any case.
ABSOLUTE_S: Final = 12 * 3_600
#: Sessions at one time; another one ends the one unused for longest.
LIMIT: Final = 64

Means = Literal["token", "one-time link"]


def boot_clock() -> float:
    """Seconds since the machine started, those included that it slept: a closed laptop signs out."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in.

    :ivar sid: its id, a secret.
    :ivar by: what it was opened with.
    :ivar address: where from.
    :ivar since: when, Unix time.
    """

    sid: str = field(repr=False)
    by: Means
    address: str
    since: float


@dataclass(slots=True)
class _Entry:
    session: Session
    opened: float
    used: float


class Sessions:
    """All sessions of one console.

    :ivar onEnd: called with the id of each session that ended, in the thread that found it
        ended and without a lock held.
    """

    def __init__(
        self,
        clock: Callable[[], float] = boot_clock,
        *,
        idle_s: float = IDLE_S,
        absolute_s: float = ABSOLUTE_S,
        limit: int = LIMIT,
    ) -> None:
        """
        :param clock: seconds, never going back.
        :param idle_s: seconds without use after which a session ends.
        :param absolute_s: seconds after which it ends in any case.
        :param limit: sessions at one time.
        """
        self.onEnd: list[Callable[[str], None]] = []
        self.absolute_s = absolute_s
        self._clock = clock
        self._idle_s = idle_s
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def open(self, by: Means, address: str) -> Session:
        """Begin a session; where there are too many, the one unused for longest ends.

        :param by: what the viewer signed in with.
        :param address: where from.
        """
        now = self._clock()
        session = Session(secrets.token_urlsafe(32), by, address, time.time())
        with self._lock:
            ended = [sid for sid, entry in self._entries.items() if self._over(entry, now)]
            for sid in ended:
                del self._entries[sid]
            if len(self._entries) >= self._limit:
                oldest = min(self._entries, key=lambda sid: self._entries[sid].used)
                del self._entries[oldest]
                ended.append(oldest)
            self._entries[session.sid] = _Entry(session, opened=now, used=now)
        self._tell(ended)
        return session

    def get(self, sid: str | None, *, use: bool = True) -> Session | None:
        """The session of this id; None when there is none (any more).

        :param use: whether its viewer did something, so that its idle time starts anew.
        """
        now = self._clock()
        with self._lock:
            entry = self._entries.get(sid or "")
            if entry is None:
                return None
            if not self._over(entry, now):
                if use:
                    entry.used = now
                return entry.session
            del self._entries[entry.session.sid]
        self._tell([entry.session.sid])
        return None

    def end(self, sid: str | None) -> None:
        """End a session now; nothing happens when it has ended."""
        with self._lock:
            entry = self._entries.pop(sid or "", None)
        if entry is not None:
            self._tell([entry.session.sid])

    def _over(self, entry: _Entry, now: float) -> bool:
        return now - entry.used >= self._idle_s or now - entry.opened >= self.absolute_s

    def _tell(self, ended: list[str]) -> None:
        for sid in ended:
            for callback in self.onEnd:
                callback(sid)
