"""The orderly end of a server: finish what is in flight, refuse the new, then close.

No port takes requests for connections any more.  Each connection that is in the middle
of nothing is closed in order: nothing is waiting to be delivered, acknowledged or sent,
no producer is registered, and the application has sent something since it was given
something.  The others are closed as they get there.  Connections that the process
has opened itself stay until then, since what is in flight may need them.

Knows ports; must not know services or settings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet import defer, task

from xtcp_twisted.reactor.port import ListeningGroup
from xtcp_twisted.reactor.served import Stage

#: How often connections are looked at, seconds.
_LOOK_S: Final = 0.02


class Drain:
    """One drain of all ports of a stack.

    :param stage: what the ports share.
    :param clock: an `IReactorTime`.
    :param limit: longest time that it may take, seconds.
    :param over: whether the stack has ended meanwhile.
    """

    def __init__(self, stage: Stage, clock: Any, limit: float, over: Callable[[], bool]) -> None:
        self._stage = stage
        self._clock = clock
        self._end = clock.seconds() + limit
        self._over = over
        self._looking = task.LoopingCall(self._look)
        self._looking.clock = clock
        self._drained = False

    def start(self) -> defer.Deferred[bool]:
        """Begin.

        :return: fires with True when no connection is left, with False when the time is up or the stack
            has ended.
        """
        done: defer.Deferred[Any] = self._looking.start(_LOOK_S)
        return done.addCallback(lambda _: self._drained)

    def _look(self) -> None:
        if not self._over():
            ports = [port for port in self._stage.ports if isinstance(port, ListeningGroup)]
            done = [port.drain() for port in ports]
            self._drained = all(done)
        if self._over() or self._drained or self._clock.seconds() >= self._end:
            self._looking.stop()
