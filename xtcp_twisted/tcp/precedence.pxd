"""Which requests come first when there is not enough for all: priorities of groups in acceptance (P05).

Of the record table and of the table of half-open entries a part is kept for more
important groups, as long as such listen: a thirty-second of the records and an
eighth of the entries for each priority above.  In the latter, a request displaces
only requests of its own priority and of lower ones, the least important first.
Where all groups have one priority, nothing is kept and nothing is different.

What the application accepts by itself needs no permission: it has decided.
"""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport stack_t


# Whether a group may have one more record without asking the application.
cdef bint precedence_record(const stack_t *s, const group_row_t *g) noexcept nogil
# Whether a crowded table of half-open entries has room for one more of the group.  `victim`: the entry that
# has to go for it, or END.
cdef bint precedence_room(const stack_t *s, uint32_t group_row, uint32_t *victim) noexcept nogil
# A group begins to listen (1), or does so no more (-1).
cdef void precedence_listens(stack_t *s, const group_row_t *g, int step) noexcept nogil
# Changes the priority of a group while it serves.
cdef void priority_change(stack_t *s, uint32_t group_row, uint8_t priority) noexcept nogil
