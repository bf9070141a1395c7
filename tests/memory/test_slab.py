"""Tables of rows: density, generations and the quarantine (architecture section 4)."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from xtcp_twisted.memory.probe import QUARANTINE, Slab

STRIDE = 32
AT = 24


def test_untouched_rows_come_in_order_until_all_are_taken() -> None:
    slab = Slab(STRIDE, 3)
    assert [slab.take() for _ in range(4)] == [0, 1, 2, None]
    assert (slab.used, slab.peak) == (3, 3)


def test_a_returned_row_is_the_next_one_taken() -> None:
    slab = Slab(STRIDE, 8)
    for _ in range(5):
        slab.take()
    slab.give_back(1)
    slab.give_back(3)
    assert [slab.take() for _ in range(3)] == [3, 1, 5]


def test_a_row_comes_zeroed() -> None:
    slab = Slab(STRIDE, 2)
    slab.take()
    slab.fill(0, 0xAA)
    slab.give_back(0)
    assert slab.take() == 0
    assert slab.read(0) == bytes(STRIDE)


def test_the_generation_is_odd_in_use_and_survives() -> None:
    slab = Slab(STRIDE, 1, AT)
    for turn in range(5):
        assert slab.take() == 0
        assert slab.generation(0) == 2 * turn + 1
        slab.fill(0, 0xFF)
        slab.give_back(0)
        assert slab.generation(0) == 2 * turn + 2


def test_generations_stay_31_bits_so_that_ids_are_positive() -> None:
    slab = Slab(STRIDE, 1, AT)
    slab.take()
    slab.set_generation(0, 0x7FFF_FFFF)
    slab.give_back(0)
    assert slab.generation(0) == 0
    slab.take()
    assert slab.generation(0) == 1


def test_a_returned_row_waits_while_fresh_ones_are_left() -> None:
    slab = Slab(STRIDE, 3, AT, quarantine=True)
    slab.take()
    slab.give_back(0)
    # Only when nothing else is left does the oldest in quarantine come back.
    assert [slab.take() for _ in range(4)] == [1, 2, 0, None]


def test_a_row_leaves_the_quarantine_after_1024_others() -> None:
    slab = Slab(STRIDE, 4 * QUARANTINE, AT, quarantine=True)
    rows = [slab.take() for _ in range(QUARANTINE + 2)]
    assert rows == list(range(QUARANTINE + 2))
    for row in range(QUARANTINE):
        slab.give_back(row)
    assert slab.take() == QUARANTINE + 2
    slab.give_back(QUARANTINE)
    assert slab.take() == 0
    slab.give_back(QUARANTINE + 1)
    assert slab.take() == 1


class Rows(RuleBasedStateMachine):
    """Against a model with the same three sources: free list, untouched rows, quarantine."""

    taken: Bundle[Any] = Bundle("taken")

    @initialize(
        # More rows than the quarantine holds, and fewer.
        capacity=st.sampled_from((1, 7, 1000, QUARANTINE + 5, 3 * QUARANTINE)),
        quarantine=st.booleans(),
        before=st.integers(0, 2 * QUARANTINE),
    )
    def open(self, capacity: int, quarantine: bool, before: int) -> None:
        self.slab = Slab(STRIDE, capacity, AT, quarantine=quarantine)
        self.capacity = capacity
        self.quarantined = quarantine
        self.fresh = 0
        self.free: list[int] = []
        self.waiting: deque[int] = deque()
        self.used: dict[int, int] = {}
        self.generations: dict[int, int] = {}
        self.peak = 0
        many = [row for _ in range(min(before, capacity)) if (row := self._take()) is not None]
        for row in many:
            self._give_back(row)

    def _expected(self) -> int | None:
        if self.free:
            return self.free.pop()
        if self.fresh < self.capacity:
            self.fresh += 1
            return self.fresh - 1
        return self.waiting.popleft() if self.waiting else None

    def _take(self) -> int | None:
        row = self.slab.take()
        assert row == self._expected()
        if row is not None:
            assert row not in self.used
            self.generations[row] = self.generations.get(row, 0) + 1
            self.used[row] = self.generations[row]
            self.slab.fill(row, row & 0xFF)
        self.peak = max(self.peak, len(self.used))
        return row

    def _give_back(self, row: int) -> None:
        self.slab.give_back(row)
        del self.used[row]
        self.generations[row] += 1
        if not self.quarantined:
            self.free.append(row)
            return
        self.waiting.append(row)
        if len(self.waiting) > QUARANTINE:
            self.free.append(self.waiting.popleft())

    @rule(target=taken, count=st.sampled_from((1, 1, 1, 2, 50)))
    def take(self, count: int) -> list[int]:
        return [row for _ in range(count) if (row := self._take()) is not None]

    @rule(rows=consumes(taken))
    def give_back(self, rows: list[int]) -> None:
        for row in rows:
            self._give_back(row)

    @invariant()
    def nothing_is_lost_and_nobody_writes_into_a_row_in_use(self) -> None:
        if not hasattr(self, "slab"):
            return
        assert (self.slab.used, self.slab.peak) == (len(self.used), self.peak)
        for row, generation in self.used.items():
            assert self.slab.generation(row) == generation
            assert generation % 2 == 1
            assert self.slab.read(row)[:AT] == bytes((row & 0xFF,)) * AT


TestRows = Rows.TestCase
TestRows.settings = settings(stateful_step_count=40)
