"""What the clients of a fleet say, and what answers they accept.

A `Talk` gives the next request of a client and judges every byte that comes
back.  Each knows one protocol of the example servers; none knows sockets.
"""

from __future__ import annotations

import random
from typing import Final, Protocol


class WrongAnswer(Exception):
    """The server answered, but not what it should have; the text shows both."""


class Speaker(Protocol):
    """What a talk may know and keep of a client."""

    number: int  #: unique in the fleet
    sequence: int  #: of its request, from 0
    wanted: bytes  #: rest of the answer that is still to come, as the talk understands it
    partial: bytes  #: received and not yet understood


class Talk(Protocol):
    """One protocol, from the client's side."""

    def request(self, client: Speaker) -> bytes:
        """The client's next request; it has no other outstanding."""
        ...

    def received(self, client: Speaker, data: bytes) -> bool:
        """Judge received bytes; True when they complete the answer.

        :raises WrongAnswer: they are not what the server should say.
        """
        ...


class EchoTalk:
    """Every byte comes back unchanged: requests of 16 to `longest` bytes, no two alike."""

    def __init__(self, seed: int, longest: int = 1024) -> None:
        self._random = random.Random(seed)
        self._filler: Final = self._random.randbytes(2 * longest)
        self._longest = longest

    def request(self, client: Speaker) -> bytes:
        start = self._random.randrange(self._longest)
        length = self._random.randrange(16, self._longest + 1)
        client.wanted = (b"%d:%d " % (client.number, client.sequence) + self._filler[start:])[:length]
        return client.wanted

    def received(self, client: Speaker, data: bytes) -> bool:
        if not client.wanted.startswith(data):
            pairs = zip(client.wanted, data, strict=False)
            same = next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), len(client.wanted))
            raise WrongAnswer(
                f"client {client.number}, request {client.sequence}: expected {_shown(client.wanted[same:])},"
                f" got {_shown(data[same:])}"
            )
        client.wanted = client.wanted[len(data) :]
        return not client.wanted


def _shown(data: bytes) -> str:
    return f"{data[:20]!r}" + "..." * (len(data) > 20) if data else "nothing more"
