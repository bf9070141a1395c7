"""Round-trip time (RFC 6298), segment size and initial window (RFC 6928).

The values of config.py are compiled in at import.
"""

from libc.stdint cimport uint32_t

from xtcp_twisted import config

cdef uint32_t INITIAL_RTO_MS = config.INITIAL_RTO_MS
cdef uint32_t MIN_RTO_MS = config.MIN_RTO_MS
cdef uint32_t MAX_RTO_MS = config.MAX_RTO_MS
cdef uint32_t INITIAL_SEGMENTS = config.INITIAL_WINDOW_SEGMENTS

cdef enum:
    INITIAL_BYTES = 14_600     # RFC 6928 section 2


cdef uint32_t retransmission_timeout(const record_t *r) noexcept nogil:
    cdef uint32_t ms, variation
    if r.srtt == 0:
        # Not measured; after a lost SYN-ACK rttvar holds the 3 s of RFC 6298 (5.7).
        return r.rttvar // 1000 if r.rttvar else INITIAL_RTO_MS
    # (2.3) RTO = SRTT + max(G, 4 RTTVAR).  The floor stands in place of G, as in Linux:
    # one on the sum would leave no time for a peer's delayed ACK once SRTT comes near it.
    variation = 4 * r.rttvar
    if variation < 1_000 * MIN_RTO_MS:
        variation = 1_000 * MIN_RTO_MS
    ms = (r.srtt + variation + 500) // 1000
    return ms if ms < MAX_RTO_MS else MAX_RTO_MS


cdef void round_trip_sample(record_t *r, uint32_t us) noexcept nogil:
    cdef uint32_t difference
    if us == 0:
        us = 1
    if r.srtt == 0:
        # (2.2) the first measurement
        r.srtt = us
        r.rttvar = us // 2
        return
    # (2.3) RTTVAR first, from the old SRTT; beta = 1/4, alpha = 1/8
    difference = r.srtt - us if r.srtt > us else us - r.srtt
    r.rttvar = r.rttvar - r.rttvar // 4 + difference // 4
    r.srtt = r.srtt - r.srtt // 8 + us // 8
    if r.srtt == 0:
        r.srtt = 1


cdef uint32_t initial_window(const record_t *r) noexcept nogil:
    cdef uint32_t mss = segment_size(r), floor = 2 * segment_size(r)
    if floor < INITIAL_BYTES:
        floor = INITIAL_BYTES
    return INITIAL_SEGMENTS * mss if INITIAL_SEGMENTS * mss < floor else floor
