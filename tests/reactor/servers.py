"""Things that test configurations name: good ones, and each kind of bad one."""

from __future__ import annotations

import os
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from xtcp_twisted.reactor.groups import GroupProtocol
from xtcp_twisted.reactor.interfaces import IGroupProtocol


class Plain(Protocol):
    """An ordinary protocol with an argument."""

    def __init__(self, greeting: str = "hello") -> None:
        self.greeting = greeting


@implementer(IGroupProtocol)
class Group:
    """Says that it is a group protocol; that is all the configuration looks at."""

    def __init__(self, room: str = "lobby") -> None:
        self.room = room


class Echo(Protocol):
    """An ordinary protocol that sends back what it hears."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class EchoGroup(GroupProtocol):
    """A group protocol that does."""

    def messageReceived(self, cd: int, data: bytes) -> None:
        self.group.send(cd, data)


class Patient(Protocol):
    """Answers what comes when a file is there."""

    def __init__(self, release: str) -> None:
        self.release = release

    def dataReceived(self, data: bytes) -> None:
        from twisted.internet import reactor

        assert self.transport is not None
        if os.path.exists(self.release):
            self.transport.write(data.upper())
        elif self.connected:
            cast(IReactorTime, reactor).callLater(0.02, self.dataReceived, data)


def makeFactory(**arguments: Any) -> Factory:
    """A factory of factories."""
    factory = Factory.forProtocol(Plain)
    factory.arguments = arguments  # type: ignore[attr-defined]
    return factory


def makeNothing() -> None:
    """Makes what cannot serve."""


NOT_CALLABLE = 5
