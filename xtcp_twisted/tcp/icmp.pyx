"""ICMP for a TCP host (RFC 792, RFC 4443, RFC 1122 section 3.2.2), and what RFC 5927 says of attacks by it.

Anybody can send an error that quotes a guessed 4-tuple.  So it only counts when
the quoted sequence number is in flight; and even then nothing ends an established
connection: what RFC 9293 section 3.9.2.2 calls hard errors is soft there (RFC 5461
section 4.1), told to the application as SOFT_ERROR with its errno.  A request that
we answered and whose client cannot be reached is forgotten.  Source quench is
ignored (RFC 6633), redirects too: there is one way out.

What we send, echo replies and errors, shares one ration, is never an answer to an
error, and goes to unicast addresses only: martians, broadcast, multicast and
fragments do not come this far (wire/ip.pyx).  Finished packets wait in the tray,
for what they quote is gone when the flush comes.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from xtcp_twisted.memory.index cimport VACANT
from xtcp_twisted.tcp.bucket cimport bucket_take
from xtcp_twisted.tcp.close cimport conn_fail
from xtcp_twisted.tcp.connection cimport (
    EVENT_DOWN,
    conn_arm,
    conn_load,
    conn_settle,
    conn_soft_error,
    conn_t,
)
from xtcp_twisted.tcp.counters cimport (
    C_ICMP6_IN_MSGS,
    C_ICMP_DROPS,
    C_ICMP_IN_CSUM_ERRORS,
    C_ICMP_IN_ECHOS,
    C_ICMP_IN_ERRORS,
    C_ICMP_IN_MSGS,
    C_ICMP_IN_PROBLEMS,
    C_ICMP_IN_TIME_EXCEEDED,
    C_ICMP_IN_TOO_BIG,
    C_ICMP_IN_UNREACHABLE,
    C_ICMP_LIMITED,
    C_ICMP_OUT_ECHO_REPLIES,
    C_ICMP_OUT_MSGS,
    C_ICMP_OUT_PROBLEMS,
    C_ICMP_OUT_UNREACHABLE,
    C_OUT_OF_WINDOW_ICMPS,
    C_SOFT_ERRORS,
)
from xtcp_twisted.tcp.fastopen cimport fast_open_refused
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_SYN,
    REFERENCE_HALF_OPEN,
    REFERENCE_RECORD,
    REFERENCE_ROW,
    REFERENCE_SHIFT,
)
from xtcp_twisted.tcp.layout cimport TRAY_BYTES, half_open_at
from xtcp_twisted.tcp.halfopen cimport half_open_unreachable
from xtcp_twisted.tcp.output cimport out_add, out_full
from xtcp_twisted.tcp.pathmtu cimport pathmtu_too_big
from xtcp_twisted.tcp.tuples cimport tuple_find, tuple_tag
from xtcp_twisted.wire.icmp cimport (
    ECHO,
    ECHO_6,
    ECHO_REPLY,
    ECHO_REPLY_6,
    ICMP_CHECKSUM,
    ICMP_HEADER,
    ICMP_OK,
    PARAMETER_PROBLEM,
    PARAMETER_PROBLEM_6,
    PROBLEM_FIELD_6,
    PROBLEM_NEXT_HEADER_6,
    PROBLEM_OPTION_6,
    TIME_EXCEEDED,
    TIME_EXCEEDED_6,
    TOO_BIG_6,
    UNREACHABLE,
    UNREACHABLE_6,
    UNREACHABLE_HOST_PROHIBITED,
    UNREACHABLE_NET_PROHIBITED,
    UNREACHABLE_PORT,
    UNREACHABLE_PORT_6,
    UNREACHABLE_PROHIBITED,
    UNREACHABLE_PROHIBITED_6,
    UNREACHABLE_PROTOCOL,
    UNREACHABLE_ROUTE,
    UNREACHABLE_TOO_BIG,
    icmp_t,
    parse_icmp,
    parse_quote,
    write_icmp,
)
from xtcp_twisted.wire.segment cimport PACKET_NOT_TCP, PACKET_OPTION, is_mapped
from xtcp_twisted.wire.sequence cimport seq_ge, seq_lt

cdef enum:
    LENGTH_BYTES = 4           # before each packet in the tray
    # RFC 1812 section 4.3.2.3 and RFC 4443 section 2.4 (c): the most that an error may have.
    ERROR_BYTES = 576
    ERROR_BYTES_6 = 1280

    # What a message asks of us
    NOTHING = 0
    ANSWER = 1
    REPORT = 2                 # a soft error
    GIVE_UP = 3                # a hard error: ends a handshake, else as a soft one
    SHRINK = 4

    EPROTO = 71
    ENOPROTOOPT = 92
    EOPNOTSUPP = 95
    ENETUNREACH = 101
    ECONNREFUSED = 111
    EHOSTUNREACH = 113
    EACCES = 13

cdef struct verdict_t:
    int what
    int counter                # C_ICMP_*, or -1
    uint8_t error              # errno
    uint32_t mtu


cdef int _family(const segment_t *ip) noexcept nogil:
    """What to add to a counter of ICMPv4 to have that of the packet's version."""
    return 0 if is_mapped(ip.remote) else C_ICMP6_IN_MSGS - C_ICMP_IN_MSGS


