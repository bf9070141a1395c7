"""TCP Fast Open (RFC 7413), the server's side; see fastopen.pxd.

      client                                             server
        |-- SYN, asks for a cookie ----------------------->|  an ordinary handshake,
        |<--------------------------- SYN-ACK, cookie -----|  that is all
               ... a later connection:
        |-- SYN, cookie, "request" ----------------------->|  ESTABLISHED and DATA are reported
        |<--------------------------- SYN-ACK of both -----|
        |<--------------------------- "answer" ------------|  in the same turn
        |-- ACK ------------------------------------------>|  the handshake is complete

A SYN with a good cookie is offered to the application as any other, or takes an
accept credit; its data is kept meanwhile, in a row of a table of its own because
it belongs to no group yet.  The moment it is accepted the entry becomes a record
in SYN-RECEIVED, with RECORD_FAST_OPEN: for the application it is established.  Its
SYN-ACK is the SYN of connect.pyx, which sends it again alone, without data and
without a cookie (section 4.2.2), until the ACK comes or its tries are used up.

The answer follows the SYN-ACK instead of riding on it: Linux and FreeBSD throw
the data of a SYN-ACK away and would ask for it again.

Copies of a SYN with data can reach two connections in a row (section 6.1): the
application decides by the group's option whether its requests may come twice.

At most `fast_open` requests of a group are pending, from their SYN to the ACK of
the SYN-ACK (section 5.1); beyond that, SYNs are answered by the ordinary
handshake.  One that the peer has reset was probably forged: it counts on, for one
to two minutes, else a forger whose victims reset would know no limit.  A SYN with
a good cookie is taken where others get SYN cookies: it has shown who it comes from.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy, memset

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE, slab_return, slab_row, slab_take_raw
from xtcp_twisted.tcp.acknowledge cimport window_of_syn
from xtcp_twisted.tcp.connection cimport conn_lease, conn_queue_output
from xtcp_twisted.tcp.counters cimport (
    C_FAST_OPEN_ALT_KEY,
    C_FAST_OPEN_COOKIE_REQD,
    C_FAST_OPEN_OVERFLOW,
    C_FAST_OPEN_PASSIVE,
    C_FAST_OPEN_PASSIVE_FAIL,
)
from xtcp_twisted.tcp.fastcookies cimport fast_cookie_key
from xtcp_twisted.tcp.fastopens cimport SYN_TEXT_BYTES, syn_text_t
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_FAST_COOKIE,
    ACTIVE_LINGER,
    ACTIVE_SYN,
    ACTIVE_SYN_NOW,
    ACTIVE_TRANSMIT,
    HALF_FAST_OPEN,
    RECORD_FAST_OPEN,
)
from xtcp_twisted.tcp.input cimport segment_text
from xtcp_twisted.tcp.layout cimport local_at
from xtcp_twisted.tcp.passive cimport passive_begin
from xtcp_twisted.wire.segment cimport HAS_FAST_OPEN, HAS_FAST_OPEN_EXPERIMENT

cdef uint32_t INITIAL_RTO_MS = config.INITIAL_RTO_MS

cdef enum:
    RESET_SLOT_S = 60          # how long requests that were reset are counted together
    COOKIE_BITS = HAS_FAST_OPEN | HAS_FAST_OPEN_EXPERIMENT


cdef syn_text_t *_text_at(const stack_t *s, uint32_t row) noexcept nogil:
    return <syn_text_t *>slab_row(&s.fast_opens.texts, row)


# --- how many are pending --------------------------------------------------------


cdef void _age_resets(const stack_t *s, group_row_t *g) noexcept nogil:
    cdef uint32_t slot = <uint32_t>(s.now_us // 1_000_000) // RESET_SLOT_S
    if slot == g.fast_open_slot:
        return
    g.fast_open_resets[1] = g.fast_open_resets[0] if slot == g.fast_open_slot + 1 else 0
    g.fast_open_resets[0] = 0
    g.fast_open_slot = slot


cdef bint _has_room(const stack_t *s, group_row_t *g) noexcept nogil:
    """PendingFastOpenRequests of section 4.2.2."""
    _age_resets(s, g)
    return g.fast_open_pending + g.fast_open_resets[0] + g.fast_open_resets[1] < g.fast_open_limit


cdef void fast_open_refused(conn_t *c) noexcept nogil:
    if c.r.flags & RECORD_FAST_OPEN:
        _age_resets(c.s, c.g)
        c.g.fast_open_resets[0] += 1


# --- the request -------------------------------------------------------------------


cdef bint fast_open_admits(stack_t *s, group_row_t *g, const segment_t *seg) noexcept nogil:
    return (
        g.fast_open_limit != 0
        and seg.has & HAS_FAST_OPEN != 0
        and _has_room(s, g)
        and fast_cookie_key(s, seg) >= 0
    )


cdef uint8_t fast_open_grants(stack_t *s, const group_row_t *g, const segment_t *seg) noexcept nogil:
    if g.fast_open_limit == 0 or not seg.has & HAS_FAST_OPEN:
        return 0
    if seg.cookie_length == 0:
        s.counters[C_FAST_OPEN_COOKIE_REQD] += 1
    elif fast_cookie_key(s, seg) < 0:
        s.counters[C_FAST_OPEN_PASSIVE_FAIL] += 1
    elif fast_cookie_key(s, seg) == 0:
        return 0
    return seg.has & COOKIE_BITS


cdef bint _keep(stack_t *s, half_open_t *h, const segment_t *seg) noexcept nogil:
    """The SYN's data, or as much as a row holds: the rest is not acknowledged, and comes again."""
    cdef uint32_t row = slab_take_raw(&s.fast_opens.texts, sizeof(syn_text_t))
    cdef syn_text_t *text
    if row == NONE:
        return False
    text = _text_at(s, row)
    text.length = <uint16_t>(seg.length if seg.length < SYN_TEXT_BYTES else SYN_TEXT_BYTES)
    text.window = seg.window
    memcpy(text.data, seg.payload, text.length)
    h.slot = row
    h.flags |= HALF_FAST_OPEN
    s.groups[h.group_row].fast_open_pending += 1
    return True


