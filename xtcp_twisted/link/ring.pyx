"""Many writes by one system call: a small part of io_uring(7), for a descriptor that never waits.

A device takes one packet per write, and an entry of the kernel costs more than itself: on
processors that are guarded against speculation (SRSO, retbleed) what they have learnt of
branches is forgotten there, and the long way of a packet through the kernel begins cold
each time.  Over a ring the packets of a turn go in by one entry.

A ring is two arrays shared with the kernel: what is to be done (SQEs) and what has been
done (CQEs).  No thread of the kernel's is asked for: the writes run inside of the call.
They may not wait (RWF_NOWAIT), so when it returns nothing is on its way, and the memory
that they point to is the caller's again.

Not every kernel has all of it (Linux 5.19 has), and containers often forbid it; so it is
an offer, and the caller can do without.

Knows system calls; must not know frames.  The layouts are those of linux/io_uring.h, a
promise to all programs; they stand here because a package is built with headers that may
be older than the kernel it will meet.
"""

from libc.errno cimport EAGAIN, EINTR, EOPNOTSUPP, errno
from libc.string cimport memset
from posix.unistd cimport close

cdef extern from *:
    """
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    /* The same on every architecture that Linux has had them for. */
    #define XTCP_IO_URING_SETUP 425
    #define XTCP_IO_URING_ENTER 426
    #define XTCP_IO_URING_REGISTER 427

    #define xtcp_load(from) __atomic_load_n(from, __ATOMIC_ACQUIRE)
    #define xtcp_store(to, value) __atomic_store_n(to, value, __ATOMIC_RELEASE)
    """
    long syscall(long number, ...) nogil
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset) nogil
    int munmap(void *address, size_t length) nogil
    int PROT_READ
    int PROT_WRITE
    int MAP_SHARED
    int MAP_POPULATE
    void *MAP_FAILED
    long IO_URING_SETUP "XTCP_IO_URING_SETUP"
    long IO_URING_ENTER "XTCP_IO_URING_ENTER"
    long IO_URING_REGISTER "XTCP_IO_URING_REGISTER"
    uint32_t load "xtcp_load"(const uint32_t *where) nogil
    void store "xtcp_store"(uint32_t *where, uint32_t value) nogil

cdef enum:
    OP_WRITEV = 2
    OP_WRITE = 23
    SETUP_SUBMIT_ALL = 1 << 7      # one write that fails does not stop those after it
    SETUP_COOP_TASKRUN = 1 << 8
    FEAT_SINGLE_MMAP = 1 << 0
    ENTER_GETEVENTS = 1 << 0
    RWF_NOWAIT = 8
    SQE_FIXED_FILE = 1 << 0
    REGISTER_FILES = 2
    UNREGISTER_FILES = 3
    OFFSET_ENTRIES = 0x10000000    # of the mapping of the SQEs

# Where the parts of a ring lie in its mapping.
cdef struct submission_offsets_t:
    uint32_t head
    uint32_t tail
    uint32_t mask
    uint32_t entries
    uint32_t flags
    uint32_t dropped
    uint32_t array
    uint32_t unused
    uint64_t address

cdef struct completion_offsets_t:
    uint32_t head
    uint32_t tail
    uint32_t mask
    uint32_t entries
    uint32_t overflow
    uint32_t cqes
    uint32_t flags
    uint32_t unused
    uint64_t address

cdef struct params_t:
    uint32_t submissions
    uint32_t completions
    uint32_t flags
    uint32_t thread_cpu
    uint32_t thread_idle
    uint32_t features
    uint32_t workers
    uint32_t[3] unused
    submission_offsets_t submission
    completion_offsets_t completion


cdef bint ring_open(ring_t *ring, int target) noexcept nogil:
    cdef params_t params
    memset(ring, 0, sizeof(ring_t))
    memset(&params, 0, sizeof(params_t))
    params.flags = SETUP_SUBMIT_ALL | SETUP_COOP_TASKRUN
    ring.descriptor = <int>syscall(IO_URING_SETUP, <unsigned>RING_ENTRIES, &params)
    if ring.descriptor <= 0:
        ring.descriptor = 0
        return False
    if params.features & FEAT_SINGLE_MMAP and _map(ring, &params) and _register(ring, &target):
        _prepare(ring, &params)
        if _writes(ring):
            return True
    ring_close(ring)
    return False


cdef bint _register(ring_t *ring, const int *target) noexcept nogil:
    """Let the ring hold the descriptor, so that it is not looked up for each write."""
    return syscall(IO_URING_REGISTER, ring.descriptor, <unsigned>REGISTER_FILES, target, <unsigned>1) == 0