# --- Out ---------------------------------------------------------------------

cdef bint _put(stack_t *s, const segment_t *ip, const icmp_t *message, int counter) noexcept nogil:
    """Queues a message from `ip`'s local to its remote address, if the ration and the tray allow."""
    cdef uint32_t length = 40 + ICMP_HEADER + message.length
    if not bucket_take(&s.icmp_answers, s.now_us):
        s.counters[C_ICMP_LIMITED] += 1
        return False
    if s.tray_used + LENGTH_BYTES + length > TRAY_BYTES:
        s.counters[C_ICMP_DROPS] += 1
        return False
    length = write_icmp(s.tray + s.tray_used + LENGTH_BYTES, ip, message)
    memcpy(s.tray + s.tray_used, &length, LENGTH_BYTES)
    s.tray_used += LENGTH_BYTES + length
    s.counters[C_ICMP_OUT_MSGS + _family(ip)] += 1
    s.counters[counter + _family(ip)] += 1
    return True


cdef bint icmp_output(stack_t *s, out_t *out) noexcept nogil:
    cdef uint32_t length
    while s.tray_at < s.tray_used:
        if out_full(out):
            return False
        memcpy(&length, s.tray + s.tray_at, LENGTH_BYTES)
        memcpy(out.frames[out.count].data, s.tray + s.tray_at + LENGTH_BYTES, length)
        out.frames[out.count].length = length
        out_add(out)
        s.tray_at += LENGTH_BYTES + length
    s.tray_at = s.tray_used = 0
    return True


cdef void icmp_refuse(stack_t *s, const segment_t *ip, int reason) noexcept nogil:
    cdef icmp_t message
    cdef uint32_t most
    if ip.problem == 0:
        return
    message.rest = 0
    message.data = ip.payload
    message.length = ip.length
    if is_mapped(ip.remote):
        message.type = UNREACHABLE
        message.code = UNREACHABLE_PROTOCOL
        most = ERROR_BYTES - 20 - ICMP_HEADER
    else:
        message.type = PARAMETER_PROBLEM_6
        message.code = PROBLEM_FIELD_6
        if reason == PACKET_NOT_TCP:
            message.code = PROBLEM_NEXT_HEADER_6
        elif reason == PACKET_OPTION:
            message.code = PROBLEM_OPTION_6
        message.rest = ip.problem
        most = ERROR_BYTES_6 - 40 - ICMP_HEADER
    if message.length > most:
        message.length = most
    _put(s, ip, &message, C_ICMP_OUT_UNREACHABLE if is_mapped(ip.remote) else C_ICMP_OUT_PROBLEMS)


