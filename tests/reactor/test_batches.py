"""An exception in a batch handler costs one connection: who that is, and what it costs the rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.python import log

from xtcp_twisted.reactor.batches import Batch, hand


@pytest.fixture(autouse=True)
def errors() -> Iterator[list[object]]:
    """The exceptions that were logged."""
    found: list[object] = []

    def observe(event: dict[str, object]) -> None:
        if event.get("isError"):
            found.append(event["failure"].value)  # type: ignore[attr-defined]

    log.addObserver(observe)
    yield found
    log.removeObserver(observe)


def test_a_good_handler_is_called_once() -> None:
    calls: list[list[int]] = []
    assert hand(calls.append, [1, 2, 3]) == ([1, 2, 3], [], [])
    assert calls == [[1, 2, 3]]


def test_the_one_being_served_is_guilty_and_nobody_is_served_twice(errors: list[object]) -> None:
    seen: list[int] = []

    def handler(batch: list[int]) -> None:
        for item in batch:
            seen.append(item)
            if item == 2:
                raise ZeroDivisionError(item)

    assert hand(handler, [1, 2, 3, 4]) == ([1, 3, 4], [2], [])
    assert seen == [1, 2, 3, 4]
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_the_last_one_can_be_guilty() -> None:
    def handler(batch: list[int]) -> None:
        for item in batch:
            if item == 3:
                raise ValueError

    assert hand(handler, [1, 2, 3]) == ([1, 2], [3], [])


def test_an_exception_before_the_loop_tells_nothing() -> None:
    calls: list[int] = []

    def handler(batch: list[int]) -> None:
        calls.append(len(batch))
        raise ValueError

    assert hand(handler, [1, 2, 3]) == ([], [], [1, 2, 3])
    assert calls == [3]


def test_an_exception_after_the_loop_tells_nothing() -> None:
    def handler(batch: list[int]) -> None:
        for _ in batch:
            pass
        raise ValueError

    assert hand(handler, [1, 2, 3]) == ([], [], [1, 2, 3])


def test_an_exception_after_the_loop_of_the_rest_spares_those_before() -> None:
    def handler(batch: list[int]) -> None:
        for item in batch:
            if item == 2:
                raise KeyError
        if 4 in batch:
            raise ValueError

    assert hand(handler, [1, 2, 3, 4]) == ([1], [2], [3, 4])


def test_indexing_tells_nothing() -> None:
    def handler(batch: list[int]) -> None:
        for i in range(len(batch)):
            if batch[i] == 2:
                raise ValueError

    assert hand(handler, [1, 2, 3]) == ([], [], [1, 2, 3])


def test_system_exit_does_not_end_the_reactor() -> None:
    def handler(batch: list[int]) -> None:
        for _ in batch:
            raise SystemExit

    assert hand(handler, [1]) == ([], [1], [])


@given(st.lists(st.booleans(), max_size=40))
def test_whoever_raises_in_the_loop_and_nobody_else_pays(bad: list[bool]) -> None:
    items = list(enumerate(bad))

    def handler(batch: list[tuple[int, bool]]) -> None:
        for _, raises in batch:
            if raises:
                raise ValueError

    served, guilty, unknown = hand(handler, items)
    assert served == [item for item in items if not item[1]]
    assert guilty == [item for item in items if item[1]]
    assert unknown == []


def test_a_batch_is_a_list() -> None:
    batch = Batch([1, 2])
    assert batch == [1, 2]
    assert sorted(batch) == [1, 2]
    assert batch.position() is None


def test_who_is_guilty_pays_with_all_that_it_has_left(errors: list[object]) -> None:
    """Of several items of one, those before it are served, those after it are not handed over."""
    seen: list[str] = []

    def handler(batch: list[str]) -> None:
        for item in batch:
            seen.append(item)
            if item.endswith("!"):
                raise ZeroDivisionError

    items = ["a1", "b1", "a2!", "a3", "b2", "c1!", "b3", "a4"]
    assert hand(handler, items, lambda item: item[0]) == (["a1", "b1", "b2", "b3"], ["a2!", "c1!"], [])
    assert seen == ["a1", "b1", "a2!", "b2", "c1!", "b3"]
    assert len(errors) == 2
