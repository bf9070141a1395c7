"""The keyed index; see index.pxd."""

from libc.stdint cimport uint32_t
from libc.string cimport memset


cdef void index_open(index_t *index, void *slots, uint32_t capacity) noexcept nogil:
    index.slots = <slot_t *>slots
    index.mask = capacity - 1
    index.used = 0
    memset(slots, 0xFF, <size_t>capacity * sizeof(slot_t))


cdef int index_insert(index_t *index, uint32_t tag, uint32_t reference) noexcept nogil:
    cdef uint32_t at = tag & index.mask
    if index.used >= index.mask:
        return -1
    while index.slots[at].reference != VACANT:
        at = (at + 1) & index.mask
    index.slots[at].tag = tag
    index.slots[at].reference = reference
    index.used += 1
    return 0


cdef uint32_t _find(const index_t *index, uint32_t tag, uint32_t reference) noexcept nogil:
    cdef uint32_t at = tag & index.mask
    while index.slots[at].reference != VACANT:
        if index.slots[at].tag == tag and index.slots[at].reference == reference:
            return at
        at = (at + 1) & index.mask
    return VACANT


cdef int index_replace(index_t *index, uint32_t tag, uint32_t reference, uint32_t new) noexcept nogil:
    cdef uint32_t at = _find(index, tag, reference)
    if at == VACANT:
        return -1
    index.slots[at].reference = new
    return 0


cdef int index_remove(index_t *index, uint32_t tag, uint32_t reference) noexcept nogil:
    cdef uint32_t hole = _find(index, tag, reference), at, home
    if hole == VACANT:
        return -1
    at = hole
    while True:
        at = (at + 1) & index.mask
        if index.slots[at].reference == VACANT:
            break
        home = index.slots[at].tag & index.mask
        # The entry may fill the hole unless its home lies behind the hole, up to where it stands.
        if ((at - home) & index.mask) >= ((at - hole) & index.mask):
            index.slots[hole] = index.slots[at]
            hole = at
    index.slots[hole].reference = VACANT
    index.used -= 1
    return 0
