"""The turns of a server, timed one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from benchmarks.crowd import Crowd


@attrs.define
class Lap:
    """What one step took of the server's thread; times are CPU time, seconds."""

    #: All of it.
    total: float = 0.0
    #: The longest turn of the reactor, or call: for so long nobody else is served.
    longest: float = 0.0
    #: Turns and calls.
    turns: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """What is done meanwhile is one turn, or one call of the application."""
        begun = time.thread_time()
        yield
        took = time.thread_time() - begun
        self.total += took
        self.longest = max(self.longest, took)
        self.turns += 1

    def turn(self, crowd: Crowd) -> None:
        """One turn of the server's reactor."""
        with self.one():
            crowd.reactor.turn()


def settle(crowd: Crowd, lap: Lap, answer: Callable[[bytes], bytes | None] | None = None) -> int:
    """Turns until the server has nothing to do at this instant; the packets that it sent.

    :param answer: what a client says to each; None: the clients have gone.
    """
    sent = 0
    while True:
        lap.turn(crowd)
        packets = [packet for _, packet in crowd.link.take()]
        sent += len(packets)
        if answer is not None:
            crowd.deliver(map(answer, packets))
        if not crowd.busy:
            return sent
