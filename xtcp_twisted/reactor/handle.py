"""What `getHandle` returns: there is no socket, but some programs ask one for names."""

from __future__ import annotations

import errno
from typing import Protocol

from twisted.internet.address import IPv4Address, IPv6Address

from xtcp_twisted.engine.snapshot import ConnectionInfo
from xtcp_twisted.engine.surface import ConnectionGroup


class _Ends(Protocol):
    @property
    def group(self) -> ConnectionGroup: ...

    cd: int

    def info(self) -> ConnectionInfo: ...

    def getHost(self) -> IPv4Address | IPv6Address: ...

    def getPeer(self) -> IPv4Address | IPv6Address: ...


class Handle:
    """The methods of a socket that make sense without a descriptor.

    :param ends: whose addresses are asked for.
    """

    __slots__ = ("_ends",)

    def __init__(self, ends: _Ends) -> None:
        self._ends = ends

    @property
    def group(self) -> ConnectionGroup:
        """The engine's group of the connection."""
        return self._ends.group

    @property
    def cd(self) -> int:
        """Its id in that group."""
        return self._ends.cd

    def info(self) -> ConnectionInfo:
        """The details of its TCP at this moment, as TCP_INFO has them of a socket.

        :raises StaleConnection: the connection has ended.
        """
        return self._ends.info()

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

    def getsockopt(self, *_: object) -> None:
        """Refused.

        :raises OSError: ENOPROTOOPT; `info` tells what there is to tell.
        """
        raise OSError(errno.ENOPROTOOPT, "XTCP has no socket options to ask for: use info()")

    def setsockopt(self, *_: object) -> None:
        """Refused.

        :raises OSError: ENOPROTOOPT; options belong to the group (`GroupOptions`).
        """
        raise OSError(errno.ENOPROTOOPT, "socket options of XTCP are options of the group")
