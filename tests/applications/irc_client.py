"""A person with Twisted's IRC client: says what stands in the input, ``TO TEXT``, and prints what it hears.

python -m tests.applications.irc_client NAME PASSWORD tcp:10.77.0.2:6667
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import endpoints, stdio, task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.words.protocols.irc import IRCClient


class Talker(IRCClient):
    """Prints who said what."""

    lineRate = None  # as fast as it can

    def __init__(self, name: str, password: str) -> None:
        self.nickname, self.password = name, password
        self.left: Deferred[None] = Deferred()

    def signedOn(self) -> None:
        print("signed on", flush=True)
        stdio.StandardIO(Orders(self))

    def privmsg(self, user: str, channel: str, message: str) -> None:
        print(user.split("!", maxsplit=1)[0], message, flush=True)

    def connectionLost(self, reason: Any) -> None:
        self.left.callback(None)


class Orders(LineOnlyReceiver):
    """The input; at its end the person leaves."""

    delimiter = b"\n"

    def __init__(self, talker: Talker) -> None:
        self.talker = talker

    def lineReceived(self, line: bytes) -> None:
        to, text = line.decode().split(" ", 1)
        self.talker.msg(to, text)

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        self.talker.quit("bye")


async def main(reactor: Any, name: str, password: str, server: str) -> None:
    talker = Talker(name, password)
    factory = Factory.forProtocol(lambda: talker)  # type: ignore[arg-type]
    await endpoints.clientFromString(reactor, server).connect(factory)
    await talker.left


task.react(main, sys.argv[1:])
