"""The states of RFC 9293 section 3.3.2, and the one place where a connection changes its state."""

from libc.stdint cimport uint8_t

from xtcp_twisted.tcp.layout cimport record_t, stack_t

cdef enum:
    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    ESTABLISHED = 4
    FIN_WAIT_1 = 5
    FIN_WAIT_2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10
    STATES = 11

cdef void set_state(stack_t *s, record_t *r, uint8_t state) noexcept nogil
