"""What `getHandle` returns: there is no socket, but some programs ask one for names."""

from __future__ import annotations

import errno
from typing import Protocol

from twisted.internet.address import IPv4Address, IPv6Address


class _Ends(Protocol):
    def getHost(self) -> IPv4Address | IPv6Address: ...

    def getPeer(self) -> IPv4Address | IPv6Address: ...


class Handle:
    """The methods of a socket that make sense without a descriptor.

    :param ends: whose addresses are asked for.
    """

    __slots__ = ("_ends",)

    def __init__(self, ends: _Ends) -> None:
        self._ends = ends

    def fileno(self) -> int:
        """-1: a connection of this package has no descriptor."""
        return -1

    def getsockname(self) -> tuple[str, int]:
        """The local ``(host, port)``."""
        address = self._ends.getHost()
        return address.host, address.port

    def getpeername(self) -> tuple[str, int]:
        """The peer's ``(host, port)``."""
        address = self._ends.getPeer()
        return address.host, address.port

    def send(self, *_: object) -> int:
        """Refused: the transport sends, and receives.

        :raises OSError: EBADF, as of a closed socket.
        """
        raise OSError(errno.EBADF, "there is no socket; write to the transport")

    def recv(self, *_: object) -> bytes:
        """Refused, as `send`."""
        raise OSError(errno.EBADF, "there is no socket; the transport delivers")

    def setsockopt(self, *_: object) -> None:
        """Refused.

        :raises OSError: ENOPROTOOPT; options belong to the group (`GroupOptions`).
        """
        raise OSError(errno.ENOPROTOOPT, "socket options of XTCP are options of the group")
