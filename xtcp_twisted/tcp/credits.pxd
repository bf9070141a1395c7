"""Accept credits: requests that the application accepts in advance, so many and so fast (P08)."""

from libc.stdint cimport int64_t, uint32_t

from xtcp_twisted.tcp.groups cimport group_row_t

cdef enum:
    UNLIMITED = 0xFFFFFFFF     # credits that never run out


cdef inline bint credit_ready(group_row_t *g, int64_t now_us) noexcept nogil:
    """Whether there is a credit and the rate allows it now."""
    if g.credits == 0 or g.rate == 0:
        return g.credits != 0
    g.tokens += (now_us - g.tokens_at_us) * g.rate / 1e6
    g.tokens_at_us = now_us
    # The bucket holds what one tenth of a second allows, at least one.
    if g.tokens > g.rate / 10 and g.tokens > 1:
        g.tokens = g.rate / 10 if g.rate > 10 else 1
    return g.tokens >= 1


cdef inline bint credit_take(group_row_t *g, int64_t now_us) noexcept nogil:
    """Takes one accept credit if there is one and the rate allows it."""
    if not credit_ready(g, now_us):
        return False
    if g.rate > 0:
        g.tokens -= 1
    if g.credits != UNLIMITED:
        g.credits -= 1
    return True


cdef inline void credit_give_back(group_row_t *g) noexcept nogil:
    """The request that took a credit came to nothing."""
    if g.credits < UNLIMITED - 1:
        g.credits += 1


cdef inline uint32_t credit_wait_ms(const group_row_t *g) noexcept nogil:
    """When the rate allows the next one, counted from when one was last asked for."""
    return <uint32_t>(1000 * (1 - g.tokens) / g.rate) + 1 if g.tokens < 1 else 0
