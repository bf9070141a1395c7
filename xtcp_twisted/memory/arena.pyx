"""One reservation of address space for all engine state (architecture section 4).

Reserved at once, committed by the operating system on touch.  Tables and
buffers are extents of it.  A returned extent gives its pages back and stays in
a list; the next request of the same size takes it again.
"""

from xtcp_twisted.errors import PoolExhausted

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int madvise(void *address, size_t length, int advice)
    int PROT_READ
    int PROT_WRITE
    int MAP_PRIVATE
    int MAP_ANONYMOUS
    int MAP_NORESERVE
    int MADV_DONTNEED
    int MADV_HUGEPAGE
    void *MAP_FAILED

cdef enum:
    PAGE = 4096

# Returned extents by arena base and size: rare, so ordinary Python objects hold them.
cdef dict _returned = {}


cdef size_t _round(size_t size) noexcept:
    return (size + PAGE - 1) // PAGE * PAGE


cdef int arena_open(arena_t *arena, size_t limit) except -1:
    limit = _round(limit)
    cdef void *base = mmap(
        NULL, limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0
    )
    if base == MAP_FAILED:
        raise PoolExhausted(
            f"the operating system does not reserve {limit:,} bytes of address space;"
            " lower arena_limit, or raise 'ulimit -v'"
        )
    arena.base = <char *>base
    arena.limit = limit
    arena.used = 0
    arena.returned = 0
    return 0


cdef void arena_close(arena_t *arena) noexcept:
    if arena.base != NULL:
        munmap(arena.base, arena.limit)
        for key in [k for k in _returned if k[0] == <size_t>arena.base]:
            del _returned[key]
        arena.base = NULL


cdef void *arena_take(arena_t *arena, size_t size) except NULL:
    cdef char *extent
    size = _round(size)
    waiting = _returned.get((<size_t>arena.base, size))
    if waiting:
        arena.returned -= size
        return <void *><size_t>waiting.pop()
    if size > arena.limit - arena.used:
        raise PoolExhausted(
            f"arena_limit is {arena.limit:,} bytes, {arena.used:,} are taken and {size:,} more are"
            " asked for; raise arena_limit, or ask for less"
        )
    extent = arena.base + arena.used
    arena.used += size
    return extent


cdef int arena_return(arena_t *arena, void *extent, size_t size) except -1:
    size = _round(size)
    madvise(extent, size, MADV_DONTNEED)
    _returned.setdefault((<size_t>arena.base, size), []).append(<size_t>extent)
    arena.returned += size
    return 0


cdef void arena_spread(void *extent, size_t size) noexcept:
    # A kernel without huge pages refuses, and nothing is lost.
    madvise(extent, size, MADV_HUGEPAGE)
