"""A link, an engine and a reactor tied together.

A stack is what applications open ports on.  It is found by reactor and name
(`stackFor`), so that an endpoint needs to know no more than those.

Stopping comes in three steps.  `drain` lets what is in flight finish.  `shutdown`
closes every connection with FIN and gives it a moment to say goodbye.  `stop` is for
the end of the reactor or of the link: everybody is told `ConnectionLost` and the
engine goes.  Each may come without the ones before; `finish` is all three, as a server
ends that is told to.

Knows everything below it in this folder; must not know configuration or services.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet import defer, task
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from xtcp_twisted.config import EngineConfig, GroupOptions, PressureThresholds
from xtcp_twisted.engine import Engine, Pool
from xtcp_twisted.errors import LocalError
from xtcp_twisted.link.base import Link
from xtcp_twisted.reactor import reasons
from xtcp_twisted.reactor.client import ClientGroup, XTCPConnector
from xtcp_twisted.reactor.drain import Drain
from xtcp_twisted.reactor.groups import GroupPort
from xtcp_twisted.reactor.interfaces import IGroupProtocol
from xtcp_twisted.reactor.port import Binding, ListeningGroup, XTCPPort
from xtcp_twisted.reactor.reader import XTCPReader
from xtcp_twisted.reactor.served import Stage
from xtcp_twisted.reactor.signals import secondSignal
from xtcp_twisted.reactor.unix import UnixPort

#: How often `shutdown` looks whether all connections are gone, seconds.
_LOOK_S = 0.02

#: How long `finish` waits for peers to answer its FIN, seconds.
GRACE_S: Final = 1.0

#: The name of a stack that was given none.
DEFAULT: Final = "default"

_THRESHOLDS = PressureThresholds()
_OPTIONS = GroupOptions()

_stacks: WeakKeyDictionary[Any, dict[str, XTCPStack]] = WeakKeyDictionary()


class XTCPStack:
    """One engine in a reactor.

    :param reactor: an `IReactorCore` and `IReactorFDSet` provider.
    :param link: where packets come from and go to; closed with the stack.
    :param config: the engine's configuration.
    :param name: by which `stackFor` finds it.
    :param clock: seconds of the monotonic clock.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        link: Link,
        config: EngineConfig,
        *,
        name: str = DEFAULT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reactor = reactor
        self.link = link
        self.name = name
        self.engine = Engine(link, config)
        self.reader = XTCPReader(reactor, self.engine, self._failed, clock)
        self.stopped = False
        #: Why the engine could not go on; None while it does, and after an orderly end.
        self.failure: str | None = None
        self._pools: dict[str, Pool] = {}
        self._stage = Stage(self.reader)
        self._clientGroups: dict[tuple[Pool, GroupOptions], ClientGroup] = {}
        #: Called once the engine cannot go on and everybody has been told: what the program does about that.
        self.whenFailed: Callable[[], None] = _leaveIt
        self._triggers: list[Any] = []

    def start(self) -> None:
        """Let the reactor drive the engine, and enter the stack in the registry.

        :raises LocalError: the reactor has a stack of this name already.
        """
        names = _stacks.setdefault(self.reactor, {})
        if self.name in names:
            raise LocalError(f"this reactor has an XTCP stack called {self.name!r} already")
        names[self.name] = self
        self.reader.attach()
        # Transports without descriptors are not in the reactor's sets, so it
        # cannot tell them itself that it stops.
        self._triggers.append(self.reactor.addSystemEventTrigger("during", "shutdown", self.stop))

    def finishAtShutdown(self, limit: float) -> None:
        """Let the end of the reactor wait until `finish` is done, for a stack that no service ends.

        :param limit: longest time for what is in flight, seconds.
        """

        def finish() -> Any:
            self._triggers.remove(trigger)  # it is running just now
            return self.finish(limit)

        trigger = self.reactor.addSystemEventTrigger("before", "shutdown", finish)
        self._triggers.append(trigger)

    def createPool(
        self,
        name: str,
        size: int,
        thresholds: PressureThresholds = _THRESHOLDS,
        throttling: str = "both",
    ) -> Pool:
        """Make a connection pool (P01).

        :param size: bytes of its shared receive buffer.
        :param thresholds: where the buffer's pressure states begin.
        :param throttling: what they do to received packets, as of `Pool.set_throttling`.
        """
        pool = self._pools[name] = self.engine.create_pool(
            size, name=name, thresholds=thresholds, throttling=throttling
        )
        return pool

    def pool(self, name: str | None = None) -> Pool:
        """The pool of this name; without a name, the first that was made.

        :raises LocalError: there is none.
        """
        if name is None and self._pools:
            return next(iter(self._pools.values()))
        if name not in self._pools:
            have = ", ".join(map(repr, self._pools)) or "none"
            raise LocalError(f"no pool is called {name!r}; there are: {have}")
        return self._pools[name]

    def listen(self, factory: Any, binding: Binding, pool: str | None = None) -> ListeningGroup:
        """Serve a port, or the path of a Unix socket.

        :param factory: an `IGroupProtocol`, or an ordinary `IProtocolFactory`.
        :param binding: where and how it listens.
        :param pool: the pool's name; None for the first.
        :return: the port, which listens.
        :raises CannotListenError: the port is taken or the address is not the engine's.
        """
        port: ListeningGroup
        if IGroupProtocol.providedBy(factory):
            port = GroupPort(self._stage, self.pool(pool), binding, factory)
        else:
            kind = XTCPPort if binding.path is None else UnixPort
            port = kind(self._stage, self.pool(pool), binding, factory)
        port.startListening()
        return port

    def listenSSL(
        self, factory: Any, contextFactory: Any, binding: Binding, pool: str | None = None
    ) -> ListeningGroup:
        """Serve a port by TLS, as `IReactorSSL.listenSSL` does; otherwise as `listen`.

        :param factory: an ordinary `IProtocolFactory`.
        :param contextFactory: such as `twisted.internet.ssl.CertificateOptions`.
        :raises TypeError: the factory is a group protocol.
        """
        from xtcp_twisted.reactor import tls  # pyOpenSSL is an extra

        port = self.listen(
            tls.secured(factory, contextFactory, isClient=False, clock=self.reactor), binding, pool
        )
        port._type = "TLS"  # noqa: SLF001  # what Twisted's own `listenSSL` sets
        return port

    def connect(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
        *,
        pool: str | None = None,
        options: GroupOptions = _OPTIONS,
    ) -> XTCPConnector:
        """Connect to a server, as `IReactorTCP.connectTCP` does.

        :param host: an address, or a name for the reactor's resolver.
        :param factory: a `ClientFactory`.
        :param timeout: seconds until `TimeoutError`; None leaves it to `options`.
        :param bindAddress: the engine's side, ``(host, port)``; "" and 0 leave the choice to the engine.
        :param pool: the pool's name; None for the first.
        :param options: of the group of all outgoing connections that share these options.
        :return: the connector, which is connecting.
        :raises LocalError: there is no such pool, or the stack has stopped.
        """
        group = self.clientGroup(pool, options)
        connector = XTCPConnector(group, (host, port), bindAddress, factory, timeout, self.reactor)
        connector.connect()
        return connector

    def clientGroup(self, pool: str | None = None, options: GroupOptions = _OPTIONS) -> ClientGroup:
        """The group of all outgoing connections of a pool that share these options.

        :param pool: the pool's name; None for the first.
        :raises LocalError: there is no such pool, or the stack has stopped.
        """
        if self.stopped:
            raise LocalError("the XTCP stack has stopped")
        key = (self.pool(pool), options)
        if key not in self._clientGroups:
            self._clientGroups[key] = ClientGroup(self._stage, *key)
        return self._clientGroups[key]

    @property
    def stage(self) -> Stage:
        """Ports, transports and attempts of this stack."""
        return self._stage

    def serves(self, host: str, port: int) -> bool:
        """Whether a port of this stack listens at `port` of `host`, an address."""
        ports = [served for served in self._stage.ports if isinstance(served, ListeningGroup)]
        return any(served.serves(host, port) for served in ports)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
        *,
        pool: str | None = None,
        options: GroupOptions = _OPTIONS,
    ) -> XTCPConnector:
        """Connect to a server by TLS, as `IReactorSSL.connectSSL` does; otherwise as `connect`.

        :param contextFactory: such as `twisted.internet.ssl.optionsForClientTLS` makes.
        """
        from xtcp_twisted.reactor import tls  # pyOpenSSL is an extra

        wrapping = tls.secured(factory, contextFactory, isClient=True, clock=self.reactor)
        return self.connect(host, port, wrapping, timeout, bindAddress, pool=pool, options=options)

    # -- the end -------------------------------------------------------------------

    def drain(self, limit: float) -> defer.Deferred[bool]:
        """Refuse new connections, and close each as soon as it is in the middle of nothing; see `drain`.

        Connections of group protocols are told `ConnectionDone`, as if they had finished them themselves.
        `stop` ends it before its time.

        :param limit: longest time that it may take, seconds.
        :return: fires with whether no connection is left.
        """
        return Drain(self._stage, self.reactor, limit, lambda: self.stopped).start()

    @defer.inlineCallbacks
    def finish(self, limit: float) -> Any:
        """Finish what is in flight, close all connections in order, then stop.

        A second signal ends it at once.

        :param limit: longest time for what is in flight, seconds; 0: none.
        :return: a Deferred that fires when the engine is gone.
        """
        if self.stopped:
            return
        with secondSignal(self.reactor, self.hurry):
            if limit:
                self._log.info(
                    "XTCP refuses new connections and finishes what is in flight: {s:g} s", s=limit
                )
                drained = yield self.drain(limit)
                if not drained and not self.stopped:
                    self._log.warn("XTCP closes connections that are not done: {left}", left=self.connections)
            yield self.shutdown(GRACE_S)

    def hurry(self) -> None:
        """End what `finish` still waits for."""
        if not self.stopped:
            self._log.info("XTCP ends at once")
            self.stop()

    def shutdown(self, grace: float = 1.0) -> defer.Deferred[None]:
        """Close all connections in order, then stop.

        :param grace: longest time to wait for the peers, seconds.
        :return: fires when the engine is gone.
        """
        self._closePorts(reasons.LOST)
        end = self.reactor.seconds() + grace
        looking = task.LoopingCall(self._look, end)
        looking.clock = self.reactor
        self._looking = looking
        done: defer.Deferred[Any] = looking.start(_LOOK_S)
        return done.addCallback(lambda _: self.stop())

    def _look(self, end: float) -> None:
        if self.stopped or self.reactor.seconds() >= end or not self.connections:
            self._looking.stop()

    @property
    def connections(self) -> int:
        """How many connections there are, closing ones included."""
        return self.engine.connections

    def stop(self) -> None:
        """End at once: connections are told `ConnectionLost`; may be called twice."""
        if self.stopped:
            return
        self.stopped = self._stage.stopped = True
        self._closePorts(reasons.LOST)
        try:
            if self.reader.attached:
                self.reader.flush()
        except Exception:  # noqa: BLE001  # the rest must be closed all the same
            self._log.failure("XTCP could not send its last packets")
        self.reader.detach()
        names = _stacks.get(self.reactor, {})
        if names.get(self.name) is self:
            del names[self.name]
        self._removeTriggers()
        self.engine.close()
        self.link.close()

    def _removeTriggers(self) -> None:
        triggers, self._triggers = self._triggers, []
        for trigger in triggers if self.reactor.running else ():
            try:
                self.reactor.removeSystemEventTrigger(trigger)
            except (KeyError, ValueError):
                pass  # it is running just now

    def _closePorts(self, reason: Failure) -> None:
        for port in list(self._stage.ports):
            try:
                port.stackStopped(reason)
            except Exception:  # noqa: BLE001  # the others must be closed all the same
                self._log.failure("A port could not be closed")

    def _failed(self, reason: Failure) -> None:
        """The engine cannot go on: nobody is left waiting, and the reactor lives."""
        self.failure = str(reason.value)
        self._closePorts(Failure(ConnectionLost(str(reason.value))))
        self.stop()
        self.whenFailed()


def _leaveIt() -> None:
    """What becomes of a program whose engine cannot go on is its own affair."""


def stacksOf(reactor: Any) -> list[XTCPStack]:
    """All stacks that this reactor drives."""
    return list(_stacks.get(reactor, {}).values())


def running(reactor: Any, name: str = DEFAULT) -> XTCPStack | None:
    """The stack of this reactor that was started under this name, or None."""
    return _stacks.get(reactor, {}).get(name)


def stackFor(reactor: Any, name: str = DEFAULT) -> XTCPStack:
    """The stack of this reactor that was started under this name.

    :raises LocalError: there is none; the text says what to do.
    """
    stack = running(reactor, name)
    if stack is None:
        raise LocalError(
            f"no XTCP stack called {name!r} runs in this reactor; start one with XTCPStack(...).start()"
            " or with 'twistd xtcp'"
        )
    return stack