cdef void fast_open_offer(stack_t *s, half_open_t *h, const segment_t *seg) noexcept nogil:
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef uint8_t grants = fast_open_grants(s, g, seg)
    h.has |= grants
    if g.fast_open_limit == 0 or not seg.has & HAS_FAST_OPEN or fast_cookie_key(s, seg) < 0:
        return
    if not _has_room(s, g) or not _keep(s, h, seg):
        s.counters[C_FAST_OPEN_OVERFLOW] += 1
    elif grants:
        s.counters[C_FAST_OPEN_ALT_KEY] += 1


cdef void fast_open_forget(stack_t *s, half_open_t *h) noexcept nogil:
    if h.flags & HALF_FAST_OPEN:
        slab_return(&s.fast_opens.texts, h.slot)
        h.slot = NONE
        h.flags &= <uint8_t>~HALF_FAST_OPEN
        s.groups[h.group_row].fast_open_pending -= 1


cdef void fast_open_move(stack_t *s, half_open_t *h, uint32_t group_row) noexcept nogil:
    if h.flags & HALF_FAST_OPEN:
        s.groups[h.group_row].fast_open_pending -= 1
        s.groups[group_row].fast_open_pending += 1


# --- the connection ----------------------------------------------------------------


cdef void _start(conn_t *c, const half_open_t *h) noexcept nogil:
    """A SYN-ACK that leaves with the next flush, and is given up when those of a half-open entry are."""
    conn_lease(c).flags |= ACTIVE_SYN | ACTIVE_SYN_NOW | ACTIVE_TRANSMIT | ACTIVE_LINGER
    if h.has & COOKIE_BITS == HAS_FAST_OPEN:
        # A record cannot tell the old option from the new one, and nobody asks by the old one any more
        # who has a cookie: that client gets its new cookie when this one is refused.
        c.a.flags |= ACTIVE_FAST_COOKIE
    c.a.progress = c.s.now_ms
    c.a.transmit_at = c.s.now_ms + INITIAL_RTO_MS
    c.a.linger_at = c.s.now_ms + INITIAL_RTO_MS * ((1U << c.s.limits.syn_ack_tries) - 1)
    conn_queue_output(c)


cdef void fast_open_begin(stack_t *s, const half_open_t *h, uint32_t slot, uint32_t tag) noexcept nogil:
    cdef syn_text_t *text = _text_at(s, h.slot)
    cdef segment_t syn
    cdef conn_t c
    memset(&syn, 0, sizeof(syn))
    memcpy(syn.remote, h.remote, 16)
    memcpy(syn.local, local_at(s, h.local_row).address, 16)
    syn.remote_port = h.remote_port
    syn.local_port = h.local_port
    syn.seq = h.irs
    syn.ack = h.iss
    syn.merged = 1
    passive_begin(s, slot, h, &syn, tag, text.window, &c)
    c.r.flags |= RECORD_FAST_OPEN
    window_of_syn(&c)
    s.counters[C_FAST_OPEN_PASSIVE] += 1
    _start(&c, h)
    syn.seq += 1
    syn.payload = text.data
    syn.length = text.length
    segment_text(&c, &syn)
    slab_return(&s.fast_opens.texts, h.slot)
