"""The state machine of RFC 9293 (section 3.3.2, Figure 5), as data.

`TRANSITIONS` is the table; the compiled engine looks every change up in a copy
of it, and a change that is not in it is counted (and aborts the debug build).
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport abort

from xtcp_twisted.tcp.counters cimport C_INVALID_TRANSITIONS
from xtcp_twisted.tcp.layout cimport XTCP_DEBUG

NAMES = (
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RECEIVED",
    "ESTABLISHED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "CLOSE_WAIT",
    "CLOSING",
    "LAST_ACK",
    "TIME_WAIT",
)

#: From each state, what may follow and why.  CLOSED may follow every other state (reset, abort, timeout).
#: To listen is a matter of groups: a connection begins with the request that one of them takes.
TRANSITIONS = {
    "CLOSED": {"SYN_SENT": "connect, snd SYN"},
    "LISTEN": {"SYN_RECEIVED": "rcv SYN and accept, snd SYN,ACK"},
    "SYN_SENT": {
        "ESTABLISHED": "rcv SYN,ACK, snd ACK",
        "SYN_RECEIVED": "rcv SYN, snd SYN,ACK",
    },
    "SYN_RECEIVED": {
        "ESTABLISHED": "rcv ACK of SYN",
        "FIN_WAIT_1": "close, snd FIN",
    },
    "ESTABLISHED": {
        "FIN_WAIT_1": "close, snd FIN",
        "CLOSE_WAIT": "rcv FIN",
    },
    "FIN_WAIT_1": {
        "FIN_WAIT_2": "rcv ACK of FIN",
        "CLOSING": "rcv FIN",
        "TIME_WAIT": "rcv FIN and ACK of FIN",
    },
    "FIN_WAIT_2": {"TIME_WAIT": "rcv FIN"},
    "CLOSE_WAIT": {"LAST_ACK": "close, snd FIN"},
    "CLOSING": {"TIME_WAIT": "rcv ACK of FIN"},
    "LAST_ACK": {"CLOSED": "rcv ACK of FIN"},
    "TIME_WAIT": {"CLOSED": "2 MSL over"},
}

cdef uint16_t _allowed[11]


cdef int _load() except -1:
    """The table as bit masks, for the compiled check."""
    cdef int i
    for i in range(STATES):
        _allowed[i] = 0 if i == CLOSED else 1 << CLOSED
        for name in TRANSITIONS.get(NAMES[i], ()):
            _allowed[i] |= <uint16_t>(1 << NAMES.index(name))
    return 0


_load()


cdef void set_state(stack_t *s, record_t *r, uint8_t state) noexcept nogil:
    if not _allowed[r.state] >> state & 1:
        s.counters[C_INVALID_TRANSITIONS] += 1
        if XTCP_DEBUG:
            abort()
    s.transitions[r.state * STATES + state] += 1
    s.state_counts[r.state] -= 1
    s.state_counts[state] += 1
    r.state = state
