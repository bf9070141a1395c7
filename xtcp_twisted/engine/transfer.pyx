"""Moving bytes between the application and the buffers: delivery, answers, broadcasts (P13, P15, P19)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.close cimport conn_abort, conn_report_closed
from xtcp_twisted.tcp.connection cimport (
    EVENT_STALLED,
    conn_lease,
    conn_queue_output,
    conn_ready_last,
    conn_report,
    conn_settle,
    conn_update_ready,
)
from xtcp_twisted.tcp.counters cimport C_STALLED
from xtcp_twisted.tcp.flags cimport (
    RECORD_ENDED,
    RECORD_EOF_TAKEN,
    RECORD_FIN_QUEUED,
    RECORD_FIN_RECEIVED,
    RECORD_PROMISED,
    RECORD_SHORT,
    RECORD_UNANSWERED,
)
from xtcp_twisted.tcp.receive cimport receive_copy
from xtcp_twisted.tcp.transmit cimport (
    payload_drop,
    payload_store,
    transmit_paused,
    transmit_queue,
    transmit_room,
)
from xtcp_twisted.tcp.urgent cimport urgent_read
from xtcp_twisted.wire.sequence cimport seq_max


cdef bytes take_data(conn_t *c, uint32_t most):
    cdef uint32_t available = c.r.rcv_nxt - conn_lease(c).read_nxt
    cdef bytes data
    if c.r.flags & RECORD_FIN_RECEIVED:
        available -= 1
        if available == 0:
            c.r.flags |= RECORD_EOF_TAKEN
            urgent_read(c)
            conn_update_ready(c)
            conn_report_closed(c)
            conn_settle(c)
            return b""
    if available > most:
        available = most
    data = PyBytes_FromStringAndSize(NULL, available)
    receive_copy(c, c.a.read_nxt - c.r.rcv_ackd, <uint8_t *>PyBytes_AS_STRING(data), available)
    c.a.read_nxt += available
    c.a.delivered = seq_max(c.a.delivered, c.a.read_nxt)
    c.a.need = 0
    c.r.flags |= RECORD_UNANSWERED
    urgent_read(c)
    conn_update_ready(c)
    # If there is more than was asked for, the others come first.
    conn_ready_last(c)
    return data


cdef uint32_t answer_queue(conn_t *c, bytes data) except? 4294967295:
    cdef uint32_t length = <uint32_t>len(data), done = 0, stored = 0, payload
    cdef uint32_t room = transmit_room(c) if not c.r.flags & RECORD_PROMISED else 0
    cdef const uint8_t *bytes_ = <const uint8_t *>data
    if length < room:
        room = length
    while done < room:
        payload = payload_store(c.s, bytes_ + done, room - done, &stored)
        if stored == 0:
            break
        if transmit_queue(c, payload, stored):
            payload_drop(c.s, payload)
            break
        payload_drop(c.s, payload)
        done += stored
    if done < length:
        c.r.flags |= RECORD_SHORT
    if done:
        c.r.flags &= ~<uint32_t>RECORD_UNANSWERED
        conn_queue_output(c)
    return done


cdef list payloads_store(stack_t *s, bytes data):
    cdef uint32_t done = 0, taken = 0, payload
    cdef list payloads = []
    if transmit_paused(s):
        return payloads
    while done < len(data):
        payload = payload_store(s, <const uint8_t *>data + done, <uint32_t>len(data) - done, &taken)
        if taken:
            payloads.append((payload, taken))
        done += taken
        if taken == 0:
            payloads_drop(s, payloads)
            return []
    return payloads


cdef int payloads_drop(stack_t *s, list payloads) except -1:
    for payload, _ in payloads:
        payload_drop(s, payload)
    return 0


cdef bint payloads_share(conn_t *c, list payloads, uint32_t length) except? 0:
    if c.r.flags & (RECORD_FIN_QUEUED | RECORD_ENDED):
        return False
    if not payloads or c.r.flags & RECORD_PROMISED or transmit_room(c) < length:
        c.r.flags |= RECORD_SHORT
        c.s.counters[C_STALLED] += 1
        conn_report(c, EVENT_STALLED)
        return False
    for payload, taken in payloads:
        if transmit_queue(c, payload, taken):
            # No extent left: what was queued of it must not go out alone.
            conn_abort(c)
            return False
    conn_queue_output(c)
    return True
