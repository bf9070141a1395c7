"""What can be said: one method per command, one answer per line.

An answer begins with a line that says what was done, or `!`, why not and what to do; nothing has
changed then.  A command looks first and changes afterwards, so an error in it leaves
nothing half done.

Knows the service; must not know bytes or connections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import islice
from typing import Final, NamedTuple

from examples.chat.lines import (
    MAX_LINE,
    NAMES_SHOWN,
    NOTE_BYTES,
    Answer,
    Line,
    counted,
    information,
    listing,
    message,
    more,
    name_fault,
    notice,
    printable,
    refusal,
    said,
)
from examples.chat.presence import AWAY, BUSY, PLAIN
from examples.chat.rooms import LOBBY
from examples.chat.service import Service


class Command(NamedTuple):
    """A command.

    :ivar usage: what follows its name.
    :ivar explains: what it does, for /help.
    :ivar serve: takes the principal and the rest of the line; None closes.
    """

    usage: str
    explains: str
    serve: Callable[[int, str], Answer | None]


Serve = Callable[["Commands", int, str], Answer]

_MODEL: Final = """\
Presence, in the words of RFC 2778:
A name that can be watched is a PRESENTITY. Its PRESENCE INFORMATION is its
STATUS, OPEN (takes instant messages) or CLOSED (does not), and what it says of
itself: away, busy.
A WATCHER is a FETCHER, who asks once (/fetch), or a SUBSCRIBER (/subscribe),
who gets a NOTIFICATION, a line with ~, of each change. You may subscribe to a
name that nobody has yet.
/watchers shows your WATCHER INFORMATION: who subscribes to you, and how often
you were fetched. /block makes your rules: whoever is blocked finds you CLOSED."""


def named(serve: Serve) -> Serve:
    """For those who have a name."""

    @wraps(serve)
    def check(self: Commands, principal: int, text: str) -> Answer:
        if not self.service.principals.presentity[principal]:
            return [refusal("take a name first: /nick NAME")]
        return serve(self, principal, text)

    return check


class Commands:
    """The commands by name; more may be added.

    :param service: what they work on.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.table: dict[str, Command] = {
            "nick": Command("NAME [KEY]", "take a name; the KEY gets back one that you have lost", self.nick),
            "msg": Command("NAME TEXT", "an instant message to one", self.msg),
            "join": Command("ROOM", "enter a room, or speak there from now on", self.join),
            "leave": Command("[ROOM]", "leave it, or the room where you speak", self.leave),
            "rooms": Command("", "the rooms there are", self.show_rooms),
            "who": Command("[ROOM]", "who is there", self.who),
            "subscribe": Command("NAME", "be notified when somebody comes, goes, is away", self.subscribe),
            "unsubscribe": Command("NAME", "not any more", self.unsubscribe),
            "fetch": Command("[NAME]", "presence of one, or of all you subscribe to", self.fetch),
            "watchers": Command("", "who subscribes to you", self.watchers),
            "away": Command("[NOTE]", "be OPEN, but away", self.away),
            "busy": Command("[NOTE]", "be CLOSED: no instant messages", self.busy),
            "back": Command("", "neither away nor busy", self.back),
            "block": Command("NAME", "be CLOSED for one", self.block),
            "unblock": Command("NAME", "not any more", self.unblock),
            "colours": Command("on|off", "colours, if your terminal has them", self.colours),
            "help": Command("[presence]", "this, or what the words of presence mean", self.help),
            "quit": Command("", "go", lambda principal, text: None),
        }

    def answer(self, principal: int, line: str) -> Answer | None:
        """Do what a line says.

        :param principal: who says it.
        :param line: printable text.
        :return: the answer; None to close.
        """
        if not line.startswith("/"):
            return self.talk(principal, line)
        name, _, text = line[1:].partition(" ")
        command = self.table.get(name.lower())
        if command is None:
            return [refusal(f"/{name} is not known; /help shows what is")]
        return command.serve(principal, text.strip())

    # --- names and messages -------------------------------------------------------------

    def nick(self, principal: int, text: str) -> Answer:
        """A name for whoever has none, another one, or one back."""
        service, (name, _, key) = self.service, text.partition(" ")
        fault = name_fault(name)
        if fault:
            return [refusal(fault)]
        has = service.principals.presentity[principal]
        bearer = service.presence.bearer(service.presence.find(name))
        if bearer and bearer != principal:
            return self._take_up(principal, bearer, name, key.strip())
        service.rename(principal, name)
        answer = [notice(f"you are {name}"), self._key_line(principal)]
        if not has:
            answer += self.join(principal, LOBBY)
        return answer

    def _key_line(self, principal: int) -> Line:
        name, key = self.service.name(principal), self.service.key(principal)
        return more(f"should the connection break: /nick {name} {key} within {self.service.hold_s:g} s")

    def _take_up(self, principal: int, bearer: int, name: str, key: str) -> Answer:
        """Somebody has the name; the key shows that it is the same person."""
        service = self.service
        if not key:
            lost = "" if service.principals.cd[bearer] else ", whose connection is broken"
            return [refusal(f"{name} is taken{lost}; whoever it belongs to has a key: /nick {name} KEY")]
        if not service.is_key(bearer, key):
            return [refusal(f"that is not the key of {name}")]
        if service.principals.presentity[principal]:
            return [refusal(f"you are {service.name(principal)} here; come back on a new connection")]
        service.take_up(bearer, principal)
        rooms = ", ".join("#" + service.rooms.name(room) for room in service.rooms.joined(bearer))
        again = notice(f"you are {service.name(bearer)} again, in {rooms or 'no room'}")
        return [again, self._key_line(bearer)]

    @named
    def talk(self, principal: int, text: str) -> Answer:
        """Say something to the room where one speaks."""
        service, room = self.service, self.service.principals.room[principal]
        if not text:
            return [refusal("an empty line says nothing")]
        if not room:
            return [refusal("you are in no room: /join ROOM")]
        line = said(service.rooms.name(room), service.name(principal), text)
        heard = service.post.say(line, service.rooms.members(room), but=principal)
        return [notice(f"said to {heard}")]

    @named
    def msg(self, principal: int, text: str) -> Answer:
        """An instant message: the sender learns whether the instant inbox has taken it."""
        service, (name, _, said_) = self.service, text.partition(" ")
        presentity = service.presence.find(name)
        bearer = service.presence.bearer(presentity)
        if not bearer:
            return [refusal(f"nobody is called {name or 'that'}; /who shows who is here")]
        if not said_.strip():
            return [refusal("an empty message says nothing: /msg NAME TEXT")]
        name = service.presence.name(presentity)
        if not service.presence.is_open(presentity, principal):
            return [refusal(f"not sent: {service.presence.information(presentity, principal)}")]
        if not service.post.say(message(service.name(principal), said_.strip()), (bearer,)):
            return [refusal(f"not sent: there is no room to send to {name} now; try again later")]
        markup = service.presence.markup(presentity)
        return [notice(f"sent to {name}" + (f", who is {markup}" if markup else ""))]

    # --- rooms --------------------------------------------------------------------------

    @named
    def join(self, principal: int, text: str) -> Answer:
        """Enter a room; or speak there, if one is in it."""
        service = self.service
        room = service.rooms.find(text)
        if room and service.rooms.has(principal, room):
            service.principals.room[principal] = room
            return [notice(f"you speak in #{service.rooms.name(room)}")]
        fault = service.rooms.join(principal, text)
        if fault:
            return [refusal(fault)]
        room = service.principals.room[principal]
        name = service.rooms.name(room)
        service.announce(principal, room, notice(f"{service.name(principal)} has joined #{name}"))
        return [notice(f"you are in #{name} with {counted(service.rooms.count(room) - 1, 'other')}")]

    @named
    def leave(self, principal: int, text: str) -> Answer:
        """Leave a room."""
        service = self.service
        room = service.rooms.find(text) if text else service.principals.room[principal]
        if not room or not service.rooms.has(principal, room):
            return [refusal(f"you are not in #{text.removeprefix('#')}" if text else "you are in no room")]
        name = service.rooms.name(room)
        service.leave_room(principal, room)
        now = service.principals.room[principal]
        where = f"you speak in #{service.rooms.name(now)}" if now else "you are in no room"
        return [notice(f"you have left #{name}; {where}")]

    def show_rooms(self, principal: int, text: str) -> Answer:
        """The rooms there are, and how many are in each."""
        rooms = self.service.rooms
        if not len(rooms):
            return [notice("there is no room; /join makes one")]
        found = listing((f"#{name} {count:,}" for name, count in rooms.names(NAMES_SHOWN)), len(rooms))
        return [notice(f"{counted(len(rooms), 'room')}: {found}")]

    def who(self, principal: int, text: str) -> Answer:
        """Who is in a room."""
        service = self.service
        current = service.principals.room[principal]
        name = text.removeprefix("#") or (service.rooms.name(current) if current else LOBBY)
        room = service.rooms.find(name)
        if not room:
            return [notice(f"nobody is in #{printable(name)}")]
        count = service.rooms.count(room)
        names = (service.name(member) for member in islice(service.rooms.members(room), NAMES_SHOWN))
        return [notice(f"{count:,} in #{name}: {listing(names, count)}")]

    # --- presence -----------------------------------------------------------------------

    @named
    def subscribe(self, principal: int, text: str) -> Answer:
        """Become a subscriber of a presentity; its presence information follows at once."""
        fault = name_fault(text) or self.service.presence.subscribe(principal, text)
        if fault:
            return [refusal(fault)]
        row = self.service.presence.find(text)
        return [
            notice(f"you subscribe to {self.service.presence.name(row)}"),
            information(self.service.presence.information(row, principal)),
        ]

    @named
    def unsubscribe(self, principal: int, text: str) -> Answer:
        """Not any more."""
        if not self.service.presence.unsubscribe(principal, text):
            return [refusal(f"you do not subscribe to {text or 'that'}; /fetch shows to whom you do")]
        return [notice(f"you do not subscribe to {text} any more")]

    @named
    def fetch(self, principal: int, text: str) -> Answer:
        """Be a fetcher of one presentity, or of all that one subscribes to."""
        presence = self.service.presence
        if not text:
            found = [information(presence.fetch(row, principal)) for row in presence.watched(principal)]
            return found or [notice("you subscribe to nobody: /subscribe NAME, or /fetch NAME")]
        fault = name_fault(text)
        if fault:
            return [refusal(fault)]
        row = presence.find(text)
        return [information(presence.fetch(row, principal) if row else f"{text} is CLOSED")]

    @named
    def watchers(self, principal: int, text: str) -> Answer:
        """The watcher information of one's own presentity."""
        presence, row = self.service.presence, self.service.principals.presentity[principal]
        count, fetches = presence.watcher_information(row)
        names = (self.service.name(watcher) for watcher in islice(presence.subscribers(row), NAMES_SHOWN))
        fetched = f"fetched {counted(fetches, 'time')}"
        if not count:
            return [notice(f"no subscribers; {fetched}")]
        return [notice(f"{counted(count, 'subscriber')}: {listing(names, count)}; {fetched}")]

    @named
    def away(self, principal: int, text: str) -> Answer:
        """OPEN and away."""
        return self._describe(principal, AWAY, text)

    @named
    def busy(self, principal: int, text: str) -> Answer:
        """CLOSED."""
        return self._describe(principal, BUSY, text)

    @named
    def back(self, principal: int, text: str) -> Answer:
        """OPEN."""
        return self._describe(principal, PLAIN, "")

    def _describe(self, principal: int, markup: int, note: str) -> Answer:
        if len(note.encode()) > NOTE_BYTES:
            return [refusal(f"a note has at most {NOTE_BYTES} bytes")]
        service, row = self.service, self.service.principals.presentity[principal]
        before = service.presence.information(row, 0)
        service.presence.describe(principal, markup, note)
        now = service.presence.information(row, 0)
        if now != before:
            service.notify(row)
        return [notice(now)]

    @named
    def block(self, principal: int, text: str) -> Answer:
        """A rule: closed for one name."""
        fault = name_fault(text) or self.service.presence.block(principal, text)
        return [refusal(fault) if fault else notice(f"you are CLOSED for {text}")]

    @named
    def unblock(self, principal: int, text: str) -> Answer:
        """Not any more."""
        if not self.service.presence.unblock(principal, text):
            return [refusal(f"you do not block {text or 'that'}")]
        return [notice(f"you do not block {text} any more")]

    # --- the rest -----------------------------------------------------------------------

    def colours(self, principal: int, text: str) -> Answer:
        """Colours or none."""
        if text not in ("on", "off"):
            return [refusal("say on or off: /colours on")]
        self.service.principals.coloured[principal] = text == "on"
        return [notice(f"colours are {text}")]

    def help(self, principal: int, text: str) -> Answer:
        """All commands, or the model."""
        if text == "presence":
            first, *rest = _MODEL.splitlines()
            return [notice(first), *map(more, rest)]
        width = max(len(f"/{name} {command.usage}") for name, command in self.table.items())
        return [
            notice(f"A line (at most {MAX_LINE:,} bytes) is said to your room, or begins with a command:"),
            *(
                more(f"{f'/{name} {command.usage}':{width}}  {command.explains}")
                for name, command in self.table.items()
            ),
        ]
