"""Endpoints: how a program that knows Twisted uses an XTCP stack."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, interfaces
from twisted.internet.endpoints import _WrappingFactory
from zope.interface import implementer

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.reactor.locate import LocatedStack
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import XTCPStack


@implementer(interfaces.IStreamServerEndpoint)
class XTCPServerEndpoint:
    """A port of a stack, or the path of a Unix socket, for an ordinary factory or a group protocol.

    :param stack: the stack, started or not, or a `LocatedStack`.
    :param port: the TCP port; 0 takes a free one, and goes with a path.
    :param interface: an address of the engine; "" for all, "0.0.0.0" for all of IPv4, "::" of IPv6.
    :param pool: name of the connection pool; None for the stack's first.
    :param name: name of the group in snapshots.
    :param share: let other groups that say so have the same port.
    :param path: of a Unix socket, in the place of port and interface.
    :param mode: permissions of its file.
    :param options: preferences of the group.
    """

    def __init__(
        self,
        stack: XTCPStack | LocatedStack,
        port: int,
        interface: str = "",
        *,
        pool: str | None = None,
        name: str | None = None,
        share: bool = False,
        path: str | None = None,
        mode: int = 0o600,
        options: GroupOptions | None = None,
    ) -> None:
        self._stack = stack
        self._pool = pool
        self.binding = Binding(
            port=port,
            interface=interface,
            name=name,
            share=share,
            path=path,
            mode=mode,
            options=options or GroupOptions(),
        )

    def listen(self, protocolFactory: Any) -> defer.Deferred[Any]:
        """Listen.

        :param protocolFactory: an `IProtocolFactory`, or an `IGroupProtocol`.
        :return: fires with the `IListeningPort`; fails with `CannotListenError`.
        """
        return defer.execute(self._stack.listen, protocolFactory, self.binding, self._pool)


@implementer(interfaces.IStreamClientEndpoint)
class XTCPClientEndpoint:
    """A server that an ordinary protocol is connected to through a stack.

    :param stack: the stack, started or not, or a `LocatedStack`.
    :param host: an address, or a name for the reactor's resolver.
    :param port: the server's TCP port.
    :param timeout: seconds until `TimeoutError`; None leaves it to `options`.
    :param bindAddress: the engine's side, ``(host, port)``; "" and 0 leave the choice to the engine.
    :param pool: name of the connection pool; None for the stack's first.
    :param options: preferences of the connection; those with the same ones share a group.
    """

    def __init__(
        self,
        stack: XTCPStack | LocatedStack,
        host: str,
        port: int,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
        *,
        pool: str | None = None,
        options: GroupOptions | None = None,
    ) -> None:
        self._stack = stack
        self.place = (host, port)
        self.timeout = timeout
        self.bindAddress = bindAddress
        self._pool = pool
        self._options = options or GroupOptions()

    def connect(self, protocolFactory: Any) -> defer.Deferred[Any]:
        """Connect.

        :param protocolFactory: an `IProtocolFactory`.
        :return: fires with the protocol; fails with what Twisted's own endpoints fail with; cancelling it
            ends the attempt.
        """
        # Private, but it is what all of Twisted's client endpoints are made of.
        wrapping: Any = _WrappingFactory(protocolFactory)
        try:
            self._stack.connect(
                *self.place,
                wrapping,
                self.timeout,
                self.bindAddress,
                pool=self._pool,
                options=self._options,
            )
        except BaseException:  # noqa: BLE001  # as Twisted's endpoints: connect never raises
            return defer.fail()
        done: defer.Deferred[Any] = wrapping._onConnection  # noqa: SLF001  # as above
        return done
