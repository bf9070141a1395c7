"""The Unix sockets of one engine: what its `poll`, `flush`, `poll_at` and `events` do for them (P31).

One epoll instance watches all of them, by edges; it is one more thing that the
engine's own descriptor waits for.  An idle connection costs its descriptor and an
object, and nothing in a turn.

When the process may open no more descriptors, requests wait in the kernel: their
clients are connected as far as those can tell, and are served when a descriptor is
free.

Knows groups and connections by what they do in a turn; reads no clock.
"""

from __future__ import annotations

import errno
import heapq
import select
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.unix_buffers import discarding

if TYPE_CHECKING:
    from xtcp_twisted.engine.state import State
    from xtcp_twisted.engine.unix_connection import UnixConnection
    from xtcp_twisted.engine.unix_group import UnixGroup

#: What one turn looks at: reports of the kernel, requests, connections that wait for room.
EVENTS_AT_ONCE: Final = 1_024
REQUESTS_AT_ONCE: Final = 64
ROOMS_AT_ONCE: Final = 256
#: Connections of a closed group that one turn ends.
SWEPT_AT_ONCE: Final = 1_024
#: How long after a lack of descriptors requests are tried again, seconds.
RETRY_S: Final = 0.1
#: While the transmit buffer discards, a client that has taken nothing for so long is given up; so is an
#: incomplete request for whose rest the pool's buffer has had no room for so long; seconds.
STALL_S: Final = 10.0
#: The engine counts whole microseconds: what is nearer than that is due.
MOMENT_S: Final = 1e-6
#: Set in the ids of these connections, and in no id of a TCP connection.
UNIX_ID: Final = 0x8000_0000
#: The rows that groups show; those of other groups are lower (`MAX_GROUPS`).
FIRST_ROW: Final = 65_536

Event = tuple[EventKind, int, int, int]


class Watched(Protocol):
    """What has a descriptor in the epoll instance."""

    def fileno(self) -> int: ...

    def stirred(self, mask: int) -> None: ...


