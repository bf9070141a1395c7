"""The principals: whoever has said something, a row for each.

RFC 2778: a principal is a human, program or collection of them that appears to the service as a
single actor.  Here it is made by the first line of a connection, lives on for a while when a connection
with a name is lost, and can be taken up by another connection then.

Knows nothing of names, rooms and lines.
"""

from __future__ import annotations

from itertools import count

from examples.chat.flat import Index, Rows, column


class Principals:
    """Columns by row.

    :param people: as many rows.
    :ivar cd: its connection; 0 after that was lost.
    :ivar presentity: the name that it has, a row of `presence.PresenceService`; 0 without one.
    :ivar room: where it speaks, a row of `rooms.Rooms`; 0 for nowhere.
    :ivar coloured: 1: wants colours.
    :ivar serial: different for each principal there ever was.
    """

    def __init__(self, people: int) -> None:
        self._rows = Rows(people)
        self._index = Index(people)
        self._serials = count(1)
        self.cd = column("Q", people)
        self.presentity = column("I", people)
        self.room = column("I", people)
        self.coloured = column("B", people)
        self.serial = column("Q", people)

    def __len__(self) -> int:
        return self._rows.taken

    def of(self, cd: int) -> int:
        """Who speaks on this connection; 0 while nobody has."""
        return self._index.find(cd)

    def enter(self, cd: int) -> int:
        """Somebody new on a connection; 0 if there is no room."""
        row = self._rows.take()
        if row:
            self.presentity[row] = self.room[row] = self.coloured[row] = 0
            self.serial[row] = next(self._serials)
            self.cd[row] = cd
            self._index.put(cd, row)
        return row

    def disconnect(self, row: int) -> None:
        """Its connection is lost or left behind."""
        self._index.drop(self.cd[row])
        self.cd[row] = 0

    def take_up(self, row: int, by: int) -> None:
        """`row`, whose connection is lost, goes on with the connection of `by`, who is gone then."""
        cd = self.cd[by]
        self.coloured[row] = self.coloured[by]
        self.leave(by)
        self.cd[row] = cd
        self._index.put(cd, row)

    def leave(self, row: int) -> None:
        """It is gone, and its connection is nobody's."""
        if self.cd[row]:
            self.disconnect(row)
        self._rows.give(row)
