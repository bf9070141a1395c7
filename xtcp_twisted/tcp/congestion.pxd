from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.flags cimport RECORD_TIMESTAMPS
from xtcp_twisted.tcp.layout cimport record_t

cdef enum:
    TIMESTAMP_BYTES = 12


cdef inline uint32_t segment_size(const record_t *r) noexcept nogil:
    """Payload of a full segment, options deducted."""
    return r.mss - TIMESTAMP_BYTES if r.flags & RECORD_TIMESTAMPS else r.mss


# RFC 6298: the retransmission timeout in ms, without backoff.
cdef uint32_t retransmission_timeout(const record_t *r) noexcept nogil
cdef void round_trip_sample(record_t *r, uint32_t us) noexcept nogil
# RFC 6928: the initial congestion window.
cdef uint32_t initial_window(const record_t *r) noexcept nogil
