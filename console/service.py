"""The console as a Twisted service: what belongs together is made, started and stopped here.

The port is bound first, in `privilegedStartService`, so that one in use is found
before any device is opened.  The rest waits for `startService`, when the process is
the user that it will stay, so that the token's file is this user's own.

It lives on when the engine stops, and says why.

Knows settings and the parts of the console; must not know how the server works: it
is given as `Source`.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

import attrs
from twisted.application import service
from twisted.internet import defer
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.web.wsgi import WSGIResource

from xtcp_console import invitation, tokenfile
from xtcp_console.app import create_app, read_cookie
from xtcp_console.guard import Guard
from xtcp_console.links import Links
from xtcp_console.model import Model, Source
from xtcp_console.sessions import Sessions
from xtcp_console.site import Root, Site, Threads
from xtcp_console.stream import EventStream
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.settings import ConsoleSettings

#: Connections that may wait to be accepted: a browser opens several at once.
_BACKLOG = 128


class ConsoleService(service.Service):
    """One console.

    :param settings: where it listens and what opens it.
    :param source: what it shows.
    :param reactor: None for the global one.
    :ivar settings: with the port that it really has, once it listens.
    """

    name = "console"
    _log = Logger()

    def __init__(self, settings: ConsoleSettings, source: Source, reactor: Any = None) -> None:
        self.settings = settings
        self._source = source
        self._reactor = reactor
        self._site: Any = None
        self._port: Any = None
        self._threads: Threads | None = None
        self._model: Model | None = None
        self._stream: EventStream | None = None

    def privilegedStartService(self) -> None:
        """Bind the port."""
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        settings = self.settings
        self._site = Site(self._reactor)
        try:
            self._port = self._reactor.listenTCP(settings.port, self._site, _BACKLOG, settings.address)
        except CannotListenError as error:
            self._giveUp(
                f"{settings.place} cannot be had: {error.socketError.strerror or error.socketError};"
                " give another port with --console, or start with --no-console"
            )
        # A port of 0 was a wish for any.
        self.settings = attrs.evolve(settings, port=self._port.getHost().port)

    def startService(self) -> None:
        """Read the token and serve."""
        if self._port is None:
            self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]
        try:
            token = tokenfile.token(self.settings.token_path)
        except ConfigurationError as error:
            self._giveUp(str(error))
        self._serve(Links(token))

    def _serve(self, links: Links) -> None:
        """Make the parts, and start them when the reactor runs."""
        reactor, settings = self._reactor, self.settings
        sessions = Sessions()
        self._model = Model(self._source, reactor)
        self._threads = Threads()
        app = create_app(self._model, sessions, links, settings)
        self._stream = EventStream(
            self._model,
            lambda cookies: read_cookie(app, cookies),
            sessions,
            Guard.of(settings),
            secrets.token_hex(4),
            reactor,
        )
        self._site.resource = Root({b"/stream": self._stream}, WSGIResource(reactor, self._threads, app))
        reactor.callWhenRunning(self._threads.start)
        # When it runs, pools and groups are open, whichever service is started first.
        reactor.callWhenRunning(self._model.start)
        self._invite()

    def _invite(self) -> None:
        """Say where it is and how to get in; the token and links stay out of the log."""
        url = f"http://{self.settings.place}"
        self._log.info(
            "Console: {url}/ (for a sign-in link: {command})",
            url=url,
            command=invitation.command(self.settings),
        )
        # twistd takes sys.stdout for its log, and a link must not get into a log.
        terminal = sys.__stdout__
        if terminal is not None and terminal.isatty():
            terminal.write(f"\n  Sign in to the console, once: {invitation.link(self.settings)}\n\n")
            terminal.flush()

    def _giveUp(self, why: str) -> None:
        """Say why in one line and leave, as `XTCPService` does."""
        self._log.critical("The console cannot start: {why}", why=why)
        sys.exit(1)

    @defer.inlineCallbacks
    def stopService(self) -> Any:
        """Say goodbye to open pages, then close; fires when all is gone."""
        yield super().stopService()  # type: ignore[no-untyped-call]
        if self._model is not None:
            self._model.stop()
        if self._stream is not None:
            self._stream.close()
        port, self._port = self._port, None
        if port is not None:
            yield port.stopListening()
        threads, self._threads = self._threads, None
        if threads is not None:
            yield threads.end(self._reactor)
