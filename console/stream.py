"""``/stream``: the figures as server-sent events, from the reactor thread to every open page.

A frame is made once, however many pages are open::

    event: tick    once a second, a `figures.Tick`; the first at once
    event: event   what happened (`figures.Event`), with ``id: <boot>-<number>``
    event: bye     the last: the session ended, or the console stops

There are no queues.  A viewer that reads too slowly is told to pause by its transport;
when it reads again it gets the newest tick, and the events since the last one that it got
from the `figures.View`.  One that does not read for `STALLED_S` is cut off.

Knows models, sessions and the guard; must not know engines or pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from twisted.internet import interfaces
from twisted.web import resource, server
from zope.interface import implementer

from xtcp_console.figures import View
from xtcp_console.guard import Guard
from xtcp_console.sessions import Sessions

#: Streams at one time: browsers open one for each tab that is looked at.
PER_SESSION: Final = 4
IN_ALL: Final = 32
#: A viewer that has taken nothing for so long is cut off, seconds.
STALLED_S: Final = 30.0
#: After how many milliseconds a browser tries again, and after how many seconds if there were too many.
RETRY_MS: Final = 2_000
RETRY_AFTER_S: Final = 5

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "X-Accel-Buffering": "no",  # a proxy in front must not collect ticks
}


class Source(Protocol):
    """What the stream needs of a `model.Model`."""

    @property
    def view(self) -> View | None: ...
    @property
    def listeners(self) -> list[Callable[[View], object]]: ...


class EventStream(resource.Resource):
    """The resource.

    :param model: its `listeners` are called in the reactor thread after each tick.
    :param identify: session id of a ``Cookie`` header, None if there is no good one.
    :param sessions: who is signed in.
    :param guard: which requests may come in at all.
    :param boot: tells event numbers of this process from those of another.
    :param reactor: an `IReactorTime` and `IReactorFromThreads` provider.
    """

    isLeaf = True

    def __init__(
        self,
        model: Source,
        identify: Callable[[str | None], str | None],
        sessions: Sessions,
        guard: Guard,
        boot: str,
        reactor: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._model = model
        self._identify = identify
        self._sessions = sessions
        self._guard = guard
        self._boot = boot
        self._reactor = reactor
        self._viewers: set[Viewer] = set()
        self._open = True
        model.listeners.append(self._publish)
        sessions.onEnd.append(lambda sid: reactor.callFromThread(self._sessionEnded, sid))

    def close(self) -> None:
        """Say goodbye to everybody, and take nobody any more."""
        self._open = False
        for viewer in list(self._viewers):
            viewer.end("stopping")

    # -- requests ------------------------------------------------------------------

    def render(self, request: Any) -> Any:
        """Open a stream, or say why not."""
        if request.method not in (b"GET", b"HEAD"):
            request.setResponseCode(405)
            _set(request, {"Allow": "GET, HEAD"})
            return b""
        sid = self._admit(request)
        if sid is None:
            return b""
        if request.method == b"HEAD":
            _set(request, _HEADERS)
            return b""
        own = sum(viewer.sid == sid for viewer in self._viewers)
        if not self._open or own >= PER_SESSION or len(self._viewers) >= IN_ALL:
            request.setResponseCode(503)
            _set(request, {"Retry-After": str(RETRY_AFTER_S)})
            return b""
        _set(request, _HEADERS)
        viewer = Viewer(request, sid, self._last_seen(request), self)
        self._viewers.add(viewer)
        request.notifyFinish().addBoth(lambda _: self._viewers.discard(viewer))
        viewer.begin()
        return server.NOT_DONE_YET

    def _admit(self, request: Any) -> str | None:
        """The session of a request that may come in; else None, and the status says why."""
        refusal = self._guard.refusal(
            request.method.decode("latin-1"),
            _header(request, b"host"),
            _header(request, b"origin"),
            _header(request, b"sec-fetch-site"),
            data=True,
        )
        if refusal is not None:
            request.setResponseCode(refusal.status)
            return None
        sid = self._identify(_header(request, b"cookie"))
        if sid is None or self._sessions.get(sid, use=False) is None:
            request.setResponseCode(401)
            return None
        return sid

    def _last_seen(self, request: Any) -> int:
        """Number of the newest event that the viewer has.

        A browser that comes back says so itself; the page that opens a stream
        says in the query what it was made with.
        """
        said = _header(request, b"last-event-id")
        if said is None:
            said = request.args.get(b"after", [b""])[0].decode("latin-1")
        else:
            boot, _, said = said.rpartition("-")
            if boot != self._boot:
                return 0  # of another process: everything here is new
        if said.isdecimal() and said.isascii():
            return int(said[:18])
        view = self._model.view
        return view.events[-1].id if view is not None and view.events else 0

    # -- frames --------------------------------------------------------------------

    def now(self) -> float:
        """Seconds of the reactor's clock."""
        return float(self._reactor.seconds())

    def frames(self, seen: int) -> tuple[bytes, int]:
        """The newest tick and the events after number `seen`, and the number of the newest event."""
        view = self._model.view
        if view is None:
            return b"", seen
        new = [event for event in view.events if event.id > seen]
        frames = [_frame(b"tick", view.tick.json)]
        frames += [_frame(b"event", event.json, f"{self._boot}-{event.id}") for event in new]
        return b"".join(frames), new[-1].id if new else seen

    def _publish(self, _: View) -> None:
        """A tick: send it to whoever reads, and part with whoever is not to be served any more."""
        for viewer in list(self._viewers):
            if self._sessions.get(viewer.sid, use=False) is not None:
                viewer.tick()
            else:
                self._sessionEnded(viewer.sid)

    def _sessionEnded(self, sid: str) -> None:
        for viewer in list(self._viewers):
            if viewer.sid == sid:
                viewer.end("signed out")


