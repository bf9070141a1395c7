"""Path MTU discovery (RFC 1191, RFC 8201), guarded as RFC 5927 section 7 asks.

A connection's `mss` is the payload of its full segments.  A packet-too-big makes
it smaller, and what is in flight is sent again at once and without a congestion
response, for nothing was lost to congestion: the congestion window stays as many
segments.  Whoever forges one has to guess a sequence number in flight, and even then

 * nothing gets smaller than the floors of config.py;
 * once a full segment has been acknowledged, the size is known to fit: the message
   only counts when the same data has met a timeout, so that it says of data that
   does not come through why (RFC 5927 section 7.2).  It needs no memory: if the
   path really changed, what the timeout sends again is answered alike.

Messages may be filtered on the way: after a few timeouts of a full segment the
size is suspected, later if it is known to have fitted, and the floor used (RFC
4821 section 7.7).

Two small tables keep what was learned, in seconds: paths by destination, which new
connections start from, and the connections that became narrower, in the order of
time.  After PATH_LIFETIME_S those try their full size again.  A connection that
finds the second table full pushes out the oldest, which then stays as it is.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from xtcp_twisted import config
from xtcp_twisted.memory.siphash cimport siphash_1_3
from xtcp_twisted.tcp.congestion cimport retransmission_timeout, segment_size
from xtcp_twisted.tcp.connection cimport conn_queue_output
from xtcp_twisted.tcp.counters cimport (
    C_PATH_BLACK_HOLES,
    C_PATH_DOUBTED,
    C_PATH_NARROWED,
    C_PATH_WIDENED,
)
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_REORDER,
    ACTIVE_TAIL,
    ACTIVE_TRANSMIT,
    RECORD_FULL_ACKED,
    RECORD_NARROWED,
)
from xtcp_twisted.tcp.layout cimport record_at, record_t
from xtcp_twisted.tcp.paths cimport NARROWED, PATH_WAYS, PATHS, narrowed_t, path_t
from xtcp_twisted.tcp.recovery cimport recovery_window_opened
from xtcp_twisted.wire.segment cimport is_mapped

cdef uint32_t MIN_PATH_MTU_V4 = config.MIN_PATH_MTU_V4
cdef uint32_t MIN_PATH_MTU_V6 = config.MIN_PATH_MTU_V6
cdef uint32_t PATH_LIFETIME_S = config.PATH_LIFETIME_S
cdef uint32_t BLACK_HOLE_TIMEOUTS = config.BLACK_HOLE_TIMEOUTS

cdef enum:
    PLATEAUS = 8
    AGED_AT_ONCE = 256

# RFC 1191 section 7.1: sizes that links have, for routers that do not tell.
cdef uint32_t[8] _plateaus
_plateaus[:] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 552]


cdef uint32_t _now(const stack_t *s) noexcept nogil:
    return <uint32_t>(s.now_us // 1_000_000)


cdef uint32_t _headers(const uint8_t *remote) noexcept nogil:
    """IP and TCP without options, which `segment_size` deducts."""
    return 40 if is_mapped(remote) else 60


# --- What is known of destinations -------------------------------------------

cdef path_t *_set_of(const stack_t *s, const uint8_t *remote) noexcept nogil:
    cdef uint32_t hashed = <uint32_t>siphash_1_3(s.keys.index, remote, 16)
    return s.paths.rows + hashed % (PATHS // PATH_WAYS) * PATH_WAYS


cdef path_t *_known(const stack_t *s, const uint8_t *remote) noexcept nogil:
    """What was learned of a destination and is not too old; NULL: nothing."""
    cdef path_t *row
    cdef int way
    if not s.paths.known:
        return NULL
    row = _set_of(s, remote)
    for way in range(PATH_WAYS):
        if row[way].mtu and memcmp(row[way].remote, remote, 16) == 0:
            return &row[way] if _now(s) - row[way].learned < PATH_LIFETIME_S else NULL
    return NULL


cdef void _learn(stack_t *s, const uint8_t *remote, uint32_t mtu) noexcept nogil:
    """In the destination's own place, a free one, or that of the oldest of its set."""
    cdef path_t *row = _set_of(s, remote)
    cdef int way, best = 0
    for way in range(PATH_WAYS):
        if row[way].mtu == 0 or memcmp(row[way].remote, remote, 16) == 0:
            best = way
            break
        if <int>(row[way].learned - row[best].learned) < 0:
            best = way
    memcpy(row[best].remote, remote, 16)
    row[best].learned = _now(s)
    row[best].mtu = <uint16_t>mtu
    s.paths.known = True


# --- Connections that became narrower ----------------------------------------

cdef void _remember(stack_t *s, uint32_t slot, uint16_t mss, uint32_t since) noexcept nogil:
    cdef narrowed_t *n
    if s.paths.count == NARROWED:
        s.paths.head = (s.paths.head + 1) % NARROWED
        s.paths.count -= 1
    n = &s.paths.narrowed[(s.paths.head + s.paths.count) % NARROWED]
    s.paths.count += 1
    n.slot = slot
    n.generation = record_at(s, slot).generation
    n.since = since
    n.mss = mss


