"""Fixtures of the reactor tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.python import log

from tests.reactor.world import World


class Logged:
    """The errors that were logged during a test; each must be taken by it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("isError"):
            self.events.append(event)

    def take(self, kind: type[BaseException]) -> list[BaseException]:
        """The logged exceptions of this kind, taken away."""
        found = [e for e in self.events if e.get("failure") and e["failure"].check(kind)]
        self.events = [e for e in self.events if e not in found]
        return [e["failure"].value for e in found]


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Observes the log; fails the test for errors that it did not take."""
    found = Logged()
    log.addObserver(found.observe)
    yield found
    log.removeObserver(found.observe)
    assert found.events == []


@pytest.fixture
def world(logged: Logged) -> Iterator[World]:
    """A stack in a hand-turned reactor; nothing may be logged as an error unexpectedly."""
    made = World()
    yield made
    made.stack.stop()
