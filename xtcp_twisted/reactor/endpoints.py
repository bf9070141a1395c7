"""Endpoints: how a program that knows Twisted serves a port of an XTCP stack."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, interfaces
from zope.interface import implementer

from xtcp_twisted.config import GroupOptions
from xtcp_twisted.reactor.port import Binding
from xtcp_twisted.reactor.stack import XTCPStack


@implementer(interfaces.IStreamServerEndpoint)
class XTCPServerEndpoint:
    """A port of a stack, for an ordinary factory or a group protocol.

    :param stack: the stack, started or not.
    :param port: the TCP port; 0 takes a free one.
    :param interface: an address of the engine; "" for all, "0.0.0.0" for all of IPv4, "::" of IPv6.
    :param pool: name of the connection pool; None for the stack's first.
    :param name: name of the group in snapshots.
    :param share: let other groups that say so have the same port.
    :param options: preferences of the group.
    """

    def __init__(
        self,
        stack: XTCPStack,
        port: int,
        interface: str = "",
        *,
        pool: str | None = None,
        name: str | None = None,
        share: bool = False,
        options: GroupOptions | None = None,
    ) -> None:
        self._stack = stack
        self._pool = pool
        self._binding = Binding(
            port=port, interface=interface, name=name, share=share, options=options or GroupOptions()
        )

    def listen(self, protocolFactory: Any) -> defer.Deferred[Any]:
        """Listen.

        :param protocolFactory: an `IProtocolFactory`, or an `IGroupProtocol`.
        :return: fires with the `IListeningPort`; fails with `CannotListenError`.
        """
        return defer.execute(self._stack.listen, protocolFactory, self._binding, self._pool)
