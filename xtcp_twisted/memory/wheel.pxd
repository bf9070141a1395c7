"""A hierarchical timing wheel of 1 ms ticks over rows of a table.

Four levels of 256 slots.  A row has one node: its deadline and two links, at
`nodes`, `stride` bytes apart.  Times are milliseconds modulo 2**32; a deadline
lies less than 2**31 ms ahead.
"""

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    WHEEL_LEVELS = 4
    WHEEL_SLOTS = 256

cdef struct node_t:
    uint32_t deadline
    uint32_t next              # UNLINKED: not in the wheel
    uint32_t previous          # END: first of its slot

cdef struct wheel_t:
    char *nodes
    uint32_t stride
    uint32_t tick              # the next tick to be looked at
    uint32_t count
    uint32_t heads[4 * 256]
    uint64_t filled[4 * 4]     # one bit a slot


cdef inline node_t *wheel_node(const wheel_t *wheel, uint32_t row) noexcept nogil:
    return <node_t *>(wheel.nodes + <size_t>row * wheel.stride)


cdef void wheel_open(wheel_t *wheel, char *nodes, uint32_t stride, uint32_t now) noexcept nogil
# Puts a row in; one that is there already moves only to an earlier deadline (lazy).
cdef void wheel_arm(wheel_t *wheel, uint32_t row, uint32_t deadline) noexcept nogil
cdef void wheel_disarm(wheel_t *wheel, uint32_t row) noexcept nogil
# Takes the next row out whose deadline is `now` or earlier, in order of ticks; END: none.
cdef uint32_t wheel_pop(wheel_t *wheel, uint32_t now) noexcept nogil
# When wheel_pop has to be called next: a lower bound, exact within 256 ms.  False: never.
cdef bint wheel_next(const wheel_t *wheel, uint32_t *when) noexcept nogil
