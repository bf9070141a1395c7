"""What the clients of a fleet say, and what answers they accept.

A `Talk` gives the next request of a client and judges every byte that comes
back.  Each knows one protocol of the example servers; none knows sockets.
"""

from __future__ import annotations

import random
import re
from typing import Final, Protocol


class WrongAnswer(Exception):
    """The server answered, but not what it should have; the text shows both."""


class Speaker(Protocol):
    """What a talk may know and keep of a client."""

    number: int  #: unique in the fleet
    sequence: int  #: of its request, from 0
    wanted: bytes  #: the answer that is still to come, as the talk understands it
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


class ChatTalk:
    """Lines to the chat of the examples.

    A few clients of the fleet take a name, speak and whisper; each line that they
    speak goes to all the other named ones, people among them, so there must not be
    many.  The rest look who is there, and are told to take a name when they speak.
    """

    #: Clients with a smaller number take a name.
    NAMED: Final = 40
    #: One in so many of their lines is spoken, the others are whispered.
    SPOKEN: Final = 20

    _WHO: Final = b"/who"
    _SAID: Final = b"/said"
    _patterns: Final = {
        _WHO: re.compile(rb"\* (\d+ in #lobby: .+|nobody is in #lobby)"),
        _SAID: re.compile(rb"\* said to \d+"),
    }
    #: What may come at any time: from other clients of the fleet, who say where their
    #: words come from, from people, what follows a name, and the greeting.
    _UNASKED: Final = re.compile(
        rb"(#lobby <(fleet_\d+)>|-(fleet_\d+)-) message \d+ of (\2|\3)"
        rb"|(#lobby <(?!fleet_\d+>)[^> ]+>|-(?!fleet_\d+-)[^ ]+-) .*"
        rb"|\* [^ ]+ (has (joined|left) #lobby|is now [^ ]+)"
        rb"|  should the connection break: .*|\* you are in #lobby with \d+ others?"
        rb"|\* Welcome\b.*"
    )

    def request(self, client: Speaker) -> bytes:
        name = b"fleet_%d" % client.number
        if client.number >= self.NAMED:
            if client.sequence % 2:
                client.wanted = b"! take a name first: /nick NAME"
                return b"is anybody here?\n"
            client.wanted = self._WHO
            return b"/who\n"
        if client.sequence == 0:
            client.wanted = b"* you are " + name
            return b"/nick " + name + b"\n"
        message = b"message %d of %s\n" % (client.sequence, name)
        if (client.number + client.sequence) % self.SPOKEN == 0:
            client.wanted = self._SAID
            return message
        client.wanted = b"* sent to " + name
        return b"/msg " + name + b" " + message

    def received(self, client: Speaker, data: bytes) -> bool:
        *lines, client.partial = (client.partial + data).split(b"\r\n")
        answered = False
        for line in lines:
            if not answered and client.wanted and self._is_answer(client.wanted, line):
                answered = True
                client.wanted = b""
            elif not self._UNASKED.fullmatch(line):
                raise WrongAnswer(
                    f"client {client.number}, request {client.sequence}: expected"
                    f" {_shown(client.wanted)}, got {_shown(line)}"
                )
        return answered

    def _is_answer(self, wanted: bytes, line: bytes) -> bool:
        pattern = self._patterns.get(wanted)
        return bool(pattern.fullmatch(line)) if pattern else line == wanted


def _shown(data: bytes) -> str:
    return f"{data[:60]!r}" + "..." * (len(data) > 60) if data else "nothing more"
