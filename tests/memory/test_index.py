"""The hash index against a multiset of (tag, reference) (architecture section 4)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from xtcp_twisted.memory.probe import Index


def test_what_is_inserted_is_found_under_its_tag_only() -> None:
    index = Index(8)
    assert index.insert(5, 100)
    assert index.insert(13, 200)
    assert (index.find(5), index.find(13), index.find(21), index.find(6)) == ([100], [200], [], [])


def test_it_is_full_to_the_last_slot_but_one() -> None:
    # One slot stays empty, else a search for what is not there would not end.
    index = Index(8)
    assert [index.insert(7, n) for n in range(8)] == [True] * 7 + [False]
    assert index.find(7) == list(range(7))
    assert index.find(0) == []
    assert len(index) == 7


def test_what_is_not_there_is_neither_replaced_nor_removed() -> None:
    index = Index(8)
    index.insert(1, 10)
    assert not index.replace(1, 11, 12)
    assert not index.replace(2, 10, 12)
    assert not index.remove(1, 11)
    assert not index.remove(9, 10)
    assert index.find(1) == [10]


def test_a_capacity_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="12"):
        Index(12)


@given(st.permutations(range(7)), st.lists(st.integers(0, 15), min_size=7, max_size=7))
def test_removing_in_any_order_from_clusters_that_go_round_the_end(order: list[int], tags: list[int]) -> None:
    index = Index(8)
    for reference, tag in enumerate(tags):
        index.insert(tag, reference)
    gone: set[int] = set()
    for reference in order:
        assert index.remove(tags[reference], reference)
        gone.add(reference)
        for tag in range(16):
            expected = {n for n, of in enumerate(tags) if of == tag} - gone
            assert set(index.find(tag)) == expected


class Differential(RuleBasedStateMachine):
    """Small capacities and few homes, so that clusters are long, meet and wrap."""

    @initialize(bits=st.integers(1, 7))
    def open(self, bits: int) -> None:
        self.capacity = 1 << bits
        self.index = Index(self.capacity)
        self.model: Counter[tuple[int, int]] = Counter()
        self.last = 0

    @rule(home=st.integers(-3, 3), high=st.sampled_from((0, 1, 0xFFFFFF)))
    def insert(self, home: int, high: int) -> None:
        tag = (high << 8 | (home & 0xFF)) & 0xFFFF_FFFF
        self.last += 1
        room = sum(self.model.values()) < self.capacity - 1
        assert self.index.insert(tag, self.last) is room
        if room:
            self.model[tag, self.last] += 1

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        tag, reference = data.draw(st.sampled_from(sorted(self.model)))
        assert self.index.remove(tag, reference)
        del self.model[tag, reference]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def replace(self, data: Any) -> None:
        tag, reference = data.draw(st.sampled_from(sorted(self.model)))
        self.last += 1
        assert self.index.replace(tag, reference, self.last)
        del self.model[tag, reference]
        self.model[tag, self.last] += 1

    @invariant()
    def everything_is_found_and_nothing_else(self) -> None:
        if not hasattr(self, "index"):
            return
        assert len(self.index) == len(self.model)
        tags = {high << 8 | (home & 0xFF) for home in range(-3, 4) for high in (0, 1, 0xFFFFFF)}
        found = {(tag, reference) for tag in tags for reference in self.index.find(tag)}
        assert found == set(self.model)


TestDifferential = Differential.TestCase
TestDifferential.settings = settings(stateful_step_count=80)
