"""A census: how many connections are in which state of RFC 9293, and idle for how long.

It walks the tables themselves, a slice per call, and makes no Python object per
connection, so that a million can be counted beside the traffic.  Nothing stops
meanwhile: connections open, close and change state between two slices, and each
is counted as it was in its own slice.  TIME-WAIT entries come first, then
records, then half-open entries, against the direction in which connections move
from table to table: one that moves may be missed, but is not counted twice.
(Only a TIME-WAIT entry that a repeated FIN restarted may be: it changes its place.)

Knows nothing of what the numbers are for.
"""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.errors import LocalError
from xtcp_twisted.tcp.flags cimport RECORD_ENDED, RECORD_PROMISED
from xtcp_twisted.tcp.layout cimport (
    NO_LOCAL,
    half_open_at,
    half_open_t,
    record_at,
    record_t,
    stack_t,
    time_wait_t,
)
from xtcp_twisted.tcp.states cimport CLOSED, STATES, SYN_RECEIVED, TIME_WAIT
from xtcp_twisted.tcp.states import NAMES as STATE_NAMES

cdef uint32_t INITIAL_RTO_MS = config.INITIAL_RTO_MS

cdef enum:
    # The tables, in the order of the walk
    TIME_WAITS = 0
    RECORDS = 1
    HALF_OPENS = 2
    TABLES = 3


cdef inline void _count(tally_t *tally, uint8_t state, uint32_t idle_ms) noexcept nogil:
    cdef int column = 0
    while column < tally.edges and idle_ms >= tally.edges_ms[column]:
        column += 1
    tally.counts[state][column] += 1


cdef void _count_time_waits(const stack_t *s, tally_t *tally, uint32_t row, uint32_t end) noexcept nogil:
    """Rows of the ring by their place in memory, so that those that expire meanwhile shift no others."""
    cdef uint32_t tail = s.time_wait_head + s.time_wait_count
    cdef const time_wait_t *w
    while row < end:
        w = &s.time_waits[row]
        # The ring may go on at row 0; between its tail and its head nothing is valid.
        if (s.time_wait_head <= row < tail or row + s.time_wait_capacity < tail) and w.local_row != NO_LOCAL:
            # The lowest bit of `expires` is no part of the time.
            _count(tally, TIME_WAIT, s.now_ms + s.limits.time_wait_ms - (w.expires & ~1U))
        row += 1


cdef void _count_records(const stack_t *s, tally_t *tally, uint32_t row, uint32_t end) noexcept nogil:
    cdef const record_t *r
    while row < end:
        r = record_at(s, row)
        # A promised record counts as its half-open entry.
        if r.generation & 1 and not r.flags & RECORD_PROMISED:
            _count(tally, CLOSED if r.flags & RECORD_ENDED else r.state, s.now_ms - r.last_heard)
        row += 1


cdef uint32_t _since_syn(const stack_t *s, const half_open_t *h) noexcept nogil:
    """Since its timer last began to run: with the SYN, then with each SYN-ACK that it sent."""
    if h.tries == 0:
        return s.now_ms + s.limits.accept_timeout_ms - h.due
    return s.now_ms + (INITIAL_RTO_MS << (h.tries - 1)) - h.due


cdef void _count_half_opens(const stack_t *s, tally_t *tally, uint32_t row, uint32_t end) noexcept nogil:
    cdef const half_open_t *h
    while row < end:
        h = half_open_at(s, row)
        if h.generation & 1:
            _count(tally, SYN_RECEIVED, _since_syn(s, h))
        row += 1


cdef uint32_t _rows_of(const stack_t *s, int table) noexcept nogil:
    """Rows of a table that may hold something now."""
    if table == RECORDS:
        return s.records.fresh
    if table == HALF_OPENS:
        return s.half_opens.fresh
    if s.time_wait_head + s.time_wait_count < s.time_wait_capacity:
        return s.time_wait_head + s.time_wait_count
    return s.time_wait_capacity


cdef tuple _edges_ms(edges_s):
    """In whole milliseconds; LocalError unless they can be column edges."""
    try:
        edges = tuple(edges_s)
        in_ms = tuple(round(edge * 1000) for edge in edges)
    except (TypeError, ValueError, OverflowError):
        in_ms = ()
    if (
        1 <= len(in_ms) <= MOST_EDGES
        and all(0 < edge <= 0xFFFFFFFF for edge in in_ms)
        and all(low < high for low, high in zip(in_ms, in_ms[1:]))
    ):
        return edges, in_ms
    raise LocalError(
        f"edges_s: {edges_s!r} is not allowed; give 1 to {MOST_EDGES} rising numbers of seconds,"
        " 0.001 to 4,294,967, for example (1, 10, 60)"
    )


cdef class Census:
    """A count of all connections that is under way, or complete; made by `Engine.census`.

    :ivar edges_s: upper edges of all columns but the last, seconds; a connection that is idle for
        exactly an edge is in the column above it.
    """

    def __init__(self, State state, edges_s):
        cdef int i
        state.check_open()
        self.state = state
        self.edges_s, in_ms = _edges_ms(edges_s)
        self.tally.edges = len(in_ms)
        for i in range(self.tally.edges):
            self.tally.edges_ms[i] = in_ms[i]

    def advance(self, rows=32_768):
        """Count the next slice.

        :param rows: how many rows of the engine's tables to look at, at most; free ones are rows, too.
        :returns: whether the census is complete; a call after that changes nothing.
        :raises EngineClosed: the engine was closed; what was counted can still be read.
        :raises LocalError: `rows` is not a positive integer of 32 bits.
        """
        cdef uint32_t most
        self.state.check_open()
        if not isinstance(rows, int) or not 0 < rows < 1 << 32:
            raise LocalError(f"rows: {rows!r} is not allowed; give an integer from 1 to 4,294,967,295")
        most = rows
        with nogil:
            self._walk(most)
        return self.table == TABLES

    cdef void _walk(self, uint32_t rows) noexcept nogil:
        cdef const stack_t *s = &self.state.stack
        cdef uint32_t end
        while rows and self.table < TABLES:
            end = _rows_of(s, self.table)
            if self.row >= end:
                self.table += 1
                self.row = 0
                continue
            if end - self.row > rows:
                end = self.row + rows
            rows -= end - self.row
            if self.table == TIME_WAITS:
                _count_time_waits(s, &self.tally, self.row, end)
            elif self.table == RECORDS:
                _count_records(s, &self.tally, self.row, end)
            else:
                _count_half_opens(s, &self.tally, self.row, end)
            self.row = end

    @property
    def counts(self):
        """What was counted so far: state -> connections per column, for the states that were met.

        SYN_RECEIVED are connection requests, accepted or not, by the time since their SYN, or the
        last SYN-ACK that their timer sent; TIME_WAIT by the time since that state began, or a
        repeated FIN restarted it; all others by the time since anything was heard of the peer,
        which begins anew after 49 days.  CLOSED have ended, but the application has not taken
        the report of it; such a one may be among TIME_WAIT, too.

        In a complete census beside which nothing happened, SYN_RECEIVED sum up to the snapshot's
        `half_open`, TIME_WAIT to its `time_wait`, and the rest to its `connections`.
        """
        cdef int state, i
        found = {}
        for state in range(STATES):
            columns = tuple(self.tally.counts[state][i] for i in range(self.tally.edges + 1))
            if any(columns):
                found[STATE_NAMES[state]] = columns
        return found

    @property
    def total(self):
        """All that was counted so far."""
        return sum(map(sum, self.counts.values()))
