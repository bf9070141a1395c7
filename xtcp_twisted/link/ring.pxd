"""Writes to one descriptor, many of them by one system call (io_uring(7)); see ring.pyx."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    RING_ENTRIES = 64          # writes by one call; a power of two

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

# linux/io_uring.h: what is to be done; the kernel reads it, and changes nothing in it.
cdef struct sqe_t:
    uint8_t opcode
    uint8_t flags
    uint16_t priority
    int32_t descriptor
    uint64_t offset
    uint64_t address
    uint32_t length
    uint32_t rw_flags
    uint64_t user_data
    uint64_t[3] unused

# What has become of it.
cdef struct cqe_t:
    uint64_t user_data
    int32_t result             # bytes, or a negative errno
    uint32_t flags

cdef struct ring_t:
    int descriptor             # of the ring; 0: there is none
    uint32_t *tail             # of what is to be done: ours to move
    uint32_t mask
    sqe_t *entries
    uint32_t *done_head        # of what has been done: ours to move
    uint32_t *done_tail
    uint32_t done_mask
    cqe_t *done
    char *shared               # the mapping that holds all but `entries`
    size_t shared_bytes
    iovec[64][2] pieces        # header and packet of each write

# Makes a ring for writes to `target`; False when this kernel has none, or whoever confines this process.
cdef bint ring_open(ring_t *ring, int target) noexcept nogil
# Gives it back; may be called twice.
cdef void ring_close(ring_t *ring) noexcept nogil
# Carries out `count` writes, each of the first `parts` of its pieces, and waits until all are over.
# results[i] is what write() would have returned, or a negative errno.  Returns how many were carried
# out: fewer when the kernel takes no more, and then the rest is as if it had never been asked for.
cdef int ring_write(ring_t *ring, int count, int parts, int32_t *results) noexcept nogil
