"""The path of a Unix socket: taken, and given back (P31).

A socket file outlives the process that made it, so a file that is there may belong
to a server that lives or be what a dead one left behind.  Trying to connect does not
tell for sure: a server that starts has bound and does not listen yet.  So whoever
takes a path first locks the file ``PATH.lock`` beside it, with `flock`, which the
kernel lets go of when its process ends, however it ends.  Who has the lock and
finds a socket that nobody answers knows that it is left over.

A path that begins with a NUL is a name in the abstract namespace: no file, no lock,
nothing left behind.

Knows files and one socket; must not know connections.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat

from xtcp_twisted.errors import AddressInUse, AddressNotAvailable, LocalError, PoolExhausted

#: Room of sockaddr_un for a path, without the NUL at its end (unix(7)).
LONGEST = 107
#: Requests that the kernel keeps for the engine; it has a bound of its own (net.core.somaxconn).
BACKLOG = 4_096

_LACKING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def checked(path: object) -> str:
    """The path of a socket, absolute; or what is wrong with it.

    :raises LocalError: it is no text, empty or too long.
    """
    try:
        text = os.fspath(path)  # type: ignore[call-overload]  # that is what is being found out
    except TypeError:
        text = None
    if not isinstance(text, str) or not text:
        raise LocalError(f"path: {path!r} is not allowed; give the path of a socket, such as '/run/im.sock'")
    abstract = text.startswith("\0")
    if "\0" in text[1:]:
        raise LocalError(f"path: {path!r} is not allowed; a NUL may stand at its beginning only")
    if not abstract:
        text = os.path.abspath(text)
    if len(os.fsencode(text)) > LONGEST + abstract:
        raise LocalError(f"path: {text!r} is too long for a socket; give one of at most {LONGEST} bytes")
    return text


class SocketFile:
    """A listening socket and the path that it has.

    :ivar path: that path, absolute.
    :ivar listener: the socket, non-blocking.
    :param mode: permissions of the file: who may write to it may connect.
    :raises AddressInUse: somebody listens there, or has the lock, or the file is no socket.
    :raises AddressNotAvailable: no file can be made there.
    :raises PoolExhausted: the process may open no more descriptors.
    """

    def __init__(self, path: str, mode: int) -> None:
        self.path = path
        self._lock = -1
        self._identity: tuple[int, int] | None = None
        self.listener = _socket()
        try:
            self._take(mode)
        except BaseException:
            self.close()
            raise

    @property
    def _lock_path(self) -> str:
        return f"{self.path}.lock"

    def _take(self, mode: int) -> None:
        if self.path.startswith("\0"):
            self._bind()
        else:
            self._lock = _locked(self._lock_path, self.path)
            _remove_leftover(self.path)
            self._bind()
            # Nobody can connect before it listens, so nobody comes in under the mode that umask left.
            found = os.lstat(self.path)
            self._identity = found.st_dev, found.st_ino
            _permit(self.path, self._identity, mode)
        self.listener.listen(BACKLOG)

    def _bind(self) -> None:
        try:
            self.listener.bind(self.path)
        except OSError as refused:
            if refused.errno == errno.EADDRINUSE:
                raise _in_use(self.path, "another process listens there") from None
            raise _unusable(self.path, refused) from None

    def close(self) -> None:
        """Stop listening; take the file away if it is still this one.  May be called twice.

        Where that is not allowed (any more), it stays; whoever takes the path next finds it left over.
        """
        self.listener.close()
        if self._identity is not None:
            _try_remove(self.path, self._identity)
            self._identity = None
        if self._lock >= 0:
            # While it is locked, so that nobody has locked this very file meanwhile.
            held = os.fstat(self._lock)
            _try_remove(self._lock_path, (held.st_dev, held.st_ino))
            os.close(self._lock)
            self._lock = -1


def _socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as refused:
        raise exhausted(refused) from None


def exhausted(refused: OSError) -> PoolExhausted:
    """The error for an operating system that has no more descriptors, or no memory."""
    return PoolExhausted(
        f"no further descriptor: {refused.strerror}; each connection of a Unix-socket group takes one:"
        " close some, or raise the limit (ulimit -n)"
    )


def _permit(path: str, identity: tuple[int, int], mode: int) -> None:
    """Give the socket file its permissions.

    By a descriptor of the file itself: whoever may write to its folder could put a link in
    its place, and the permissions of another file would change.
    """
    try:
        held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(held)
            if not stat.S_ISSOCK(found.st_mode) or (found.st_dev, found.st_ino) != identity:
                raise _in_use(path, "somebody has put another file there")
            os.chmod(f"/proc/self/fd/{held}", mode)
        finally:
            os.close(held)
    except OSError as refused:
        raise _unusable(path, refused) from None


def unwatched() -> PoolExhausted:
    """The error for a kernel that watches no more descriptors."""
    return PoolExhausted(
        "the kernel watches no further descriptor: close some, or raise fs.epoll.max_user_watches"
    )


def _in_use(path: str, why: str) -> AddressInUse:
    return AddressInUse(f"path {path!r} is taken: {why}; end that, or give another path")


def _unusable(path: str, refused: OSError) -> LocalError:
    if refused.errno in _LACKING:
        return exhausted(refused)
    unusable = AddressNotAvailable(f"path {path!r} cannot be used: {refused.strerror}; give another path")
    unusable.errno = refused.errno or unusable.errno
    return unusable


def _locked(lock_path: str, path: str) -> int:
    """The descriptor of the lock file, locked.

    Whoever closes removes the file, so what was opened may not be what stands there any more.
    """
    while True:
        try:
            lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as refused:
            raise _unusable(path, refused) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there, held = os.stat(lock_path, follow_symlinks=False), os.fstat(lock)
        except BlockingIOError:
            os.close(lock)
            raise _in_use(path, f"another group or process has locked {lock_path}") from None
        except FileNotFoundError:
            os.close(lock)
            continue
        except OSError as refused:
            os.close(lock)
            raise _unusable(path, refused) from None
        if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
            return lock
        os.close(lock)


def _remove_leftover(path: str) -> None:
    """Take away the socket of a server that is dead; called with the lock."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as refused:
        raise _unusable(path, refused) from None
    if not stat.S_ISSOCK(found.st_mode):
        raise _in_use(path, "the file there is no socket")
    with _socket() as caller:
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            pass  # nobody listens, and nobody who would use the lock is about to
        except FileNotFoundError:
            return
        except BlockingIOError:
            raise _in_use(path, "another process listens there") from None
        except OSError as refused:
            raise _unusable(path, refused) from None
        else:
            raise _in_use(path, "another process listens there")
    try:
        _remove(path, (found.st_dev, found.st_ino))
    except OSError as refused:
        raise _unusable(path, refused) from None


def _remove(path: str, identity: tuple[int, int]) -> None:
    """Unlink the file if it is (still) that one."""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == identity:
            os.unlink(path)
    except FileNotFoundError:
        pass  # somebody has cleaned up


def _try_remove(path: str, identity: tuple[int, int]) -> None:
    try:
        _remove(path, identity)
    except OSError:
        pass  # privileges were given up since it was made
