"""The group protocol: lines in, answers out, and what one user can cost the others.

* Every line gets one answer, which carries its acknowledgement, so a line costs the server one packet.
* Half a line is not kept here: it stays unacknowledged in the receive buffer, and `need`
  asks for it again when more has come.
* Nor are lines that come too fast: reading pauses, the window closes, and TCP slows the client down.
* An error in a command costs the user who said it: name and rooms wait for that one as after any
  other break of a connection.

Knows bytes and connections; must not know what the lines mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

import attrs
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from examples.chat.commands import Commands
from examples.chat.flat import column
from examples.chat.lines import MAX_LINE, encode, notice, printable, refusal
from examples.chat.post import ENDED
from examples.chat.service import Service
from examples.chat.waiting import Waiting
from xtcp_twisted.checks import integer, seconds
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.groups import GroupProtocol

#: How long nothing is read from whoever says too much at once.
_PAUSE_S: Final = 0.5
_TOO_LONG: Final = f"a line has at most {MAX_LINE:,} bytes"


@attrs.frozen(kw_only=True)
class Limits:
    """What there is a bound of, and how much of it; a configuration may say otherwise."""

    #: Who may have said something and be here or expected back; whoever only listens needs no room.
    people: int = attrs.field(default=1 << 20, validator=integer(1, 1 << 24))
    rooms: int = attrs.field(default=4_096, validator=integer(1, 1 << 20))
    #: Lines that one may say in a second, in the long run ...
    lines_per_second: int = attrs.field(default=10, validator=integer(1, 10_000))
    #: ... and at once.
    burst: int = attrs.field(default=40, validator=integer(1, 10_000))
    #: How long the name of a broken connection is kept, seconds.
    hold_s: float = attrs.field(default=60, validator=seconds(0.1, 86_400))
    #: Whoever has acknowledged nothing of what waits for so many seconds is cut off.
    patience_s: float = attrs.field(default=60, validator=seconds(0.1, 86_400))


_DEFAULTS: Final = Limits()


class Chat(GroupProtocol):
    """Instant messaging with presence.

    :param greeting: the first line that everybody sees.
    :param limits: `Limits`, or a table of its fields.
    :param clock: a reactor; the installed one without it.
    :raises ConfigurationError: a limit is not what it may be.
    :ivar commands: what can be said; more may be added to its table.
    """

    autoAcknowledge = False

    def __init__(
        self,
        greeting: str = "Welcome. Take a name with /nick NAME; /help shows the rest.",
        *,
        limits: Limits | Mapping[str, Any] = _DEFAULTS,
        clock: IReactorTime | None = None,
    ) -> None:
        bounds = limits if isinstance(limits, Limits) else _limits(limits)
        self._clock = clock or _reactor()
        self._greeting = encode([notice(greeting)], coloured=False)
        self._service = Service(bounds.people, bounds.rooms, bounds.hold_s, bounds.patience_s, self._clock)
        self._principals = self._service.principals
        self._post = self._service.post
        self.commands = Commands(self._service)
        self._line_s = 1 / bounds.lines_per_second
        self._burst_s = (bounds.burst + 0.5) * self._line_s  # half a line for rounding
        #: When the lines that a principal has said will be paid for (a leaky bucket as a meter; ITU-T I.371).
        self._paid = column("d", bounds.people)
        self._flooding = Waiting(bounds.people, _PAUSE_S, self._clock, self._go_on)

    def groupOpened(self) -> None:
        """Send by this group."""
        self._post.group = self.group

    def groupClosed(self, reason: Failure) -> None:
        """Nobody is left."""
        self._flooding.stop()
        self._service.stop()

    def connectionsMade(self, cds: list[int]) -> None:
        """Say hello; nothing is remembered of somebody who says nothing."""
        for cd in cds:
            with suppress(*ENDED):
                self.group.send(cd, self._greeting)

    def messageReceived(self, cd: int, data: bytes) -> None:
        """Answer the whole lines, and leave the rest where it is."""
        *lines, rest = data.split(b"\n")
        with suppress(*ENDED):
            for line in lines:
                if not self._serve(cd, line):
                    return
            if len(rest) > MAX_LINE:
                self._refuse(cd, _TOO_LONG)
            else:
                self.group.need(cd, len(rest) + 1)

    def _serve(self, cd: int, line: bytes) -> bool:
        """Answer one line, if its time has come; whether the next one may be served."""
        if len(line) > MAX_LINE:
            self._refuse(cd, _TOO_LONG)
            return False
        principal = self._principals.of(cd) or self._enter(cd)
        if not principal:
            self._refuse(cd, "there are too many people here; try again later")
            return False
        if not self._pays(principal):
            self._flooding.add(principal)
            self.group.pause(cd)
            return False
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return self._post.answer(cd, principal, [refusal("a line is text in UTF-8")], len(line) + 1)
        answer = self.commands.answer(principal, printable(text.strip()))
        if answer is None:
            self._depart(principal)
            self._post.close(cd, [notice("goodbye")])
            return False
        return self._post.answer(cd, self._principals.of(cd), answer, len(line) + 1)

    def _enter(self, cd: int) -> int:
        principal = self._principals.enter(cd)
        self._paid[principal] = 0.0
        return principal

    def _pays(self, principal: int) -> bool:
        """Whether a line may be served now, and if so, note it."""
        now = self._clock.seconds()
        paid = max(now, self._paid[principal]) + self._line_s
        if paid > now + self._burst_s:
            return False
        self._paid[principal] = paid
        return True

    def _go_on(self, principal: int) -> None:
        """The pause of somebody who has said too much at once is over."""
        with suppress(*ENDED):
            self.group.resume(self._principals.cd[principal])

    # --- room to send --------------------------------------------------------------------

    def connectionsStalled(self, cds: list[int]) -> None:
        """They do not read as fast as others write."""
        self._post.stalled(cds)

    def connectionsWritable(self, cds: list[int]) -> None:
        """There is room again."""
        for cd in cds:
            with suppress(*ENDED):
                if self._post.writable(cd) and self._principals.of(cd) not in self._flooding:
                    self.group.resume(cd)

    # --- ends ----------------------------------------------------------------------------

    def connectionLost(self, cd: int, reason: Failure) -> None:
        """Who has closed in order is gone; who was lost may come back."""
        principal = self._principals.of(cd)
        if not principal:
            return
        if reason.check(ConnectionDone) or not self._principals.presentity[principal]:
            self._depart(principal)
        else:
            self._forget(principal)
            self._service.lose(principal)

    def _refuse(self, cd: int, why: str) -> None:
        """Say why, and hang up."""
        principal = self._principals.of(cd)
        if principal:
            self._depart(principal)
        self._post.close(cd, [refusal(why), notice("goodbye")])

    def _depart(self, principal: int) -> None:
        self._forget(principal)
        self._service.leave(principal)

    def _forget(self, principal: int) -> None:
        self._flooding.discard(principal)
        self._post.forget(principal)


def _limits(table: Mapping[str, Any]) -> Limits:
    """The limits of a configuration."""
    known = [field.name for field in attrs.fields(Limits)]
    for key in table:
        if key not in known:
            raise ConfigurationError(f"limits.{key}: there is no such limit; there are {', '.join(known)}")
    return Limits(**table)


def _reactor() -> IReactorTime:
    from twisted.internet import reactor

    return cast(IReactorTime, reactor)
