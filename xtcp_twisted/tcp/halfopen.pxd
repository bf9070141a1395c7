"""Requests before the end of their handshake (P08; architecture section 7)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.layout cimport half_open_t, stack_t
from xtcp_twisted.wire.segment cimport segment_t


# A SYN becomes an entry, `iss` its initial sequence number: offered to the application, or answered at
# once by a credit.
cdef void half_open_new(
    stack_t *s, uint32_t group_row, const segment_t *seg, uint32_t tag, uint32_t iss
) noexcept nogil
# Whether the table is over 3/4 full (architecture section 7).
cdef bint half_open_crowded(const stack_t *s) noexcept nogil
# Makes room in a crowded table for one more entry of the group; False: there is none.
cdef bint half_open_make_room(stack_t *s, uint32_t group_row) noexcept nogil
# Sends the SYN-ACK of an accepted entry, again or for the first time.
cdef void half_open_answer(stack_t *s, half_open_t *h) noexcept nogil
# Accepts an entry; `slot`: a record promised to the application, or NONE.
cdef void half_open_accept(stack_t *s, uint32_t row, uint32_t group_row, uint32_t slot) noexcept nogil
# Answers by RST (unless the group is silent, or `quiet`) and forgets the entry.
cdef void half_open_refuse(stack_t *s, uint32_t row, bint quiet) noexcept nogil
# The same by another group that sees the entry: its way to refuse, and its counter.
cdef void half_open_refuse_by(stack_t *s, uint32_t row, uint32_t group_row, bint quiet) noexcept nogil
# The client cannot be reached: forgets the entry.
cdef void half_open_unreachable(stack_t *s, uint32_t row) noexcept nogil
# Frees an entry, and the record that was promised with it.
cdef void half_open_forget(stack_t *s, uint32_t row) noexcept nogil
# The handshake is complete: the record takes the entry's place in the index, the entry is free.
cdef void half_open_become(stack_t *s, uint32_t row, uint32_t slot, uint32_t tag) noexcept nogil
# Makes the promised record of an entry that is about to be accepted; NONE when the table is full.
cdef uint32_t half_open_promise(stack_t *s, uint32_t row, uint32_t group_row) noexcept nogil
# What waits for a group that does not listen any more (and is off the list of its port) goes to the
# oldest other group that sees it, or is refused.
cdef void half_open_hand_over(stack_t *s, uint32_t group_row) noexcept nogil
# Drops the accepted requests of a group that closes.
cdef void half_open_drop(stack_t *s, uint32_t group_row) noexcept nogil
# The entry of a promised record, or NONE.
cdef uint32_t half_open_of(const stack_t *s, uint32_t slot) noexcept nogil
# Accepts pending requests that the group sees while those who see them have credits.
cdef void credits_spend(stack_t *s, uint32_t group_row) noexcept nogil
# The credits that requests of the group hold are not given back any more.
cdef void credits_forget(stack_t *s, uint32_t group_row) noexcept nogil
# Timers of all half-open entries; a bounded part of those that are due, the rest at the next call.
cdef void half_open_timers(stack_t *s) noexcept nogil
# When half_open_timers is due; False: never.
cdef bint half_open_due(const stack_t *s, uint32_t *when) noexcept nogil
