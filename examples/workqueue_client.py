"""Hands jobs to the work queue (`workqueue`), each until it is committed, whatever becomes of the server.

A job is committed when its line is acknowledged, and the kernel knows how much is not (SIOCOUTQ,
tcp(7)).  So when a connection breaks, the jobs whose last byte was acknowledged are done with,
answered or not, and the others are sent again.  It may be that one of them was committed and only
its acknowledgement is lost; the queue knows it by its id.

python -m examples.workqueue_client HOST PORT < jobs.txt    # a line is ID WORK; prints the ids
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

#: Bytes on the way at most: what is sent again is no more.
_AHEAD = 16_384
#: Between attempts to connect, seconds.
_PAUSE_S = 0.2
#: After so long without an answer the connection is given up, seconds.
_PATIENCE_S = 30.0


def unacknowledged(connection: socket.socket) -> int:
    """Bytes that were sent and are not acknowledged."""
    return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0])


class Client:
    """Sends lines until each is committed.

    :param place: host and port of the queue.
    :param committed: called with each line, once.
    """

    def __init__(self, place: tuple[str, int], committed: Callable[[bytes], object]) -> None:
        self._place = place
        self._committed = committed
        #: Lines to be sent, and lines that were sent and end at this byte of the connection.
        self._next: deque[bytes] = deque()
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._sent = 0

    def run(self, lines: Iterable[bytes]) -> None:
        """Hand over all of them."""
        left = iter(lines)
        while True:
            try:
                with socket.create_connection(self._place, _PATIENCE_S) as connection:
                    self._serve(connection, left)
                return
            except OSError as broken:
                print(f"{broken}; to be sent again: {len(self._next)}", file=sys.stderr, flush=True)
                time.sleep(_PAUSE_S)

    def _serve(self, connection: socket.socket, left: Iterator[bytes]) -> None:
        """Send over one connection, first what was not acknowledged over the one before."""
        self._sent = 0
        try:
            while self._next or self._read(left):
                self._send(connection)
            while self._waiting:
                self._receive(connection)
        finally:
            self._settle(connection)
            self._next.extendleft(line for line, _ in reversed(self._waiting))
            self._waiting.clear()

    def _read(self, left: Iterator[bytes]) -> bool:
        self._next.extend(islice(left, 1))
        return bool(self._next)

    def _send(self, connection: socket.socket) -> None:
        """Send the next line when little enough is on the way; only what the kernel took counts as sent."""
        line = self._next[0]
        while (under_way := unacknowledged(connection)) and under_way + len(line) > _AHEAD:
            self._receive(connection)
        self._waiting.append((self._next.popleft(), self._sent + len(line)))
        while line:
            taken = connection.send(line)
            self._sent += taken
            line = line[taken:]

    def _receive(self, connection: socket.socket) -> None:
        """Wait for an answer, which brings an acknowledgement; what it says is the same."""
        if not connection.recv(65_536):
            raise ConnectionError("the queue has closed the connection")
        self._settle(connection)

    def _settle(self, connection: socket.socket) -> None:
        """Done with is what was acknowledged up to its last byte."""
        acknowledged = self._sent - unacknowledged(connection)
        while self._waiting and self._waiting[0][1] <= acknowledged:
            self._committed(self._waiting.popleft()[0])


def main() -> None:
    """Hand over the lines of the standard input."""

    def committed(line: bytes) -> None:
        print(line.split()[0].decode(), flush=True)

    Client((sys.argv[1], int(sys.argv[2])), committed).run(sys.stdin.buffer)


if __name__ == "__main__":
    main()
