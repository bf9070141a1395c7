"""Connection requests that an `IConnectionDecider` was asked about and has not decided yet.

The engine tells nobody that a request has gone: that its time is over, that the peer has
taken it back, that it had to make room for another.  So those that wait are looked at
every `LOOK_S`, a part of them at a time, and the Deferred of one that has gone is
cancelled.  While nobody waits nothing is looked at.

Knows the engine's group and deciders; must not know ports.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, Final

from twisted.internet import defer
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from xtcp_twisted.engine.surface import ConnectionGroup
from xtcp_twisted.errors import LocalError
from xtcp_twisted.reactor.interfaces import IConnectionDecider
from xtcp_twisted.reactor.surface import Owner

#: Seconds from one look at those that wait to the next.
LOOK_S: Final = 0.1
#: So many of them are looked at in one go, those that were not for longest.
LOOKED_AT_ONCE: Final = 2_048


def deciderOf(factory: Any) -> Any:
    """The decider that a factory is, or that one of those is which it wraps; None without any."""
    while factory is not None:
        decider = IConnectionDecider(factory, None)
        if decider is not None:
            return decider
        factory = getattr(factory, "wrappedFactory", None)
    return None


class Decisions:
    """What one port has asked its decider.

    :param owner: the port.
    :param decider: the `IConnectionDecider`.
    """

    _log = Logger()

    def __init__(self, owner: Owner, decider: Any) -> None:
        self._owner = owner
        self._decider = decider
        #: By pending id; those that were looked at last are at the end.
        self._awaited: dict[int, defer.Deferred[Any]] = {}
        self._next: IDelayedCall | None = None

    def ask(self, pendingId: int, address: Any) -> None:
        """Ask about a request from `address`, and accept or refuse it when the answer comes."""
        asked = defer.maybeDeferred(self._decider.connectionRequested, address)
        self._awaited[pendingId] = asked
        asked.addCallbacks(self._decided, self._failed, (pendingId,), {}, (pendingId,))
        self._lookLater()

    def close(self) -> None:
        """The group has gone, and with it all that was asked for."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        while self._awaited:
            self._cancel(next(iter(self._awaited)))

    def _decided(self, accept: object, pendingId: int) -> None:
        if self._awaited.pop(pendingId, None) is not None:
            answer(self._owner.group, accept, pendingId)

    def _failed(self, reason: Failure, pendingId: int) -> None:
        if pendingId not in self._awaited and reason.check(defer.CancelledError):
            return
        self._decided(False, pendingId)
        self._log.failure("A connection request is refused, since the decision about it failed", reason)

    def _lookLater(self) -> None:
        if self._awaited and self._next is None:
            self._next = self._owner.clock.callLater(LOOK_S, self._look)

    def _look(self) -> None:
        self._next = None
        for pendingId in list(islice(self._awaited, LOOKED_AT_ONCE)):
            asked = self._awaited.pop(pendingId, None)
            if asked is not None:  # else what was cancelled before it has decided it
                self._awaited[pendingId] = asked
                if not self._waits(pendingId):
                    self._cancel(pendingId)
        self._lookLater()

    def _waits(self, pendingId: int) -> bool:
        try:
            return bool(self._owner.group.requester(pendingId))
        except LocalError:
            return False

    def _cancel(self, pendingId: int) -> None:
        asked = self._awaited.pop(pendingId)
        try:
            asked.cancel()
        except Exception:  # noqa: BLE001  # the others are cancelled all the same
            self._log.failure("A decision could not be cancelled")


def answer(group: ConnectionGroup, accept: object, pendingId: int) -> None:
    """Accept or refuse a request, if it is still there."""
    call: Callable[[int], object] = group.accept if accept else group.refuse
    try:
        call(pendingId)
    except LocalError:
        pass  # it has timed out, or the port has stopped
