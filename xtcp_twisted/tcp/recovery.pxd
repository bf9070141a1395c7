"""Loss recovery: what an acknowledgement, or its absence, makes of the flight.

Fast retransmit and fast recovery with SACK (RFC 6675) and without (RFC 6582),
limited transmit (RFC 3042), proportional rate reduction (RFC 6937) and the
retransmission timeout (RFC 6298, RFC 5681) in one machine of three phases:

               lost                        all acknowledged up to `recover`
    OPEN ---------------> RECOVERY ------------------------------------> OPEN
      |                      |                                             ^
      +------- timeout ------+-------> LOSS -------------------------------+
                                            (or: it was all a mistake, undo.pyx)
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t
from xtcp_twisted.wire.segment cimport segment_t


# An acknowledgement that RFC 5961 accepts, after SND.UNA and the scoreboard took it in: marks losses,
# moves the congestion window and the timer.
cdef void recovery_acknowledged(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil
# The retransmission timer expired with data in flight (RFC 6298 section 5.4 to 5.6, without the timer).
cdef void recovery_timeout(conn_t *c) noexcept nogil
# RFC 6298 (5.5), (5.6): something is sent again since nothing answered; the timer's time is doubled, up to
# the maximum.
cdef void recovery_back_off(conn_t *c) noexcept nogil
# The reordering timer expired (RFC 8985 section 6.3).
cdef void recovery_reordering_over(conn_t *c) noexcept nogil
# What was sent into a closed window is sent again, since it has opened.
cdef void recovery_window_opened(conn_t *c) noexcept nogil
# `length` bytes of the queue left; `again`: they had been sent before.
cdef void recovery_sent(conn_t *c, uint32_t length, bint again) noexcept nogil
