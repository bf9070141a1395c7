"""Preferences of single connections; see preferences.pxd."""

from libc.stdint cimport uint32_t

from xtcp_twisted.errors import LocalError
from xtcp_twisted.tcp.connection cimport conn_arm
from xtcp_twisted.tcp.flags cimport (
    RECORD_KEEPALIVE,
    RECORD_OWN_KEEPALIVE,
    RECORD_OWN_NAGLE,
    RECORD_OWN_TIMEOUT,
)
from xtcp_twisted.tcp.groups cimport GROUP_KEEPALIVE, GROUP_NAGLE
from xtcp_twisted.tcp.nagle cimport nagle_set

cdef enum:
    LONGEST_S = 1_000_000


cdef int prefer_user_timeout(conn_t *c, object timeout_s) except -1:
    if timeout_s is None:
        c.r.flags &= ~<uint32_t>RECORD_OWN_TIMEOUT
    else:
        good = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
        if not good or not (timeout_s == 0 or 1 <= timeout_s <= LONGEST_S):
            raise LocalError(
                f"timeout_s: {timeout_s!r} is not allowed; give seconds from 1 to {LONGEST_S:,},"
                " 0 for no limit, or None for the group's"
            )
        c.r.flags |= RECORD_OWN_TIMEOUT
        c.s.user_timeouts[c.slot] = <uint32_t>(timeout_s * 1000)
    if c.a != NULL:
        conn_arm(c)
    return 0


cdef void _probe(conn_t *c, bint on) noexcept nogil:
    c.r.probes = 0
    # It was quiet for longer than this, perhaps: the first probe is due now, the second an interval later.
    if on and c.s.now_ms - c.r.last_heard > c.g.keepalive_ms:
        c.r.last_heard = c.s.now_ms - c.g.keepalive_ms
    if on:
        c.r.flags |= RECORD_KEEPALIVE
    else:
        c.r.flags &= ~<uint32_t>RECORD_KEEPALIVE


cdef int prefer_keepalive(conn_t *c, bint on) except -1:
    c.r.flags |= RECORD_OWN_KEEPALIVE
    _probe(c, on)
    return 0


cdef int prefer_nagle(conn_t *c, bint on) except -1:
    c.r.flags |= RECORD_OWN_NAGLE
    nagle_set(c, on)
    return 0


cdef void follow_keepalive(conn_t *c) noexcept nogil:
    if c.r.flags & RECORD_OWN_KEEPALIVE:
        _probe(c, c.r.flags & RECORD_KEEPALIVE != 0)
    else:
        _probe(c, c.g.flags & GROUP_KEEPALIVE != 0)


cdef void follow_nagle(conn_t *c) noexcept nogil:
    if not c.r.flags & RECORD_OWN_NAGLE:
        nagle_set(c, c.g.flags & GROUP_NAGLE != 0)
