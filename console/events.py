"""What happened, in sentences an operator understands.

A `Watch` compares two samples of the engine and writes the log: pools and groups
that were opened and closed, pressure, and counters that should stand still.  What
happens again and again is told as a number once a minute.

Knows samples; must not know where they come from or how events are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, TypeVar

from xtcp_console.formats import integer, octets
from xtcp_console.losses import LOSSES
from xtcp_console.notices import Flood, Log, Notice
from xtcp_console.pressures import SEVERITIES, Passage, passages
from xtcp_console.rates import Sample
from xtcp_twisted.engine.snapshot import GroupSnapshot, PoolSnapshot

#: Changes of one buffer's pressure, or openings of one sort, that are told singly in a minute.
TOLD_SINGLY: Final = 10

_T = TypeVar("_T")


class Watch:
    """Writes the log of an engine."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._flood = Flood()

    def started(self, sample: Sample) -> None:
        """An engine has appeared."""
        detail = " · ".join(
            (
                _number(len(sample.pools), "pool"),
                _number(len(sample.groups), "group"),
                f"room for {_number(sample.snapshot.max_connections, 'connection')}",
            )
        )
        self._log.add(sample.t, Notice("ok", "engine", "engine", "The engine started", detail))
        self._pressures(None, sample)

    def stopped(self, t: float, reason: str | None) -> None:
        """The engine has gone.

        :param reason: why; None when it was stopped in order.
        """
        if reason is None:
            notice = Notice("info", "engine", "engine", "The engine was stopped")
        else:
            notice = Notice("crit", "engine", "engine", "The engine stopped", reason)
        self._log.add(t, notice)

    def compare(self, old: Sample, new: Sample) -> None:
        """Tell what has changed from one sample to the next of the same engine."""
        self._openings(old, new)
        self._pressures(old, new)
        self._losses(old, new)

    def settle(self, t: float, at: float) -> None:
        """Tell of the floods whose minute is over.

        :param t: Unix time.
        :param at: seconds of the monotonic clock.
        """
        for notice in self._flood.over(at):
            self._log.add(t, notice)

    def _openings(self, old: Sample, new: Sample) -> None:
        for pool in _missing(old.pools, new.pools):
            self._opening(new, "pool", "closed", _pool(pool, "closed"))
        for group in _missing(old.groups, new.groups):
            self._opening(new, "group", "closed", _group(group, "closed"))
        for pool in _missing(new.pools, old.pools):
            self._opening(new, "pool", "opened", _pool(pool, "opened"))
        for group in _missing(new.groups, old.groups):
            self._opening(new, "group", "opened", _group(group, "opened"))

    def _opening(self, sample: Sample, kind: str, what: str, notice: Notice) -> None:
        if self._flood.admit((kind, what), sample.at, partial(_openings, kind, what), most=TOLD_SINGLY):
            self._log.add(sample.t, notice)

    def _pressures(self, old: Sample | None, new: Sample) -> None:
        for passage in passages(old, new):
            for notice in passage.notices():
                if self._flood.admit(passage.ref, new.at, partial(_changes, passage), most=TOLD_SINGLY):
                    self._log.add(new.t, notice)

    def _losses(self, old: Sample, new: Sample) -> None:
        before, after = old.snapshot.counters, new.snapshot.counters
        for name in LOSSES:
            lost = after[name] - before[name]
            summary = partial(_loss, name, " within a minute")
            if lost > 0 and self._flood.admit(name, new.at, summary, most=1, count=lost):
                self._log.add(new.t, _loss(name, "", lost))


def _missing(there: Mapping[int, _T], here: Mapping[int, _T]) -> list[_T]:
    """What the one mapping has and the other has not, in the order of their opening."""
    if there.keys() == here.keys():
        return []
    return [there[serial] for serial in sorted(there.keys() - here.keys())]


def _number(count: int, noun: str) -> str:
    return f"{integer(count)} {noun}{'' if count == 1 else 's'}"


def _pool(pool: PoolSnapshot, what: str) -> Notice:
    detail = f"receive buffer {octets(pool.receive_buffer.size)}"
    return Notice("info", "pool", f"pool/{pool.row}", f"Pool {pool.name} was {what}", detail)


def _group(group: GroupSnapshot, what: str) -> Notice:
    place = f"port {group.port} of {group.address or 'all addresses'}"
    detail = place if group.port else f"Unix socket {group.address}"
    return Notice("info", "group", f"group/{group.row}", f"Group {group.name} was {what}", detail)


def _openings(kind: str, what: str, count: int) -> Notice:
    were = "was" if count == 1 else "were"
    return Notice("info", kind, "engine", f"{_number(count, f'more {kind}')} {were} {what} within a minute")


def _changes(passage: Passage, count: int) -> Notice:
    text = f"{passage.name} changed its state of pressure {_number(count, 'more time')} within a minute"
    state = passage.after.pressure.state
    return Notice(SEVERITIES[state], "pressure", passage.ref, text, f"now {state} · {passage.use()}")


def _loss(name: str, when: str, count: int) -> Notice:
    loss = LOSSES[name]
    return Notice(
        loss.severity, "loss", "engine", loss.text, f"{_number(count, 'time')}{when} · counter {name}"
    )
