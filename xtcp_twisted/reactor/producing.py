"""What a transport has to do with producers, as `IConsumer` and Twisted's own transports have it.

A producer is paused, told to go on and stopped exactly when Twisted would do it,
with one exception: told to go on in a turn, it is told again in the same one as
long as the engine takes all that it writes.  A turn costs as much as 20 KB of a
stream, and a producer may write little more than 64 KiB before it is paused.

Knows what a transport shows of itself; must not know when the engine has room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from xtcp_twisted.reactor.preferences import TransportPreferences
from xtcp_twisted.reactor.surface import (
    ABORTING,
    CONNECTED,
    DISCONNECTED,
    DISCONNECTING,
    PRODUCER_PAUSED,
    STREAMING,
    WRITE_DISCONNECTING,
)

#: How often a producer is told to go on in one turn.
ROUNDS: Final = 4


class Consumer(TransportPreferences):
    """The part of `XTCPTransport` that lets producers write."""

    __slots__ = ()

    #: A producer is paused when more than this is buffered, bytes; may be set per transport.
    bufferSize = 65_536

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let `producer` write; it is paused while more than `bufferSize` is buffered."""
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self.producer} was never"
                " unregistered."
            )
        if self._flags & DISCONNECTED:
            producer.stopProducing()
            return
        self.producer = producer
        self._flags = self._flags & ~(STREAMING | PRODUCER_PAUSED) | (STREAMING if streaming else 0)
        if not streaming:
            # What was written before may be the engine's already, and its end is to be told, too.
            self._step()
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer is done; a close that waited for it goes on."""
        self.producer = None
        if self._flags & CONNECTED and self._flags & (DISCONNECTING | WRITE_DISCONNECTING):
            self._step()

    def stopConsuming(self) -> None:
        """The producer cannot go on: close."""
        self.unregisterProducer()
        self.loseConnection()

    def _pauseProducer(self) -> None:
        if self.producer is not None and self._flags & STREAMING:
            self._flags |= PRODUCER_PAUSED
            self.producer.pauseProducing()

    def _produce(self) -> None:
        """Let the producer write, and again while the engine takes all that it writes."""
        for _ in range(ROUNDS):
            self._flags &= ~PRODUCER_PAUSED
            if not self._guard(self.producer.resumeProducing):
                return
            out, flags = self._out, self._flags
            if self.producer is None or flags & (DISCONNECTED | ABORTING):
                return
            if out is None or len(out) or not out.buffered:
                return  # the engine has no room, or nothing was written
            if flags & STREAMING and not flags & PRODUCER_PAUSED:
                return
            out.turned()

    # -- what the transport itself has ---------------------------------------------------

    def loseConnection(self) -> None:
        """Close when all is written and no producer is left."""
        raise NotImplementedError

    def _step(self) -> None:
        raise NotImplementedError

    def _guard(self, f: Callable[..., object], *args: object) -> bool:
        raise NotImplementedError
