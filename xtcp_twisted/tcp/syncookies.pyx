"""SYN cookies (RFC 4987 section 3.6): what a SYN said comes back with the handshake's last segment.

The initial sequence number of the SYN-ACK is the cookie:

     31     24 23                                3 2     0
    +---------+-----------------------------------+-------+
    |  slot   |               MAC                 | index |   + F(4-tuple)
    +---------+-----------------------------------+-------+

`index` is that of the largest of COOKIE_MSS which the two sides agree on; `slot`
counts 64 seconds; `MAC` is SipHash-2-4 of 4-tuple, IRS, slot and index under the
key of that slot, F the same of the 4-tuple under a key of its own.  F and the
slot are the F and the M of RFC 6528, M in steps of 64 s (3.8 us a number), so
the cookies of one 4-tuple rise as other initial sequence numbers do.  Cookies of
this slot and of the one before are taken: of the 2**32 numbers that somebody may
guess who has not seen our SYN-ACK, 16 are good.

The options come back in the timestamp that the client echoes (RFC 7323), whose
low bits are, as in Linux, 0 to 3 the client's window scale, 15 for none, 4 SACK
permitted, 5 ECN.  A client without timestamps does without them.

Whether an acknowledgement is a cookie is looked into only while some may come
back, so nothing can be learned from an engine at rest.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from xtcp_twisted import config
from xtcp_twisted.memory.index cimport index_insert
from xtcp_twisted.memory.siphash cimport siphash_2_4
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.counters cimport (
    C_LISTEN_DROPS,
    C_LISTEN_OVERFLOWS,
    C_REQ_Q_FULL_DO_COOKIES,
    C_REQ_Q_FULL_DROP,
    C_SYNCOOKIES_FAILED,
    C_SYNCOOKIES_RECV,
    C_SYNCOOKIES_SENT,
)
from xtcp_twisted.tcp.credits cimport credit_ready, credit_take
from xtcp_twisted.tcp.fastopen cimport fast_open_grants
from xtcp_twisted.tcp.groups cimport (
    G_ACCEPTED,
    GROUP_ECN,
    GROUP_SACK,
    GROUP_SCALING,
    GROUP_TIMESTAMPS,
    MAX_GROUPS,
    group_row_t,
)
from xtcp_twisted.tcp.halfopen cimport half_open_crowded
from xtcp_twisted.tcp.flags cimport COOKIES_ALWAYS, COOKIES_OFF, HALF_ECN
from xtcp_twisted.tcp.layout cimport half_open_t
from xtcp_twisted.tcp.passive cimport (
    passive_establish,
    passive_identify,
    passive_record,
    passive_syn_ack,
)
from xtcp_twisted.tcp.precedence cimport precedence_record
from xtcp_twisted.tcp.sharing cimport cookie_taker
from xtcp_twisted.tcp.synoptions cimport syn_options_agree, syn_options_clamp
from xtcp_twisted.tcp.tuples cimport (
    TUPLE_BYTES,
    local_drop,
    local_hold,
    timestamp_offset,
    tuple_bytes,
)
from xtcp_twisted.wire.segment cimport HAS_SACK_PERMITTED, HAS_SCALE, HAS_TIMESTAMPS, SYN

cdef enum:
    SIZES = 8
    INDEX_BITS = 3
    SLOT_BITS = 24             # where the slot begins
    MAC_BITS = 0x1FFFFF
    MESSAGE_BYTES = 48         # 4-tuple, IRS, slot, index

    # Of the timestamp.
    STAMP_SCALE = 15           # mask of the scale, and that there is none
    STAMP_SACK = 16
    STAMP_ECN = 32
    STAMP_BITS = 63

cdef uint64_t SLOT_US = 1_000_000 * config.COOKIE_SLOT_S
cdef uint32_t LIFETIME_MS = 2_000 * config.COOKIE_SLOT_S
cdef uint32_t[SIZES] SIZE

for _index, _size in enumerate(config.COOKIE_MSS):
    SIZE[_index] = _size


cdef uint32_t _slot_now(const stack_t *s) noexcept nogil:
    return <uint32_t>(<uint64_t>s.now_us // SLOT_US)


cdef uint32_t _base(const stack_t *s, const segment_t *seg) noexcept nogil:
    """F of RFC 6528."""
    cdef uint8_t key[TUPLE_BYTES]
    tuple_bytes(seg, key)
    return <uint32_t>siphash_2_4(s.keys.cookie_base, key, TUPLE_BYTES)


cdef uint32_t _mac(
    const stack_t *s, const segment_t *seg, uint32_t irs, uint32_t slot, uint32_t index
) noexcept nogil:
    cdef uint64_t key[2]
    cdef uint32_t words[3]
    cdef uint8_t message[MESSAGE_BYTES]
    words[0] = irs
    words[1] = slot
    words[2] = 0
    key[0] = siphash_2_4(s.keys.cookies, <const uint8_t *>&words[1], 8)
    words[2] = 1
    key[1] = siphash_2_4(s.keys.cookies, <const uint8_t *>&words[1], 8)
    words[2] = index
    tuple_bytes(seg, message)
    memcpy(message + TUPLE_BYTES, words, sizeof(words))
    return <uint32_t>siphash_2_4(key, message, MESSAGE_BYTES) & MAC_BITS


cdef uint32_t _bake(
    const stack_t *s, const segment_t *seg, uint32_t irs, uint32_t slot, uint32_t index
) noexcept nogil:
    return _base(s, seg) + (slot << SLOT_BITS) + (_mac(s, seg, irs, slot, index) << INDEX_BITS) + index


cdef uint32_t _index_of(uint32_t mss) noexcept nogil:
    cdef uint32_t index = SIZES - 1
    while index and SIZE[index] > mss:
        index -= 1
    return index


cdef bint _recall_size(const stack_t *s, const segment_t *seg, half_open_t *h) noexcept nogil:
    """The segment size that the acknowledged number holds; False: it is no cookie of ours."""
    cdef uint32_t body = h.iss - _base(s, seg), now = _slot_now(s), slot = now, index = body % SIZES
    if (body >> SLOT_BITS) != (now & 0xFF):
        slot = now - 1
    if _bake(s, seg, h.irs, slot, index) != h.iss:
        return False
    h.mss = <uint16_t>SIZE[index]
    return True


cdef uint32_t _stamp(uint32_t ts_val, const half_open_t *h) noexcept nogil:
    """The latest timestamp with the options in its low bits that is not in the future."""
    cdef uint32_t options = h.scale if h.has & HAS_SCALE else STAMP_SCALE, stamp
    if h.has & HAS_SACK_PERMITTED:
        options |= STAMP_SACK
    if h.flags & HALF_ECN:
        options |= STAMP_ECN
    stamp = ts_val & ~<uint32_t>STAMP_BITS | options
    return stamp if stamp <= ts_val else stamp - STAMP_BITS - 1


cdef bint _recall_options(
    const stack_t *s, const group_row_t *g, const segment_t *seg, half_open_t *h
) noexcept nogil:
    """What the echoed timestamp holds; False: we have not sent it, or not so."""
    cdef uint32_t options = seg.ts_ecr & STAMP_BITS
    if not seg.has & HAS_TIMESTAMPS or not g.flags & GROUP_TIMESTAMPS:
        return True
    if s.now_ms + timestamp_offset(s, seg) - seg.ts_ecr > LIFETIME_MS:
        return False
    h.has = HAS_TIMESTAMPS
    h.ts_recent = seg.ts_val
    if options & STAMP_SACK:
        h.has |= HAS_SACK_PERMITTED
    if options & STAMP_SCALE != STAMP_SCALE:
        h.has |= HAS_SCALE
        h.scale = <uint8_t>(options & STAMP_SCALE)
    if options & STAMP_ECN:
        h.flags |= HALF_ECN
    # The options of a group that was closed and opened again may be others than those it agreed to.
    return (
        (g.flags & GROUP_SACK or not h.has & HAS_SACK_PERMITTED)
        and (g.flags & GROUP_SCALING or not h.has & HAS_SCALE)
        and (g.flags & GROUP_ECN or not h.flags & HALF_ECN)
    )


cdef bint cookie_due(const stack_t *s, uint32_t group_row, const segment_t *seg) noexcept nogil:
    if s.limits.syn_cookies == COOKIES_OFF:
        return False
    if s.limits.syn_cookies != COOKIES_ALWAYS and not half_open_crowded(s):
        return False
    return cookie_taker(s, group_row, seg.local, False) != MAX_GROUPS


cdef void cookie_answer(stack_t *s, uint32_t group_row, const segment_t *seg) noexcept nogil:
    cdef uint32_t taker = cookie_taker(s, group_row, seg.local, False)
    cdef group_row_t *g = &s.groups[taker]
    cdef half_open_t h
    cdef segment_t *reply
    if not credit_ready(g, s.now_us):
        s.counters[C_REQ_Q_FULL_DROP] += 1
        s.counters[C_LISTEN_DROPS] += 1
        return
    memset(&h, 0, sizeof(h))
    passive_identify(&h, seg, taker)
    syn_options_agree(s, &s.groups[group_row], &h, seg)
    syn_options_clamp(s, g, &h)
    if not h.has & HAS_TIMESTAMPS:
        h.has = h.scale = h.flags = 0
    h.iss = _bake(s, seg, h.irs, _slot_now(s), _index_of(h.mss))
    h.has |= fast_open_grants(s, g, seg)
    reply = passive_syn_ack(s, &h, seg.local)
    if reply == NULL:
        return
    if h.has & HAS_TIMESTAMPS:
        reply.ts_val = _stamp(reply.ts_val, &h)
    g.cookies_until_us = s.now_us + 2 * <int64_t>SLOT_US
    s.counters[C_SYNCOOKIES_SENT] += 1
    if half_open_crowded(s):
        s.counters[C_REQ_Q_FULL_DO_COOKIES] += 1


cdef bint _open(stack_t *s, half_open_t *h, const segment_t *seg, uint32_t tag, conn_t *c) noexcept nogil:
    """The record, if there is room for it and a credit; False: nothing has changed."""
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef uint32_t slot
    if not precedence_record(s, g):
        return False
    h.local_row = local_hold(s, seg.local)
    if h.local_row == NONE:
        return False
    if not credit_take(g, s.now_us):
        local_drop(s, h.local_row)
        return False
    slot = passive_record(s, h, h.group_row)
    index_insert(&s.index, tag, slot)
    g.counters[G_ACCEPTED] += 1
    passive_establish(s, slot, h, seg, tag, c)
    return True


cdef int cookie_returned(
    stack_t *s, uint32_t group_row, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil:
    cdef uint32_t taker = cookie_taker(s, group_row, seg.local, True)
    cdef half_open_t h
    if taker == MAX_GROUPS or seg.flags & SYN:
        return COOKIE_NONE
    memset(&h, 0, sizeof(h))
    passive_identify(&h, seg, taker)
    h.irs = seg.seq - 1
    h.iss = seg.ack - 1
    if not _recall_size(s, seg, &h) or not _recall_options(s, &s.groups[group_row], seg, &h):
        s.counters[C_SYNCOOKIES_FAILED] += 1
        return COOKIE_NONE
    s.counters[C_SYNCOOKIES_RECV] += 1
    if _open(s, &h, seg, tag, c):
        return COOKIE_OPENED
    s.counters[C_LISTEN_OVERFLOWS] += 1
    s.counters[C_LISTEN_DROPS] += 1
    return COOKIE_HELD_UP
