"""Priorities of groups in acceptance; see precedence.pxd."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.memory.links cimport END, list_append, list_remove
from xtcp_twisted.memory.slab cimport slab_free_rows
from xtcp_twisted.tcp.groups cimport GROUP_LISTENING, PRIORITIES
from xtcp_twisted.tcp.layout cimport half_open_at

cdef enum:
    KEPT_RECORDS = 32          # one in so many, for each priority above that listens
    KEPT_ENTRIES = 8
    VISITED = 64               # answered entries that one request looks at


cdef uint32_t _above(const stack_t *s, int priority) noexcept nogil:
    """More important priorities that somebody listens with."""
    cdef uint32_t found = 0
    while priority > 0:
        priority -= 1
        found += s.listening[priority] != 0
    return found


cdef bint precedence_record(const stack_t *s, const group_row_t *g) noexcept nogil:
    return slab_free_rows(&s.records) > s.records.capacity // KEPT_RECORDS * _above(s, g.priority)


cdef uint32_t _least_important(const stack_t *s, int priority) noexcept nogil:
    """The oldest offer of a group of a lower priority, the lowest first; or END."""
    cdef int lower = PRIORITIES - 1
    while lower > priority:
        if s.waiting[lower].count:
            return s.groups[s.waiting[lower].head].pending.head
        lower -= 1
    return END


cdef uint32_t _longest_answered(const stack_t *s, int priority) noexcept nogil:
    """Of those that wait for the last segment of their handshake, one with the most SYN-ACKs; or END.

    None of a higher priority, though there may be another behind many such.
    """
    cdef uint32_t tries = s.limits.syn_ack_tries, row, left = VISITED
    while tries:
        row = s.answered[tries].head
        while row != END and left:
            if s.groups[half_open_at(s, row).group_row].priority >= priority:
                return row
            row = half_open_at(s, row).link.next
            left -= 1
        tries -= 1
    return END


cdef bint precedence_room(const stack_t *s, uint32_t group_row, uint32_t *victim) noexcept nogil:
    """RFC 4987 section 3.4, recycling the oldest: the own offers of a group that has more than there is room.

    So a flood of one group's requests drives out its own, and leaves room for those of others.
    """
    cdef const group_row_t *g = &s.groups[group_row]
    cdef uint32_t free = slab_free_rows(&s.half_opens)
    cdef uint32_t kept = s.half_opens.capacity // KEPT_ENTRIES * _above(s, g.priority)
    cdef uint32_t room = free - kept if free > kept else 0
    victim[0] = END
    if g.pending.count <= room and g.credits == 0 and room:
        return True
    victim[0] = _least_important(s, g.priority)
    if victim[0] == END:
        victim[0] = g.pending.head if g.pending.count > room else _longest_answered(s, g.priority)
    return victim[0] != END or room != 0


cdef void precedence_listens(stack_t *s, const group_row_t *g, int step) noexcept nogil:
    s.listening[g.priority] += step


cdef void priority_change(stack_t *s, uint32_t group_row, uint8_t priority) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    if g.flags & GROUP_LISTENING:
        precedence_listens(s, g, -1)
    if g.pending.count:
        list_remove(&s.waiting[g.priority], <char *>&s.groups.waiting, sizeof(group_row_t), group_row)
        list_append(&s.waiting[priority], <char *>&s.groups.waiting, sizeof(group_row_t), group_row)
    g.priority = priority
    if g.flags & GROUP_LISTENING:
        precedence_listens(s, g, 1)
