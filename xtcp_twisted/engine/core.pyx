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
from xtcp_twisted.engine.events cimport Events
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
from xtcp_twisted.tcp.groups cimport MAX_POOLS
from xtcp_twisted.tcp.fastcookies cimport fast_key_rotate, fast_key_set
from xtcp_twisted.tcp.layout cimport XTCP_DEBUG
from xtcp_twisted.engine.invariants cimport check_invariants
from xtcp_twisted.tcp.readiness cimport signals_hold, signals_release
from xtcp_twisted.tcp.states cimport STATES
from xtcp_twisted.tcp.throttle cimport throttle_release
from xtcp_twisted.tcp.timers cimport timers_fire

cdef enum:
    ANSWERED_AT_ONCE = 16      # packets after which the end of a turn looks for answers
    SWEPT_IN_A_POLL = 65_536   # records that one poll visits for the groups that are closing
    RELEASED_AT_ONCE = 256     # throttled connections that one flush looks at

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
    cdef Events _events
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
        self._events = Events(self.state)

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
        cdef int sent = self._send(now)
        self._turn_over(False)
        return sent

    def begin_turn(self, double now):
        """`poll` for a reactor that serves the groups: their descriptors stay as they are until its end."""
        self.state.check_open()
        signals_hold(&self.state.stack)
        return self.poll(now)

    def end_turn(self, double now):
        """`flush` at the end of such a turn.

        A peer on this machine acknowledges while we write to the device.  So after a few packets the link
        is read once more: a turn for the acknowledgements alone would cost more than they do.  What else
        comes with them is told in the next turn, which is due at once then.
        """
        cdef int sent = self._send(now), taken = 0
        if sent <= ANSWERED_AT_ONCE and self.state.stack.behind == 0:
            taken = self.state.take_linked(sent)
        if taken:
            self._taken += taken
            sent += self.state.send_packets(False)
        self._turn_over(taken and self._events.due())
        return sent

    cdef int _send(self, double now) except -1:
        cdef int sent
        self.state.check_open()
        self.state.set_now(now)
        with nogil:
            throttle_release(&self.state.stack, RELEASED_AT_ONCE)
        sent = self.state.send_packets(False)
        if self._unix is not None:
            self._unix.flush(now)
        return sent

    cdef int _turn_over(self, bint news) except -1:
        """Let the descriptors say what there is to do, and the engine's when the next turn is due."""
        cdef int64_t now_us = self.state.stack.now_us, due
        self.state.reap()
        self.state.turn_open = False
        signals_release(&self.state.stack)
        if self.state.waiting is not None:
            due = self.state.waiting.rest(self._taken > 0, self._due_us(), self._begun_us)
            self.state.waiting.arm(now_us if news else due, now_us)
        self._taken = 0
        if XTCP_DEBUG:
            check_invariants(self.state)
        return 0

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
        return found, self._events.told >= limit

    cdef int _collect(self, object found, int limit) except -1:
        self.state.check_open()
        self._events.begin()
        try:
            self._events.collect(found, limit)
        except OSError:
            # What was found is not lost; the rest stays for the next call.
            if not found:
                raise
        if self._unix is not None:
            for kind, gd, cd, detail in self._unix.events(limit - self._events.told):
                self._events.tell(found, kind, gd, cd, detail)
        self.state.reap()
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
