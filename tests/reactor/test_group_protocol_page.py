"""The programs of docs/group-protocols.md do what the page says."""

from __future__ import annotations

from typing import Any

import pytest
from support.pages import blocks
from twisted.internet import reactor

from tests.reactor.world import World

PAGE = "docs/group-protocols.md"


def defined(name: str) -> Any:
    """The class that a program of the page defines."""
    space: dict[str, Any] = {}
    for program in blocks(PAGE, "python"):
        exec(program, space)
    return space[name]


def test_lines(world: World) -> None:
    client = world.client(world.listen(defined("Upper")())).opened()
    client.send(b"hello\nyou")
    world.turn()
    client.expect("A", ack=10, data=b"HELLO\n")


def test_answers_that_come_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor, "callLater", world.reactor.callLater)
    client = world.client(world.listen(defined("Price")())).opened()
    client.send(b"tea\r\ncoffee\r\n")
    for _ in range(2):
        world.turn()
        world.reactor.advance(0.01)
        world.turn()
    client.take()
    assert client.received == b"3\r\n6\r\n"
