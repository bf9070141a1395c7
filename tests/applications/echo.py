"""Twisted's echo at an endpoint: python tests/applications/echo.py xtcp:7"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo


async def main(reactor: Any, string: str) -> None:
    await endpoints.serverFromString(reactor, string).listen(Factory.forProtocol(Echo))
    await Deferred()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