cdef bint _writes(ring_t *ring) noexcept nogil:
    """Whether this kernel can write there without waiting: asked with an empty packet, which it drops."""
    cdef int32_t result = 0
    memset(ring.pieces[0], 0, sizeof(iovec))
    return ring_write(ring, 1, 1, &result) == 1 and result not in (-EAGAIN, -EOPNOTSUPP)


cdef bint _map(ring_t *ring, const params_t *params) noexcept nogil:
    cdef size_t first = params.submission.array + params.submissions * sizeof(uint32_t)
    cdef size_t second = params.completion.cqes + params.completions * sizeof(cqe_t)
    cdef void *shared
    cdef void *entries
    cdef int how = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_POPULATE
    ring.shared_bytes = max(first, second)
    shared = mmap(NULL, ring.shared_bytes, how, kind, ring.descriptor, 0)
    ring.shared = NULL if shared == MAP_FAILED else <char *>shared
    entries = mmap(NULL, RING_ENTRIES * sizeof(sqe_t), how, kind, ring.descriptor, OFFSET_ENTRIES)
    ring.entries = NULL if entries == MAP_FAILED else <sqe_t *>entries
    return ring.shared != NULL and ring.entries != NULL


cdef void _prepare(ring_t *ring, const params_t *params) noexcept nogil:
    cdef uint32_t *array = <uint32_t *>(ring.shared + params.submission.array)
    cdef uint32_t i
    ring.tail = <uint32_t *>(ring.shared + params.submission.tail)
    ring.mask = (<uint32_t *>(ring.shared + params.submission.mask))[0]
    ring.done_head = <uint32_t *>(ring.shared + params.completion.head)
    ring.done_tail = <uint32_t *>(ring.shared + params.completion.tail)
    ring.done_mask = (<uint32_t *>(ring.shared + params.completion.mask))[0]
    ring.done = <cqe_t *>(ring.shared + params.completion.cqes)
    for i in range(RING_ENTRIES):
        array[i] = i
        ring.entries[i].flags = SQE_FIXED_FILE   # `descriptor` is a place among the registered ones
        # A device has no position, which this says.
        ring.entries[i].offset = ~<uint64_t>0
        ring.entries[i].rw_flags = RWF_NOWAIT


cdef void ring_close(ring_t *ring) noexcept nogil:
    if ring.descriptor == 0:
        return
    # By itself a ring lets go of it only some time after its end.
    syscall(IO_URING_REGISTER, ring.descriptor, <unsigned>UNREGISTER_FILES, NULL, <unsigned>0)
    if ring.entries != NULL:
        munmap(ring.entries, RING_ENTRIES * sizeof(sqe_t))
    if ring.shared != NULL:
        munmap(ring.shared, ring.shared_bytes)
    close(ring.descriptor)
    ring.descriptor = 0


cdef int ring_write(ring_t *ring, int count, int parts, int32_t *results) noexcept nogil:
    cdef uint32_t tail = ring.tail[0]
    cdef int i, submitted, over
    cdef sqe_t *entry
    for i in range(count):
        entry = &ring.entries[(tail + i) & ring.mask]
        entry.user_data = i
        if parts == 1:
            entry.opcode = OP_WRITE
            entry.address = <uint64_t>ring.pieces[i][0].iov_base
            entry.length = <uint32_t>ring.pieces[i][0].iov_len
        else:
            entry.opcode = OP_WRITEV
            entry.address = <uint64_t>&ring.pieces[i]
            entry.length = parts
    store(ring.tail, tail + count)
    submitted = _enter(ring, count, count)
    if submitted < count:
        # Nobody but us moves the tail, and the kernel looks at it only when it is called.
        submitted = max(submitted, 0)
        store(ring.tail, tail + submitted)
    over = _take_results(ring, results)
    while over < submitted:
        # Only a signal can end the wait early: what has been begun ends without waiting.
        _enter(ring, 0, submitted - over)
        over += _take_results(ring, results)
    return submitted


cdef int _enter(ring_t *ring, int submit, int wait) noexcept nogil:
    """How many were submitted; negative when none could be."""
    cdef int n
    while True:
        n = <int>syscall(
            IO_URING_ENTER, ring.descriptor, <unsigned>submit, <unsigned>wait, ENTER_GETEVENTS, NULL, 0
        )
        if n >= 0 or errno != EINTR:
            return n


cdef int _take_results(ring_t *ring, int32_t *results) noexcept nogil:
    cdef uint32_t head = ring.done_head[0], tail = load(ring.done_tail)
    cdef int n = <int>(tail - head)
    cdef cqe_t *cqe
    while head != tail:
        cqe = &ring.done[head & ring.done_mask]
        results[cqe.user_data] = cqe.result
        head += 1
    store(ring.done_head, tail)
    return n


def available(int descriptor):
    """Whether many packets can be written to `descriptor` by one system call, here and now."""
    cdef ring_t ring
    cdef bint made = ring_open(&ring, descriptor)
    ring_close(&ring)
    return made
