"""``twistd xtcp`` as a service: a configuration becomes a running stack.

The order is that of a daemon.  The parser has only read the configuration; the
device is opened in `privilegedStartService`, which runs after the fork and before
privileges are given up; groups are opened in `startService`.

Knows settings and stacks; must not know options of the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application import service
from twisted.internet import defer
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from xtcp_twisted.engine import Engine
from xtcp_twisted.errors import LocalError, XTCPError
from xtcp_twisted.reactor import status
from xtcp_twisted.reactor.collector import Collector
from xtcp_twisted.reactor.opening import openStack
from xtcp_twisted.reactor.port import Binding, ListeningGroup
from xtcp_twisted.reactor.settings import Settings
from xtcp_twisted.reactor.stack import DEFAULT, XTCPStack


class XTCPService(service.Service):
    """One stack with its pools and groups.

    :param settings: the checked configuration.
    :param statusSocket: path of the status socket, or None.
    :param reactor: None for the global one.
    :param stackName: by which endpoint strings (``stack=``) and `stackFor` find its stack.
    :param whenFailed: called with the reactor once the engine cannot go on, since its device has gone.
        Without it the log and `failure` say so, and the rest of the program goes on.
    """

    name = "xtcp"
    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        statusSocket: str | None = None,
        reactor: Any = None,
        *,
        stackName: str = DEFAULT,
        whenFailed: Callable[[Any], None] | None = None,
    ) -> None:
        self.stackName = stackName
        if stackName != DEFAULT:
            self.name = f"xtcp-{stackName}"  # a MultiService has each name once
        self.settings = settings
        self.statusSocket = statusSocket
        self.stack: XTCPStack | None = None
        self.ports: list[ListeningGroup] = []
        self._reactor = reactor
        self._whenFailed = whenFailed
        self._status: Any = None
        self._collector: Collector | None = None
        #: Those who wait until it has stopped.
        self._waiting: list[defer.Deferred[None]] = []

    @property
    def engine(self) -> Engine | None:
        """The engine while it runs."""
        return self.stack.engine if self.stack is not None and not self.stack.stopped else None

    @property
    def failure(self) -> str | None:
        """Why the engine could not go on, or None."""
        return self.stack.failure if self.stack is not None else None

    def privilegedStartService(self) -> None:
        """Open the link and let the engine run; endpoint strings find the stack from here on.

        What stands in the way ends the process with a sentence, unless a reactor runs: then it is raised.
        """
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        try:
            self.stack = stack = openStack(self._reactor, self.settings, self.stackName)
        except XTCPError as error:
            self._giveUp(error)
        if self._whenFailed is not None:
            stack.whenFailed = partial(self._whenFailed, self._reactor)

    def startService(self) -> None:
        """Open the groups.

        :raises LocalError: it is still stopping.
        """
        if self._waiting:
            raise LocalError(
                "the XTCP service is still stopping; start it when the Deferred of stopService has fired"
            )
        if self.stack is None:
            self.privilegedStartService()
        assert self.stack is not None
        try:
            self._open(self.stack)
        except (XTCPError, CannotListenError) as error:
            self._giveUp(error)
        super().startService()  # type: ignore[no-untyped-call]
        if self.settings.service.freeze:
            self._collector = Collector(self.stack)
            self._collector.start()

    def _open(self, stack: XTCPStack) -> None:
        for group in self.settings.group:
            binding = Binding(
                port=group.port or 0,
                interface=group.address,
                name=group.name,
                share=group.share,
                path=group.path,
                mode=group.mode,
                options=group.options,
            )
            self.ports.append(stack.listen(group.build(), binding, group.pool))
        if self.statusSocket is not None:
            self._status = status.listen(self._reactor, self.statusSocket, stack.engine.snapshot)
        self._log.info(
            "XTCP answers for {addresses} on {link}",
            addresses=", ".join(self.settings.engine.addresses),
            link=self.settings.link.name,
        )

    def _giveUp(self, error: Exception) -> None:
        """Say why in one line and leave, as twistd does when it cannot shed privileges.

        :raises Exception: `error` itself, where a reactor runs already: who starts the service then decides.
        """
        stack, self.stack = self.stack, None
        self.ports.clear()
        if stack is not None:
            stack.stop()
        if self._reactor.running:
            raise error
        self._log.critical("XTCP cannot start: {error}", error=error)
        sys.exit(1)

    def stopService(self) -> defer.Deferred[None]:
        """Finish what is in flight for up to `drain_s`, then close all connections in order.

        :return: fires when the engine is gone.  A second call, and a second signal, end it at once.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        ended: defer.Deferred[None] = defer.Deferred()
        self._waiting.append(ended)
        if len(self._waiting) > 1:
            self._hurry()
        else:
            self._end().addBoth(self._ended)
        return ended

    def _hurry(self) -> None:
        if self.stack is not None:
            self.stack.hurry()

    @defer.inlineCallbacks
    def _end(self) -> Any:
        if self._collector is not None:
            self._collector.stop()
            self._collector = None
        if self.stack is not None:
            yield self.stack.finish(self.settings.service.drain_s)
        self.stack = None
        self.ports.clear()
        if self._status is not None:
            closing, self._status = self._status, None
            yield closing.stopListening()

    def _ended(self, result: Any) -> None:
        waiting, self._waiting = self._waiting, []
        for ended in waiting:
            ended.callback(result)
