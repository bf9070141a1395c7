"""The status socket: one line of JSON for whoever connects.

``{"time", "pid", "rss_bytes", "descriptors", "snapshot"}``, where the snapshot is
the engine's (`xtcp_twisted.engine.snapshot.EngineSnapshot`) and time is the
Unix time.  The connection is closed after it; at once, if the engine has stopped.

    socat - UNIX-CONNECT:/run/xtcp.sock | jq .snapshot.connections
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs
from twisted.internet import interfaces, protocol
from zope.interface import implementer

from xtcp_twisted.engine.snapshot import EngineSnapshot
from xtcp_twisted.errors import EngineClosed, ResourceError
from xtcp_twisted.reactor import process

#: What is made of the line at a time, characters: a tenth of a millisecond for each thousand.
_PIECE: Final = 16_384


def pieces(snapshot: EngineSnapshot) -> Iterator[bytes]:
    """The line, newline included, a piece at a time: with ten thousand groups it has megabytes."""
    line = {
        "time": time.time(),
        "pid": os.getpid(),
        "rss_bytes": process.rss_bytes(),
        "descriptors": process.descriptors(),
        "snapshot": snapshot,
    }
    made, size = [], 0
    for part in json.JSONEncoder(default=_plain).iterencode(line):
        made.append(part)
        size += len(part)
        if size >= _PIECE:
            yield "".join(made).encode("ascii")
            made, size = [], 0
    yield "".join(made).encode("ascii") + b"\n"


def _plain(value: object) -> Any:
    """What JSON does not know by itself: frozen dataclasses, attrs classes and read-only mappings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    kind = type(value)
    if attrs.has(kind):
        return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


@implementer(interfaces.IPullProducer)
class _Status(protocol.Protocol):
    """Makes the next piece when the one before has gone, so that no line stops the reactor."""

    factory: StatusFactory
    transport: Any

    def connectionMade(self) -> None:
        try:
            self._pieces = pieces(self.factory.snapshot())
        except EngineClosed:
            # Its link has gone, as the log says: there is nothing to tell.
            self.transport.loseConnection()
        else:
            self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Write one more piece; close after the last."""
        piece = next(self._pieces, None)
        if piece is not None:
            self.transport.write(piece)
            return
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def stopProducing(self) -> None:
        """Whoever asked has gone."""
        self._pieces = iter(())


class StatusFactory(protocol.Factory):
    """Serves the status of one engine.

    :param snapshot: makes a snapshot.
    """

    noisy = False
    protocol = _Status  # type: ignore[assignment]  # typed for its own factory

    def __init__(self, snapshot: Callable[[], EngineSnapshot]) -> None:
        self.snapshot = snapshot


def listen(
    reactor: interfaces.IReactorUNIX, path: str, snapshot: Callable[[], EngineSnapshot]
) -> interfaces.IListeningPort:
    """Serve the status on a Unix socket that only its owner may open.

    A socket that a process left behind when it died is replaced.

    :raises CannotListenError: the path cannot be bound, or somebody listens there.
    :raises ResourceError: nothing can be made in its folder.
    """
    try:
        return reactor.listenUNIX(path, StatusFactory(snapshot), mode=0o600, wantPID=True)
    except OSError as error:  # of the lock file beside it, which comes first
        raise ResourceError(f"the status socket {path} cannot be made: {error.strerror}") from error
