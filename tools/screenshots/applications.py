"""A server that reads more slowly than its clients write now and then, as one with a disk does."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import LoopingCall

from xtcp_twisted.reactor.groups import GroupProtocol


class SlowReader(GroupProtocol):
    """Reads one connection at a time; what comes faster waits in the pool's receive buffer.

    :param reads_per_s: how many connections it reads in a second, in turn.
    """

    def __init__(self, reads_per_s: float) -> None:
        self._pause_s = 1 / reads_per_s
        #: Connections with something to read, and those that may have, the longest waiting first.
        self._waiting: dict[int, None] = {}

    def groupOpened(self) -> None:
        """Begin to read."""
        LoopingCall(self._read).start(self._pause_s, now=False)

    def messagesReceived(self, messages: list[tuple[int, bytes]]) -> None:
        """Whoever was read comes last."""
        for cd, _ in messages:
            self.group.pause(cd)
            self._waiting[cd] = None

    def connectionLost(self, cd: int, reason: Any) -> None:
        """It waits no more."""
        self._waiting.pop(cd, None)

    def _read(self) -> None:
        if self._waiting:
            cd = next(iter(self._waiting))
            del self._waiting[cd]
            self.group.resume(cd)
