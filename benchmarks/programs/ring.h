/* Many writes to a device by one system call (io_uring), as XTCP's own link has them (link/ring.pyx). */
#ifndef RING_H
#define RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BURST = 64, NOWAIT = 8 /* RWF_NOWAIT */ };

struct ring {
    int fd;
    unsigned *tail, *done_head, *done_tail, mask, done_mask;
    struct io_uring_sqe *entries;
    struct io_uring_cqe *done;
};

/* False: this kernel, or whoever confines this process, has none. */
static inline bool ring_open(struct ring *r, int device)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN};
    r->fd = (int)syscall(SYS_io_uring_setup, BURST, &p);
    if (r->fd < 0 || syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_FILES, &device, 1))
        return false;
    size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), other = p.sq_off.array + BURST * 4;
    int how = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_POPULATE;
    char *shared = mmap(NULL, size > other ? size : other, how, kind, r->fd, IORING_OFF_SQ_RING);
    r->entries = mmap(NULL, BURST * sizeof *r->entries, how, kind, r->fd, IORING_OFF_SQES);
    if (shared == MAP_FAILED || r->entries == MAP_FAILED)
        return false;
    r->tail = (unsigned *)(shared + p.sq_off.tail);
    r->mask = *(unsigned *)(shared + p.sq_off.ring_mask);
    r->done_head = (unsigned *)(shared + p.cq_off.head);
    r->done_tail = (unsigned *)(shared + p.cq_off.tail);
    r->done_mask = *(unsigned *)(shared + p.cq_off.ring_mask);
    r->done = (struct io_uring_cqe *)(shared + p.cq_off.cqes);
    for (unsigned i = 0; i < BURST; i++) {
        ((unsigned *)(shared + p.sq_off.array))[i] = i;
        r->entries[i] = (struct io_uring_sqe){
            .opcode = IORING_OP_WRITE, .flags = IOSQE_FIXED_FILE, .off = UINT64_MAX, .rw_flags = NOWAIT};
    }
    return true;
}

/* The n-th write of the next burst. */
static inline void ring_put(struct ring *r, unsigned n, const void *data, size_t length)
{
    struct io_uring_sqe *entry = &r->entries[(*r->tail + n) & r->mask];
    entry->addr = (uint64_t)(uintptr_t)data;
    entry->len = (unsigned)length;
}

/* Carries out the first `count` that were put; what the kernel drops is lost, as on any wire. */
static inline bool ring_write(struct ring *r, unsigned count)
{
    __atomic_store_n(r->tail, *r->tail + count, __ATOMIC_RELEASE);
    long n = syscall(SYS_io_uring_enter, r->fd, count, count, IORING_ENTER_GETEVENTS, NULL, 0);
    __atomic_store_n(r->done_head, __atomic_load_n(r->done_tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    return n == (long)count || errno == EINTR;
}

#endif
