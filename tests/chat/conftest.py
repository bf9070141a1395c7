"""A chat on a MemoryLink, and people with terminals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from examples.chat import Chat
from tests.reactor.conftest import Logged
from tests.reactor.world import Peer, World
from xtcp_twisted.reactor.groups import GroupPort

GREETING = "* Welcome. Take a name with /nick NAME; /help shows the rest."


class User(Peer):
    """Somebody with a terminal.

    :ivar key: what came with the name.
    """

    key = ""

    def says(self, *lines: str) -> list[str]:
        """Send lines in one packet; what came back in the same turn."""
        self.send("".join(f"{line}\n" for line in lines).encode())
        self.net.turn()
        return self.hears()

    def hears(self) -> list[str]:
        """Lines that have come since; acknowledged."""
        lines = b"".join(segment.data for segment in self.take()).decode().splitlines()
        if lines:
            self.ack()
            self.net.turn()
        return lines

    def takes(self, name: str) -> None:
        """Take a name."""
        you, key, lobby = self.says(f"/nick {name}")
        assert you == f"* you are {name}"
        assert lobby.startswith("* you are in #lobby with ")
        found = re.fullmatch(
            rf"  should the connection break: /nick {name} ([a-z2-7]{{16}}) within 60 s", key
        )
        assert found
        self.key = found[1]


class Scene:
    """A chat and its users."""

    def __init__(self, world: World, **arguments: Any) -> None:
        self.world = world
        self.chat = Chat(clock=world.reactor, **arguments)
        self.port = world.listen(self.chat, 5222)
        assert isinstance(self.port, GroupPort)
        self._sport = 20_000

    def user(self, name: str = "", **behaviour: Any) -> User:
        """Somebody new, who has heard the greeting, and taken a name if there is one."""
        self._sport += 1
        behaviour = {"ip": "198.51.100.7", "server": "192.0.2.1", "sport": self._sport} | behaviour
        made = User(self.world, group=None, port=5222, **behaviour).opened()
        assert made.hears() == [GREETING]
        if name:
            made.takes(name)
        return made

    def users(self, *names: str) -> list[User]:
        """Some, who have heard each other come."""
        made = [self.user(name) for name in names]
        for one in made:
            one.hears()
        return made

    def later(self, seconds: float) -> None:
        """Let time pass for the engine and for the chat."""
        self.world.advance(seconds)
        self.world.reactor.advance(seconds)
        self.world.turns(2)

    @property
    def people(self) -> int:
        """Rows that are taken."""
        return len(self.chat._principals)


@pytest.fixture
def world(logged: Logged) -> Iterator[World]:
    made = World()
    yield made
    made.stack.stop()


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Fails the test for logged errors that it did not take."""
    from twisted.python import log

    found = Logged()
    log.addObserver(found.observe)
    yield found
    log.removeObserver(found.observe)
    assert found.events == []


@pytest.fixture
def scene(world: World) -> Scene:
    """A chat with its default limits."""
    return Scene(world)


@pytest.fixture
def make_scene(world: World) -> Callable[..., Scene]:
    """A chat with other limits: fields of `Limits`."""
    return lambda **limits: Scene(world, limits=limits)
