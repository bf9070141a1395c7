"""The one descriptor by which a reactor drives an engine.

A turn is: serve what was put off, `poll`, deliver group by group, `flush`; every
step of it is bounded.  Three rules, each found by an experiment, shape it:

* The reader is an *internal* reader of the reactor.  An idle engine is then
  invisible to `getDelayedCalls` and `removeAll`, which trial's clean-up and
  Twisted's own tests look at.
* Nothing is driven by ``callLater(0)``.  A reactor runs its due calls before it
  looks at descriptors, so applications rely on their own ``callLater(0)``
  running before the transport tells them anything more.  What must wait a turn
  waits in `later`, and `Engine.wake` makes the next turn come.
* There is one descriptor, not two.  Were the engine's and one for what waits in `later`
  two readers, one pass of the reactor could run two turns, and nothing would lie
  between them.  So the engine's own descriptor is woken for both.

Knows engines and drivers; must not know protocols, factories or transports.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet import interfaces
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from xtcp_twisted.config import PRIORITIES
from xtcp_twisted.engine import Engine
from xtcp_twisted.errors import GroupClosed, LocalError, ResourceError
from xtcp_twisted.reactor.logctx import LazyContext, callWithLazyContext

#: Most events that one turn takes from the engine.
EVENTS_PER_TURN: Final = 4_096
#: Most messages that one turn delivers to one group.
MESSAGES_PER_TURN: Final = 1_024
#: Most deferred steps that one turn runs.
STEPS_PER_TURN: Final = 4_096

#: An event of one group: kind, connection id, detail.
Event = tuple[int, int, int]


class Driver(Protocol):
    """What serves one group: the listening port of a factory or of a group protocol."""

    def turn(self, events: list[Event], limit: int, context: LazyContext) -> bool:
        """Serve one turn's events and at most `limit` messages; True when there may be more.

        Exceptions of the application are dealt with inside.
        """

    def logPrefix(self) -> str: ...


@implementer(interfaces.IReadDescriptor, interfaces.ILoggingContext)
class XTCPReader:
    """An engine in a reactor.

    :param reactor: an `IReactorFDSet` provider.
    :param engine: the engine to drive.
    :param failed: called once with a `Failure` when the engine cannot go on.
    :param clock: seconds of the monotonic clock, the engine's `now`.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        engine: Engine,
        failed: Callable[[Failure], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reactor = reactor
        self.engine = engine
        self._failed = failed
        self._clock = clock
        #: Shared with whoever else serves groups of this engine, such as application servers.
        self._drivers: dict[int, Driver] = engine.routes
        self._again: set[int] = set()
        self._steps: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._attached = False
        self._woken = False
        self._inTurn = False

    # -- in and out of the reactor ---------------------------------------------

    def attach(self) -> None:
        """Begin: from now on the reactor drives the engine.

        :raises LocalError: another reader drives it.
        """
        if self.engine.driver not in (None, self):
            raise LocalError("the engine has a reactor that drives it already; give each reactor its own")
        self.engine.driver = self
        self.engine.fileno()  # makes it
        self._attached = True
        # Private, but the one way to be no part of removeAll(); a reactor that
        # lacks it sees an ordinary reader.
        add = getattr(self.reactor, "_addInternalReader", self.reactor.addReader)
        add(self)
        self._wake()

    def detach(self) -> None:
        """End; may be called twice.  The engine stays as it is."""
        if not self._attached:
            return
        internal = getattr(self.reactor, "_internalReaders", None)
        if internal is not None:
            internal.discard(self)
        self.reactor.removeReader(self)
        self._close()

    def _close(self) -> None:
        if not self._attached:
            return
        self.engine.driver = None
        self._attached = self._woken = False

    @property
    def attached(self) -> bool:
        """Whether the reactor drives the engine."""
        return self._attached

    def fileno(self) -> int:
        """The descriptor for the reactor, -1 when detached."""
        return self.engine.fileno() if self._attached and not self.engine.closed else -1

    def logPrefix(self) -> str:
        """The "system" of what is logged outside of any group."""
        return "xtcp"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor lets go of its descriptors, and of the set of those that are its own."""
        self._close()

    # -- asking for turns --------------------------------------------------------

    def add(self, gd: int, driver: Driver) -> None:
        """Events of the group `gd` go to `driver` from now on."""
        self._drivers[gd] = driver

    def discard(self, gd: int) -> None:
        """Nobody serves the group `gd` any more."""
        self._drivers.pop(gd, None)
        self._again.discard(gd)

    def again(self, gd: int) -> None:
        """Give the group's driver a turn even if the engine reports nothing."""
        self._again.add(gd)
        self._wake()

    def later(self, f: Callable[..., None], *args: Any) -> None:
        """Call ``f(*args)`` in the next turn: after the delayed calls that are due by then."""
        self._steps.append((f, args))
        self._wake()

    @property
    def wanted(self) -> bool:
        """Whether something waits for the next turn, whatever the engine wants."""
        return self._woken

    def _wake(self) -> None:
        if self._attached and not (self._woken or self._inTurn):
            self._woken = True
            self.engine.wake()

    # -- a turn --------------------------------------------------------------------

    def doRead(self) -> None:
        """Run one turn; called by the reactor."""
        self._woken = False
        self._inTurn = True
        try:
            callWithLazyContext(self, self._turn)
        except Exception:  # noqa: BLE001  # the application's are dealt with where they arise
            self._fail(Failure())
        finally:
            self._inTurn = False
        if self._steps or self._again:
            self._wake()

    def _turn(self, context: LazyContext) -> None:
        self.engine.begin_turn(self._clock())
        self._runSteps(context)
        if not self.attached:
            return  # a step was the last thing that a shutdown waited for
        touched = self._collect()
        for gd in sorted(touched, key=self._rank) if len(touched) > 1 else touched:
            events = touched[gd]
            driver = self._drivers.get(gd)
            if driver is None:
                continue
            context.current = driver
            try:
                more = driver.turn(events, MESSAGES_PER_TURN, context)
            except Exception:  # noqa: BLE001  # other groups go on
                more = False
                self._log.failure("A group could not be served", system=driver.logPrefix())
            if more and gd in self._drivers:
                self._again.add(gd)
        context.current = self
        if self.attached:
            self.engine.end_turn(self._clock())

    def _rank(self, gd: int) -> int:
        """Groups of a higher priority are served first; among equals, whose event came first."""
        try:
            return PRIORITIES.index(self.engine.group(gd).options.priority)
        except GroupClosed:
            return 0  # nothing is done for it

    def _runSteps(self, context: LazyContext) -> None:
        """What was put off before this turn; what is put off meanwhile waits for the next."""
        for _ in range(min(len(self._steps), STEPS_PER_TURN)):
            if not self._steps:
                return  # one of them was the end
            f, args = self._steps.popleft()
            owner: Any = getattr(f, "__self__", None)
            context.current = owner if hasattr(owner, "logPrefix") else self
            try:
                f(*args)
            except Exception:  # noqa: BLE001  # other connections go on
                self._log.failure("A deferred step failed", system=context["system"])

    def _collect(self) -> dict[int, list[Event]]:
        """This turn's events by group; groups that asked for a turn are among them."""
        told, more = self.engine.events_by_group(EVENTS_PER_TURN)
        touched: dict[int, list[Event]] = {gd: [] for gd in self._again}
        touched.update(told)
        self._again.clear()
        if more:
            self.later(_nothing)
        return touched

    def flush(self) -> None:
        """Send what is queued without waiting for a turn; for the way out."""
        self.engine.flush(self._clock())

    def _fail(self, reason: Failure) -> None:
        self.detach()
        if reason.check(ResourceError):
            self._log.critical("XTCP has stopped: {error}", error=reason.value)
        else:
            self._log.failure("XTCP has stopped", reason)
        self._steps.clear()
        self._again.clear()
        self._failed(reason)


def _nothing() -> None:
    """A step whose only use is that a turn follows."""
