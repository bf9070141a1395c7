"""Demultiplexing (architecture section 4): parse all, hash all, prefetch, then process in order."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from xtcp_twisted.memory.index cimport VACANT, index_prefetch
from xtcp_twisted.tcp.connect cimport connect_segment
from xtcp_twisted.tcp.connection cimport conn_load, conn_t
from xtcp_twisted.tcp.counters cimport (
    C_BAD_OPTIONS,
    C_IN_CSUM_ERRORS,
    C_IN_ERRS,
    C_IN_NO_ECT_PKTS,
    C_IN_SEGS,
    C_IP_IN_ADDR_ERRORS,
    C_IP_IN_HDR_ERRORS,
    C_IP_IN_TRUNCATED,
    C_IP_IN_UNKNOWN_PROTOS,
    C_IP_REASM_REQUESTS,
)
from xtcp_twisted.tcp.icmp cimport icmp_arrives, icmp_refuse
from xtcp_twisted.tcp.input cimport segment_arrives
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_SYN,
    REFERENCE_HALF_OPEN,
    REFERENCE_RECORD,
    REFERENCE_ROW,
    REFERENCE_SHIFT,
)
from xtcp_twisted.tcp.layout cimport active_t, extent_t, record_t
from xtcp_twisted.tcp.listen cimport half_open_segment, listen_reopen, listen_segment
from xtcp_twisted.tcp.offload cimport offload_merged, offload_vouched
from xtcp_twisted.tcp.timewait cimport time_wait_segment
from xtcp_twisted.tcp.tuples cimport (
    tuple_find,
    tuple_prefetch,
    tuple_prefetch_active,
    tuple_prefetch_payload,
    tuple_prefetch_sent,
    tuple_tag,
)
from xtcp_twisted.wire.segment cimport (
    CE,
    PACKET_ADDRESS,
    PACKET_FRAGMENT,
    PACKET_ICMP,
    PACKET_NOT_TCP,
    PACKET_OK,
    PACKET_TCP_CHECKSUM,
    PACKET_TCP_HEADER,
    PACKET_TRUNCATED,
    segment_t,
)
from xtcp_twisted.wire.tcp cimport parse_packet

cdef enum:
    # Packets that are taken in side by side: enough for what is asked for to come meanwhile, and so few that
    # a segment that was summed is still in the first cache when it is copied.
    AT_ONCE = 16


cdef bint is_own(const addresses_t *own, const uint8_t *address) noexcept nogil:
    cdef int i, whole, rest
    cdef const prefix_t *prefix
    for i in range(own.count):
        prefix = &own.prefixes[i]
        whole = prefix.bits // 8
        rest = prefix.bits % 8
        if memcmp(prefix.address, address, whole):
            continue
        if rest == 0 or (prefix.address[whole] ^ address[whole]) >> (8 - rest) == 0:
            return True
    return False


cdef void _count_refusal(stack_t *s, int reason) noexcept nogil:
    if reason == PACKET_TCP_CHECKSUM:
        s.counters[C_IN_CSUM_ERRORS] += 1
        s.counters[C_IN_SEGS] += 1
        s.counters[C_IN_ERRS] += 1
    elif reason == PACKET_TCP_HEADER:
        s.counters[C_IN_SEGS] += 1
        s.counters[C_IN_ERRS] += 1
    elif reason == PACKET_NOT_TCP:
        s.counters[C_IP_IN_UNKNOWN_PROTOS] += 1
    elif reason == PACKET_FRAGMENT:
        s.counters[C_IP_REASM_REQUESTS] += 1
    elif reason == PACKET_ADDRESS:
        s.counters[C_IP_IN_ADDR_ERRORS] += 1
    elif reason == PACKET_TRUNCATED:
        s.counters[C_IP_IN_TRUNCATED] += 1
    else:
        # PACKET_VERSION, PACKET_IP_HEADER, PACKET_IP_CHECKSUM, PACKET_ROUTE, PACKET_OPTION
        s.counters[C_IP_IN_HDR_ERRORS] += 1


cdef void _no_segment(stack_t *s, const addresses_t *own, const segment_t *ip, int reason) noexcept nogil:
    """A message of ICMP, or a packet that is refused: its sender may have to be told."""
    if reason != PACKET_ICMP:
        _count_refusal(s, reason)
        if ip.problem == 0:
            return
    if not is_own(own, ip.local) or is_own(own, ip.remote):
        s.counters[C_IP_IN_ADDR_ERRORS] += 1
    elif reason == PACKET_ICMP:
        icmp_arrives(s, ip)
    else:
        icmp_refuse(s, ip, reason)


cdef void _dispatch(
    stack_t *s, const addresses_t *own, segment_t *seg, uint32_t tag, bint looped
) noexcept nogil:
    cdef uint32_t reference = tuple_find(s, seg, tag), row = reference & REFERENCE_ROW
    cdef uint32_t kind = reference >> REFERENCE_SHIFT
    cdef conn_t c
    s.counters[C_IN_SEGS] += seg.merged
    s.counters[C_IN_NO_ECT_PKTS + (seg.tos & CE)] += seg.merged
    if seg.bad_options:
        s.counters[C_BAD_OPTIONS] += 1
    # From outside, one of our own addresses is a forged source (attacks: LAND).  Only who connected to
    # itself has connections that such a packet can be meant for.
    if own.self_connected and not looped and is_own(own, seg.remote):
        s.counters[C_IP_IN_ADDR_ERRORS] += 1
        return
    if reference == VACANT:
        if not is_own(own, seg.local) or not looped and is_own(own, seg.remote):
            s.counters[C_IP_IN_ADDR_ERRORS] += 1
            return
        if listen_segment(s, seg, tag, &c):
            segment_arrives(&c, seg)
    elif kind == REFERENCE_RECORD:
        conn_load(&c, s, row)
        if c.a != NULL and c.a.flags & ACTIVE_SYN:
            connect_segment(&c, seg)
        else:
            segment_arrives(&c, seg)
    elif kind == REFERENCE_HALF_OPEN:
        if half_open_segment(s, row, seg, tag, &c):
            segment_arrives(&c, seg)
    elif time_wait_segment(s, row, seg):
        listen_reopen(s, row, seg, tag)


cdef void _fetch_ahead(const stack_t *s, const int *reasons, const uint32_t *tags, int count) noexcept nogil:
    """Asks the processor for what these segments will meet; each stage looks at what the last one fetched."""
    cdef const record_t *records[AT_ONCE]
    cdef const active_t *actives[AT_ONCE]
    cdef const extent_t *sent[AT_ONCE]
    cdef int i
    for i in range(count):
        records[i] = tuple_prefetch(s, tags[i]) if reasons[i] == PACKET_OK else NULL
    for i in range(count):
        actives[i] = tuple_prefetch_active(s, records[i]) if records[i] != NULL else NULL
    for i in range(count):
        sent[i] = tuple_prefetch_sent(s, actives[i]) if actives[i] != NULL else NULL
    for i in range(count):
        if sent[i] != NULL:
            tuple_prefetch_payload(s, sent[i])


cdef void _take_some(
    stack_t *s, const addresses_t *own, frame_t *frames, int count, bint looped
) noexcept nogil:
    """At most AT_ONCE frames, side by side."""
    cdef segment_t segments[AT_ONCE]
    cdef uint32_t tags[AT_ONCE]
    cdef int reasons[AT_ONCE]
    cdef int i
    for i in range(count):
        reasons[i] = parse_packet(
            frames[i].data, frames[i].length, offload_vouched(&frames[i]), looped, &segments[i]
        )
        if reasons[i] == PACKET_OK:
            segments[i].merged = offload_merged(&frames[i], &segments[i])
            tags[i] = tuple_tag(s, &segments[i])
            index_prefetch(&s.index, tags[i])
    _fetch_ahead(s, reasons, tags, count)
    for i in range(count):
        if reasons[i] == PACKET_OK:
            _dispatch(s, own, &segments[i], tags[i], looped)
        else:
            _no_segment(s, own, &segments[i], reasons[i])


cdef void take_in(
    stack_t *s, const addresses_t *own, frame_t *frames, int count, bint looped
) noexcept nogil:
    cdef int some
    while count > 0:
        some = min(count, <int>AT_ONCE)
        _take_some(s, own, frames, some, looped)
        frames += some
        count -= some