# --- In ----------------------------------------------------------------------

cdef void _judge_unreachable(const icmp_t *message, verdict_t *v) noexcept nogil:
    """RFC 792 and RFC 1122 section 3.2.2.1, with the errnos of Linux."""
    v.what = REPORT
    v.counter = C_ICMP_IN_UNREACHABLE
    v.error = EHOSTUNREACH
    if message.code == 0:
        v.error = ENETUNREACH
    elif message.code == UNREACHABLE_PROTOCOL:
        v.what = GIVE_UP
        v.error = ENOPROTOOPT
    elif message.code == UNREACHABLE_PORT:
        v.what = GIVE_UP
        v.error = ECONNREFUSED
    elif message.code == UNREACHABLE_TOO_BIG:
        # RFC 1191 section 4: the MTU in the lower half, once unused.
        v.what = SHRINK
        v.mtu = message.rest & 0xFFFF
    elif message.code == UNREACHABLE_ROUTE:
        v.error = EOPNOTSUPP
    elif (
        message.code == UNREACHABLE_NET_PROHIBITED
        or message.code == UNREACHABLE_HOST_PROHIBITED
        or message.code == UNREACHABLE_PROHIBITED
    ):
        # RFC 9293 says it of ICMPv6 only, but means the same.
        v.what = GIVE_UP


cdef void _judge4(const icmp_t *message, verdict_t *v) noexcept nogil:
    if message.type == ECHO:
        v.what = ANSWER
        v.counter = C_ICMP_IN_ECHOS
    elif message.type == UNREACHABLE:
        _judge_unreachable(message, v)
    elif message.type == TIME_EXCEEDED:
        v.what = REPORT
        v.counter = C_ICMP_IN_TIME_EXCEEDED
        v.error = EHOSTUNREACH
    elif message.type == PARAMETER_PROBLEM:
        v.what = REPORT
        v.counter = C_ICMP_IN_PROBLEMS
        v.error = EPROTO


cdef void _judge6(const icmp_t *message, verdict_t *v) noexcept nogil:
    v.error = EHOSTUNREACH
    if message.type == ECHO_6:
        v.what = ANSWER
        v.counter = C_ICMP_IN_ECHOS
    elif message.type == UNREACHABLE_6:
        v.what = REPORT
        v.counter = C_ICMP_IN_UNREACHABLE
        if message.code == 0:
            v.error = ENETUNREACH
        elif message.code == UNREACHABLE_PROHIBITED_6:
            v.what = GIVE_UP
            v.error = EACCES
        elif message.code == UNREACHABLE_PORT_6:
            v.what = GIVE_UP
            v.error = ECONNREFUSED
    elif message.type == TOO_BIG_6:
        v.what = SHRINK
        v.counter = C_ICMP_IN_TOO_BIG
        v.mtu = message.rest
    elif message.type == TIME_EXCEEDED_6:
        v.what = REPORT
        v.counter = C_ICMP_IN_TIME_EXCEEDED
    elif message.type == PARAMETER_PROBLEM_6:
        v.what = REPORT
        v.counter = C_ICMP_IN_PROBLEMS
        v.error = EPROTO


cdef void _answer_echo(stack_t *s, const segment_t *ip, icmp_t *message) noexcept nogil:
    """The same identifier, number and data; what is larger than our MTU could not leave."""
    cdef uint32_t headers = 20 if is_mapped(ip.remote) else 40
    if headers + ip.length > s.limits.mtu:
        s.counters[C_ICMP_DROPS] += 1
        return
    message.type = ECHO_REPLY if is_mapped(ip.remote) else ECHO_REPLY_6
    message.code = 0
    _put(s, ip, message, C_ICMP_OUT_ECHO_REPLIES)