cdef void _narrow(stack_t *s, uint32_t slot, uint32_t mss) noexcept nogil:
    cdef record_t *r = record_at(s, slot)
    cdef uint32_t before = segment_size(r)
    if not r.flags & RECORD_NARROWED:
        _remember(s, slot, r.mss, _now(s))
    r.flags |= RECORD_NARROWED
    r.flags &= ~<uint32_t>RECORD_FULL_ACKED
    r.mss = <uint16_t>mss
    # As many segments, not as many bytes: the path bears packets.
    r.cwnd = <uint32_t>(<uint64_t>r.cwnd * segment_size(r) // before)


cdef void _send_again(conn_t *c) noexcept nogil:
    """Everything in flight, in segments that fit."""
    recovery_window_opened(c)
    c.a.backoff = 0
    c.a.flags &= ~(ACTIVE_REORDER | ACTIVE_TAIL)
    c.a.flags |= ACTIVE_TRANSMIT
    c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)
    conn_queue_output(c)


# --- The mechanism -----------------------------------------------------------

cdef uint32_t _plateau_below(uint32_t size) noexcept nogil:
    cdef int i
    for i in range(PLATEAUS):
        if _plateaus[i] < size:
            return _plateaus[i]
    return MIN_PATH_MTU_V4


cdef uint32_t _believable(const conn_t *c, uint32_t size, uint32_t mtu) noexcept nogil:
    """The MTU to use; 0: the message is to be ignored."""
    if is_mapped(c.r.remote):
        if mtu == 0:
            # RFC 1191 section 5: a router that does not know of this field.
            mtu = _plateau_below(size)
        if mtu < MIN_PATH_MTU_V4:
            mtu = MIN_PATH_MTU_V4
    elif mtu < MIN_PATH_MTU_V6:
        # RFC 8201 section 4: MUST discard
        return 0
    # RFC 5927 section 7.2: it speaks of a packet that would have passed.
    return mtu if mtu < size else 0


cdef void pathmtu_too_big(conn_t *c, uint32_t size, uint32_t mtu) noexcept nogil:
    cdef uint32_t headers = _headers(c.r.remote)
    mtu = _believable(c, size, mtu)
    if mtu == 0 or mtu - headers >= c.r.mss:
        return
    if c.r.flags & RECORD_FULL_ACKED and c.r.resends == 0:
        c.s.counters[C_PATH_DOUBTED] += 1
        return
    c.s.counters[C_PATH_NARROWED] += 1
    _narrow(c.s, c.slot, mtu - headers)
    _learn(c.s, c.r.remote, mtu)
    _send_again(c)


cdef void pathmtu_timeout(conn_t *c) noexcept nogil:
    cdef uint32_t floor = MIN_PATH_MTU_V4 if is_mapped(c.r.remote) else MIN_PATH_MTU_V6
    cdef uint32_t mss = floor - _headers(c.r.remote), enough = BLACK_HOLE_TIMEOUTS
    if c.r.flags & RECORD_FULL_ACKED:
        # The size did fit: a path that loses much is likelier than one that changed.
        enough *= 2
    if c.r.resends < enough or c.r.mss <= mss or c.r.snd_nxt - c.r.snd_una <= mss:
        return
    # A guess, perhaps the peer is away: nothing is learned of the destination.
    c.s.counters[C_PATH_BLACK_HOLES] += 1
    _narrow(c.s, c.slot, mss)


cdef void pathmtu_begin(stack_t *s, uint32_t slot) noexcept nogil:
    cdef record_t *r = record_at(s, slot)
    cdef path_t *path = _known(s, r.remote)
    cdef uint32_t mss
    if path == NULL:
        return
    mss = path.mtu - _headers(r.remote)
    if mss < r.mss:
        _narrow(s, slot, mss)


cdef void pathmtu_clamp(conn_t *c) noexcept nogil:
    cdef uint32_t before = segment_size(c.r)
    if c.g.mss and c.g.mss < c.r.mss:
        c.r.mss = c.g.mss
        c.r.cwnd = <uint32_t>(<uint64_t>c.r.cwnd * segment_size(c.r) // before)


cdef void _widen(stack_t *s, const narrowed_t *n) noexcept nogil:
    cdef record_t *r = record_at(s, n.slot)
    cdef path_t *path
    cdef uint32_t most
    if r.generation != n.generation:
        return
    path = _known(s, r.remote)
    if path != NULL:
        # Another connection has heard of it since.
        _remember(s, n.slot, n.mss, path.learned)
        return
    s.counters[C_PATH_WIDENED] += 1
    # The group's bound may be lower than when this was remembered.
    most = s.groups[r.group_row].mss
    r.mss = <uint16_t>most if most and most < n.mss else n.mss
    r.flags &= ~<uint32_t>(RECORD_NARROWED | RECORD_FULL_ACKED)


cdef void pathmtu_age(stack_t *s) noexcept nogil:
    cdef narrowed_t oldest
    cdef int left = AGED_AT_ONCE
    while left and s.paths.count:
        oldest = s.paths.narrowed[s.paths.head]
        if _now(s) - oldest.since < PATH_LIFETIME_S:
            return
        left -= 1
        s.paths.head = (s.paths.head + 1) % NARROWED
        s.paths.count -= 1
        _widen(s, &oldest)
