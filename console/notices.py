"""The log, and what keeps it readable.

Knows events; must not know engines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from xtcp_console.figures import Event, Severity

#: Events that a log keeps.
CAPACITY: Final = 500
#: What a flood is measured over, seconds.
MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Notice:
    """An event that has no number and no time yet; fields as in `figures.Event`."""

    severity: Severity
    kind: str
    ref: str
    text: str
    detail: str = ""


class Log:
    """The last events, the newest last."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=CAPACITY)
        self._last_id = 0

    def add(self, t: float, notice: Notice) -> None:
        """Enter what happened at `t`, a Unix time."""
        self._last_id += 1
        self._events.append(
            Event(self._last_id, t, notice.severity, notice.kind, notice.ref, notice.text, notice.detail)
        )

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(self._events)


@dataclass(slots=True)
class _Minute:
    began: float
    told: int
    held: int
    summary: Callable[[int], Notice]


class Flood:
    """Lets the first few of a sort pass in a minute, and counts the others."""

    def __init__(self) -> None:
        self._minutes: dict[Hashable, _Minute] = {}

    def admit(
        self, sort: Hashable, at: float, summary: Callable[[int], Notice], *, most: int, count: int = 1
    ) -> bool:
        """Whether to tell of it now; else it is counted.

        :param at: seconds of the monotonic clock.
        :param summary: makes the notice for those that are counted.
        :param most: how many pass in a minute.
        :param count: how many this is.
        """
        minute = self._minutes.setdefault(sort, _Minute(at, 0, 0, summary))
        if minute.told < most:
            minute.told += 1
            return True
        minute.held += count
        minute.summary = summary
        return False

    def over(self, at: float) -> list[Notice]:
        """The summaries that are due.  A flood that goes on has one a minute.

        :param at: seconds of the monotonic clock.
        """
        due = [(sort, minute) for sort, minute in self._minutes.items() if at - minute.began >= MINUTE_S]
        notices = []
        for sort, minute in due:
            if minute.held:
                notices.append(minute.summary(minute.held))
                minute.began, minute.held = at, 0
            else:
                del self._minutes[sort]
        return notices
