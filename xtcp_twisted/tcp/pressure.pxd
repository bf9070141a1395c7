"""The pressure of one buffer: which of four states its use puts it in (architecture section 8)."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    # In the order of NAMES in pressure.pyx.
    PRESSURE_OPEN = 0
    PRESSURE_FROZEN = 1
    PRESSURE_WITHHOLDING = 2
    PRESSURE_DISCARDING = 3
    PRESSURES = 4

    # group_row_t.priority
    PRIORITY_HIGH = 0
    PRIORITY_LOW = 2

cdef struct pressure_t:
    uint8_t state
    uint32_t rise[4]           # chunks in use at which each state begins; [0] is 0
    uint32_t fall[4]           # fewer than these end it; [0] is 0
    uint32_t least             # of the present state: fewer chunks in use end it
    uint32_t next_rise         # so many begin the next one
    uint32_t falls             # changes to a calmer state
    int64_t since_us           # when it came into the present state
    uint64_t entries[4]        # changes into each state
    int64_t durations_us[4]    # in each state, up to `since_us`
    int64_t eased_us           # of a pool: when the application last acknowledged something
    int64_t relieved_us        # when a walk for its relief last began (relief.pyx) ...
    uint32_t relief            # ... and how many connections it might abort

# A buffer of which nothing is used; its bounds are set next.
cdef void pressure_open(pressure_t *p, int64_t now_us) noexcept nogil
# Bounds for a buffer of `capacity` chunks, `used` of them in use, and the state that these make of the
# present one; `shares` are where frozen, withholding and discarding begin, `hysteresis` is how much lower
# they end.
cdef void pressure_set(
    pressure_t *p, uint32_t capacity, const double *shares, double hysteresis, uint32_t used, int64_t now_us
) noexcept nogil
# Counts from `now_us` on: the engine's clock has just been set for the first time.
cdef void pressure_start(pressure_t *p, int64_t now_us) noexcept nogil
# The state for `used` chunks: another one only if they are outside of the present state's bounds.
cdef void pressure_change(pressure_t *p, uint32_t used, int64_t now_us) noexcept nogil


cdef inline void pressure_update(pressure_t *p, uint32_t used, int64_t now_us) noexcept nogil:
    """To be called after each batch of chunks that was taken or given back."""
    if used >= p.next_rise or used < p.least:
        pressure_change(p, used, now_us)


cdef inline int pressure_seen(const pressure_t *p, int priority) noexcept nogil:
    """The state as a group of this priority sees it: from frozen on, low sees the next one, high the last."""
    cdef int seen = p.state
    if seen == PRESSURE_OPEN:
        return seen
    if priority == PRIORITY_HIGH:
        return seen - 1
    return seen + 1 if priority == PRIORITY_LOW and seen < PRESSURE_DISCARDING else seen
