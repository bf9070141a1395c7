"""The pressure state of a buffer (architecture section 8; P27 to P30).

            frozen     withholding   discarding
    0 --------+------------+-------------+------ full
           <--         <--           <--
         hysteresis: a state ends so much below where it began

A state begins when the chunks in use reach its threshold, and ends when they
fall by the hysteresis below it.  Both bounds are kept in chunks, so that a
batch of chunks costs two comparisons.  A batch that crosses more than one bound
makes one change, to the state where it ends.  Other thresholds may be set at any
time: the state goes on from the present one, as if the use had just changed.

Knows a number of chunks and the engine's time; what a state does to segments,
acknowledgements and sends stands where those are dealt with.
"""

from libc.math cimport ceil
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

#: The states, the calmest first.
NAMES = ("open", "frozen", "withholding", "discarding")

if len(NAMES) != PRESSURES:
    raise AssertionError("pressure.pxd and pressure.pyx disagree")

cdef enum:
    NEVER = 0xFFFFFFFF         # more chunks than a buffer has


cdef void _enter(pressure_t *p, int state) noexcept nogil:
    p.state = <uint8_t>state
    p.least = p.fall[state]
    p.next_rise = p.rise[state + 1] if state < PRESSURE_DISCARDING else <uint32_t>NEVER


cdef void pressure_open(pressure_t *p, int64_t now_us) noexcept nogil:
    memset(p, 0, sizeof(pressure_t))
    p.since_us = now_us


cdef void pressure_set(
    pressure_t *p, uint32_t capacity, const double *shares, double hysteresis, uint32_t used, int64_t now_us
) noexcept nogil:
    cdef int state
    for state in range(PRESSURE_FROZEN, PRESSURES):
        p.rise[state] = <uint32_t>ceil(shares[state - 1] * capacity)
        p.fall[state] = <uint32_t>ceil((shares[state - 1] - hysteresis) * capacity)
    _enter(p, p.state)
    pressure_change(p, used, now_us)


cdef void pressure_start(pressure_t *p, int64_t now_us) noexcept nogil:
    p.since_us = now_us


cdef void pressure_change(pressure_t *p, uint32_t used, int64_t now_us) noexcept nogil:
    cdef int state = p.state
    while state < PRESSURE_DISCARDING and used >= p.rise[state + 1]:
        state += 1
    while used < p.fall[state]:
        state -= 1
    if state == p.state:
        return
    p.durations_us[p.state] += now_us - p.since_us
    p.since_us = now_us
    p.entries[state] += 1
    p.falls += state < p.state
    _enter(p, state)
