"""Doubly linked lists through rows of a table: the links are indices, in the rows.

Every function is given the address of row 0's link and the size of a row.  A
row that is in no list has `next == UNLINKED`.
"""

from libc.stdint cimport uint32_t

cdef enum:
    END = 0xFFFFFFFF
    UNLINKED = 0xFFFFFFFE

cdef struct link_t:
    uint32_t next
    uint32_t previous

cdef struct list_t:
    uint32_t head
    uint32_t tail
    uint32_t count


cdef inline link_t *link_of(char *links, uint32_t stride, uint32_t row) noexcept nogil:
    return <link_t *>(links + <size_t>row * stride)


cdef inline void list_clear(list_t *rows) noexcept nogil:
    rows.head = END
    rows.tail = END
    rows.count = 0


cdef inline void list_append(list_t *rows, char *links, uint32_t stride, uint32_t row) noexcept nogil:
    cdef link_t *link = link_of(links, stride, row)
    link.next = END
    link.previous = rows.tail
    if rows.tail == END:
        rows.head = row
    else:
        link_of(links, stride, rows.tail).next = row
    rows.tail = row
    rows.count += 1


cdef inline void list_remove(list_t *rows, char *links, uint32_t stride, uint32_t row) noexcept nogil:
    cdef link_t *link = link_of(links, stride, row)
    if link.previous == END:
        rows.head = link.next
    else:
        link_of(links, stride, link.previous).next = link.next
    if link.next == END:
        rows.tail = link.previous
    else:
        link_of(links, stride, link.next).previous = link.previous
    link.next = UNLINKED
    rows.count -= 1


cdef inline void list_insert(
    list_t *rows, char *links, uint32_t stride, uint32_t row, uint32_t before
) noexcept nogil:
    """In front of a row of the list, or at its end if `before` is END."""
    cdef link_t *link = link_of(links, stride, row)
    cdef link_t *following
    if before == END:
        list_append(rows, links, stride, row)
        return
    following = link_of(links, stride, before)
    link.next = before
    link.previous = following.previous
    if following.previous == END:
        rows.head = row
    else:
        link_of(links, stride, following.previous).next = row
    following.previous = row
    rows.count += 1
