"""The queue of those who wait equally long."""

from __future__ import annotations

from twisted.internet.task import Clock

from examples.chat.waiting import Waiting
from tests.reactor.conftest import Logged


def test_each_waits_its_time() -> None:
    clock, due = Clock(), list[int]()
    waiting = Waiting(9, 2.0, clock, due.append)
    waiting.add(3)
    clock.advance(1)
    waiting.add(5)
    waiting.add(3)  # waits already, and no longer for it
    assert (3 in waiting, 4 in waiting, len(waiting)) == (True, False, 2)
    clock.advance(0.9)
    assert due == []
    clock.advance(0.1)
    assert due == [3]
    clock.advance(1)
    assert due == [3, 5]
    assert clock.getDelayedCalls() == []


def test_all_of_them_need_one_call() -> None:
    clock, due = Clock(), list[int]()
    waiting = Waiting(1_000, 2.0, clock, due.append)
    for row in range(1, 1_001):
        waiting.add(row)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(2)
    assert len(due) == 256, "one turn of the reactor serves some of them"
    for _ in range(4):
        clock.advance(0.01)
    assert due == list(range(1, 1_001))


def test_whoever_is_discarded_is_not_due() -> None:
    clock, due = Clock(), list[int]()
    waiting = Waiting(9, 2.0, clock, due.append)
    waiting.add(3)
    clock.advance(1)
    waiting.add(4)
    waiting.discard(3)
    waiting.discard(7)
    clock.advance(1)
    assert due == []
    clock.advance(1)
    assert due == [4]


def test_who_is_due_may_wait_again() -> None:
    clock, due = Clock(), list[int]()

    def again(row: int) -> None:
        due.append(row)
        if len(due) < 3:
            waiting.add(row)

    waiting = Waiting(9, 2.0, clock, again)
    waiting.add(1)
    clock.pump([1.0] * 10)
    assert due == [1, 1, 1]


def test_an_error_costs_the_others_nothing(logged: Logged) -> None:
    clock, due = Clock(), list[float]()
    waiting = Waiting(9, 2.0, clock, lambda row: due.append(1 / (row - 2)))
    for row in (1, 2, 3):
        waiting.add(row)
    clock.advance(2)
    assert due == [-1, 1]
    assert len(logged.take(ZeroDivisionError)) == 1


def test_when_it_is_stopped_nobody_is_due() -> None:
    clock, due = Clock(), list[int]()
    waiting = Waiting(9, 2.0, clock, due.append)
    waiting.stop()
    waiting.add(1)
    waiting.stop()
    clock.advance(5)
    assert (due, len(waiting), clock.getDelayedCalls()) == ([], 0, [])
