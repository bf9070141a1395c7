"""Python's garbage collector beside a million connections.

Each connection of an ordinary protocol is two objects that the collector looks at
(transport and protocol).  Left alone, it looks at all of them whenever their number has
grown by a quarter: with a million that is a pause of some hundred milliseconds, and it
finds nothing, because what a connection leaves behind is freed by its reference counts
(the transport lets go of the protocol when it ends).

So while a `Collector` runs, what has survived a collection of the two young
generations is *frozen* (`gc.freeze`): it is never looked at again.  No collection then
looks at more than `YOUNG` times three objects, however many connections there are.
Objects that are frozen are still freed when nothing refers to them.  Only cycles that
were frozen would stay, so when most of the connections that were frozen have
ended, everything is *thawed* and collected once: a pause for those that are left.

Knows stacks; must not know services.
"""

from __future__ import annotations

import gc
from typing import Final

from xtcp_twisted.reactor.stack import XTCPStack

#: So many objects more than at the last collection begin one.
YOUNG: Final = 10_000
#: So many collections of the youngest generation begin one that takes in what they left.
GENERATIONS: Final = 2
#: The oldest generation is empty, since all that would be in it is frozen.
NEVER: Final = 1_000_000
#: Thaw when this many times as many connections have ended as are open ...
ENDED: Final = 4
#: ... but not for fewer than these.
FEW: Final = 25_000


#: Those that run; the last one to stop leaves the collector as the first one found it.
_running: list[Collector] = []
_found: list[tuple[int, int, int]] = []


class Collector:
    """Keeps the garbage collector of this process away from what lives long.

    The service starts one (`[service] freeze`), and a program without the service may. There
    is one collector in a process, so of several stacks the first one's `young` holds.

    :param stack: whose connections tell when it is time to thaw.
    :param young: see `YOUNG`.
    :param few: see `FEW`.
    :ivar thaws: how often everything was thawed.
    """

    def __init__(self, stack: XTCPStack, young: int = YOUNG, few: int = FEW) -> None:
        self.thaws = 0
        self._stack = stack
        self._young = young
        self._few = few
        self._ended = 0

    def start(self) -> None:
        """Freeze all that there is, and from now on what stays.  May be called twice."""
        if self in _running:
            return
        self._ended = self._stack.stage.ended
        if not _running:
            _found[:] = [gc.get_threshold()]
            gc.set_threshold(self._young, GENERATIONS, NEVER)
        _running.append(self)
        gc.callbacks.append(self._collected)
        gc.collect()
        gc.freeze()

    def stop(self) -> None:
        """Leave the collector as it was found; what was frozen is looked at again.  May be called twice."""
        if self not in _running:
            return
        _running.remove(self)
        gc.callbacks.remove(self._collected)
        if not _running:
            gc.set_threshold(*_found.pop())
            gc.unfreeze()

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        """The collector begins or ends; it calls this in the middle of anything."""
        if phase == "stop" and info["generation"] == 1:
            gc.freeze()
            stage = self._stack.stage
            if stage.ended - self._ended > max(self._few, ENDED * stage.live):
                # Not here: this is the middle of anything, in whatever thread.
                self._ended = stage.ended
                self._stack.reactor.callFromThread(self._thaw)

    def _thaw(self) -> None:
        if self in _running:
            self.thaws += 1
            gc.unfreeze()
            gc.collect()
            gc.freeze()
