"""The table of half-open entries: requests that wait for a decision, or for the handshake's last segment.

An entry that waits for the application lies in its group's pending list, an
accepted one in the list of those with as many SYN-ACKs sent: in each list all
wait equally long, so the head is always the next one due.

The table is crowded when it is over 3/4 full.  Then SYN cookies (`syncookies`)
answer where they may, and the oldest entries make room where they may not.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from xtcp_twisted import config
from xtcp_twisted.memory.index cimport index_insert, index_remove, index_replace
from xtcp_twisted.memory.links cimport END, list_append, list_insert, list_remove
from xtcp_twisted.memory.slab cimport NONE, slab_return, slab_take
from xtcp_twisted.tcp.connection cimport conn_load, conn_release, conn_t
from xtcp_twisted.tcp.counters cimport (
    C_ACCEPT_TIMEOUTS,
    C_ATTEMPT_FAILS,
    C_LISTEN_DROPS,
    C_OUT_SEGS,
    C_REFUSED,
    C_REQ_Q_FULL_DROP,
    C_RETRANS_SEGS,
    C_SYN_RETRANS,
)
from xtcp_twisted.tcp.credits cimport UNLIMITED, credit_give_back, credit_take, credit_wait_ms
from xtcp_twisted.tcp.fastopen cimport fast_open_begin, fast_open_forget, fast_open_move, fast_open_offer
from xtcp_twisted.tcp.groups cimport (
    G_ACCEPTED,
    G_REFUSED,
    GROUP_SHARE,
    GROUP_SILENT,
    MAX_GROUPS,
    PRIORITIES,
    group_covers,
    group_row_t,
)
from xtcp_twisted.tcp.flags cimport (
    HALF_CREDIT,
    HALF_FAST_OPEN,
    HALF_REPORTED,
    RECORD_PROMISED,
    REFERENCE_HALF_OPEN,
    REFERENCE_SHIFT,
)
from xtcp_twisted.tcp.layout cimport earlier, half_open_at, half_open_t, local_at, record_at
from xtcp_twisted.tcp.passive cimport passive_identify, passive_record, passive_syn_ack
from xtcp_twisted.tcp.precedence cimport precedence_room
from xtcp_twisted.tcp.readiness cimport group_release, group_signal
from xtcp_twisted.tcp.reply cimport reply_of_group, reply_reset
from xtcp_twisted.tcp.sharing cimport (
    credit_waits,
    request_offer,
    request_taker,
    requests_wanted,
    sharer_first,
    sharer_next,
)
from xtcp_twisted.tcp.synoptions cimport syn_options_agree, syn_options_clamp
from xtcp_twisted.tcp.tuples cimport local_drop, local_hold, tuple_tag
from xtcp_twisted.wire.segment cimport ACK, HAS_FAST_OPEN, HAS_FAST_OPEN_EXPERIMENT, SYN

cdef uint32_t INITIAL_RTO_MS = config.INITIAL_RTO_MS

cdef enum:
    LINK_AT = 52               # offset of half_open_t.link
    FLOODED_TRIES = 2          # SYN-ACKs sent while the table is more than half full
    # Of those whose time has come, so many in one poll: an answer is a packet, a refusal is rationed.
    ANSWERED_AT_ONCE = 2_048
    REFUSED_AT_ONCE = 8_192


cdef inline uint32_t _reference(uint32_t row) noexcept nogil:
    return <uint32_t>REFERENCE_HALF_OPEN << REFERENCE_SHIFT | row


cdef void _enqueue_pending(stack_t *s, uint32_t row, uint32_t before) noexcept nogil:
    """Into the pending list of its group: in front of a younger entry, or at the end."""
    cdef half_open_t *h = half_open_at(s, row)
    cdef group_row_t *g = &s.groups[h.group_row]
    if g.pending.count == 0:
        list_append(&s.waiting[g.priority], <char *>&s.groups.waiting, sizeof(group_row_t), h.group_row)
    list_insert(&g.pending, s.half_opens.rows + LINK_AT, 64, row, before)
    if not h.flags & HALF_REPORTED:
        s.unreported += 1
        if g.unreported == END or earlier(h.due, half_open_at(s, g.unreported).due):
            g.unreported = row
    if g.flags & GROUP_SHARE:
        request_offer(s, h.group_row, local_at(s, h.local_row).address, 1)
    group_signal(s, g)


cdef void _dequeue(stack_t *s, uint32_t row) noexcept nogil:
    """Out of whichever list the entry is in."""
    cdef half_open_t *h = half_open_at(s, row)
    cdef group_row_t *g = &s.groups[h.group_row]
    if h.tries:
        list_remove(&s.answered[h.tries], s.half_opens.rows + LINK_AT, 64, row)
        return
    if not h.flags & HALF_REPORTED:
        s.unreported -= 1
        if g.unreported == row:
            g.unreported = h.link.next
    list_remove(&g.pending, s.half_opens.rows + LINK_AT, 64, row)
    if g.pending.count == 0:
        list_remove(&s.waiting[g.priority], <char *>&s.groups.waiting, sizeof(group_row_t), h.group_row)
    if g.flags & GROUP_SHARE:
        request_offer(s, h.group_row, local_at(s, h.local_row).address, -1)
    group_signal(s, g)


cdef void half_open_answer(stack_t *s, half_open_t *h) noexcept nogil:
    passive_syn_ack(s, h, local_at(s, h.local_row).address)
    # RFC 7413 section 4.2.2: a SYN-ACK that is sent again is an ordinary one.
    h.has &= <uint8_t>~(HAS_FAST_OPEN | HAS_FAST_OPEN_EXPERIMENT)


cdef uint32_t _tag_of(const stack_t *s, const half_open_t *h) noexcept nogil:
    cdef segment_t seg
    memcpy(seg.remote, h.remote, 16)
    memcpy(seg.local, local_at(s, h.local_row).address, 16)
    seg.remote_port = h.remote_port
    seg.local_port = h.local_port
    return tuple_tag(s, &seg)


cdef bint _open_fast(stack_t *s, uint32_t row, uint32_t slot) noexcept nogil:
    """A request that came with its SYN: the record takes the entry's place before the handshake ends."""
    cdef half_open_t *h = half_open_at(s, row)
    cdef uint32_t tag = _tag_of(s, h)
    if s.groups[h.group_row].fast_open_limit == 0:
        # The group that takes it, or took it back, has not said that a request may come twice.
        fast_open_forget(s, h)
        return False
    if slot == NONE:
        slot = passive_record(s, h, h.group_row)
    if slot == NONE:
        fast_open_forget(s, h)
        return False
    index_replace(&s.index, tag, _reference(row), slot)
    fast_open_begin(s, h, slot, tag)
    slab_return(&s.half_opens, row)
    return True


