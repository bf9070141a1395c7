"""The engine: `poll` takes packets in and fires timers, `flush` sends what is queued.

It reads no clock: `now`, seconds of CLOCK_MONOTONIC, comes with each call and
never runs backwards.  Between the two calls the application receives, answers
and acknowledges, so that an ACK rides on the answer.  Nothing that a packet
contains raises.
"""

from libc.math cimport ceil
from libc.stdint cimport int64_t, uint8_t, uint32_t

from xtcp_twisted.config import EngineConfig, PressureThresholds
from xtcp_twisted.engine.census cimport Census
from xtcp_twisted.engine.group cimport Group
from xtcp_twisted.engine.ids cimport make_id
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.engine.options cimport options_sweep
from xtcp_twisted.engine.pool cimport Pool, close_group
from xtcp_twisted.engine.report cimport all_counters, all_transitions, engine_snapshot
from xtcp_twisted.engine.pool import check_thresholds
from xtcp_twisted.engine.state cimport State, pressure_configure
from xtcp_twisted.engine.turns import Turns
from xtcp_twisted.engine.unix_domain import UnixDomain
from xtcp_twisted.engine.waiting cimport Waiting
from xtcp_twisted.errors import GroupClosed, LocalError, PoolExhausted
from xtcp_twisted.link.base cimport Link
from xtcp_twisted.memory.links cimport END
from xtcp_twisted.tcp.close cimport conn_free
from xtcp_twisted.tcp.connection cimport conn_load, conn_reported, conn_settle, conn_t
from xtcp_twisted.tcp.groups cimport MAX_GROUPS, MAX_POOLS, PRIORITIES, group_row_t
from xtcp_twisted.tcp.fastcookies cimport fast_key_rotate, fast_key_set
from xtcp_twisted.tcp.flags cimport HALF_REPORTED
from xtcp_twisted.tcp.layout cimport (
    XTCP_DEBUG,
    active_at,
    active_t,
    half_open_at,
    half_open_t,
    stack_t,
)
from xtcp_twisted.engine.invariants cimport check_invariants
from xtcp_twisted.tcp.sharing cimport request_seen, sharer_first, sharer_next
from xtcp_twisted.tcp.states cimport STATES
from xtcp_twisted.tcp.throttle cimport throttle_release
from xtcp_twisted.tcp.timers cimport timers_fire
from xtcp_twisted.tcp.urgent cimport urgent_left

cdef enum:
    SWEPT_IN_A_POLL = 65_536   # records that one poll visits for the groups that are closing
    RELEASED_AT_ONCE = 256     # throttled connections that one flush looks at
    PENDING = 0                # EventKind.PENDING
    DATA = 2                   # EventKind.DATA
    URGENT = 3                 # EventKind.URGENT
    SOFT_ERROR = 7             # EventKind.SOFT_ERROR: from here on the kinds have a detail
    FIRST_END = 8              # EventKind.CLOSED: from here on they end a connection
    EVENT_KINDS = 11

cdef tuple KINDS = tuple(EventKind)

_THRESHOLDS = PressureThresholds()


