"""Figures that a test publishes when it likes, in place of a `model.Model`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from xtcp_console.figures import Event, Series, Tick, View


class Published:
    """Publishes views as a model does.

    :ivar tick: what the next one is made of.
    """

    def __init__(self, tick: Tick) -> None:
        self.tick = tick
        self.view: View | None = None
        self.listeners: list[Callable[[View], object]] = []
        self._events: tuple[Event, ...] = ()
        self._serial = 0

    def publish(self, *texts: str) -> None:
        """One more tick, with these events."""
        self._serial += 1
        first = len(self._events) + 1
        self._events += tuple(
            Event(first + i, 1.0, "info", "engine", None, text, "") for i, text in enumerate(texts)
        )
        none = Series((), {})
        self.view = View(dataclasses.replace(self.tick, serial=self._serial), none, none, (), self._events)
        for listener in self.listeners:
            listener(self.view)