cdef void _of_our_syn(conn_t *c, const segment_t *quoted, const verdict_t *v) noexcept nogil:
    """Of an open connection's SYN, which lies below SND.UNA (connect.pyx); a hard error ends it (SHLD-26)."""
    if quoted.seq != c.r.snd_una - 1:
        c.s.counters[C_OUT_OF_WINDOW_ICMPS] += 1
    elif v.what == GIVE_UP:
        fast_open_refused(c)
        conn_fail(c, EVENT_DOWN, v.error)
    elif v.what == REPORT:
        c.s.counters[C_SOFT_ERRORS] += 1
        conn_soft_error(c, v.error)


cdef void _of_connection(
    stack_t *s, uint32_t slot, const segment_t *quoted, const verdict_t *v
) noexcept nogil:
    cdef conn_t c
    conn_load(&c, s, slot)
    if c.a != NULL and c.a.flags & ACTIVE_SYN:
        _of_our_syn(&c, quoted, v)
        return
    # RFC 5927 section 4.1: SND.UNA =< SEG.SEQ < SND.NXT
    if not (seq_ge(quoted.seq, c.r.snd_una) and seq_lt(quoted.seq, c.r.snd_nxt)):
        s.counters[C_OUT_OF_WINDOW_ICMPS] += 1
        return
    if v.what == SHRINK:
        pathmtu_too_big(&c, quoted.length, v.mtu)
    else:
        s.counters[C_SOFT_ERRORS] += 1
        conn_soft_error(&c, v.error)
    conn_arm(&c)
    conn_settle(&c)


cdef void _of_handshake(
    stack_t *s, uint32_t row, const segment_t *quoted, const verdict_t *v
) noexcept nogil:
    """Our SYN-ACK is all that can be quoted."""
    if half_open_at(s, row).tries == 0 or quoted.seq != half_open_at(s, row).iss:
        s.counters[C_OUT_OF_WINDOW_ICMPS] += 1
    elif v.what == GIVE_UP:
        half_open_unreachable(s, row)


cdef bint _take_error(
    stack_t *s, const segment_t *ip, const icmp_t *message, const verdict_t *v
) noexcept nogil:
    """Finds what the error is about; False: nothing that we have sent."""
    cdef segment_t quoted
    cdef uint32_t reference
    if parse_quote(message, not is_mapped(ip.remote), &quoted) != ICMP_OK:
        return False
    # What we sent is told to the address that we sent it from.
    if memcmp(quoted.local, ip.local, 16):
        return False
    reference = tuple_find(s, &quoted, tuple_tag(s, &quoted))
    if reference == VACANT:
        return False
    if reference >> REFERENCE_SHIFT == REFERENCE_RECORD:
        _of_connection(s, reference & REFERENCE_ROW, &quoted, v)
    elif reference >> REFERENCE_SHIFT == REFERENCE_HALF_OPEN:
        _of_handshake(s, reference & REFERENCE_ROW, &quoted, v)
    return True


cdef void icmp_arrives(stack_t *s, const segment_t *ip) noexcept nogil:
    cdef int family = _family(ip), reason
    cdef icmp_t message
    cdef verdict_t v
    s.counters[C_ICMP_IN_MSGS + family] += 1
    reason = parse_icmp(ip, &message)
    if reason:
        s.counters[C_ICMP_IN_ERRORS + family] += 1
        if reason == ICMP_CHECKSUM:
            s.counters[C_ICMP_IN_CSUM_ERRORS + family] += 1
        return
    v.what = NOTHING
    v.counter = -1
    v.mtu = 0
    if family:
        _judge6(&message, &v)
    else:
        _judge4(&message, &v)
    if v.counter >= 0:
        s.counters[v.counter + family] += 1
    if v.what == ANSWER:
        _answer_echo(s, ip, &message)
    elif v.what != NOTHING and not _take_error(s, ip, &message, &v):
        s.counters[C_ICMP_IN_ERRORS + family] += 1
