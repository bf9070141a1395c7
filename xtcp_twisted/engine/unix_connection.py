"""One connection of a Unix-socket group: a socket of the kernel, served as the groups' calls want it (P31).

The kernel does the transport.  What the client has sent lies in the kernel until
the application acknowledges it: delivery only looks (`MSG_PEEK`, at the place that
`SO_PEEK_OFF` names), acknowledgement reads.  So the client's kernel counts as under way
what was not acknowledged, and a server that dies has lost nothing silently: the
client is told ECONNRESET.  Positions are those of the stream from the client:

        acked          read        delivered      arrived
          |  delivered, not acked     |              |
        --+-------------+-------------+--------------+---
          |<- kept ->|<--------- in the kernel ----->|

`kept` is what the application has called incomplete (`need`) and was therefore taken
out, since a client can have only so much under way in its kernel.  When anything
new comes, what was not acknowledged is offered again with it, as for TCP.

Sending only queues; `write_out` runs with the engine's flush.

Knows its socket, its buffers and its domain; must not know groups' tables.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import termios
from typing import TYPE_CHECKING, Final

from xtcp_twisted.config import USER_TIMEOUT_S
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.engine.unix_buffers import Inbox, Outbox

if TYPE_CHECKING:
    from xtcp_twisted.engine.unix_domain import UnixDomain
    from xtcp_twisted.engine.unix_group import UnixGroup

#: socket(7); not every version of Python has it.
SO_PEEK_OFF: Final = getattr(socket, "SO_PEEK_OFF", 42)
#: What is waited for; by edges, since bytes that wait for an acknowledgement stay readable.
WATCHED: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_GONE: Final = select.EPOLLRDHUP | select.EPOLLHUP

_ENDS: Final = sum(1 << kind for kind in ENDS)


class UnixConnection:
    """A connection, or (until it is accepted) a request for one.

    :ivar id: its connection id; before it was accepted, its pending id.
    :ivar name: the path that the client has bound, mostly "".
    :ivar broken: the errno that the kernel reported, or 0.
    """

    __slots__ = (
        "_detail",
        "_peek_at",
        "_socket",
        "accepted",
        "acked",
        "arrived",
        "broken",
        "created",
        "delivered",
        "detached",
        "domain",
        "ended",
        "eof",
        "eof_taken",
        "events",
        "fin_queued",
        "fin_sent",
        "group",
        "heard",
        "hungry_at",
        "id",
        "kept",
        "name",
        "need",
        "out",
        "own_timeout_s",
        "paused",
        "progress",
        "read",
        "sent",
        "short",
        "timed",
        "unanswered",
        "user",
        "wants_room",
    )

    def __init__(self, domain: UnixDomain, group: UnixGroup, made: socket.socket, name: str) -> None:
        self.domain = domain
        self.group = group
        self.name = name
        self._socket = made
        self._peek_at = 0
        self.id = 0
        self.acked = self.read = self.delivered = self.arrived = 0
        self.kept = Inbox(domain.state, group.pool.row)
        self.out = Outbox(domain.state)
        self.sent = 0
        self.need = 0
        self.user = 0
        self.events = 0
        self.broken = 0
        self._detail = 0
        self.created = self.heard = domain.now
        #: When the client last took something, since when there is something for it.
        self.progress: float | None = None
        #: Since when there was no room for more of an incomplete request.
        self.hungry_at: float | None = None
        self.own_timeout_s: float | None = None
        self.accepted = self.detached = self.ended = self.paused = False
        self.eof = self.eof_taken = self.fin_queued = self.fin_sent = False
        self.short = self.wants_room = False
        #: Something was delivered, and nothing was queued since.
        self.unanswered = False
        #: When the domain looks after it next.
        self.timed: float | None = None
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 0)
        # Urgent data in line, as for TCP: else a byte of it would be counted and not be found.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def join(self, group: UnixGroup) -> None:
        """It is accepted, as a connection of `group`."""
        self.accepted = True
        self.timed = None
        # Nobody is to decide any more, perhaps before anybody was told.
        self.events = 0
        if group is not self.group:
            self.group = group
            self.kept = Inbox(self.domain.state, group.pool.row)

    def begin(self) -> None:
        """It is among its group's connections and watched; something may have come already."""
        self.report(EventKind.ESTABLISHED)
        self._look(gone=False)
        self.domain.look_again()

    def fileno(self) -> int:
        """The socket's descriptor; -1 when it is closed."""
        return self._socket.fileno()

    def credentials(self) -> tuple[int, int, int]:
        """Process, user and group of the client when it connected (SO_PEERCRED, unix(7))."""
        size = struct.calcsize("3i")
        pid, uid, gid = struct.unpack(
            "3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        return pid, uid, gid

    # --- what the kernel reports ----------------------------------------------

    def stirred(self, mask: int) -> None:
        """The kernel has reported something: epoll's `mask`."""
        if mask & select.EPOLLOUT:
            self.domain.queue_output(self)
        if self.detached or self.ended or not mask & ~select.EPOLLOUT:
            return
        if mask & select.EPOLLERR and not self.broken:
            self.broken = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._look(gone=bool(mask & _GONE))

    def _look(self, *, gone: bool) -> None:
        """See how much has come.  `gone`: no more will."""
        arrived = self.acked + len(self.kept) + self._waiting()
        ends = gone and not self.eof
        if arrived > self.arrived or ends:
            self.heard = self.domain.now
            self.group.counters["InBytes"] += max(arrived - self.arrived, 0)
            self.arrived = arrived
            # What was delivered and not acknowledged comes again, with what is new.
            self.read = self.acked
        if ends:
            self.eof = True
            if not self.paused:
                self.report(EventKind.EOF)
        self.keep()
        self.update_ready()
        self._end_if_over()

    def _waiting(self) -> int:
        """Bytes in the kernel."""
        size = bytearray(4)
        fcntl.ioctl(self._socket, termios.FIONREAD, size)
        return int(struct.unpack("i", size)[0])

    # --- receiving --------------------------------------------------------------

    def is_ready(self) -> bool:
        """Whether `take` has something for the application."""
        if self.paused or self.detached or self.ended:
            return False
        if self.eof:
            return self.read != self.arrived or not self.eof_taken
        enough = self.arrived - self.acked >= self.need or self.broken != 0
        return self.read != self.arrived and enough

    def update_ready(self) -> None:
        """Enter it with its group's readable connections, or take it out."""
        ready, was = self.is_ready(), self in self.group.ready
        if ready and not was:
            self.group.offer(self)
        elif was and not ready:
            self.group.withdraw(self)
        if ready and (self.eof or self.broken):
            self.group.tell()
        self.group.signal()

    def report_data(self) -> None:
        """Tell that there is something to receive, unless it is the end of the stream alone."""
        if self.read != self.arrived:
            self.report(EventKind.DATA)

    def take(self, most: int) -> bytes | None:
        """Up to `most` bytes that were not delivered yet; b"" at the end of the stream; None: nothing."""
        if self.eof and self.read == self.arrived:
            self.eof_taken = True
            self.update_ready()
            self._end_if_over()
            return b""
        data = self._peek(min(most, self.arrived - self.read))
        if data:
            self.read += len(data)
            self.delivered = max(self.delivered, self.read)
            self.need = 0
            self.unanswered = True
            self.group.counters["DataSegsIn"] += 1
        self.update_ready()
        if self in self.group.ready:
            # If there is more than was asked for, the others come first.
            self.group.ready.move_to_end(self)
        self._end_if_over()
        return data or None

    def _peek(self, size: int) -> bytes:
        """Bytes from `read` on, which stay where they are."""
        kept = len(self.kept)
        at = self.read - self.acked
        data = self.kept.read(at, size) if at < kept else b""
        if len(data) < size:
            rest = self._peek_kernel(max(at - kept, 0), size - len(data))
            data = data + rest if data else rest
        return data

    def _peek_kernel(self, at: int, size: int) -> bytes:
        """As many as `size`; where the client has sent descriptors along, the kernel stops short."""
        if at != self._peek_at:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, at)
            self._peek_at = at
        found = b""
        while len(found) < size:
            piece = self._receive(size - len(found), socket.MSG_PEEK)
            if not piece:
                # Less than was counted: somebody else reads this socket, too.
                self.arrived = self.acked + len(self.kept) + self._peek_at
                break
            self._peek_at += len(piece)
            found = found + piece if found else piece
        return found

    def _receive(self, size: int, flags: int = 0) -> bytes:
        """What the kernel has, at most `size` bytes; b"" when that is nothing."""
        try:
            return self._socket.recv(size, flags | socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            self.broken = self.broken or error.errno or errno.EIO
            return b""

    def acknowledge(self, n: int) -> None:
        """The application has processed `n` bytes of what was delivered: the kernel may forget them."""
        partly = n != self.delivered - self.acked
        self.acked += n
        self._drain(n - self._drop_kept(n))
        if partly or self.read < self.acked:
            # The rest of what was delivered is offered again, first (P18).
            self.read = self.acked
        self.update_ready()

    def _drop_kept(self, n: int) -> int:
        """Let go of the first bytes that were taken out; returns how many there were."""
        before = self.kept.held
        dropped = self.kept.drop(n)
        self.group.held -= before - self.kept.held
        return dropped

    def _drain(self, n: int) -> None:
        self._peek_at = max(self._peek_at - n, 0)
        while n > 0:
            gone = len(self._receive(min(n, 1 << 18)))
            if gone == 0:
                break
            n -= gone

    def quota(self) -> int:
        """Bytes of an incomplete request that the pool's buffer keeps for it now."""
        options = self.group.options
        return max(self.kept.quota(options.weight), options.guaranteed_bytes)

    def want(self, n: int) -> None:
        """Offer the stream again, from its first unacknowledged byte, when `n` bytes are there."""
        self.need = n
        if not self.eof or self.read != self.arrived or n <= self.arrived - self.acked:
            self.read = self.acked
        self.keep()
        self.update_ready()

    def keep(self) -> None:
        """Take what belongs to an incomplete request out of the kernel, so that the rest can come."""
        missing = self.arrived - self.acked - len(self.kept)
        if missing <= 0 or self.need <= self.arrived - self.acked:
            self._fed()
            return
        data = self._receive(min(missing, self.kept.room()))
        self._peek_at = max(self._peek_at - len(data), 0)
        before = self.kept.held
        self.kept.append(data)
        self.group.held += self.kept.held - before
        if len(data) == missing:
            self._fed()
            return
        # The buffer is full: it is tried again when others have made room.
        self.domain.hungry[self] = None
        if data or self.hungry_at is None:
            self.hungry_at = self.domain.now
            self.domain.time(self)

    def _fed(self) -> None:
        self.domain.hungry.pop(self, None)
        self.hungry_at = None

    # --- sending ------------------------------------------------------------------

    def room(self) -> int:
        """Bytes that may be queued now."""
        return self.out.room(self.group.priority, self.group.options.weight)

    def queue(self, data: bytes) -> int:
        """Queue what fits of an answer; WRITABLE follows when that is not all."""
        taken = self.out.put(data, self.room())
        if taken:
            self.unanswered = False
            self.domain.queue_output(self)
        if taken < len(data):
            self.fall_short()
        return taken

    def fall_short(self) -> None:
        """Less was taken than the application has: tell it when there is room."""
        self.short = True
        if not self.out.length:
            self.domain.starved[self] = None

    def write_out(self) -> bool:
        """Hand the kernel what it takes; False: there is more to do at once."""
        if self.fileno() < 0:
            return True
        before = self.out.length
        try:
            taken, more = self.out.write(self._socket.fileno())
        except OSError as error:
            self.broken = self.broken or error.errno or errno.EPIPE
            self.out.clear()
            taken, more = 0, True
        if taken:
            self.sent += taken
            self.group.counters["OutBytes"] += taken
            self.group.counters["DataSegsOut"] += 1
            self.domain.freed = True
        if not self.out.length:
            self._written()
            return True
        if self.progress is None or self.out.length < before:
            self.progress = self.domain.now
            self.domain.time(self)
        self._watch_room(not more)
        return not more

    def _written(self) -> None:
        """Nothing is queued any more."""
        self.progress = None
        self._watch_room(False)
        if self.fin_queued and not self.fin_sent:
            self.fin_sent = True
            self._shut()
        if self.detached:
            self.domain.drop(self)
            return
        if self.short and not (self.broken or self.fin_queued):
            self.domain.starved[self] = None
        self._end_if_over()

    def _shut(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # that is a client who has gone, which is told elsewhere
                self.broken = self.broken or error.errno or errno.EIO

    def _watch_room(self, on: bool) -> None:
        """Whether the kernel is to tell when it takes more: not while nothing waits for that."""
        if on != self.wants_room:
            self.wants_room = on
            self.domain.watch(self, WATCHED | (select.EPOLLOUT if on else 0), again=True)

    def is_starving(self, limit_s: float) -> bool:
        """Whether there was no room for its request for so long, nor is there now."""
        if self.hungry_at is None or not self.domain.is_due(self.hungry_at + limit_s):
            return False
        self.keep()
        self.update_ready()
        return self.hungry_at is not None

    def deadline(self) -> float | None:
        """When the client has taken nothing for too long; None: never."""
        if self.progress is None or self.ended:
            return None
        timeout = self.own_timeout_s
        if timeout is None:
            timeout = self.group.options.user_timeout_s
        if not timeout and self.detached:
            timeout = USER_TIMEOUT_S  # nobody is left who could end it
        return self.progress + timeout if timeout else None

    # --- ends -----------------------------------------------------------------------

    def report(self, kind: EventKind) -> None:
        """Tell the application with the next events."""
        if not self.detached:
            self.events |= 1 << kind
            self.domain.reports[self] = None

    def _end_if_over(self) -> None:
        """Both sides have closed, or the connection is broken and all that came was delivered."""
        if self.ended or self.detached or not self.accepted:
            return
        if self.broken and self.read == self.arrived:
            self.end(EventKind.RESET)
        elif self.eof_taken and self.fin_sent:
            self.end(EventKind.CLOSED)

    def end(self, kind: EventKind, detail: int = 0) -> None:
        """The connection is over; its id lives until that was told.

        :param detail: the errno of a DOWN.
        """
        self.ended = True
        self._detail = detail
        self.close()
        self.report(kind)
        self.update_ready()

    def finish(self, *, abort: bool) -> None:
        """The application has done with it: close in order, or at once.

        Bytes that were never delivered make it a reset, as for TCP (RFC 9293 SHLD-3).
        """
        if abort or self.ended or self.broken or self.delivered != self.arrived:
            self.domain.drop(self)
            return
        self.domain.detach(self)
        self.acknowledge(self.delivered - self.acked)
        self.fin_queued = True
        self.domain.queue_output(self)

    def close(self) -> None:
        """Let go of the socket and of what is buffered.

        What the client has sent and nobody acknowledged makes it a reset for the client.
        """
        if self.accepted and self.fileno() >= 0:
            self.group.counters["Ended"] += 1
        self.domain.forget_socket(self)
        self._socket.close()
        self.out.clear()
        self._drop_kept(len(self.kept))
        self.progress = self.hungry_at = None

    @property
    def has_end(self) -> bool:
        """Whether an end is among the events to be told."""
        return bool(self.events & _ENDS)

    def detail(self, kind: EventKind) -> int:
        """The detail of an event."""
        return self._detail if kind == EventKind.DOWN else 0


def name_of(address: str | bytes | None) -> str:
    """A socket address as the calls show it; one in the abstract namespace begins with a NUL."""
    return os.fsdecode(address or "")
