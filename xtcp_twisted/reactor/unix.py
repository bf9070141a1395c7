"""Ordinary protocols over a Unix-socket group (P31): the port, and what a transport shows of itself.

Everything else is as over TCP.  Group protocols need nothing of this: `GroupPort`
serves any group.

Knows ports and transports; must not know stacks.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.address import UNIXAddress

from xtcp_twisted.reactor.handle import Handle
from xtcp_twisted.reactor.port import XTCPPort
from xtcp_twisted.reactor.served import Stage, TransportTable
from xtcp_twisted.reactor.transport import XTCPTransport


def toTwisted(endpoint: tuple[str, int]) -> UNIXAddress:
    """``(path, 0)`` of the engine as Twisted's address, whose name is None if there is no path."""
    return UNIXAddress(endpoint[0] or None)


class UnixHandle(Handle):
    """What `getHandle` returns: names that are paths."""

    __slots__ = ()

    def getsockname(self) -> str:  # type: ignore[override]  # as a socket of that family
        """The path of the group."""
        return _pathOf(self._ends.getHost())

    def getpeername(self) -> str:  # type: ignore[override]  # as a socket of that family
        """The client's own path."""
        return _pathOf(self._ends.getPeer())


def _pathOf(address: Any) -> str:
    return os.fsdecode(address.name or "")


class UnixTransport(XTCPTransport):
    """One connection through a Unix socket, as its protocol sees it."""

    __slots__ = ("_name",)

    def __init__(self, server: UnixPort, cd: int, protocol: Any, name: str, host: Any, session: int) -> None:
        super().__init__(server, cd, protocol, None, host, session)
        self._name = name

    def getPeer(self) -> UNIXAddress:  # type: ignore[override]  # as Twisted's own Unix transport
        """The client's own path, None unless it has bound one; also after the connection has ended."""
        return toTwisted((self._name, 0))

    def getHandle(self) -> UnixHandle:
        """An object with the few methods of a socket that applications reach for."""
        ends: Any = self
        return UnixHandle(ends)

    @property
    def client(self) -> str:  # type: ignore[override]  # as Twisted's own
        """The client's own path."""
        return self._name

    @property
    def hostname(self) -> str:
        """The client's own path."""
        return self._name

    def __repr__(self) -> str:
        host: Any = self._host
        return f"<{type(self.application).__name__} #{self.sessionno} on {host.name!r}>"


class UnixPort(XTCPPort):
    """A path whose connections are served by an ordinary `IProtocolFactory`."""

    def _tableOf(self, stage: Stage) -> TransportTable:
        return stage.unixTable

    def _addressOf(self, endpoint: tuple[str, int]) -> UNIXAddress:
        return toTwisted(endpoint)

    def _transport(self, cd: int, protocol: Any, peer: tuple[str, int], host: Any) -> XTCPTransport:
        return UnixTransport(self, cd, protocol, peer[0], host, self.sessionno)
