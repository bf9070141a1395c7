"""Remote calls by AMP: a server that adds up and echoes, and a client that asks; both take endpoint strings.

python tests/applications/amp_sums.py server xtcp:1234
python tests/applications/amp_sums.py client tcp:10.77.0.2:1234
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import endpoints, task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory
from twisted.protocols import amp

CALLS = 150
#: The longest value that AMP has.
LONGEST = 65_535


class TooMuch(Exception):
    """The sum is not what this server likes."""


class Sum(amp.Command):
    arguments = ((b"a", amp.Integer()), (b"b", amp.Integer()))
    response = ((b"total", amp.Integer()),)
    errors = ((TooMuch, b"TOO_MUCH"),)


class Echo(amp.Command):
    arguments = ((b"text", amp.String()),)
    response = ((b"text", amp.String()),)


class Sums(amp.AMP):
    """What the server can do."""

    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        if a + b > 1_000:
            raise TooMuch(a + b)
        return {"total": a + b}

    @Echo.responder
    def echo(self, text: bytes) -> dict[str, bytes]:
        return {"text": text}


async def server(reactor: Any, string: str) -> None:
    await endpoints.serverFromString(reactor, string).listen(Factory.forProtocol(Sums))
    await Deferred()


async def client(reactor: Any, string: str) -> None:
    calls: Any = await endpoints.clientFromString(reactor, string).connect(Factory.forProtocol(amp.AMP))
    assert (await calls.callRemote(Sum, a=13, b=81)) == {"total": 94}
    try:
        await calls.callRemote(Sum, a=1_000, b=1)
    except TooMuch as refused:
        print("refused:", refused)
    texts = [n.to_bytes(2, "big") + bytes(LONGEST - 2) for n in range(CALLS)]
    # All at once: 10 MB each way.
    answers = await gatherResults([calls.callRemote(Echo, text=text) for text in texts])
    assert answers == [{"text": text} for text in texts]
    print(len(answers), "echoes")
    calls.transport.loseConnection()


if __name__ == "__main__":
    task.react({"server": server, "client": client}[sys.argv[1]], sys.argv[2:])
