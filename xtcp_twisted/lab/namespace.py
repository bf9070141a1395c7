"""Network namespaces without names, and the rights that it takes to make them.

A namespace is held by descriptors and processes alone, so it cannot outlive
them.  A thread enters it, does its work and ends; the other threads of the
process, the main thread among them, never leave the host's namespace.

Knows nothing of TUN devices but who may open ``/dev/net/tun``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import stat
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from xtcp_twisted.errors import LinkError, PrivilegeError

P = ParamSpec("P")
R = TypeVar("R")

TUN_NODE: Final = Path("/dev/net/tun")
CHILD_HASH: Final = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries")

CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWNET: Final = 0x4000_0000
#: Bits of CapEff: making a namespace, and configuring links in it.
CAP_NET_ADMIN: Final = 12
CAP_SYS_ADMIN: Final = 21

#: Settings that forbid unprivileged user namespaces, with the value that allows them.
_USER_NAMESPACE_SYSCTLS: Final = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "10000"),
)

# os.unshare and os.setns came with Python 3.12.
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter(path: str, kind: int) -> None:
    """Move the calling thread into the namespace at `path` (``setns``); raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(fd, kind))
    finally:
        os.close(fd)


def _in_thread(function: Callable[[], R]) -> R:
    """Run `function` in a thread of its own, which may change its namespace and then ends."""
    future: Future[R] = Future()

    def body() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)

    threading.Thread(target=body, daemon=True).start()
    return future.result()


class Namespace:
    """A new network namespace, empty but for a loopback device that is down.

    :param tcp_hash_slots: if not 0, the kernel looks its TCP sockets up in a table of its own with so
        many slots (a power of two, 16 bytes each), where it can (Linux 6.1); else in that of all namespaces.
    :ivar fd: the descriptor that holds it.
    :raises PrivilegeError: the right to make one is missing.
    """

    def __init__(self, *, tcp_hash_slots: int = 0) -> None:
        self.fd = _in_thread(lambda: self._make(tcp_hash_slots))

    @staticmethod
    def _make(tcp_hash_slots: int) -> int:
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            if tcp_hash_slots and CHILD_HASH.exists():
                # A namespace takes the size from the one it is made in: from one that lives no longer
                # than this takes, so that no setting of the host's is touched.
                CHILD_HASH.write_text(str(tcp_hash_slots))
                _check(_libc.unshare(CLONE_NEWNET))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOSPC):
                raise
            raise PrivilegeError(_explain(f"making a network namespace: {error.strerror}")) from None
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` in a thread inside the namespace; its result, or what it raises.

        A socket that the function makes stays in the namespace, and so does a
        process that it starts.
        """

        def inside() -> R:
            _check(_libc.setns(self.fd, CLONE_NEWNET))
            return function(*args, **kwargs)

        return _in_thread(inside)

    def close(self) -> None:
        """Let go of the namespace; it ends with its last process, socket or descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def require_privileges() -> None:
    """See to it that this process may make namespaces and TUN devices.

    A process without the capabilities becomes root of a user namespace of its
    own, for the rest of its life; that takes a ``/dev/net/tun`` that is open to
    all, and a process with one thread only.

    :raises LinkError: there is no ``/dev/net/tun``.
    :raises PrivilegeError: a right is missing; the text says which, and what to type.
    """
    _require_tun_node()
    if _capable():
        return
    if len(os.listdir("/proc/self/task")) > 1:
        raise PrivilegeError(
            "a lab takes the rights of root (CAP_SYS_ADMIN, CAP_NET_ADMIN), and a process with several"
            " threads cannot get them by itself; start it in a user namespace:\n"
            f"    unshare --user --map-root-user {_command()}"
        )
    uid, gid = os.geteuid(), os.getegid()
    try:
        _check(_libc.unshare(CLONE_NEWUSER))
        # The kernel asks for this order (user_namespaces(7)): a group map only without setgroups.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise PrivilegeError(_explain(f"making a user namespace: {error.strerror}")) from None


def _require_tun_node() -> None:
    try:
        os.close(os.open(TUN_NODE, os.O_RDWR | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        raise LinkError(
            f"there is no {TUN_NODE}, which TUN devices are made with; load the driver:\n"
            "    sudo modprobe tun\n"
            f"or, in a container, start it with: --device {TUN_NODE} --cap-add NET_ADMIN --cap-add SYS_ADMIN"
        ) from None
    except PermissionError:
        mode = stat.filemode(os.stat(TUN_NODE).st_mode)
        raise PrivilegeError(
            f"uid {os.geteuid()} may not open {TUN_NODE} ({mode}), which TUN devices are made with;"
            f" run this as root:\n    sudo {_command()}\n"
            "or open the device to all, as most distributions have it (the right to make interfaces\n"
            f"stays with root and with user namespaces):\n    sudo chmod 666 {TUN_NODE}"
        ) from None
    except OSError as error:
        raise LinkError(
            f"{TUN_NODE} cannot be opened: {error.strerror}; load the driver:\n    sudo modprobe tun"
        ) from None


def _capable() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return bool(effective >> CAP_NET_ADMIN & 1 and effective >> CAP_SYS_ADMIN & 1)
    return False


def _explain(what: str) -> str:
    """What failed, which settings of this machine forbid it, and what to type."""
    lines = [f"{what}; a lab takes CAP_SYS_ADMIN and CAP_NET_ADMIN, so run this as root:"]
    lines.append(f"    sudo {_command()}")
    for name, forbids, allows in _USER_NAMESPACE_SYSCTLS:
        path = Path("/proc/sys", *name.split("."))
        if path.exists() and path.read_text().strip() == forbids:
            lines.append(f"or allow user namespaces to all:\n    sudo sysctl -w {name}={allows}")
    return "\n".join(lines)


def _command() -> str:
    """The command line that this process was started with."""
    return shlex.join([sys.executable, *sys.orig_argv[1:]])
