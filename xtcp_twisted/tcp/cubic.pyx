"""CUBIC (RFC 9438); see cubic.pxd.

                                    ______ C (t - K)^3 + W_max
                        ___________/
    cwnd    W_max -----/--------------
                   ___/
                  /   <-- K -->        t, since congestion avoidance began

Windows are kept in bytes and computed in segments, as the RFC has them.
"""

from libc.math cimport cbrt
from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.congestion cimport segment_size
from xtcp_twisted.tcp.disorder cimport RECOVERY_EPOCH

cdef double BETA = 0.7         # section 4.6
cdef double C = 0.4            # section 5.1
cdef double ALPHA = 3 * (1 - BETA) / (1 + BETA)  # section 4.3


cdef void _begin_epoch(const conn_t *c, recovery_t *x) noexcept nogil:
    """Section 4.2: K, from the window at the beginning of this congestion avoidance."""
    cdef double mss = segment_size(c.r), missing = 0
    x.flags |= RECOVERY_EPOCH
    x.epoch_at = c.s.now_ms
    x.epoch_cwnd = x.w_est = c.r.cwnd
    if x.w_max < c.r.cwnd:
        x.w_max = c.r.cwnd
    missing = (x.w_max - c.r.cwnd) / mss
    x.cubic_k = <uint32_t>(1000 * cbrt(missing / C))


cdef double _window(const conn_t *c, const recovery_t *x, double ahead_s) noexcept nogil:
    """Equation 1: W_cubic(t), in segments."""
    cdef double t = (c.s.now_ms - x.epoch_at) / 1e3 + ahead_s - x.cubic_k / 1e3
    return C * t * t * t + x.w_max / <double>segment_size(c.r)


cdef double _friendly(const conn_t *c, recovery_t *x, uint32_t acked) noexcept nogil:
    """Section 4.3, equation 4: what Reno would have, in segments."""
    cdef double alpha = 1 if x.w_est >= x.prior_cwnd else ALPHA
    x.w_est += <uint32_t>(alpha * segment_size(c.r) * acked / c.r.cwnd)
    return x.w_est / <double>segment_size(c.r)


cdef void cubic_acknowledged(conn_t *c, recovery_t *x, uint32_t acked) noexcept nogil:
    cdef double mss = segment_size(c.r), cwnd = c.r.cwnd / mss, target, friendly
    if not x.flags & RECOVERY_EPOCH:
        _begin_epoch(c, x)
    friendly = _friendly(c, x, acked)
    if _window(c, x, 0) < friendly:
        if friendly > cwnd:
            c.r.cwnd = <uint32_t>(friendly * mss)
        return
    # Section 4.2: target, one round trip ahead, between cwnd and 1.5 cwnd.
    target = _window(c, x, c.r.srtt / 1e6)
    target = cwnd if target < cwnd else target
    target = 1.5 * cwnd if target > 1.5 * cwnd else target
    # Sections 4.4 and 4.5: (target - cwnd) / cwnd for each segment acknowledged.
    c.r.cwnd += <uint32_t>((target - cwnd) / cwnd * acked)


cdef uint32_t cubic_reduced(const conn_t *c, recovery_t *x, uint32_t flight) noexcept nogil:
    cdef uint32_t least = 2 * segment_size(c.r), reduced = <uint32_t>(BETA * flight)
    # Section 4.7, fast convergence: a flow that shrinks leaves room to others.
    x.w_max = <uint32_t>(c.r.cwnd * (1 + BETA) / 2) if c.r.cwnd < x.w_max else c.r.cwnd
    x.flags &= ~RECOVERY_EPOCH
    return reduced if reduced > least else least