@implementer(interfaces.IPushProducer)
class Viewer:
    """One open stream.

    :param request: the HTTP request that it answers.
    :param sid: its session.
    :param seen: number of the newest event that it has.
    :param stream: makes the frames.
    """

    def __init__(self, request: Any, sid: str, seen: int, stream: EventStream) -> None:
        self.sid = sid
        self._request = request
        self._seen = seen
        self._stream = stream
        self._paused_at: float | None = None

    def begin(self) -> None:
        """Send what there is now."""
        self._request.registerProducer(self, True)
        self._request.write(b"retry: %d\n\n" % RETRY_MS)
        self.tick()

    def tick(self) -> None:
        """Send the newest figures, or look how long there has been no room for any."""
        if self._paused_at is None:
            frames, self._seen = self._stream.frames(self._seen)
            self._request.write(frames)
        elif self._stream.now() - self._paused_at >= STALLED_S:
            self._request.transport.abortConnection()

    def end(self, reason: str) -> None:
        """Say why there is nothing more, and finish."""
        self._request.unregisterProducer()
        self._request.write(_frame(b"bye", json.dumps({"reason": reason}).encode()))
        self._request.finish()

    # -- IPushProducer ---------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The transport has no room."""
        if self._paused_at is None:
            self._paused_at = self._stream.now()

    def resumeProducing(self) -> None:
        """It has room again: catch up."""
        if self._paused_at is not None:
            self._paused_at = None
            self.tick()

    def stopProducing(self) -> None:
        """The connection is gone; `EventStream` hears of it by itself."""
        self._paused_at = self._stream.now()


def _frame(kind: bytes, data: bytes, number: str | None = None) -> bytes:
    """One event as the HTML standard writes it (section 9.2, server-sent events)."""
    head = b"" if number is None else f"id: {number}\n".encode()
    return b"%sevent: %s\ndata: %s\n\n" % (head, kind, data)


def _header(request: Any, name: bytes) -> str | None:
    value = request.getHeader(name)
    return None if value is None else value.decode("latin-1")


def _set(request: Any, fields: Mapping[str, str]) -> None:
    for name, value in fields.items():
        request.setHeader(name.encode(), value.encode())
