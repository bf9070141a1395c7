"""The presence service of RFC 2778: it accepts presence information, keeps it, and distributes it.

A PRESENTITY is a name that somebody has or that somebody watches.  Its PRESENCE INFORMATION
is a STATUS, which is OPEN (its INSTANT INBOX takes INSTANT MESSAGES) or CLOSED, and OTHER
PRESENCE MARKUP: away or busy, and why.  A WATCHER is a FETCHER, who asks once, or a SUBSCRIBER,
who has a SUBSCRIPTION and gets a NOTIFICATION of each change; one may subscribe to a name
that nobody has.  WATCHER INFORMATION, who subscribes and how often it was fetched, is for
the presentity itself.  Its DELIVERY RULES and ACCESS RULES are one list: whoever is blocked
cannot send to it and finds it CLOSED.

Knows principals; must not know connections or lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from examples.chat.flat import Index, Relation, Rows, Texts, column
from examples.chat.lines import NAME_BYTES, NOTE_BYTES
from examples.chat.principals import Principals

#: What a presentity says of itself beside its status.
PLAIN, AWAY, BUSY = range(3)
_MARKUP: Final = {AWAY: "away", BUSY: "busy"}

#: Subscriptions that one watcher may have, and as many names that it may block.
MAX_WATCHED: Final = 64
#: Subscribers that one presentity may have: so many notifications is what one change costs at most.
MAX_WATCHERS: Final = 1_000
#: Subscriptions of all, for each principal that there may be.
_SHARE: Final = 8


class PresenceService:
    """Presentities by row, and who watches them.

    :param principals: who is here.
    :param people: how many there may be, and how many names that nobody has.
    :param key: 16 to 64 bytes, secret.  Names are told apart by 64 bits of a hash with this key, so that
        none can be chosen to collide; two that do by chance are taken for one.
    """

    def __init__(self, principals: Principals, people: int, key: bytes) -> None:
        names = 2 * people + 1  # one has two while it is changed
        self._people = people
        self._borne = 0
        self._here = principals
        self._key = key
        self._rows = Rows(names)
        self._index = Index(names)
        self._names = Texts(names, NAME_BYTES)
        self._notes = Texts(names, NOTE_BYTES)
        self._markup = column("B", names)
        self._bearer = column("I", names)
        self._fetches = column("I", names)
        self._subscriptions = Relation(people, names, _SHARE * people)
        self._blocks = Relation(people, names, people)

    # --- names ------------------------------------------------------------------------

    def _hash(self, name: str) -> int:
        digest = blake2b(name.casefold().encode(), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "little")

    def find(self, name: str) -> int:
        """The presentity of that name, in capitals or not; 0 if nobody has or watches it."""
        return self._index.find(self._hash(name))

    def _made(self, name: str) -> int:
        """The presentity of that name, new if need be."""
        row = self.find(name)
        if not row:
            row = self._rows.take()
            self._names[row], self._notes[row] = name, ""
            self._markup[row] = PLAIN
            self._bearer[row] = self._fetches[row] = 0
            self._index.put(self._hash(name), row)
        return row

    def _wanted(self, name: str) -> int:
        """As `_made`, for a name that a watcher or a rule names; 0 if nobody has it and those are many."""
        row = self.find(name)
        if row or self._rows.taken - self._borne < self._people:
            return row or self._made(name)
        return 0

    def _drop_unused(self, row: int) -> None:
        if not (self._bearer[row] or self._subscriptions.lefts_count(row) or self._blocks.lefts_count(row)):
            self._index.drop(self._hash(self._names[row]))
            self._rows.give(row)

    def name(self, row: int) -> str:
        """As its bearer, or the first who asked for it, writes it."""
        return self._names[row]

    def bearer(self, row: int) -> int:
        """The principal who has this name, on a connection or not; 0 for nobody."""
        bearer: int = self._bearer[row]
        return bearer

    def claim(self, name: str, principal: int) -> None:
        """`principal` has this name, which nobody else has, instead of the one it had."""
        old, row = self._here.presentity[principal], self._made(name)
        self._names[row] = name
        if row == old:
            return
        self._bearer[row] = principal
        self._borne += 1
        self._here.presentity[principal] = row
        if old:
            self._markup[row], self._notes[row] = self._markup[old], self._notes[old]
            self._abandon(old)

    def release(self, principal: int) -> None:
        """`principal` leaves: its name is free, its subscriptions and rules end."""
        for relation in self._subscriptions, self._blocks:
            for row in relation.rights(principal):
                relation.remove(principal, row)
                self._drop_unused(row)
        if self._here.presentity[principal]:
            self._abandon(self._here.presentity[principal])
            self._here.presentity[principal] = 0

    def _abandon(self, row: int) -> None:
        self._bearer[row] = 0
        self._borne -= 1
        self._markup[row], self._notes[row] = PLAIN, ""
        self._drop_unused(row)

    # --- presence information -----------------------------------------------------------

    def describe(self, principal: int, markup: int, note: str) -> None:
        """The presence information that `principal`, who has a name, gives of itself."""
        row = self._here.presentity[principal]
        self._markup[row], self._notes[row] = markup, note

    def markup(self, row: int) -> str:
        """Away or busy, and why; "" if neither."""
        word, note = _MARKUP.get(self._markup[row], ""), self._notes[row]
        return f"{word}: {note}" if note else word

    def is_open(self, row: int, asks: int) -> bool:
        """Whether the instant inbox of `row` takes what `asks` sends."""
        bearer = self._bearer[row]
        return bool(
            bearer
            and self._here.cd[bearer]
            and self._markup[row] != BUSY
            and not self._blocks.has(bearer, self._here.presentity[asks])
        )

    def information(self, row: int, asks: int) -> str:
        """The presence information of `row` as `asks` may see it."""
        bearer = self._bearer[row]
        if not bearer or not self._here.cd[bearer] or self._blocks.has(bearer, self._here.presentity[asks]):
            return f"{self._names[row]} is CLOSED"
        markup = self.markup(row)
        status = "CLOSED" if self._markup[row] == BUSY else "OPEN"
        return f"{self._names[row]} is {status}" + (f", {markup}" if markup else "")

    # --- watchers -------------------------------------------------------------------------

    def fetch(self, row: int, asks: int) -> str:
        """`asks` is a fetcher of `row`, now."""
        self._fetches[row] = min(self._fetches[row] + 1, 0xFFFF_FFFF)
        return self.information(row, asks)

    def subscribe(self, watcher: int, name: str) -> str:
        """Keep a subscription of `watcher`; returns why not, or ""."""
        if self._subscriptions.rights_count(watcher) >= MAX_WATCHED:
            return f"you have {MAX_WATCHED} subscriptions; /unsubscribe from one first"
        row = self._wanted(name)
        if not row:
            return "there is no room for another name"
        if self._subscriptions.has(watcher, row):
            return f"you have subscribed to {self._names[row]} already"
        if self._subscriptions.lefts_count(row) >= MAX_WATCHERS:
            return f"{self._names[row]} has {MAX_WATCHERS:,} subscribers, which is all that one may have"
        if not self._subscriptions.add(watcher, row):
            self._drop_unused(row)
            return "there is no room for another subscription"
        return ""

    def unsubscribe(self, watcher: int, name: str) -> bool:
        """End a subscription; False if there is none."""
        return self._part(self._subscriptions, watcher, name)

    def _part(self, relation: Relation, principal: int, name: str) -> bool:
        row = self.find(name)
        parted = bool(row) and relation.remove(principal, row)
        if parted:
            self._drop_unused(row)
        return parted

    def watched(self, watcher: int) -> Iterator[int]:
        """The presentities that `watcher` subscribes to."""
        return self._subscriptions.rights(watcher)

    def subscribers(self, row: int) -> Iterator[int]:
        """The principals who have a subscription to `row`."""
        return self._subscriptions.lefts(row)

    def audience(self, row: int) -> list[int]:
        """The subscribers for whom a change of `row` is one: those whom it does not block."""
        bearer, subscribers = self._bearer[row], self._subscriptions.lefts(row)
        if not self._blocks.rights_count(bearer):
            return list(subscribers)
        return [w for w in subscribers if not self._blocks.has(bearer, self._here.presentity[w])]

    def watcher_information(self, row: int) -> tuple[int, int]:
        """How many subscribers `row` has, and how often it was fetched."""
        return self._subscriptions.lefts_count(row), self._fetches[row]

    # --- rules ----------------------------------------------------------------------------

    def block(self, principal: int, name: str) -> str:
        """Whoever has this name can neither send to `principal` nor see it; returns why not, or ""."""
        if self._blocks.rights_count(principal) >= MAX_WATCHED:
            return f"you block {MAX_WATCHED} names; /unblock one first"
        row = self._wanted(name)
        if not row:
            return "there is no room for another name"
        if self._blocks.has(principal, row):
            return f"you block {self._names[row]} already"
        if not self._blocks.add(principal, row):
            self._drop_unused(row)
            return "there is no room for another rule"
        return ""

    def unblock(self, principal: int, name: str) -> bool:
        """End that; False if the name was not blocked."""
        return self._part(self._blocks, principal, name)

    def blocks(self, principal: int, row: int) -> bool:
        """Whether `principal` blocks whoever has the name `row`."""
        return self._blocks.has(principal, row)
