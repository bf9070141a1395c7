"""A token bucket: what answers to strangers are rationed by (attacks: reflection)."""

from libc.stdint cimport int64_t

cdef struct bucket_t:
    double rate                # tokens per second; the bucket holds one second's worth
    double tokens
    int64_t at_us              # when `tokens` was right


cdef inline void bucket_fill(bucket_t *b, double rate, int64_t now_us) noexcept nogil:
    b.rate = rate
    b.tokens = rate
    b.at_us = now_us


cdef inline bint bucket_take(bucket_t *b, int64_t now_us) noexcept nogil:
    """Takes one token; False: none is there."""
    b.tokens += (now_us - b.at_us) * b.rate / 1e6
    b.at_us = now_us
    if b.tokens > b.rate:
        b.tokens = b.rate
    if b.tokens < 1:
        return False
    b.tokens -= 1
    return True
