"""Rooms: who hears what is said where.

A room exists while somebody is in it.  Somebody whose connection is lost stays in it for as long as the
name is kept.

Knows principals; must not know connections or lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from examples.chat.flat import Relation
from examples.chat.flat import Rows as Free
from examples.chat.lines import NAME_BYTES
from examples.chat.principals import Principals

#: Where everybody with a name begins.
LOBBY: Final = "lobby"
#: Rooms that one may be in.
MAX_JOINED: Final = 8
#: People in one room: so many lines is what one said there costs at most.
MAX_MEMBERS: Final = 1_000
#: In larger rooms, nobody is told who comes and goes.
ANNOUNCED: Final = 50
#: Members of all rooms, for each principal that there may be.
_SHARE: Final = 4

_NAME: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{NAME_BYTES - 1}}}")


class Rooms:
    """Rooms by row, and their members.

    :param principals: who is here.
    :param people: how many there may be.
    :param rooms: how many rooms there may be.
    """

    def __init__(self, principals: Principals, people: int, rooms: int) -> None:
        self._here = principals
        self._rows = Free(rooms)
        self._names = [""] * (rooms + 1)
        self._by_name: dict[str, int] = {}
        self._members = Relation(people, rooms, _SHARE * people)

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: str) -> int:
        """The room of that name, with its # or without; 0 if nobody is in one."""
        return self._by_name.get(name.removeprefix("#").lower(), 0)

    def name(self, row: int) -> str:
        """Its name, without the #."""
        return self._names[row]

    def names(self, most: int) -> Iterator[tuple[str, int]]:
        """The rooms that exist, at most so many, each with how many are in it."""
        return ((name, self.count(row)) for name, row in islice(self._by_name.items(), most))

    def members(self, row: int) -> Iterator[int]:
        """The principals in it, in the order in which they came."""
        return self._members.lefts(row)

    def count(self, row: int) -> int:
        """How many are in it."""
        return self._members.lefts_count(row)

    def is_announced(self, row: int) -> bool:
        """Whether those in it are told who comes and goes."""
        return self.count(row) <= ANNOUNCED

    def joined(self, principal: int) -> Iterator[int]:
        """The rooms that `principal` is in."""
        return self._members.rights(principal)

    def has(self, principal: int, row: int) -> bool:
        """Whether `principal` is in the room."""
        return self._members.has(principal, row)

    def join(self, principal: int, name: str) -> str:
        """Put `principal` into a room where it is not; returns why not, or ""."""
        name = name.removeprefix("#").lower()
        if not _NAME.fullmatch(name):
            return f"a room's name has 1 to {NAME_BYTES} of a-z, 0-9, _ and -"
        if self._members.rights_count(principal) >= MAX_JOINED:
            return f"you are in {MAX_JOINED} rooms; /leave one first"
        row = self._by_name.get(name, 0)
        if row and self.count(row) >= MAX_MEMBERS:
            return f"#{name} is full, with {MAX_MEMBERS:,} people; /join another room"
        if not row:
            row = self._rows.take()
            if not row:
                return "there is no room for another room; /rooms shows those there are"
            self._by_name[name], self._names[row] = row, name
        if not self._members.add(principal, row):
            self._drop_unused(row)
            return "all rooms together are full"
        self._here.room[principal] = row
        return ""

    def leave(self, principal: int, row: int) -> None:
        """Take `principal` out of a room that it is in; it speaks in the latest of those left, if any."""
        self._members.remove(principal, row)
        if self._here.room[principal] == row:
            self._here.room[principal] = 0
            for last in self._members.rights(principal):
                self._here.room[principal] = last
        self._drop_unused(row)

    def _drop_unused(self, row: int) -> None:
        if not self.count(row):
            del self._by_name[self._names[row]]
            self._names[row] = ""
            self._rows.give(row)
