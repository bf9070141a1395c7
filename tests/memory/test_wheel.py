"""The timing wheel against a heap (architecture section 4)."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from xtcp_twisted.memory.probe import Wheel

WRAP = 2**32
#: The bound of `wheel_next`: how early it may be.
COARSE = 256
#: Beginnings around every edge: of a slot, of each level, and of the numbers themselves.
STARTS = (0, 1, 255, 256, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, 0x7FFFFFFF, 0x80000000, WRAP - 256, WRAP - 1)
#: How far ahead: the same edges.
AHEAD = st.one_of(
    st.integers(0, 3),
    st.integers(250, 260),
    st.integers(0, 1 << 10),
    st.integers((1 << 16) - 300, (1 << 16) + 300),
    st.integers(0, 1 << 18),
    st.integers((1 << 24) - 300, (1 << 24) + 300),
    st.integers(0, 2**31 - 1),
)


def drain(wheel: Wheel, now: int) -> list[int]:
    due: list[int] = []
    while (row := wheel.pop(now % WRAP)) is not None:
        due.append(row)
    return due


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("ahead", [0, 1, 255, 256, 257, 65_535, 65_536, 2**24 - 1, 2**24, 2**31 - 1])
def test_a_row_comes_at_its_deadline_and_not_before(start: int, ahead: int) -> None:
    wheel = Wheel(1, start)
    wheel.arm(0, (start + ahead) % WRAP)
    if ahead:
        assert wheel.pop((start + ahead - 1) % WRAP) is None
    assert wheel.pop((start + ahead) % WRAP) == 0
    assert len(wheel) == 0
    assert wheel.next() is None


@pytest.mark.parametrize("start", STARTS)
def test_an_overdue_row_comes_at_once(start: int) -> None:
    wheel = Wheel(2, start)
    assert drain(wheel, start + 1000) == []
    wheel.arm(0, start)
    assert wheel.pop((start + 1000) % WRAP) is None, "its tick was looked at; it belongs to the next"
    assert wheel.pop((start + 1001) % WRAP) == 0


def test_arming_moves_a_row_to_an_earlier_deadline_only() -> None:
    wheel = Wheel(1, 0)
    wheel.arm(0, 1000)
    wheel.arm(0, 2000)
    assert drain(wheel, 999) == []
    wheel.arm(0, 1500)
    assert drain(wheel, 1000) == [0]
    wheel.arm(0, 5000)
    wheel.arm(0, 1001)
    assert drain(wheel, 1001) == [0]
    assert drain(wheel, 6000) == []


@given(
    st.sampled_from(STARTS),
    st.lists(AHEAD, min_size=1, max_size=40),
    st.lists(st.integers(1, 1 << 20), max_size=5),
)
@example(0, [256, 256, 256], [256])
def test_all_come_in_the_order_of_their_deadlines(start: int, ahead: list[int], stops: list[int]) -> None:
    wheel = Wheel(len(ahead), start)
    for row, distance in enumerate(ahead):
        wheel.arm(row, (start + distance) % WRAP)
    seen: list[int] = []
    for now in (*sorted(stops), 2**31 - 1):
        came = drain(wheel, start + now)
        seen += came
        assert {row for row, distance in enumerate(ahead) if distance <= now} == set(seen)
    assert [ahead[row] for row in seen] == sorted(ahead)


@given(st.sampled_from(STARTS), st.lists(AHEAD, min_size=1, max_size=20))
def test_next_leads_to_every_deadline_without_being_late(start: int, ahead: list[int]) -> None:
    wheel = Wheel(len(ahead), start)
    for row, distance in enumerate(ahead):
        wheel.arm(row, (start + distance) % WRAP)
    seen: list[tuple[int, int]] = []
    for _ in range(4 * len(ahead) + 4):
        when = wheel.next()
        if when is None:
            break
        now = (when - start) % WRAP
        seen += [(now, row) for row in drain(wheel, when)]
    # Each row came at its deadline, not a tick later, and in a few calls: at most one a level.
    assert sorted(seen) == sorted((distance, row) for row, distance in enumerate(ahead))


class Differential(RuleBasedStateMachine):
    """Arming, disarming and passing time in any order, over several turns of the 32 bits."""

    ROWS = 12

    @initialize(start=st.sampled_from(STARTS))
    def open(self, start: int) -> None:
        self.now = start
        self.wheel = Wheel(self.ROWS, start % WRAP)
        self.deadlines: dict[int, int] = {}
        self.passed = start - 1

    @rule(row=st.integers(0, ROWS - 1), ahead=AHEAD)
    def arm(self, row: int, ahead: int) -> None:
        deadline = max(self.now + ahead, self.passed + 1)
        if deadline - self.passed >= 2**31:
            return
        self.wheel.arm(row, (self.now + ahead) % WRAP)
        self.deadlines[row] = min(deadline, self.deadlines.get(row, deadline))

    @rule(row=st.integers(0, ROWS - 1))
    def disarm(self, row: int) -> None:
        self.wheel.disarm(row)
        self.deadlines.pop(row, None)

    @rule(step=AHEAD, limit=st.sampled_from((1, 3, 1000)))
    def time_passes(self, step: int, limit: int) -> None:
        """With a bound on rows, as a bounded poll has."""
        heap = [(when, row) for row, when in self.deadlines.items()]
        heapq.heapify(heap)
        self.now += min(step, 2**30)
        for _ in range(limit):
            row = self.wheel.pop(self.now % WRAP)
            if row is None:
                assert not heap or heap[0][0] > self.now
                self.passed = self.now
                return
            when = self.deadlines.pop(row)
            assert when == heapq.heappop(heap)[0] or when in {w for w, _ in heap}
            assert when <= self.now
            self.passed = max(self.passed, when - 1)

    @rule()
    def go_where_next_says(self) -> None:
        when = self.wheel.next()
        if when is not None:
            self.time_passes((when - self.now) % WRAP if (when - self.now) % WRAP < 2**31 else 0, 1000)

    @invariant()
    def the_bound_holds(self) -> None:
        if not hasattr(self, "wheel"):
            return
        assert len(self.wheel) == len(self.deadlines)
        assert all(self.wheel.armed(row) == (row in self.deadlines) for row in range(self.ROWS))
        when = self.wheel.next()
        assert (when is None) == (not self.deadlines)
        if when is None:
            return
        first = min(self.deadlines.values())
        early = (first - when + 2**31) % WRAP - 2**31
        assert early >= 0, "late: a timer would be missed"
        if first - self.passed <= COARSE:
            assert early < COARSE


TestDifferential = Differential.TestCase
TestDifferential.settings = settings(stateful_step_count=60)
