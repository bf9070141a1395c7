"""The console's part of twisted.web: which resource answers, and what a request may cost.

Flask answers on threads of its own; what is served in the reactor thread comes
first.  A request's body is bounded before anything buffers it, however it is
framed, and every answer, Twisted's own errors too, carries the security headers.

Knows HTTP; must not know the engine, sessions or pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from typing import Any, Final

from twisted.internet import defer
from twisted.python.threadpool import ThreadPool
from twisted.web import http, resource, server
from twisted.web.wsgi import WSGIResource

from xtcp_console import headers

#: The largest body: the console has small forms and nothing to upload.
BODY_LIMIT_BYTES: Final = 64 << 10
#: A connection that says nothing for so long is closed, half a request included, seconds.
IDLE_S: Final = 60
#: How long what a refused client still sends is read and thrown away, seconds:
#: closing at once would reset the connection before the client has read why.
LINGER_S: Final = 2.0
#: Threads that make pages.
MIN_THREADS: Final = 2
MAX_THREADS: Final = 4
#: How long `Threads.end` waits for pages that are being made, seconds.
STOP_S: Final = 2.0

#: Unless the answer says otherwise itself.
_EVERY_ANSWER: Final = {**headers.SECURITY, "Cache-Control": headers.NO_STORE}


class Request(server.Request):
    """A request that refuses a large body before it is buffered.

    `http.HTTPChannel` calls `gotLength` after the headers, `handleContentChunk` for
    each piece of the body, and `requestReceived` after the last.
    """

    _received = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """The headers are here; `length` is the body's in bytes, None if it is chunked."""
        if length is not None and length > BODY_LIMIT_BYTES:
            self._refuse()
        else:
            super().gotLength(length)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body, up to the limit of all."""
        self._received += len(data)
        if self._received > BODY_LIMIT_BYTES and not self._refused:
            self._refuse()
        if not self._refused:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer, unless that has been done already."""
        if not self._refused:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    def _refuse(self) -> None:
        """Say 413 and close; what still comes goes nowhere, and not for long."""
        self._refused = True
        if self.content is not None:
            self.content.close()
            self.content = None
        transport: Any = self.channel.transport
        transport.write(_answer(http.REQUEST_ENTITY_TOO_LARGE, "The request is too large.\n"))
        transport.loseWriteConnection()
        abort = self.channel.callLater(LINGER_S, transport.abortConnection)
        self.notifyFinish().addErrback(lambda _: abort.cancel() if abort.active() else None)

    def write(self, data: bytes) -> None:
        """Send a piece of the answer; before the first one, complete the headers."""
        if not self.startedWriting:
            self.setHeader(b"Server", b"xtcp")  # type: ignore[no-untyped-call]
            for name, value in _EVERY_ANSWER.items():
                if not self.responseHeaders.hasHeader(name):
                    self.responseHeaders.setRawHeaders(name, [value])
        super().write(data)  # type: ignore[no-untyped-call]


class Channel(http.HTTPChannel):
    """A connection whose answer to what is no request carries the security headers, too."""

    def _respondToBadRequestAndDisconnect(self) -> None:
        transport: Any = self.transport
        transport.write(_answer(http.BAD_REQUEST, "This is no request.\n"))
        self.loseConnection()  # type: ignore[no-untyped-call]


def _answer(code: int, text: str) -> bytes:
    """A whole answer, for when there is no request yet that could make one."""
    fields = {
        "Server": "xtcp",
        "Connection": "close",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(text)),
        **_EVERY_ANSWER,
    }
    lines = [f"HTTP/1.1 {code} {http.RESPONSES[code].decode()}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", text]).encode()


class Root(resource.Resource):
    """Resources of the reactor thread by path, and pages for everything else.

    :param native: path, such as ``b"/stream"``, to resource.
    :param pages: answers all other paths.
    """

    def __init__(self, native: Mapping[bytes, resource.Resource], pages: WSGIResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._native = native
        self._pages = pages

    def getChild(self, path: bytes, request: Any) -> Any:
        """The resource of the whole path."""
        native = self._native.get(request.path)
        if native is not None:
            return native
        # As if nothing had been traversed: Flask is to see the path from its start.
        request.prepath.pop()
        request.postpath.insert(0, path)
        return self._pages


class Site(server.Site):
    """Serves nothing until its `resource` is replaced, so that a port can be bound before there is any.

    It keeps no access log, for the path of a sign-in link is a secret.
    """

    protocol = Channel  # type: ignore[assignment]  # typed for what may become HTTP/2
    displayTracebacks = False
    noisy = False

    def __init__(self, reactor: Any) -> None:
        # Flask reads the forms, on its own threads.
        super().__init__(  # type: ignore[no-untyped-call]
            resource.Resource(),
            requestFactory=Request,
            timeout=IDLE_S,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )

    def log(self, request: Any) -> None:
        """Log nothing."""


class _DaemonThread(Thread):
    """Does not keep the process from ending."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, daemon=True, **options)


class Threads(ThreadPool):
    """The threads that make pages: few, and no one else's."""

    threadFactory = _DaemonThread

    def __init__(self) -> None:
        super().__init__(MIN_THREADS, MAX_THREADS, "console")

    def end(self, reactor: Any) -> defer.Deferred[None]:
        """Let the threads finish their pages and end.

        A page that waits for the reactor must find it running, so the waiting is
        done by yet another thread.

        :return: fires when all have ended, or after `STOP_S`.
        """
        done: defer.Deferred[None] = defer.Deferred()

        def wait() -> None:
            self.stop()
            reactor.callFromThread(done.callback, None)

        _DaemonThread(target=wait, name="console end").start()
        return done.addTimeout(STOP_S, reactor, lambda *_: None)
