"""A hash index from 32-bit tags to 32-bit references; the owner compares full keys.

Open addressing with linear probing over a fixed power of two of 8-byte slots.
The tag is the low half of the key's hash, so a slot knows its own home and
deletion can shift its successors back (no tombstones).
"""

from libc.stdint cimport uint32_t

cdef enum:
    VACANT = 0xFFFFFFFF        # the reference of an empty slot

cdef struct slot_t:
    uint32_t tag
    uint32_t reference

cdef struct index_t:
    slot_t *slots
    uint32_t mask
    uint32_t used


cdef inline void index_prefetch(const index_t *index, uint32_t tag) noexcept nogil:
    __builtin_prefetch(&index.slots[tag & index.mask])


# The first candidate with this tag at or after *position (start: index_home), or VACANT at the end
# of the cluster.  To go on, add one to *position.
cdef inline uint32_t index_next(const index_t *index, uint32_t tag, uint32_t *position) noexcept nogil:
    cdef uint32_t at = position[0] & index.mask
    while index.slots[at].reference != VACANT:
        if index.slots[at].tag == tag:
            position[0] = at
            return index.slots[at].reference
        at = (at + 1) & index.mask
    position[0] = at
    return VACANT


cdef extern from *:
    void __builtin_prefetch(const void *address) noexcept nogil

# `slots` must hold `capacity` (a power of two) slots.
cdef void index_open(index_t *index, void *slots, uint32_t capacity) noexcept nogil
# -1 when it is full to the last slot but one.
cdef int index_insert(index_t *index, uint32_t tag, uint32_t reference) noexcept nogil
# Changes a reference in place; -1 when (tag, reference) is not in the index.
cdef int index_replace(index_t *index, uint32_t tag, uint32_t reference, uint32_t new) noexcept nogil
cdef int index_remove(index_t *index, uint32_t tag, uint32_t reference) noexcept nogil