cdef void _start_answer(stack_t *s, uint32_t row, uint32_t slot) noexcept nogil:
    """From the list it is in (answered[0] stands for none) to the list of one try."""
    cdef half_open_t *h = half_open_at(s, row)
    s.groups[h.group_row].counters[G_ACCEPTED] += 1
    list_remove(&s.answered[0], s.half_opens.rows + LINK_AT, 64, row)
    if h.flags & HALF_FAST_OPEN and _open_fast(s, row, slot):
        return
    h.tries = 1
    h.slot = slot
    h.due = s.now_ms + INITIAL_RTO_MS
    list_append(&s.answered[1], s.half_opens.rows + LINK_AT, 64, row)
    half_open_answer(s, h)


cdef uint32_t _take_credit(stack_t *s, half_open_t *h, bint queue) noexcept nogil:
    """The group whose credit the entry takes, or MAX_GROUPS."""
    cdef uint32_t taker = request_taker(s, h.group_row, local_at(s, h.local_row).address, queue)
    if taker != MAX_GROUPS:
        credit_take(&s.groups[taker], s.now_us)
        if s.groups[taker].credits != UNLIMITED:
            h.flags |= HALF_CREDIT
    return taker


cdef void _move(stack_t *s, half_open_t *h, uint32_t group_row) noexcept nogil:
    """From the group that holds it to the one that takes the connection."""
    fast_open_move(s, h, group_row)
    h.group_row = <uint16_t>group_row
    syn_options_clamp(s, &s.groups[group_row], h)


