"""What the calls of Fig. 4 are given to write into: sets of groups, places for an id, addresses, buffers.

C passes pointers; here each of them is a small object with the names of C.
Every check raises `Refused`, which carries the errno that the call returns
negated.  Knows nothing of engines; `xtcp_twisted.api` is the calls themselves.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from xtcp_twisted.errors import LocalError

#: The longest timeout that is a number: some thirty years.
LONGEST_S: Final = 1_000_000_000
#: No id of a connection or of a request is larger.
_LARGEST_ID: Final = 0x7FFF_FFFF_FFFF_FFFF


class Refused(LocalError):
    """A call cannot do what was asked.

    :param number: the errno that it returns negated.
    :param sentence: what was wrong and what to do.
    """

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(sentence)
        self.errno = number


class xtcp_set:
    """A set of connection groups, as of Fig. 4; `XTCP_SET` and its sisters change it.

    :param gds: a set, or group descriptors, to begin with.  `xtcp_select` changes
        the sets that it is given, so a loop passes it copies: ``xtcp_set(readgds)``.
    """

    __slots__ = ("_gds",)

    def __init__(self, gds: Iterable[int] = ()) -> None:
        self._gds: set[int] = set()
        for gd in gds:
            self.add(gd)

    def add(self, gd: int) -> None:
        """Put `gd`, a descriptor, in; ValueError when it cannot be one."""
        if not is_descriptor(gd):
            failed = isinstance(gd, int) and -gd in errno.errorcode
            why = f"; xtcp_open_group has failed: {os.strerror(-gd)}" if failed else ""
            raise ValueError(f"gd: {gd!r} is no descriptor of a group{why}")
        self._gds.add(gd)

    def discard(self, gd: int) -> None:
        """Take `gd`, a descriptor, out; one that is not there stays away."""
        if is_descriptor(gd):
            self._gds.discard(gd)

    def replace(self, gds: Iterable[int]) -> None:
        """Hold these from now on."""
        self._gds = set(gds)

    def __contains__(self, gd: object) -> bool:
        return is_descriptor(gd) and gd in self._gds

    def __iter__(self) -> Iterator[int]:
        """The descriptors, rising; the set may change meanwhile."""
        return iter(sorted(self._gds))

    def __len__(self) -> int:
        return len(self._gds)

    def __repr__(self) -> str:
        return f"xtcp_set({sorted(self._gds)})"


@dataclass
class xtcp_cd:
    """A place for a connection id, ``int *cd`` in C; any object will do whose `value` keeps 64 bits."""

    #: The id; 0 is none.
    value: int = 0


@dataclass
class sockaddr_in:
    """An IPv4 end: the address as text, the port in the byte order of this machine."""

    sin_addr: str = "0.0.0.0"
    sin_port: int = 0
    sin_family: int = field(default=socket.AF_INET, init=False)


@dataclass
class sockaddr_in6:
    """An IPv6 end; one of IPv4 stands in it as a mapped address (RFC 4291 section 2.5.5.2)."""

    sin6_addr: str = "::"
    sin6_port: int = 0
    sin6_flowinfo: int = 0
    sin6_scope_id: int = 0
    sin6_family: int = field(default=socket.AF_INET6, init=False)


@dataclass
class sockaddr_un:
    """An end of a Unix-socket connection; a client that bound no name has the path ""."""

    sun_path: str = ""
    sun_family: int = field(default=socket.AF_UNIX, init=False)


sockaddr = sockaddr_in | sockaddr_in6 | sockaddr_un


def is_descriptor(gd: object) -> bool:
    """Whether this can be a group's descriptor at all: an int of C above 0."""
    return isinstance(gd, int) and not isinstance(gd, bool) and 0 < gd < 1 << 31


def check_text(key: str, text: object) -> None:
    """What has to be text is."""
    if not isinstance(text, str):
        raise Refused(errno.EINVAL, f"{key}: {text!r} is not allowed; give a str")


def check_count(key: str, count: object) -> None:
    """True and False are no numbers of bytes; whatever else cannot be one is the engine's to refuse."""
    if isinstance(count, bool):
        raise Refused(errno.EINVAL, f"{key}: {count!r} is not allowed; give a number of bytes")


def check_one_of(key: str, number: object, refusal: int, **allowed: int) -> None:
    """A number is one of those that have names; `refusal` is the errno if not."""
    if not isinstance(number, int) or isinstance(number, bool) or number not in allowed.values():
        *others, last = allowed
        names = f"{', '.join(others)} or {last}" if others else last
        raise Refused(refusal, f"{key}: {number!r} is not allowed; give {names}")


def check_listening(domain: int, port: object, address: object, share: object) -> None:
    """Where a group is to listen is of its domain."""
    if domain == socket.AF_UNIX:
        if not isinstance(port, str):
            raise Refused(
                errno.EINVAL, f"port: {port!r} is not allowed; give the path of the socket with PF_UNIX"
            )
        if address is not None or share is not False:
            raise Refused(errno.EINVAL, "address and share are not for PF_UNIX; leave them out")
        return
    if isinstance(port, bool):
        raise Refused(errno.EINVAL, f"port: {port!r} is not allowed; give an integer from 0 to 65535")
    if address is None:
        return
    check_text("address", address)
    if (":" in str(address)) != (domain == socket.AF_INET6):
        raise Refused(
            errno.EADDRNOTAVAIL,
            f"address: {address!r} is not of the domain; PF_INET is IPv4, PF_INET6 is IPv6",
        )


