"""A second signal reaches all who wait for an end, whoever of them is done first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from xtcp_twisted.reactor.signals import secondSignal
from xtcp_twisted.testing import HandReactor

BOTH = (signal.SIGTERM, signal.SIGINT)


class Reactor(HandReactor):
    """Handles signals as Twisted's do."""

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def handle(self, *_: object) -> None:
        self.stops += 1


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    before = {number: signal.signal(number, made.handle) for number in BOTH}
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("first_done", [0, 1])
def test_it_is_for_all_who_wait(reactor: Reactor, number: signal.Signals, first_done: int) -> None:
    heard: list[str] = []
    calls: list[Callable[[], None]] = [lambda: heard.append("one"), lambda: heard.append("two")]
    waits = [secondSignal(reactor, call) for call in calls]
    for wait in waits:
        wait.__enter__()
    signal.raise_signal(number)
    reactor.turn()
    assert heard == ["one", "two"]
    waits.pop(first_done).__exit__(None, None, None)
    signal.raise_signal(number)
    reactor.turn()
    assert heard == ["one", "two", ["two", "one"][first_done]]
    assert reactor.stops == 0
    waits.pop().__exit__(None, None, None)
    signal.raise_signal(number)
    reactor.turn()
    assert (len(heard), reactor.stops) == (3, 1)


def test_what_the_program_handles_itself_it_keeps(reactor: Reactor) -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    with secondSignal(reactor, lambda: heard.append(0)):
        signal.raise_signal(signal.SIGINT)
        reactor.turn()
    assert heard == [signal.SIGINT]
