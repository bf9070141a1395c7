from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.layout cimport record_t


# Payload of a full segment, options deducted.
cdef uint32_t segment_size(const record_t *r) noexcept nogil
# RFC 6298: the retransmission timeout in ms, without backoff.
cdef uint32_t retransmission_timeout(const record_t *r) noexcept nogil
cdef void round_trip_sample(record_t *r, uint32_t us) noexcept nogil
# RFC 6928: the initial congestion window.
cdef uint32_t initial_window(const record_t *r) noexcept nogil
# RFC 5681 section 3.1, by bytes (RFC 3465), for `acked` new bytes.
cdef void congestion_acknowledged(record_t *r, uint32_t acked) noexcept nogil
# RFC 5681 section 3.1, equation 4: the retransmission timer expired for the first time.
cdef void congestion_timeout(record_t *r, bint first) noexcept nogil
