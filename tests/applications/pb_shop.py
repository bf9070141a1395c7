"""Perspective Broker: a server at an endpoint string, and a client in another process.

python pb_shop.py server xtcp:8787
python pb_shop.py client tcp:10.77.0.2:8787
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import defer, task
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.spread import pb


class Shop(pb.Root):  # type: ignore[misc]  # untyped
    """Echoes, at once and later; calls back who asks for it; refuses."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor

    def remote_echo(self, thing: object) -> object:
        return thing

    def remote_later(self, thing: object) -> Any:
        return task.deferLater(self.reactor, 0.01, lambda: thing)

    def remote_tell(self, whom: Any, thing: object) -> Any:
        return whom.callRemote("told", thing)

    def remote_refuse(self) -> None:
        raise pb.Error("sold out")


class Customer(pb.Referenceable):  # type: ignore[misc]  # untyped
    def remote_told(self, thing: str) -> str:
        return thing.upper()


async def serve(reactor: Any, where: str) -> None:
    await serverFromString(reactor, where).listen(pb.PBServerFactory(Shop(reactor)))
    await defer.Deferred()


async def buy(reactor: Any, where: str) -> None:
    factory = pb.PBClientFactory()
    await clientFromString(reactor, where).connect(factory)
    shop = await factory.getRootObject()
    print(len(await shop.callRemote("echo", b"x" * 500_000)))
    print(sum(await defer.gatherResults([shop.callRemote("later", n) for n in range(50)])))
    print(await shop.callRemote("tell", Customer(), "hello"))
    try:
        await shop.callRemote("refuse")
    except pb.RemoteError as refused:
        print(refused)
    factory.disconnect()


if __name__ == "__main__":
    role, place = sys.argv[1:]
    todo = serve if role == "server" else buy
    task.react(lambda reactor: defer.ensureDeferred(todo(reactor, place)))