cdef void half_open_new(
    stack_t *s, uint32_t group_row, const segment_t *seg, uint32_t tag, uint32_t iss
) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    cdef half_open_t *h
    cdef uint32_t row, taker, local = local_hold(s, seg.local)
    if local == NONE:
        s.counters[C_LISTEN_DROPS] += 1
        return
    row = slab_take(&s.half_opens)
    if row == NONE:
        local_drop(s, local)
        s.counters[C_REQ_Q_FULL_DROP] += 1
        s.counters[C_LISTEN_DROPS] += 1
        return
    h = half_open_at(s, row)
    passive_identify(h, seg, group_row)
    h.local_row = local
    h.iss = iss
    syn_options_agree(s, g, h, seg)
    fast_open_offer(s, h, seg)
    h.due = s.now_ms + s.limits.accept_timeout_ms
    index_insert(&s.index, tag, _reference(row))
    taker = _take_credit(s, h, True)
    if taker == MAX_GROUPS:
        _enqueue_pending(s, row, END)
        return
    _move(s, h, taker)
    list_append(&s.answered[0], s.half_opens.rows + LINK_AT, 64, row)
    _start_answer(s, row, NONE)


cdef void half_open_accept(stack_t *s, uint32_t row, uint32_t group_row, uint32_t slot) noexcept nogil:
    cdef half_open_t *h = half_open_at(s, row)
    _dequeue(s, row)
    _move(s, h, group_row)
    list_append(&s.answered[0], s.half_opens.rows + LINK_AT, 64, row)
    _start_answer(s, row, slot)


cdef void _spend_on(stack_t *s, uint32_t group_row) noexcept nogil:
    """Accepts what credits allow of one pending list; a flood that nobody has credits for is not visited."""
    cdef uint32_t row = s.groups[group_row].pending.head, following, taker
    while row != END and requests_wanted(s, group_row):
        following = half_open_at(s, row).link.next
        taker = _take_credit(s, half_open_at(s, row), False)
        if taker != MAX_GROUPS:
            half_open_accept(s, row, taker, NONE)
        row = following


