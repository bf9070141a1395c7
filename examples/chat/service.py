"""The service: who is here, the presence service, the rooms, and what happens to all three at once.

Somebody whose connection breaks keeps name, rooms and subscriptions for a while, CLOSED to
everybody, and comes back to them on another connection with the key that came with the name.
Nothing is stored for that: the key is 80 bits of a keyed hash.

Knows nothing of how lines come in.
"""

from __future__ import annotations

import os
from base64 import b32encode
from hashlib import blake2b
from hmac import compare_digest

from twisted.internet.interfaces import IReactorTime

from examples.chat.lines import Line, information, notice
from examples.chat.post import Post
from examples.chat.presence import PresenceService
from examples.chat.principals import Principals
from examples.chat.rooms import Rooms
from examples.chat.waiting import Waiting


class Service:
    """What the commands work on.

    :param people: principals at most, connected or expected back.
    :param rooms: rooms at most.
    :param hold_s: how long the name of a broken connection is kept.
    :param patience_s: see `post.Post`.
    """

    def __init__(
        self, people: int, rooms: int, hold_s: float, patience_s: float, clock: IReactorTime
    ) -> None:
        self._key = os.urandom(32)
        self.hold_s = hold_s
        self.principals = Principals(people)
        self.presence = PresenceService(self.principals, people, os.urandom(16))
        self.rooms = Rooms(self.principals, people, rooms)
        self.post = Post(self.principals, people, patience_s, clock)
        self.expected = Waiting(people, hold_s, clock, self.leave)

    def stop(self) -> None:
        """The group is closed."""
        self.expected.stop()
        self.post.stop()

    def name(self, principal: int) -> str:
        """The name of a principal who has one."""
        return self.presence.name(self.principals.presentity[principal])

    def key(self, principal: int) -> str:
        """What brings a principal back to its name on another connection."""
        secret = f"{self.principals.serial[principal]} {self.name(principal)}".encode()
        return b32encode(blake2b(secret, digest_size=10, key=self._key).digest()).decode().lower()

    def is_key(self, principal: int, key: str) -> bool:
        """Whether this is the key; takes as long in any case."""
        return compare_digest(self.key(principal).encode(), key.lower().encode())

    # --- telling ------------------------------------------------------------------------

    def notify(self, presentity: int) -> None:
        """Notifications to the subscribers of a presentity whose presence information has changed."""
        self._notify(presentity, self.presence.audience(presentity))

    def _notify(self, presentity: int, audience: list[int]) -> None:
        if audience:
            self.post.say(information(self.presence.information(presentity, 0)), audience)

    def announce(self, principal: int, room: int, line: Line) -> None:
        """Tell a room who comes and goes, if that is not too many."""
        if self.rooms.is_announced(room):
            self.post.say(line, self.rooms.members(room), but=principal)

    # --- coming and going ---------------------------------------------------------------

    def rename(self, principal: int, name: str) -> None:
        """Give `principal` a name that nobody else has."""
        old = self.principals.presentity[principal]
        audience, was = (self.presence.audience(old), self.presence.name(old)) if old else ([], "")
        self.presence.claim(name, principal)
        new = self.principals.presentity[principal]
        if new != old:
            self._notify(old, audience)
            self.notify(new)
        if old:
            for room in self.rooms.joined(principal):
                self.announce(principal, room, notice(f"{was} is now {name}"))

    def take_up(self, principal: int, by: int) -> None:
        """`principal` goes on with the connection of `by`, who has shown the key and has no name."""
        old = self.principals.cd[principal]
        if old:
            self.post.forget(principal)
            self.principals.disconnect(principal)
            self.post.close(old, [notice("you go on with another connection")])
        self.expected.discard(principal)
        self.principals.take_up(principal, by)
        if not old:
            self.notify(self.principals.presentity[principal])

    def lose(self, principal: int) -> None:
        """The connection of `principal` is broken: keep what it has for a while."""
        self.principals.disconnect(principal)
        self.expected.add(principal)
        self.notify(self.principals.presentity[principal])

    def leave(self, principal: int) -> None:
        """`principal` is gone for good."""
        presentity = self.principals.presentity[principal]
        for room in self.rooms.joined(principal):
            self.leave_room(principal, room)
        audience = self.presence.audience(presentity) if self.principals.cd[principal] else []
        self.presence.release(principal)
        self.principals.leave(principal)
        self._notify(presentity, audience)

    def leave_room(self, principal: int, room: int) -> None:
        """`principal` leaves a room that it is in."""
        name = self.rooms.name(room)
        self.announce(principal, room, notice(f"{self.name(principal)} has left #{name}"))
        self.rooms.leave(principal, room)
