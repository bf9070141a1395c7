"""Groups that share a port: a request is offered to each of them, and one takes it (P06).

A request lies in the pending list of one group, the oldest of those that listen
for its address; that one's options have shaped what the SYN-ACK agrees to.  The
others see it too: each counts what it sees of its neighbours (`offered`).  The
first to accept takes it into a group of its choice, and a refusal by any of them
is final.

Of accept credits the highest priority takes first, then the oldest group; none
takes a request while an older one that it sees still waits.

A group that shares nothing is the only one to see its requests, and everything
here costs it one comparison.
"""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport half_open_t, stack_t


# The groups that see the requests of one of them, the oldest first, up to MAX_GROUPS: for those of its
# port each is still to be asked for the address.
cdef uint32_t sharer_first(const stack_t *s, uint32_t group_row) noexcept nogil
cdef uint32_t sharer_next(const stack_t *s, uint32_t group_row, uint32_t row) noexcept nogil
# Whether a group may accept this entry.
cdef bint request_seen(const stack_t *s, uint32_t group_row, const half_open_t *h) noexcept nogil
# The oldest entry that a group may accept, or END.
cdef uint32_t request_oldest(const stack_t *s, uint32_t group_row) noexcept nogil
# Tells the neighbours of the group that holds an entry that there is one more (1), or one less (-1).
cdef void request_offer(stack_t *s, uint32_t group_row, const uint8_t *address, int step) noexcept nogil
# Counts what a group sees of its neighbours: it listens from now on, or does so no more.
cdef void request_count(stack_t *s, uint32_t group_row) noexcept nogil
# Whether any group that sees a request to this address may have another connection now.
cdef bint request_admitted(const stack_t *s, uint32_t group_row, const uint8_t *address) noexcept nogil
# Whether any of them may have one more record without asking the application.
cdef bint request_recorded(const stack_t *s, uint32_t group_row, const uint8_t *address) noexcept nogil
# Whether a group has accept credits for requests that it sees, and only its accept rate may stand between.
cdef bint credit_waits(const stack_t *s, const group_row_t *g) noexcept nogil
# Whether a group that sees the requests of one of them accepts one by credit now.
cdef bint requests_wanted(stack_t *s, uint32_t group_row) noexcept nogil
# The group whose accept credit such a request takes, or MAX_GROUPS.  `queue`: it is a new one, which
# takes none of a group that sees others wait, or that pressure keeps from having more connections.
cdef uint32_t request_taker(
    stack_t *s, uint32_t group_row, const uint8_t *address, bint queue
) noexcept nogil
# The group whose credit a SYN cookie counts on, or MAX_GROUPS; `sent`: one of whose cookies may come back.
cdef uint32_t cookie_taker(
    stack_t *s, uint32_t group_row, const uint8_t *address, bint sent
) noexcept nogil
