"""A line chat for people with ``nc``: one group protocol, one room.

    nc 10.77.0.2 5222
    /nick ada
    hello everybody

Three things are worth a look.

* A connection that has said nothing costs nothing here: only those who took a
  nickname are in two dictionaries.
* Every line gets exactly one answer, so its acknowledgement rides on the answer
  and a line costs the server one packet.
* Half a line is not kept here: it stays unacknowledged in the receive buffer, and
  `need` asks for it again when more has come.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from twisted.python.failure import Failure

from xtcp_twisted.reactor.groups import GroupProtocol

#: Longest line, bytes; whoever sends more without a newline is cut off.
MAX_LINE: Final = 1_024
#: Names that /who tells; all of a large room would not fit into an answer.
NAMES_SHOWN: Final = 50

_NICK: Final = re.compile(r"\w{1,20}")

HELP: Final = "TEXT says it to everybody; /nick NAME; /msg NAME TEXT; /who; /quit; /help"


class Chat(GroupProtocol):
    """The room.  Its own acknowledgements: of whole lines only."""

    autoAcknowledge = False

    def __init__(self, greeting: str = "Welcome. Take a name with /nick NAME; /help shows the rest.") -> None:
        self._greeting = greeting
        self._nicks: dict[int, str] = {}
        self._byNick: dict[str, int] = {}
        self._commands = {"nick": self._nick, "msg": self._whisper, "who": self._who, "help": self._help}

    def connectionMade(self, cd: int) -> None:
        """Say hello."""
        self.group.send(cd, _line(f"* {self._greeting}"))

    def messageReceived(self, cd: int, data: bytes) -> None:
        """Answer the whole lines in one packet, and leave the rest where it is."""
        *lines, rest = data.split(b"\n")
        if max(map(len, lines), default=0) > MAX_LINE or len(rest) > MAX_LINE:
            self._goodbye(cd, [f"! a line may have {MAX_LINE} bytes"])
            return
        answers: list[str] = []
        for line in lines:
            answer = self._answer(cd, line.decode("utf-8", "replace").strip())
            if answer is None:
                self._goodbye(cd, answers)
                return
            answers.append(answer)
        whole = _line(*answers)
        if lines and self.group.send(cd, whole, len(data) - len(rest)) < len(whole):
            self.group.abort(cd)  # it does not read its answers
        else:
            self.group.need(cd, len(rest) + 1)

    def connectionsStalled(self, cds: list[int]) -> None:
        """They do not read; what was said is lost for them, and they stay."""

    def connectionLost(self, cd: int, reason: Failure) -> None:
        """Tell the others, if they knew it."""
        nick = self._nicks.pop(cd, None)
        if nick is not None:
            del self._byNick[nick]
            self._say(cd, f"* {nick} has left")

    # -- lines -------------------------------------------------------------------------

    def _answer(self, cd: int, line: str) -> str | None:
        """The one answer to a line; None to close."""
        if not line.startswith("/"):
            return self._talk(cd, line)
        command, _, text = line[1:].partition(" ")
        if command == "quit":
            return None
        serve = self._commands.get(command)
        return serve(cd, text.strip()) if serve else f"! /{command} is not known; /help shows what is"

    def _help(self, cd: int, _: str) -> str:
        return f"* {HELP}"

    def _who(self, cd: int, _: str) -> str:
        names = ", ".join(sorted(islice(self._byNick, NAMES_SHOWN))) or "nobody"
        if len(self._byNick) > NAMES_SHOWN:
            names += f" and {len(self._byNick) - NAMES_SHOWN} more"
        return f"* {len(self._byNick)} of {len(self.group)} have a name: {names}"

    def _talk(self, cd: int, text: str) -> str:
        nick = self._nicks.get(cd)
        if nick is None:
            return "! take a name first: /nick NAME"
        if not text:
            return "! an empty line says nothing"
        heard = self._say(cd, f"<{nick}> {text}")
        return f"* said to {heard}"

    def _nick(self, cd: int, nick: str) -> str:
        if not _NICK.fullmatch(nick):
            return "! a name has 1 to 20 letters, digits or underscores"
        if self._byNick.get(nick, cd) != cd:
            return f"! {nick} is taken"
        old = self._nicks.pop(cd, None)
        if old is not None:
            del self._byNick[old]
        self._nicks[cd] = nick
        self._byNick[nick] = cd
        self._say(cd, f"* {nick} is here" if old is None else f"* {old} is now {nick}")
        return f"* you are {nick}"

    def _whisper(self, cd: int, text: str) -> str:
        to, _, said = text.partition(" ")
        nick = self._nicks.get(cd)
        if nick is None:
            return "! take a name first: /nick NAME"
        if to not in self._byNick:
            return f"! nobody is called {to or 'that'}; /who shows who is here"
        if self.group.sendMany([(self._byNick[to], _line(f"-{nick}- {said}"))]):
            return f"! {to} does not read"
        return f"* sent to {to}"

    def _say(self, cd: int, text: str) -> int:
        """To everybody with a name but the speaker; returns how many took it."""
        return self.group.broadcast(_line(text), [other for other in self._nicks if other != cd])

    def _goodbye(self, cd: int, answers: list[str]) -> None:
        self.group.send(cd, _line(*answers, "* goodbye"))
        self.group.finish(cd)


def _line(*texts: str) -> bytes:
    return "".join(f"{text}\r\n" for text in texts).encode()
