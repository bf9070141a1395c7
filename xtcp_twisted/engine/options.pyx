"""The options of a group in its row, and a change of them for the connections that live; see options.pxd.

Most options are read from the row where they matter, so writing it is enough.
What a connection has of its own - a flag, a deadline, a segment size - follows by
a walk over the record table, a slice in each poll.  A change during the walk
makes it go round once more from where it is, so changes without end starve nobody.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

import attrs

from xtcp_twisted.config import ACK_POLICIES, KEEPALIVE_IDLE_S, PRIORITIES, GroupOptions
from xtcp_twisted.engine.preferences cimport follow_keepalive, follow_nagle
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.memory.links cimport END, UNLINKED, list_clear
from xtcp_twisted.tcp.acknowledge cimport ack_policy_changed, window_update
from xtcp_twisted.tcp.connection cimport conn_arm, conn_holds, conn_load, conn_settle, conn_t, group_tell
from xtcp_twisted.tcp.flags cimport RECORD_ENDED, RECORD_PROMISED
from xtcp_twisted.tcp.groups cimport (
    GROUP_COOKIES,
    GROUP_CUBIC,
    GROUP_ECN,
    GROUP_ECN_ASKS,
    GROUP_KEEPALIVE,
    GROUP_NAGLE,
    GROUP_OPEN,
    GROUP_SACK,
    GROUP_SCALING,
    GROUP_SILENT,
    GROUP_TIMESTAMPS,
    group_row_t,
    pool_row_t,
)
from xtcp_twisted.tcp.halfopen cimport credits_spend
from xtcp_twisted.tcp.layout cimport CHUNK_BYTES, record_at, record_t, stack_t
from xtcp_twisted.tcp.pathmtu cimport pathmtu_clamp
from xtcp_twisted.tcp.precedence cimport priority_change
from xtcp_twisted.tcp.readiness cimport group_holds
from xtcp_twisted.tcp.transmit cimport transmit_wake

cdef enum:
    ROWS_AT_ONCE = 4_096       # records that one poll visits for all changes together

    # What a walk does to each connection.
    WALK_ACKS = 1
    WALK_TIMEOUT = 2
    WALK_NAGLE = 4
    WALK_KEEPALIVE = 8
    WALK_MSS = 16
    WALK_WAKE = 32             # a send may be taken that was not, and a full window open

    # The flags of a row that options decide.
    OPTION_FLAGS = (
        GROUP_SILENT | GROUP_SCALING | GROUP_TIMESTAMPS | GROUP_SACK | GROUP_CUBIC | GROUP_COOKIES
        | GROUP_ECN | GROUP_ECN_ASKS | GROUP_NAGLE | GROUP_KEEPALIVE
    )

_WALKS = {
    "ack_policy": WALK_ACKS,
    "ack_delay_ms": WALK_ACKS,
    "user_timeout_s": WALK_TIMEOUT,
    "nagle": WALK_NAGLE,
    "keepalive_s": WALK_KEEPALIVE,
    "keepalive_interval_s": WALK_KEEPALIVE,
    "mss": WALK_MSS,
    "priority": WALK_WAKE,
    "weight": WALK_WAKE,
    "guaranteed_bytes": WALK_WAKE,
}


def changed_options(options, changes):
    """`options` with `changes` made; ConfigurationError for unknown names and for bad values."""
    known = [field.name for field in attrs.fields(GroupOptions)]
    unknown = ", ".join(repr(name) for name in changes if name not in known)
    if unknown:
        raise ConfigurationError(f"{unknown}: no such option; there are: {', '.join(known)}")
    return attrs.evolve(options, **changes)


# --- the row -----------------------------------------------------------------

cdef uint32_t _flags(object options) except? 0:
    return (
        (GROUP_SILENT if options.refuse == "silent" else 0)
        | (GROUP_SCALING if options.window_scaling else 0)
        | (GROUP_TIMESTAMPS if options.timestamps else 0)
        | (GROUP_SACK if options.sack else 0)
        | (GROUP_CUBIC if options.congestion == "cubic" else 0)
        | (GROUP_COOKIES if options.syn_cookies else 0)
        | (GROUP_ECN if options.ecn != "off" else 0)
        | (GROUP_ECN_ASKS if options.ecn == "on" else 0)
        | (GROUP_NAGLE if options.nagle else 0)
        | (GROUP_KEEPALIVE if options.keepalive_s else 0)
    )


cdef int _write(group_row_t *g, object options) except -1:
    """Everything but the credits, of which the row has what is left."""
    g.flags = g.flags & ~<uint32_t>OPTION_FLAGS | _flags(options)
    g.policy = ACK_POLICIES.index(options.ack_policy)
    g.weight = options.weight
    g.guaranteed = (options.guaranteed_bytes + CHUNK_BYTES - 1) // CHUNK_BYTES
    g.keepalive_probes = options.keepalive_probes
    g.mss = options.mss
    g.ack_delay_ms = options.ack_delay_ms
    # A connection may ask for keepalive though its group does not.
    g.keepalive_ms = int((options.keepalive_s or KEEPALIVE_IDLE_S) * 1000)
    g.keepalive_interval_ms = int(options.keepalive_interval_s * 1000)
    g.user_timeout_ms = int(options.user_timeout_s * 1000)
    g.connect_timeout_ms = int(options.connect_timeout_s * 1000)
    g.rate = options.accept_rate
    g.fast_open_limit = options.fast_open
    g.notify_connections = options.notify_connections
    g.notify_delay_ms = options.notify_delay_ms
    g.tos = options.dscp << 2
    g.ttl = options.hop_limit
    return 0


cdef int options_open(group_row_t *g, object options) except -1:
    memset(g, 0, sizeof(group_row_t))
    g.flags = GROUP_OPEN
    g.references = 1
    g.credits = options.accept_credits
    g.tokens = 1
    g.eventfd = -1
    g.unreported = END
    list_clear(&g.pending)
    list_clear(&g.ready)
    g.holding.next = UNLINKED
    g.signal.next = UNLINKED
    g.priority = PRIORITIES.index(options.priority)
    return _write(g, options)


cdef int options_change(State state, uint32_t group_row, object before, object after) except -1:
    cdef group_row_t *g = &state.stack.groups[group_row]
    cdef pool_row_t *p = &state.stack.pools[g.pool_row]
    cdef uint32_t walk = 0
    _write(g, after)
    if group_holds(g):
        # What was held back under the settings of before is told now.
        group_tell(&state.stack, group_row)
    if after.priority != before.priority:
        priority_change(&state.stack, group_row, PRIORITIES.index(after.priority))
    if after.accept_rate != before.accept_rate:
        g.tokens = 1
        g.tokens_at_us = state.stack.now_us
        credits_spend(&state.stack, group_row)
    for name, what in _WALKS.items():
        if getattr(after, name) != getattr(before, name):
            walk |= what
    if walk & WALK_WAKE:
        # Another pressure state may be seen, or another share: who was held back is looked at again.
        p.to_visit = p.throttled.count
    if walk:
        _begin(state, group_row, walk)
        options_sweep(state)
    return 0


# --- the walk ----------------------------------------------------------------

cdef int _begin(State state, uint32_t group_row, uint32_t walk) except -1:
    at = 0
    if group_row in state.changing:
        under_way, at, _ = state.changing[group_row]
        walk |= under_way
    else:
        state.stack.sweeping += 1
    state.changing[group_row] = (walk, at, state.stack.records.fresh)
    return 0


cdef int options_forget(State state, uint32_t group_row) except -1:
    if state.changing.pop(group_row, None) is not None:
        state.stack.sweeping -= 1
    return 0


cdef void _visit(conn_t *c, uint32_t walk) noexcept nogil:
    """`conn_settle` may give the active block back, so each looks whether there is one."""
    if walk & WALK_MSS:
        pathmtu_clamp(c)
    if walk & WALK_KEEPALIVE:
        follow_keepalive(c)
    if walk & WALK_ACKS:
        ack_policy_changed(c)
    if walk & WALK_TIMEOUT and c.a != NULL:
        conn_arm(c)
    if walk & WALK_NAGLE:
        follow_nagle(c)
    if walk & WALK_WAKE and not c.r.flags & RECORD_PROMISED:
        transmit_wake(c)
        # Who was held back by pressure is looked at by the pool's own walk.
        if conn_holds(c) and c.a.throttled.next == UNLINKED:
            window_update(c)
    conn_settle(c)


cdef void _slice(stack_t *s, uint32_t group_row, uint32_t walk, uint32_t at, uint32_t rows) noexcept nogil:
    cdef record_t *r
    cdef conn_t c
    while rows:
        if at >= s.records.fresh:
            at = 0
        r = record_at(s, at)
        if r.generation & 1 and r.group_row == group_row and not r.flags & RECORD_ENDED:
            conn_load(&c, s, at)
            _visit(&c, walk)
        at += 1
        rows -= 1


cdef int options_sweep(State state) except -1:
    cdef stack_t *s = &state.stack
    cdef uint32_t budget = ROWS_AT_ONCE, rows, at, left
    for row, (walk, at, left) in list(state.changing.items()):
        rows = min(left, budget)
        _slice(s, row, walk, at, rows)
        budget -= rows
        if rows == left:
            options_forget(state, row)
        else:
            state.changing[row] = (walk, (at + rows) % s.records.fresh, left - rows)
        if budget == 0:
            break
    return 0