class UnixDomain:
    """All Unix-socket groups of one engine.

    :param state: the engine's, for its buffers.
    :param accept_timeout_s: a request that was not accepted after this time is refused.
    :param work: to be called when something was queued outside of a turn.
    """

    def __init__(self, state: State, accept_timeout_s: float, work: Callable[[], None]) -> None:
        self.state = state
        self.accept_timeout_s = accept_timeout_s
        self.work = work
        self.now = 0.0
        #: Connections and requests by id.
        self.connections: dict[int, UnixConnection] = {}
        self.groups: dict[int, UnixGroup] = {}
        #: Rows that closed groups had and no open one has; a heap.
        self._rows: list[int] = []
        #: Groups that have requests to take from the kernel, or something to do later.
        self.due: dict[UnixGroup, None] = {}
        #: Those with something to tell, to write, to take out; those that wait for room in the buffer.
        self.reports: OrderedDict[UnixConnection, None] = OrderedDict()
        self.output: OrderedDict[UnixConnection, None] = OrderedDict()
        self.hungry: OrderedDict[UnixConnection, None] = OrderedDict()
        self.starved: OrderedDict[UnixConnection, None] = OrderedDict()
        #: Something has left the transmit buffer since the last look at `starved`.
        self.freed = False
        self._closing: deque[tuple[UnixConnection, bool]] = deque()
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._more = False
        self._serial = 0
        self._slots: list[int] = []
        self._timers: list[tuple[float, int]] = []

    def fileno(self) -> int:
        """The descriptor that is readable when `poll` has something to do."""
        return self._epoll.fileno()

    # --- who is there -------------------------------------------------------------

    def admit(self, group: UnixGroup) -> int:
        """A group is open; its row is the lowest that no other has."""
        row = heapq.heappop(self._rows) if self._rows else FIRST_ROW + len(self.groups)
        self.groups[row] = group
        return row

    def dismiss(self, group: UnixGroup) -> None:
        """A group is closed; another may have its row."""
        del self.groups[group.row]
        heapq.heappush(self._rows, group.row)

    def enter(self, connection: UnixConnection) -> None:
        """Give a connection its id."""
        slot = self._slots.pop() if self._slots else len(self.connections)
        self._serial = self._serial % 0x7FFF_FFFF + 1
        connection.id = self._serial << 32 | UNIX_ID | slot
        self.connections[connection.id] = connection

    def forget(self, connection: UnixConnection) -> None:
        """Its id means nothing any more."""
        if self.connections.pop(connection.id, None) is not None:
            self._slots.append(connection.id & (UNIX_ID - 1))
        self.detach(connection)

    def detach(self, connection: UnixConnection) -> None:
        """The application hears nothing more of it, and can name it no more."""
        connection.detached = True
        connection.events = 0
        connection.group.members.pop(connection.id, None)
        connection.group.requests.pop(connection.id, None)
        self.reports.pop(connection, None)
        connection.update_ready()

    def drop(self, connection: UnixConnection) -> None:
        """End a connection of which the application is to hear nothing any more."""
        connection.close()
        self.forget(connection)

    def watch(self, watched: Watched, mask: int, *, again: bool = False) -> None:
        """Let the kernel report what `mask` names."""
        fd = watched.fileno()
        if again:
            self._epoll.modify(fd, mask)
        else:
            self._epoll.register(fd, mask)
            self._watched[fd] = watched

    def unwatch(self, watched: Watched) -> None:
        """The descriptor is about to be closed."""
        fd = watched.fileno()
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def forget_socket(self, connection: UnixConnection) -> None:
        """The connection closes its socket."""
        self.unwatch(connection)
        for table in (self.output, self.hungry, self.starved):
            table.pop(connection, None)
        self.freed = True

    def queue_output(self, connection: UnixConnection) -> None:
        """The next flush writes for it."""
        self.output[connection] = None

    def look_again(self) -> None:
        """The kernel has something that came before it was asked to report."""
        self._more = True

    # --- time -----------------------------------------------------------------------

    def time(self, connection: UnixConnection) -> None:
        """See after the connection when its deadline has come, or when it may have waited too long."""
        deadline = connection.deadline()
        # Its timeout may change, and the buffer may begin to discard: so it is looked at now and then.
        times = [] if connection.progress is None else [self.now + STALL_S]
        if deadline is not None:
            times.append(deadline)
        if connection.hungry_at is not None:
            times.append(connection.hungry_at + STALL_S)
        if not times:
            connection.timed = None
        elif connection.timed is None or min(times) < connection.timed:
            connection.timed = min(times)
            heapq.heappush(self._timers, (connection.timed, connection.id))

    def time_request(self, request: UnixConnection) -> None:
        """Refuse it when it has waited for too long."""
        request.timed = self.now + self.accept_timeout_s
        heapq.heappush(self._timers, (request.timed, request.id))

    def _fire(self) -> None:
        while self._timers and self.is_due(self._timers[0][0]):
            when, cd = heapq.heappop(self._timers)
            connection = self.connections.get(cd)
            # An earlier time may have been entered since.
            if connection is not None and connection.timed == when and not connection.ended:
                connection.timed = None
                self._look_after(connection)

    def _look_after(self, connection: UnixConnection) -> None:
        if not connection.accepted:
            connection.group.refuse_late(connection)
            return
        deadline = connection.deadline()
        stalled = connection.progress is not None and self.is_due(connection.progress + STALL_S)
        late = deadline is not None and self.is_due(deadline)
        if late or (stalled and discarding(self.state)):
            self._give_up(connection, errno.ETIMEDOUT)
        elif connection.is_starving(STALL_S):
            self._give_up(connection, errno.ENOBUFS)
        else:
            self.time(connection)

    def _give_up(self, connection: UnixConnection, why: int) -> None:
        """The client has taken nothing for too long, or the engine nothing of its request."""
        if connection.detached:
            self.drop(connection)
        else:
            connection.end(EventKind.DOWN, why)

    def is_due(self, when: float) -> bool:
        """Whether a time has come."""
        return when <= self.now + MOMENT_S

    def poll_at(self) -> float | None:
        """When the next turn is due, at the latest; the past: at once."""
        waits = self.output or self._closing or self._more or (self.freed and self.starved)
        if waits or any(group.may_accept() for group in self.due):
            return self.now
        times = [time for group in self.due for time in (group.retry_at, group.tell_at)]
        if self._timers:
            times.append(self._timers[0][0])
        return min((time for time in times if time is not None), default=None)

    # --- a turn ---------------------------------------------------------------------

    def poll(self, now: float) -> None:
        """Hear what the kernel reports; take requests; see after what is late."""
        self.now = max(self.now, now)
        found = self._epoll.poll(0, EVENTS_AT_ONCE)
        self._more = len(found) == EVENTS_AT_ONCE
        for fd, mask in found:
            watched = self._watched.get(fd)
            if watched is not None:
                watched.stirred(mask)
        for group in list(self.due):
            group.take_requests(REQUESTS_AT_ONCE)
        for connection in list(islice(self.hungry, ROOMS_AT_ONCE)):
            del self.hungry[connection]  # to the end of the line, if it still is
            connection.keep()
            connection.update_ready()
        self._fire()
        for group in list(self.due):
            if group.tell_at is not None and self.is_due(group.tell_at):
                group.tell()
            if not (group.backlog_waits or group.tell_at or group.retry_at):
                del self.due[group]
        self.sweep(SWEPT_AT_ONCE)

    def flush(self, now: float) -> None:
        """Hand the kernel what is queued, and tell those for whom there is room again."""
        self.now = max(self.now, now)
        for connection in list(self.output):
            if connection.write_out():
                self.output.pop(connection, None)
        self.freed = False
        for connection in list(islice(self.starved, ROOMS_AT_ONCE)):
            del self.starved[connection]
            if connection.room():
                connection.short = False
                connection.report(EventKind.WRITABLE)
                self.freed = True  # perhaps there is room for the others, too
            else:
                self.starved[connection] = None

    def events(self, limit: int) -> list[Event]:
        """What happened, connection by connection; after `limit` no further one is begun."""
        found: list[Event] = []
        while self.reports and len(found) < limit:
            connection, _ = self.reports.popitem(last=False)
            gd = connection.group.fileno()
            kinds = (kind for kind in EventKind if connection.events >> kind & 1)
            found += [(kind, gd, connection.id, connection.detail(kind)) for kind in kinds]
            over, connection.events = connection.has_end, 0
            if over:
                self.forget(connection)
        return found

    # --- the end --------------------------------------------------------------------

    def end_later(self, connections: list[UnixConnection], *, abort: bool) -> None:
        """End the connections of a group that closes, in the polls that follow."""
        self._closing.extend((connection, abort) for connection in connections)

    def sweep(self, most: int) -> None:
        """End some of those."""
        for _ in range(min(most, len(self._closing))):
            connection, abort = self._closing.popleft()
            connection.finish(abort=abort)

    def sweep_all(self) -> None:
        """End all of those."""
        self.sweep(len(self._closing))

    def close(self) -> None:
        """Close every socket and the epoll instance."""
        self.sweep_all()
        for connection in list(self.connections.values()):
            self.drop(connection)
        self._epoll.close()