def check_flag(key: str, flag: object) -> None:
    """What has to be true or false is."""
    if flag not in (False, True):
        raise Refused(errno.EINVAL, f"{key}: {flag!r} is not allowed; give True or False")


def check_place(name: str, place: Any) -> None:
    """`place` can be given any id, and keeps it whole; it holds 0 from now on."""
    try:
        place.value = _LARGEST_ID
        kept = place.value
        place.value = 0
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise Refused(errno.EFAULT, f"{name}: {place!r} is no place for an id; give xtcp_cd()") from None
    if kept != _LARGEST_ID:
        raise Refused(
            errno.EFAULT, f"{name}: {place!r} is too short for an id, which has 64 bits; give xtcp_cd()"
        )


def check_size(size: object, room: int) -> int:
    """How many bytes of a buffer of `room` bytes a call may use; None is all of them."""
    if size is None:
        return room
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Refused(errno.EINVAL, f"len: {size!r} is not allowed; give an integer from 0, or None for all")
    if size > room:
        raise Refused(errno.EFAULT, f"len: {size:,} is more than the {room:,} bytes of buf")
    return size


def _view(buf: Any, wanted: str) -> memoryview:
    try:
        return memoryview(buf).cast("B")
    except (TypeError, ValueError):
        # ValueError: a view that was released.
        raise Refused(errno.EFAULT, f"buf: {type(buf).__name__} is no buffer; give {wanted}") from None


def writable_bytes(buf: Any, size: object) -> memoryview:
    """The part of a buffer that a call may fill."""
    view = _view(buf, "a bytearray")
    if view.readonly:
        raise Refused(errno.EFAULT, f"buf: {type(buf).__name__} cannot be written to; give a bytearray")
    used = check_size(size, view.nbytes)
    if used == 0:
        raise Refused(errno.EINVAL, "len: 0 is not allowed; 0 bytes received would mean the end of a stream")
    return view[:used]


def readable_bytes(buf: Any, size: object) -> bytes:
    """What a call is to send; no buffer is no bytes."""
    if buf is None:
        check_size(size, 0)
        return b""
    if type(buf) is bytes and size is None:
        return buf
    view = _view(buf, "bytes")
    return bytes(view[: check_size(size, view.nbytes)])


def fill(room: memoryview, data: bytes) -> int:
    """Put bytes at the beginning of a buffer that has room for them; how many they are."""
    room[: len(data)] = data
    return len(data)


def seconds_of(timeout: object) -> float | None:
    """A timeout in seconds: None for ever, a number of seconds, or C's ``(tv_sec, tv_usec)``."""
    if timeout is None:
        return None
    parts = timeout if isinstance(timeout, tuple) else (timeout, 0)
    if len(parts) == 2 and all(isinstance(part, (int, float)) for part in parts):
        whole, micro = parts
        if 0 <= whole <= LONGEST_S and 0 <= micro < 1_000_000:
            return float(whole + micro / 1e6)
    raise Refused(
        errno.EINVAL,
        f"timeout: {timeout!r} is not allowed; give seconds, (seconds, microseconds), or None for ever",
    )


def check_address(sa: object, host: str, unix: bool) -> None:
    """An end of a connection fits into the structure that the caller chose.

    :param unix: whether it is a Unix-socket connection, and `host` its path.
    """
    if not isinstance(sa, (sockaddr_in, sockaddr_in6, sockaddr_un)):
        raise _no_address(sa)
    if unix and not isinstance(sa, sockaddr_un):
        raise Refused(errno.EAFNOSUPPORT, "sa: the group is one of Unix sockets; give sockaddr_un()")
    if isinstance(sa, sockaddr_un) and not unix:
        raise Refused(errno.EAFNOSUPPORT, "sa: the group is none of Unix sockets; give sockaddr_in()")
    if isinstance(sa, sockaddr_in) and ":" in host:
        raise Refused(errno.EAFNOSUPPORT, f"sa: {host} does not fit into sockaddr_in; give sockaddr_in6()")


def store_address(sa: object, end: tuple[str, int], unix: bool) -> None:
    """Write an end of a connection into the structure that the caller chose; as `check_address`."""
    host, port = end
    check_address(sa, host, unix)
    if isinstance(sa, sockaddr_in):
        sa.sin_addr, sa.sin_port = host, port
    elif isinstance(sa, sockaddr_in6):
        sa.sin6_addr, sa.sin6_port = host if ":" in host else f"::ffff:{host}", port
    elif isinstance(sa, sockaddr_un):
        sa.sun_path = host


def read_address(sa: object) -> tuple[str, int]:
    """(host, port) of an address structure; (path, 0) of a Unix socket's."""
    if isinstance(sa, sockaddr_in):
        return sa.sin_addr, sa.sin_port
    if isinstance(sa, sockaddr_in6):
        host: Any = sa.sin6_addr
        try:
            mapped = ipaddress.IPv6Address(host).ipv4_mapped
        except ValueError:
            mapped = None
        return str(mapped) if mapped is not None else host, sa.sin6_port
    if isinstance(sa, sockaddr_un):
        return sa.sun_path, 0
    raise _no_address(sa)


def _no_address(sa: object) -> Refused:
    return Refused(
        errno.EFAULT,
        f"sa: {sa!r} is no address structure; give sockaddr_in(), sockaddr_in6() or, for a Unix socket,"
        " sockaddr_un()",
    )
