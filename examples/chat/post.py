"""Getting lines to people, some of whom do not read.

What is said to many is stored once, however many hear it.  Somebody who does not read
costs only itself: a line that finds no room is lost for that one, who is told so when
there is room again; the answer to an own line is never lost, but while it waits, no more
lines are taken from there; and whoever acknowledges nothing for a while is cut off.

Knows principals and the group; must not know what the lines mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from twisted.internet.interfaces import IReactorTime

from examples.chat.flat import column
from examples.chat.lines import Answer, Line, encode, notice
from examples.chat.principals import Principals
from examples.chat.waiting import Waiting
from xtcp_twisted.errors import StaleConnection, WriteClosed
from xtcp_twisted.reactor.groups import GroupTransport

#: What says that a connection has ended, before its end was told.
ENDED: Final = (StaleConnection, WriteClosed)
#: Answers that wait for room in this process, one for each connection; there are no more than this.
MAX_RESTS: Final = 1_024


class Post:
    """Sends lines to principals.

    :param people: how many principals there may be.
    :param patience_s: whoever has acknowledged nothing of what waits for so long is cut off.
    :ivar group: set when the group is open.
    """

    group: GroupTransport

    def __init__(self, principals: Principals, people: int, patience_s: float, clock: IReactorTime) -> None:
        self._here = principals
        self._slow = Waiting(people, patience_s, clock, self._judge)
        #: Where the one to be judged stood when it became slow.
        self._acknowledged = column("I", people)
        self._missed = column("B", people)
        #: What was not taken of an answer, by connection.
        self._rests: dict[int, bytes] = {}

    def stop(self) -> None:
        """The group is closed."""
        self._slow.stop()
        self._rests.clear()

    # --- sending ------------------------------------------------------------------------

    def answer(self, cd: int, principal: int, lines: Answer, ackd: int) -> bool:
        """Send the answer to a line of `ackd` bytes; its acknowledgement rides on it.

        :return: whether the connection may say more; otherwise it is paused until `writable` names it.
        """
        data = encode(lines, bool(self._here.coloured[principal]))
        taken = self.group.send(cd, data, ackd)
        if taken == len(data):
            return True
        if len(self._rests) >= MAX_RESTS:
            self.group.abort(cd)
            return False
        self._rests[cd] = data[taken:]
        self.group.pause(cd)
        self._watch(principal)
        return False

    def say(self, line: Line, principals: Iterable[int], but: int = 0) -> int:
        """Send one line to many, except to `but`; returns how many get it."""
        cds: tuple[list[int], list[int]] = [], []
        for principal in principals:
            cd = self._here.cd[principal]
            if cd in self._rests:
                self._missed[principal] = 1  # a line must not come into the middle of another
            elif cd and principal != but:
                cds[self._here.coloured[principal]].append(cd)
        return sum(
            self.group.broadcast(line.encode(bool(coloured)), cds[coloured])
            for coloured in (0, 1)
            if cds[coloured]
        )

    def close(self, cd: int, lines: Answer) -> None:
        """Say this and hang up."""
        self._rests.pop(cd, None)
        with suppress(*ENDED):
            self.group.send(cd, encode(lines, coloured=False))
            self.group.finish(cd)

    # --- those who do not read ----------------------------------------------------------

    def stalled(self, cds: Iterable[int]) -> None:
        """Lines could not be queued for these."""
        for cd in cds:
            principal = self._here.of(cd)
            if principal:
                self._missed[principal] = 1
                self._watch(principal)

    def writable(self, cd: int) -> bool:
        """There is room again: send what is left, and say that something is lost.

        :return: whether the connection may say more.
        """
        principal = self._here.of(cd)
        if not principal:
            return False  # it was closed in the same turn
        rest = self._rests.pop(cd, b"")
        self._slow.discard(principal)
        if self._missed[principal]:
            self._missed[principal] = 0
            lost = notice("lines are lost: they came faster than you read")
            rest += lost.encode(bool(self._here.coloured[principal]))
        taken = self.group.send(cd, rest)
        if taken < len(rest):
            self._rests[cd] = rest[taken:]
            self._watch(principal)
        return taken == len(rest)

    def forget(self, principal: int) -> None:
        """Its connection is gone."""
        self._rests.pop(self._here.cd[principal], None)
        self._slow.discard(principal)
        self._missed[principal] = 0

    def _watch(self, principal: int) -> None:
        if principal not in self._slow:
            self._acknowledged[principal] = self.group.info(self._here.cd[principal]).snd_una
            self._slow.add(principal)

    def _judge(self, principal: int) -> None:
        """Its time is up; but the buffer of all may have been full, or it may read very slowly."""
        cd = self._here.cd[principal]
        try:
            info = self.group.info(cd)
        except StaleConnection:
            return  # it has ended, and that will be told
        if info.snd_una == info.snd_lbb:
            return
        if info.snd_una == self._acknowledged[principal]:
            self.group.abort(cd)
        else:
            self._watch(principal)
