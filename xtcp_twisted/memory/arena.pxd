cdef struct arena_t:
    char *base
    size_t limit               # bytes reserved
    size_t used                # bytes handed out
    size_t returned            # bytes given back; their pages are free, their addresses are not

cdef int arena_open(arena_t *arena, size_t limit) except -1
cdef void arena_close(arena_t *arena) noexcept
# A zeroed extent, page aligned; PoolExhausted when the reservation is used up.
cdef void *arena_take(arena_t *arena, size_t size) except NULL
# Gives the pages of an extent back to the operating system; taken again when a request fits it.
cdef int arena_return(arena_t *arena, void *extent, size_t size) except -1
# The extent is used all over and at random: have huge pages for it, which few entries of the TLB hold.
cdef void arena_spread(void *extent, size_t size) noexcept
