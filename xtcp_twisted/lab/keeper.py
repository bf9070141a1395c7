"""The keeper of a lab: a small process that leaves nothing behind.

It sits in the lab's namespace and waits for its parent to let go of it or to
die, in whatever way.  Then it kills every process of the namespace and every
process that was put under its guard, waits until they are gone and removes the
lab's scratch directory.  The ordinary end of a lab goes the same way, so what
happens after a SIGKILL is what happens every day.

Started by file name with ``python -I -S``, so it knows the standard library
alone.  Arguments: the descriptor of its control socket, the pid of its parent,
the scratch directory.  On the control socket each message is one byte with one
pidfd, of a process to guard; the end of the stream is the order to finish.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator

#: The name of the process, by which `python -m xtcp_twisted.lab join` finds running labs.
NAME = "xtcp-lab"
#: Sent to the parent once the guard is up.
READY = b"r"
#: Goes with each pidfd.
GUARD = b"g"
#: How long to kill before giving up, seconds.
PATIENCE_S = 10.0


def namespace_of(pid: int | str) -> str | None:
    """The network namespace of a process, as ``net:[inode]``; None if it has ended or is foreign."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def members(namespace: str) -> Iterator[int]:
    """The processes in `namespace`, this one excepted."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and namespace_of(entry) == namespace:
            yield int(entry)


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def sweep(namespace: str) -> bool:
    """Kill the processes of `namespace` until there are none; False if some would not go."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = list(members(namespace))
        for pid in found:
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            # Looked at again: the pid may have been given to another process meanwhile.
            if namespace_of(pid) == namespace:
                _kill(pidfd)
            os.close(pidfd)
        if not found:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)


def _finish(guarded: list[int], namespace: str, directory: str) -> bool:
    for pidfd in guarded:
        _kill(pidfd)
    gone = sweep(namespace)
    for pidfd in guarded:
        gone = bool(select.select([pidfd], [], [], PATIENCE_S)[0]) and gone
    shutil.rmtree(directory, ignore_errors=True)
    return gone


def _watch(control: socket.socket, parent: int) -> list[int]:
    """Collect pidfds to guard until the parent lets go or dies; then all that it sent before, too."""
    guarded: list[int] = []
    try:
        parent_fd = os.pidfd_open(parent)
    except ProcessLookupError:
        return guarded
    if os.getppid() != parent:
        return guarded
    control.sendall(READY)
    watched: list[socket.socket | int] = [control, parent_fd]
    while True:
        # Messages first: both may be there, if this process did not get to run before its parent died.
        readable, _, _ = select.select(watched, [], [])
        if control not in readable:
            return guarded
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        guarded += descriptors
        if not data:
            return guarded


def main(argv: list[str]) -> int:
    """Guard until the parent is gone; 0 when everything else is gone as well."""
    control_fd, parent, directory = int(argv[1]), int(argv[2]), argv[3]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with open("/proc/self/comm", "w") as comm:
        comm.write(NAME)
    namespace = namespace_of("self")
    assert namespace is not None
    with socket.socket(fileno=control_fd) as control:
        try:
            guarded = _watch(control, parent)
        except OSError:
            guarded = []
    return 0 if _finish(guarded, namespace, directory) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