cdef class Engine:
    """One user-space TCP over one link.

    :param link: where packets come from and go to; it stays the caller's to close.
    :param config: an `EngineConfig`.
    :ivar closed: whether `close` was called.
    :ivar thresholds: where the transmit buffer's pressure states begin, `PressureThresholds`.
    :ivar routes: who is told the events of which group: its descriptor -> an object with
        ``turn(events, limit, context)``.  It is for whoever drives the engine; the engine only keeps it.
    :ivar driver: who drives this engine: a reactor's reader, or who waits in `xtcp_select`; None: anyone may.
    :ivar turns: one for each call of Fig. 4, which come from any thread.
    """

    cdef State state
    cdef readonly object link
    cdef readonly object config
    cdef readonly object thresholds    # of the transmit buffer
    cdef readonly dict routes
    cdef public object driver
    cdef readonly object turns
    cdef list _pools
    cdef dict _by_descriptor
    cdef int _taken            # packets of the present turn
    cdef int64_t _begun_us     # when it began
    cdef int _told             # events that the present call of `events` returns
    cdef uint32_t _data_of     # row of the group whose data it has told of last, or MAX_GROUPS
    cdef object _unix          # UnixDomain, or None as long as no group has needed it

    def __init__(self, Link link not None, config):
        if not isinstance(config, EngineConfig):
            raise LocalError(f"config: {config!r} is not allowed; give EngineConfig(...)")
        self.link = link
        self.config = config
        self.thresholds = config.pressure
        self._pools = []
        self._by_descriptor = {}
        self.routes = {}
        self.driver = None
        self.turns = Turns()
        self.state = State(link, config)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    @property
    def closed(self):
        """Whether `close` was called."""
        return self.state.closed

    @property
    def connections(self):
        """How many connections there are, closing ones and those of Unix sockets included."""
        cdef uint32_t found = 0 if self._unix is None else len(self._unix.connections)
        cdef int state
        for state in range(STATES):
            found += self.state.stack.state_counts[state]
        return found

    # --- pools and groups ----------------------------------------------------

    def create_pool(self, size, *, name="", thresholds=_THRESHOLDS, throttling="both"):
        """Create a connection pool with a receive buffer of `size` bytes (P01, Fig. 6a).

        :param name: its name in snapshots.
        :param thresholds: where the buffer's pressure states begin (`PressureThresholds`).
        :param throttling: what they do to received packets, as of `Pool.set_throttling`.
        :raises PoolExhausted: the arena has no room for it; raise `arena_limit`.
        """
        cdef uint32_t row
        self.state.check_open()
        for row in range(MAX_POOLS):
            if row >= self.state.stack.pool_count or self.state.stack.pools[row].references == 0:
                break
        else:
            raise PoolExhausted(f"there are {MAX_POOLS} pools already; close one")
        pool = Pool(self, self.state, row, size, name, thresholds, throttling)
        if row >= self.state.stack.pool_count:
            self.state.stack.pool_count = row + 1
        self._pools.append(pool)
        return pool

    def set_thresholds(self, thresholds):
        """Change where the transmit buffer's pressure states begin and end, as `Pool.set_thresholds` does."""
        self.state.check_open()
        check_thresholds(thresholds)
        self.thresholds = thresholds
        pressure_configure(
            &self.state.stack.pressure, &self.state.stack.payloads, thresholds, self.state.stack.now_us
        )
        self.state.note_work()

    def pools(self):
        """The open pools, in the order in which they were made."""
        return tuple(self._pools)

    def group(self, gd):
        """The group whose descriptor is `gd`; GroupClosed when there is none."""
        try:
            return self._by_descriptor[gd]
        except KeyError:
            raise GroupClosed(f"{gd!r} is the descriptor of no open group") from None

    def _know_descriptor(self, gd, group):
        self._by_descriptor[gd] = group

    def _forget_descriptor(self, gd):
        del self._by_descriptor[gd]
        self.routes.pop(gd, None)

    def _forget_pool(self, pool):
        self._pools.remove(pool)

    def _unix_sockets(self):
        """The engine's part for Unix sockets, made when the first group asks for it."""
        if self._unix is None:
            self._unix = UnixDomain(self.state, self.config.accept_timeout_ms / 1000, self._note_work)
            self._unix.now = self.state.stack.now_us / 1e6
            if self.state.waiting is not None:
                self.state.waiting.watch(self._unix.fileno())
        return self._unix

    def _end_unix(self):
        """End the Unix-socket connections of groups that are closed."""
        if self._unix is not None:
            self._unix.sweep_all()

    def _note_work(self):
        self.state.note_work()

    # --- time passes ---------------------------------------------------------

    def poll(self, double now):
        """Take packets in, then fire the timers that are due, in order of their times.

        :param now: seconds of CLOCK_MONOTONIC; a time before the last one counts as the last.
        :returns: packets taken in, at most `packets_per_poll`.
        :raises LinkError: the link is gone.
        """
        cdef int taken
        self.state.check_open()
        self.state.set_now(now)
        if self.state.waiting is not None:
            self.state.waiting.clear(self.state.stack.now_us)
        self.state.turn_open = True
        taken = self.state.take_packets(self.config.packets_per_poll)
        with nogil:
            timers_fire(&self.state.stack)
        if self._unix is not None:
            self._unix.poll(now)
        if self.state.stack.sweeping:
            self._sweep()
        self.state.reap()
        self._taken = taken
        self._begun_us = self.state.stack.now_us
        if XTCP_DEBUG:
            check_invariants(self.state)
        return taken

    def flush(self, double now):
        """Send what is queued, stamped with `now`; returns the packets sent.

        Of very much that is queued a part: the next turn is due at once then.
        """
        cdef int sent
        self.state.check_open()
        self.state.set_now(now)
        with nogil:
            throttle_release(&self.state.stack, RELEASED_AT_ONCE)
        sent = self.state.send_packets(False)
        if self._unix is not None:
            self._unix.flush(now)
        self.state.reap()
        self.state.turn_open = False
        if self.state.waiting is not None:
            self._wait()
        if XTCP_DEBUG:
            check_invariants(self.state)
        return sent

    cdef int _wait(self) except -1:
        """A turn is over: let the descriptor be readable when the next one is due."""
        cdef int64_t due = self.state.waiting.rest(self._taken > 0, self._due_us(), self._begun_us)
        self._taken = 0
        return self.state.waiting.arm(due, self.state.stack.now_us)

    def wake(self):
        """Make the descriptor of `fileno` readable until the next `poll`; nothing without one."""
        if self.state.waiting is not None:
            self.state.waiting.signal()

    def poll_at(self):
        """When to call `poll` and `flush` again at the latest, seconds; None: when a packet comes."""
        cdef int64_t due
        self.state.check_open()
        due = self._due_us()
        return None if due < 0 else due / 1e6

    cdef int64_t _due_us(self) except -2:
        """When the next turn is due, for packets or for Unix sockets; -1: never."""
        cdef int64_t due = self.state.due_us(), other
        if self._unix is None:
            return due
        when = self._unix.poll_at()
        if when is None:
            return due
        other = <int64_t>ceil(when * 1e6)
        return other if due < 0 or other < due else due

    def fileno(self):
        """A descriptor that is readable when `poll` is due: for programs without a reactor."""
        self.state.check_open()
        if self.state.waiting is None:
            self.state.waiting = Waiting(self.link.fileno(), self.config.coalesce_us)
            if self._unix is not None:
                self.state.waiting.watch(self._unix.fileno())
            self.state.waiting.arm(self._due_us(), self.state.stack.now_us)
        return self.state.waiting.epoll_fd

    cdef int _sweep(self) except -1:
        """The next slice for the groups that are being closed, and for those whose options have changed."""
        if self.state.sweeps:
            self.state.sweep(SWEPT_IN_A_POLL)
        if self.state.changing:
            options_sweep(self.state)
        return 0

    def rotate_fast_open_key(self, key=None):
        """Give the cookies of Fast Open a new key; those of the one before are still taken (RFC 7413 5.1).

        For servers behind one address, which have to take each other's cookies: give all of them
        the same keys in the same order, and `fast_open_key_s=0`.

        :param key: 16 bytes; None makes one.  The present key once more changes nothing.
        :raises LocalError: the key is something else.
        """
        cdef bytes secret
        self.state.check_open()
        if key is None:
            fast_key_rotate(&self.state.stack)
            return
        if not isinstance(key, bytes) or len(key) != 16:
            raise LocalError("key: it is not allowed; give 16 random bytes, or None")
        secret = key
        fast_key_set(&self.state.stack, <const uint8_t *>secret)

    # --- what happened -------------------------------------------------------

    def events(self, int limit=1024):
        """What happened since the last call: [(kind, gd, cd, detail)], no payload in it.

        Coalesced per connection, in the order of `EventKind`; connections come in the order in which
        each had its first one.  So when a group ends holding data back (P05), whose end of stream or
        urgent data made it do so comes before the others, and those in the order of `recv`.  An end
        that is returned frees the connection's slot.  For PENDING, `cd` is the pending id.

        :param limit: after so many no further connection is begun.
        :raises OSError: the process has no descriptor for a group that has none yet; nothing is lost.
        """
        cdef list found = []
        self._collect(found, limit)
        return found

    def events_by_group(self, int limit=1024):
        """As `events`, for who serves whole groups: ({gd: [(kind, cd, detail)]}, whether there may be more).

        Of DATA it is only told which groups have some, by their keys: who takes all that is readable
        needs no list of it.  Groups come in the order in which each had its first event.
        """
        cdef dict found = {}
        self._collect(found, limit)
        return found, self._told >= limit

    cdef int _collect(self, object found, int limit) except -1:
        self.state.check_open()
        self._told = 0
        try:
            self._tcp_events(found, limit)
        except OSError:
            # What was found is not lost; the rest stays for the next call.
            if not found:
                raise
        if self._unix is not None:
            for kind, gd, cd, detail in self._unix.events(limit - self._told):
                self._tell(found, kind, gd, cd, detail)
        self.state.reap()
        return 0

    cdef int _tell(self, object found, int kind, gd, cd, detail) except -1:
        """Add one event to the list that `events` returns, or to the groups of `events_by_group`."""
        cdef list told
        self._told += 1
        if type(found) is list:
            (<list>found).append((KINDS[kind], gd, cd, detail))
            return 0
        told = (<dict>found).get(gd)
        if told is None:
            told = (<dict>found)[gd] = []
        if kind != DATA:
            told.append((KINDS[kind], cd, detail))
        return 0

    cdef int _tcp_events(self, object found, int limit) except -1:
        if self.state.stack.unreported:
            self._pending_events(found, limit)
        if self.state.offers:
            self._offered_events(found, limit)
        self._data_of = MAX_GROUPS
        while self.state.stack.reports.count and self._told < limit:
            self._connection_events(found, self.state.stack.reports.head)
        return 0

    cdef int _pending_events(self, object found, int limit) except -1:
        """New requests, those of important groups first; each group that sees one hears of it."""
        cdef stack_t *s = &self.state.stack
        cdef group_row_t *g
        cdef half_open_t *h
        cdef uint32_t row
        cdef int priority
        for priority in range(PRIORITIES):
            row = s.waiting[priority].head
            while row != END:
                g = &s.groups[row]
                while g.unreported != END and self._told < limit:
                    h = half_open_at(s, g.unreported)
                    if not h.flags & HALF_REPORTED:
                        self._pending_event(found, row, g.unreported)
                        h.flags |= HALF_REPORTED
                        s.unreported -= 1
                    g.unreported = h.link.next
                row = g.waiting.next
        return 0

    cdef int _pending_event(self, object found, uint32_t holder, uint32_t half_open_row) except -1:
        cdef half_open_t *h = half_open_at(&self.state.stack, half_open_row)
        cdef uint32_t row = sharer_first(&self.state.stack, holder)
        cdef list told = []
        cdef Group group
        while row != MAX_GROUPS:
            if request_seen(&self.state.stack, row, h):
                group = self.state.group_objects[row]
                told.append(group._descriptor())
            row = sharer_next(&self.state.stack, holder, row)
        # All of them hear of it, or (for lack of a descriptor) none does yet.
        for gd in told:
            self._tell(found, PENDING, gd, make_id(h.generation, half_open_row), 0)
        return 0

    cdef int _offered_events(self, object found, int limit) except -1:
        """Requests that were there when a group began to share their port."""
        cdef Group group
        while self.state.offers and self._told < limit:
            row, pending_id = self.state.offers[0]
            group = self.state.group_objects.get(row)
            if group is not None and not group.closed and group._sees(pending_id):
                self._tell(found, PENDING, group._descriptor(), pending_id, 0)
            self.state.offers.popleft()
        return 0

    cdef int _connection_events(self, object found, uint32_t active_row) except -1:
        cdef active_t *a = active_at(&self.state.stack, active_row)
        cdef uint32_t events = a.events
        cdef int kind, detail
        cdef uint32_t urgent, told
        cdef conn_t c
        cdef Group group
        conn_load(&c, &self.state.stack, a.slot)
        if events == 1 << DATA and c.r.group_row == self._data_of:  # `found` tells already
            self._told += 1
            conn_reported(&c)
            conn_settle(&c)
            return 0
        if events >> FIRST_END:
            # The detail is that of the end, which says it all.
            events &= ~<uint32_t>(1 << SOFT_ERROR)
        detail = a.detail
        urgent = urgent_left(&c)
        group = self.state.group_objects[c.r.group_row]
        gd = 0 if group.closed else group._descriptor()
        conn_reported(&c)
        if events == 1 << DATA and not group.closed and type(found) is dict:
            self._tell(found, DATA, gd, None, 0)
            self._data_of = c.r.group_row
        elif not group.closed:
            cd = make_id(c.r.generation, c.slot)
            for kind in range(EVENT_KINDS):
                if events >> kind & 1:
                    told = detail if kind >= SOFT_ERROR else urgent if kind == URGENT else 0
                    self._tell(found, kind, gd, cd, told)
        if events >> FIRST_END:
            conn_free(&c)
        else:
            conn_settle(&c)
        return 0

    def counters(self):
        """The engine's counters by name, as of the TCP-MIB and Linux' TcpExt."""
        self.state.check_open()
        return all_counters(self.state)

    def transitions(self):
        """How often one state has followed another: {("ESTABLISHED", "CLOSE_WAIT"): 7}."""
        self.state.check_open()
        return all_transitions(self.state)

    def snapshot(self):
        """A frozen view of the whole engine; its cost does not depend on the number of connections."""
        self.state.check_open()
        return engine_snapshot(self.state, self, 0 if self._unix is None else len(self._unix.connections))

    def census(self, edges_s=(1, 10, 60, 600, 3600)):
        """Begin to count the connections by state and idle time; its `advance` does it, in slices.

        :param edges_s: upper edges of all columns but the last, rising, seconds.
        :raises LocalError: the edges are not that.
        """
        return Census(self.state, edges_s)

    def close(self):
        """End every connection by reset and let go of all memory and descriptors; may be called twice."""
        if self.state.closed:
            return
        for pool in list(self._pools):
            for group in pool.groups():
                close_group(group, True)
            pool.close()
        if self._unix is not None:
            self._unix.close()
        try:
            self.state.send_packets(True)
            while self.state.sweeps:
                self.state.sweep(SWEPT_IN_A_POLL)
                self.state.send_packets(True)
        finally:
            self.state.closed = True
            self.state.waiting = None
