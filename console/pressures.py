"""What pressure did to the buffers between two samples.

A sample shows one state; what came and went before the next one is known from
the counts of entries into each state.

Knows samples; must not know how pressure comes about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from xtcp_console.figures import PRESSURES, Severity
from xtcp_console.formats import integer, milliseconds, octets, percent
from xtcp_console.notices import Notice
from xtcp_console.rates import Sample
from xtcp_twisted.engine.snapshot import BufferSnapshot

SEVERITIES: Final[Mapping[str, Severity]] = {
    "open": "ok",
    "frozen": "info",
    "withholding": "warn",
    "discarding": "crit",
}
_RANKS: Final = {state: rank for rank, state in enumerate(PRESSURES)}


@dataclass(frozen=True, slots=True)
class Passage:
    """One buffer in two samples.

    :ivar name: how a sentence about it begins.
    :ivar ref: as of `figures.Event`.
    """

    name: str
    ref: str
    before: BufferSnapshot
    after: BufferSnapshot

    def met(self) -> set[str]:
        """The states that it was in since the first sample; one that it left at once after it is not."""
        old, new = self.before.pressure.entries, self.after.pressure.entries
        return {self.after.pressure.state} | {state for state in PRESSURES if new[state] > old[state]}

    def notices(self) -> Iterator[Notice]:
        """What is to be told of it."""
        detours = self._detours()
        if detours:
            yield self._detour(detours)
        if self.before.pressure.state != self.after.pressure.state:
            yield self._change()

    def _detours(self) -> dict[str, int]:
        """Entries that the way from the first state to the second, through all between, does not explain."""
        old, new = self.before.pressure, self.after.pressure
        low, high = sorted((_RANKS[old.state], _RANKS[new.state]))
        found = {}
        for rank, state in enumerate(PRESSURES):
            passed = low <= rank <= high and state != old.state
            times = new.entries[state] - old.entries[state] - passed
            if times > 0:
                found[state] = times
        return found

    def _detour(self, detours: Mapping[str, int]) -> Notice:
        old, new = self.before.pressure, self.after.pressure
        met = sorted({old.state, new.state, *detours}, key=PRESSURES.index)
        peak = met[-1]
        if peak in (old.state, new.state):
            text = f"{self.name} went to and fro between {met[0]} and {peak}"
            detail = f"{integer(sum(detours.values()))} changes"
        else:
            text = f"{self.name} was {peak} for a moment"
            seconds = new.durations[peak] - old.durations[peak]
            detail = f"{milliseconds(seconds * 1000)} in all"
        return Notice(SEVERITIES[peak], "pressure", self.ref, text, f"{detail} · {self.use()}")

    def _change(self) -> Notice:
        old, new = self.before.pressure, self.after.pressure
        if _RANKS[new.state] > _RANKS[old.state]:
            text = f"{self.name} came under pressure: {new.state}"
            bound = getattr(new.thresholds, new.state)
        else:
            text = f"{self.name} recovered from {old.state}: {new.state}"
            bound = getattr(new.thresholds, old.state) - new.thresholds.hysteresis
        detail = f"{self.use()} · threshold {percent(bound)}"
        return Notice(SEVERITIES[new.state], "pressure", self.ref, text, detail)

    def use(self) -> str:
        """How full it is now."""
        used, size = self.after.used, self.after.size
        return f"{percent(used / size)} in use ({octets(used)} of {octets(size)})"


def passages(old: Sample | None, new: Sample) -> Iterator[Passage]:
    """Every buffer; one that is new, or all without an old sample, comes from being open."""
    for serial, pool in new.pools.items():
        before = old.pools.get(serial) if old is not None else None
        yield Passage(
            f"Pool {pool.name}",
            f"pool/{pool.row}",
            _fresh(pool.receive_buffer) if before is None else before.receive_buffer,
            pool.receive_buffer,
        )
    after = new.snapshot.transmit_buffer
    yield Passage(
        "The transmit buffer",
        "transmit",
        _fresh(after) if old is None else old.snapshot.transmit_buffer,
        after,
    )


def _fresh(buffer: BufferSnapshot) -> BufferSnapshot:
    """The buffer as it was when it was made."""
    nothing = dict.fromkeys(PRESSURES, 0)
    return replace(
        buffer,
        used=0,
        peak=0,
        pressure=replace(buffer.pressure, state=PRESSURES[0], entries=nothing, durations=nothing),
    )


def worst_met(old: Sample, new: Sample) -> str:
    """The worst state that any buffer was in between two samples."""
    met = {state for passage in passages(old, new) for state in passage.met()}
    return max(met, key=PRESSURES.index)
