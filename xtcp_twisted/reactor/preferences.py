"""What a program may prefer for one connection: Nagle's algorithm and keepalive, as `ITCPTransport` has them,
and how long its peer may be silent.

Knows the flags of a transport (`surface`) and the engine's group; must not know data.
"""

from __future__ import annotations

from collections.abc import Callable

from xtcp_twisted.errors import LocalError, StaleConnection
from xtcp_twisted.reactor.surface import DISCONNECTED, ENDED, KEEPALIVE, NODELAY, TransportSurface


class TransportPreferences(TransportSurface):
    """The part of `XTCPTransport` that sets options of its connection."""

    __slots__ = ()

    def getTcpNoDelay(self) -> bool:
        """Whether short segments leave at once, without Nagle's algorithm."""
        return bool(self._flags & NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Let short segments leave at once; else they wait for acknowledgements, answers excepted."""
        self._prefer(NODELAY, bool(enabled), self.server.group.set_nodelay)

    def getTcpKeepAlive(self) -> bool:
        """Whether the connection is probed while it is idle."""
        return bool(self._flags & KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Probe the connection while it is idle: after the group's `keepalive_s`, or two hours."""
        self._prefer(KEEPALIVE, bool(enabled), self.server.group.set_keepalive)

    def setUserTimeout(self, timeout: float | None) -> None:
        """Mark the connection down when nothing is acknowledged for so long; see `IXTCPTransport`."""
        if not self._flags & (ENDED | DISCONNECTED):
            try:
                self.server.group.set_user_timeout(self.cd, timeout)
            except StaleConnection:
                pass  # as in `_engine`; but a value that is refused is the caller's error

    def _prefer(self, flag: int, enabled: bool, prefer: Callable[[int, bool], None]) -> None:
        self._flags = self._flags & ~flag | (flag if enabled else 0)
        if not self._flags & (ENDED | DISCONNECTED):
            self._engine(prefer, enabled)

    def _engine(self, call: Callable[..., None], *args: object) -> None:
        try:
            call(self.cd, *args)
        except LocalError:
            pass  # it has ended; the event that says so is on its way