cdef void credits_spend(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef uint32_t row = sharer_first(s, group_row)
    while row != MAX_GROUPS:
        _spend_on(s, row)
        row = sharer_next(s, group_row, row)


cdef void half_open_forget(stack_t *s, uint32_t row) noexcept nogil:
    """Frees an entry, and the record that was promised with it."""
    cdef half_open_t *h = half_open_at(s, row)
    cdef conn_t c
    _dequeue(s, row)
    fast_open_forget(s, h)
    if h.flags & HALF_CREDIT:
        # Else a flood would spend what was meant for connections.
        credit_give_back(&s.groups[h.group_row])
    index_remove(&s.index, _tag_of(s, h), _reference(row))
    local_drop(s, h.local_row)
    if h.slot != NONE:
        # `need` and `broadcast` may have leased a block before the handshake.
        conn_load(&c, s, h.slot)
        conn_release(&c)
        slab_return(&s.records, h.slot)
        group_release(s, h.group_row)
    slab_return(&s.half_opens, row)


cdef bint half_open_crowded(const stack_t *s) noexcept nogil:
    return s.half_opens.used > s.half_opens.capacity - s.half_opens.capacity // 4


cdef bint half_open_make_room(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef uint32_t victim = END
    if not precedence_room(s, group_row, &victim):
        return False
    if victim != END:
        s.counters[C_REQ_Q_FULL_DROP] += 1
        s.counters[C_LISTEN_DROPS] += 1
        half_open_forget(s, victim)
    return True


cdef void half_open_refuse(stack_t *s, uint32_t row, bint quiet) noexcept nogil:
    half_open_refuse_by(s, row, half_open_at(s, row).group_row, quiet)


cdef void half_open_refuse_by(stack_t *s, uint32_t row, uint32_t group_row, bint quiet) noexcept nogil:
    cdef half_open_t *h = half_open_at(s, row)
    cdef group_row_t *g = &s.groups[group_row]
    cdef segment_t seg
    g.counters[G_REFUSED] += 1
    s.counters[C_REFUSED] += 1
    if not quiet and not g.flags & GROUP_SILENT:
        memset(&seg, 0, sizeof(seg))
        memcpy(seg.remote, h.remote, 16)
        memcpy(seg.local, local_at(s, h.local_row).address, 16)
        seg.remote_port = h.remote_port
        seg.local_port = h.local_port
        seg.seq = h.irs
        seg.flags = SYN
        if h.tries:
            seg.flags = ACK
            seg.ack = h.iss + 1
        reply_of_group(reply_reset(s, &seg), g)
    half_open_forget(s, row)


cdef void half_open_unreachable(stack_t *s, uint32_t row) noexcept nogil:
    s.counters[C_ATTEMPT_FAILS] += 1
    half_open_forget(s, row)


cdef uint32_t half_open_promise(stack_t *s, uint32_t row, uint32_t group_row) noexcept nogil:
    cdef uint32_t slot
    syn_options_clamp(s, &s.groups[group_row], half_open_at(s, row))
    slot = passive_record(s, half_open_at(s, row), group_row)
    if slot == NONE:
        return NONE
    record_at(s, slot).flags |= RECORD_PROMISED
    record_at(s, slot).tag = row
    return slot


cdef void half_open_become(stack_t *s, uint32_t row, uint32_t slot, uint32_t tag) noexcept nogil:
    index_replace(&s.index, tag, _reference(row), slot)
    _dequeue(s, row)
    slab_return(&s.half_opens, row)


cdef void credits_forget(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef uint32_t tries, row
    for tries in range(1, s.limits.syn_ack_tries + 1):
        row = s.answered[tries].head
        while row != END:
            if half_open_at(s, row).group_row == group_row:
                half_open_at(s, row).flags &= <uint8_t>~HALF_CREDIT
            row = half_open_at(s, row).link.next


cdef void half_open_drop(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef uint32_t tries, row, following
    for tries in range(1, s.limits.syn_ack_tries + 1):
        row = s.answered[tries].head
        while row != END:
            following = half_open_at(s, row).link.next
            if half_open_at(s, row).group_row == group_row:
                half_open_refuse(s, row, False)
            row = following


cdef void _inherit(stack_t *s, uint32_t group_row, uint32_t heir) noexcept nogil:
    """What a group that is in the list of its port no more leaves to another: all that this one sees."""
    cdef uint32_t row = s.groups[group_row].pending.head, following, before = s.groups[heir].pending.head
    cdef half_open_t *h
    while row != END:
        h = half_open_at(s, row)
        following = h.link.next
        if group_covers(&s.groups[heir], local_at(s, h.local_row).address):
            # Both lists have the oldest first.
            while before != END and not earlier(h.due, half_open_at(s, before).due):
                before = half_open_at(s, before).link.next
            _dequeue(s, row)
            fast_open_move(s, h, heir)
            h.group_row = <uint16_t>heir
            # Who is off the list has told nobody; what the others see is counted anew.
            request_offer(s, heir, local_at(s, h.local_row).address, -1)
            s.groups[heir].offered -= 1
            _enqueue_pending(s, row, before)
        row = following


cdef void half_open_hand_over(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    cdef uint32_t heir = s.listeners[g.port] if g.flags & GROUP_SHARE else MAX_GROUPS
    while heir != MAX_GROUPS and g.pending.count:
        _inherit(s, group_row, heir)
        heir = s.groups[heir].next_on_port
    while g.pending.count:
        half_open_refuse(s, g.pending.head, False)


cdef uint32_t half_open_of(const stack_t *s, uint32_t slot) noexcept nogil:
    # Until the handshake completes the tag of a promised record is the row of its entry.
    return record_at(s, slot).tag if record_at(s, slot).flags & RECORD_PROMISED else NONE


cdef void _expire_pending(stack_t *s) noexcept nogil:
    """Requests that the application has neither accepted nor refused in time."""
    cdef uint32_t row, following, left = REFUSED_AT_ONCE
    cdef group_row_t *g
    cdef int priority
    for priority in range(PRIORITIES):
        row = s.waiting[priority].head
        while row != END:
            g = &s.groups[row]
            following = g.waiting.next
            _spend_on(s, row)
            while left and g.pending.count and not earlier(s.now_ms, half_open_at(s, g.pending.head).due):
                left -= 1
                s.counters[C_ACCEPT_TIMEOUTS] += 1
                half_open_refuse(s, g.pending.head, False)
            row = following


cdef uint32_t _most_tries(const stack_t *s) noexcept nogil:
    """Among many that do not answer, most are forged: one SYN-ACK again must do."""
    if s.half_opens.used > s.half_opens.capacity // 2 and s.limits.syn_ack_tries > FLOODED_TRIES:
        return FLOODED_TRIES
    return s.limits.syn_ack_tries


cdef void _answer_again(stack_t *s, uint32_t row) noexcept nogil:
    """RFC 6298 (5.4) to (5.6) for a SYN-ACK."""
    cdef half_open_t *h = half_open_at(s, row)
    list_remove(&s.answered[h.tries], s.half_opens.rows + LINK_AT, 64, row)
    h.due = s.now_ms + (INITIAL_RTO_MS << h.tries)
    h.tries += 1
    list_append(&s.answered[h.tries], s.half_opens.rows + LINK_AT, 64, row)
    s.counters[C_RETRANS_SEGS] += 1
    s.counters[C_SYN_RETRANS] += 1
    s.counters[C_OUT_SEGS] -= 1
    half_open_answer(s, h)


cdef void half_open_timers(stack_t *s) noexcept nogil:
    cdef uint32_t tries, row, left = ANSWERED_AT_ONCE
    for tries in range(1, s.limits.syn_ack_tries + 1):
        while left and s.answered[tries].count:
            row = s.answered[tries].head
            if earlier(s.heard_ms, half_open_at(s, row).due):
                break
            left -= 1
            if tries >= _most_tries(s):
                s.counters[C_ATTEMPT_FAILS] += 1
                half_open_forget(s, row)
            else:
                _answer_again(s, row)
    # Those that were forgotten may have given a credit back.
    _expire_pending(s)


cdef void _earliest(uint32_t candidate, uint32_t *when, bint *found) noexcept nogil:
    if not found[0] or earlier(candidate, when[0]):
        when[0] = candidate
        found[0] = True


cdef void _earliest_credit(const stack_t *s, uint32_t group_row, uint32_t *when, bint *found) noexcept nogil:
    """When the accept rate of a group that sees these requests allows one more, if only that is missing."""
    cdef uint32_t row = sharer_first(s, group_row)
    cdef const group_row_t *g
    while row != MAX_GROUPS:
        g = &s.groups[row]
        if g.rate > 0 and credit_waits(s, g):
            _earliest(s.now_ms + credit_wait_ms(g), when, found)
        row = sharer_next(s, group_row, row)


cdef bint half_open_due(const stack_t *s, uint32_t *when) noexcept nogil:
    cdef bint found = False
    cdef uint32_t row
    cdef int priority
    for row in range(1, s.limits.syn_ack_tries + 1):
        if s.answered[row].count:
            _earliest(half_open_at(s, s.answered[row].head).due, when, &found)
    for priority in range(PRIORITIES):
        row = s.waiting[priority].head
        while row != END:
            _earliest(half_open_at(s, s.groups[row].pending.head).due, when, &found)
            _earliest_credit(s, row, when, &found)
            row = s.groups[row].waiting.next
    return found
