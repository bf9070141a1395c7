"""Handing a batch to a handler so that an exception costs one connection.

A handler of a group protocol is given many connections at once.  When it raises,
whose fault was it?  Calling it again for each connection singly would find out, but
would do the side effects of those that were served already a second time: a chat
line said twice, an account debited twice.  So:

* The batch knows how far the handler's ``for`` loop has come.  What was yielded
  last was being served: that connection pays.  Those before it are done, those
  after it are handed over again as a new batch, for the first time.
* A handler that raises outside of such a loop (before it, after it, or because it
  never iterates the batch itself) tells nothing.  It is then not called again, and
  every connection of the batch pays: their requests may or may not have been
  carried out, and a reset says just that, while silence would leave clients
  waiting for answers that nobody will give.

`GroupProtocol.messagesReceived` is a plain loop over `messageReceived`, so whoever
overrides only the latter always is in the first case.

The position costs nothing per item: the loop runs on the list's own iterator.

Knows no connections and no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeVar

from twisted.python import log

Item = TypeVar("Item")


class Batch(list[Item]):
    """A list that knows where the last ``for`` loop over it stands."""

    __slots__ = ("_cursor", "_done")

    def __init__(self, items: list[Item]) -> None:
        super().__init__(items)
        self._cursor: Any = None
        self._done = False

    def __iter__(self) -> Iterator[Item]:
        self._done = False
        self._cursor = super().__iter__()
        return chain(self._cursor, self._finish())

    def _finish(self) -> Iterator[Item]:
        """Yields nothing; that it was asked shows that the loop has come to its end."""
        self._done = True
        yield from ()

    def position(self) -> int | None:
        """Index of the item that the loop yielded last; None when no loop is under way."""
        if self._cursor is None or self._done:
            return None
        at: int = len(self) - self._cursor.__length_hint__() - 1
        return at if at >= 0 else None


def hand(
    handler: Callable[[list[Item]], object],
    items: list[Item],
    whose: Callable[[Item], object] | None = None,
) -> tuple[list[Item], list[Item], list[Item]]:
    """Call ``handler(batch)``, again for the rest when it raised in the middle.

    Exceptions are logged.

    :param items: the batch; must not be empty.
    :param whose: whom an item belongs to, if one may have several: those of a guilty one are not
        handed over any more, and not returned.
    :return: ``(served, guilty, unknown)``: what was served, what was being served
        when the handler raised, and the batch of which nobody knows.
    """
    served: list[Item] = []
    guilty: list[Item] = []
    rest = items
    while rest:
        batch = Batch(rest)
        try:
            handler(batch)
        except BaseException:  # noqa: BLE001  # as Twisted's reactors do
            log.err()
            at = batch.position()
            if at is None:
                return served, guilty, rest
            served += rest[:at]
            guilty.append(rest[at])
            rest = rest[at + 1 :]
            if whose is not None:
                pays = whose(guilty[-1])
                rest = [item for item in rest if whose(item) != pays]
        else:
            return (served + rest if served else rest), guilty, []
    return served, guilty, []
