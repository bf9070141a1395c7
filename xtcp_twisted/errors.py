"""Every error that xtcp_twisted raises to its caller.

Two families.  A `LocalError` says that the caller did something wrong: a stale
connection id, a closed group, an address in use.  Each class carries the
`errno` that the corresponding ``xtcp_*`` call of the patent's Fig. 4 returns
negated, so the Twisted side and the C-shaped side report the same thing.  A
`ResourceError` says that the machine, not the caller, stands in the way: no
TUN device, no privilege, no memory.

There is no family for bad packets: what a packet contains is counted and
dropped, it never raises.
"""

from __future__ import annotations

import errno as _errno


class XTCPError(Exception):
    """Base of every error of this package.

    :ivar errno: the errno that an ``xtcp_*`` call returns negated.
    """

    errno: int = _errno.EIO


class LocalError(XTCPError):
    """The caller erred; nothing in the engine has changed."""

    errno = _errno.EINVAL


class ConfigurationError(LocalError, ValueError):
    """A configuration value is outside of what is allowed; the text names the key."""

    errno = _errno.EINVAL


class StaleConnection(LocalError):
    """The connection id names no connection of this group (closed, reused, foreign)."""

    errno = _errno.EBADF


class StalePending(LocalError):
    """The pending id names no connection request of this group (answered or timed out)."""

    errno = _errno.EBADF


class GroupClosed(LocalError):
    """The group was closed."""

    errno = _errno.EBADF


class PoolClosed(LocalError):
    """The pool was closed."""

    errno = _errno.EBADF


class EngineClosed(LocalError):
    """The engine was closed."""

    errno = _errno.EBADF


class EngineBusy(LocalError):
    """Somebody else is using the engine, and this caller cannot wait for it."""

    errno = _errno.EBUSY


class NothingPending(LocalError):
    """`accept` without an id, and no connection request is pending."""

    errno = _errno.EAGAIN


class NotAcknowledgeable(LocalError):
    """`ackd` is more than what was delivered and not yet acknowledged; nothing was acknowledged."""

    errno = _errno.EINVAL


class WriteClosed(LocalError):
    """Data for a connection whose sending side is already closed."""

    errno = _errno.EPIPE


class AddressInUse(LocalError):
    """Another group has this address and port, or a connection this source and destination."""

    errno = _errno.EADDRINUSE


class AddressNotAvailable(LocalError):
    """The address is not one of the engine's."""

    errno = _errno.EADDRNOTAVAIL


class PortsExhausted(LocalError):
    """Every ephemeral port of every own address has a connection with this destination."""

    errno = _errno.EADDRNOTAVAIL


class PoolExhausted(LocalError):
    """No room: the arena, the record table or the descriptor table is full."""

    errno = _errno.ENOBUFS


class ResourceError(XTCPError):
    """The operating system refuses what is needed; the text says what to do."""

    errno = _errno.EIO


class LinkError(ResourceError):
    """The link cannot be opened, or has gone away."""

    errno = _errno.ENODEV


class PrivilegeError(ResourceError):
    """A right is missing; the text says which, and what to type."""

    errno = _errno.EPERM
