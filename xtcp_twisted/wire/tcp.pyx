"""TCP headers and options (RFC 9293 section 3.1, RFC 7323 sections 2 and 3, RFC 2018 sections 2 and 3,
RFC 7413 section 4.1.1)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xtcp_twisted.wire.bytes cimport get16, get32, put16, put32
from xtcp_twisted.wire.checksum cimport checksum_add, checksum_fold
from xtcp_twisted.wire.ip cimport PROTOCOL_TCP, ip_header_length, parse_ip, write_ip
from xtcp_twisted.wire.segment cimport (
    HAS_FAST_OPEN,
    HAS_FAST_OPEN_EXPERIMENT,
    HAS_MSS,
    HAS_SACK,
    HAS_SACK_PERMITTED,
    HAS_SCALE,
    HAS_TIMESTAMPS,
    LEAST_COOKIE,
    MOST_COOKIE,
    PACKET_OK,
    PACKET_TCP_CHECKSUM,
    PACKET_TCP_HEADER,
    PACKET_TRUNCATED,
    is_mapped,
    segment_t,
)

cdef enum:
    OPTION_END = 0
    OPTION_NOP = 1
    OPTION_MSS = 2
    OPTION_SCALE = 3
    OPTION_SACK_PERMITTED = 4
    OPTION_SACK = 5
    OPTION_TIMESTAMPS = 8
    OPTION_FAST_OPEN = 34
    OPTION_EXPERIMENT = 254
    FAST_OPEN_EXPERIMENT = 0xF989  # which of the experiments that share kind 254 (RFC 6994)
    MAX_SCALE = 14


cdef uint64_t _pseudo_sum(const segment_t *fields, uint32_t tcp_length) noexcept nogil:
    """The pseudo header; of IPv4, only the 4 bytes of each address (RFC 9293 section 3.1)."""
    cdef uint64_t total = PROTOCOL_TCP + tcp_length
    if is_mapped(fields.remote):
        total += <uint64_t>get16(fields.remote + 12) + get16(fields.remote + 14)
        return total + get16(fields.local + 12) + get16(fields.local + 14)
    total = checksum_add(fields.remote, 16, total)
    return checksum_add(fields.local, 16, total)


cdef void _parse_cookie(const uint8_t *cookie, int size, uint8_t has, segment_t *out) noexcept nogil:
    """RFC 7413 section 4.1.1: nothing, or an even number of bytes from 4 to 16; anything else is ignored."""
    if size and (size < LEAST_COOKIE or size > MOST_COOKIE or size & 1):
        return
    out.has = out.has & ~HAS_FAST_OPEN_EXPERIMENT | has
    out.cookie_length = <uint8_t>size
    memcpy(out.cookie, cookie, size)


cdef void _parse_option(const uint8_t *option, segment_t *out) noexcept nogil:
    """One option whose length lies within the header; a wrong length for its kind is ignored."""
    cdef int kind = option[0], size = option[1], i
    if kind == OPTION_MSS and size == 4:
        out.mss = get16(option + 2)
        out.has |= HAS_MSS
    elif kind == OPTION_SCALE and size == 3:
        # RFC 7323 section 2.3: a shift count over 14 is used as 14.
        out.scale = option[2] if option[2] <= MAX_SCALE else MAX_SCALE
        out.has |= HAS_SCALE
    elif kind == OPTION_SACK_PERMITTED and size == 2:
        out.has |= HAS_SACK_PERMITTED
    elif kind == OPTION_TIMESTAMPS and size == 10:
        out.ts_val = get32(option + 2)
        out.ts_ecr = get32(option + 6)
        out.has |= HAS_TIMESTAMPS
    elif kind == OPTION_SACK and size % 8 == 2 and size > 2:
        out.sacks = <uint8_t>(size // 8)
        for i in range(2 * out.sacks):
            out.sack[i] = get32(option + 2 + 4 * i)
        out.has |= HAS_SACK
    elif kind == OPTION_FAST_OPEN:
        _parse_cookie(option + 2, size - 2, HAS_FAST_OPEN, out)
    elif kind == OPTION_EXPERIMENT and size >= 4 and get16(option + 2) == FAST_OPEN_EXPERIMENT:
        _parse_cookie(option + 4, size - 4, HAS_FAST_OPEN | HAS_FAST_OPEN_EXPERIMENT, out)


cdef void _parse_options(const uint8_t *option, int size, segment_t *out) noexcept nogil:
    """RFC 9293 MUST-5 to MUST-7: any segment, unknown kinds skipped, bad lengths harmless."""
    cdef int i = 0
    while i < size:
        if option[i] == OPTION_END:
            return
        if option[i] == OPTION_NOP:
            i += 1
            continue
        if i + 1 >= size or option[i + 1] < 2 or i + option[i + 1] > size:
            out.bad_options = 1
            return
        _parse_option(option + i, out)
        i += option[i + 1]


cdef int parse_packet(
    const uint8_t *data, uint32_t size, uint32_t vouched, bint looped, segment_t *out
) noexcept nogil:
    cdef const uint8_t *tcp
    cdef uint32_t header
    cdef int reason = parse_ip(data, size, looped, out)
    if reason:
        return reason
    if out.length < 20:
        return PACKET_TRUNCATED
    tcp = out.payload
    header = (tcp[12] >> 4) * 4
    if header < 20 or header > out.length:
        return PACKET_TCP_HEADER
    if vouched != VERIFIED and vouched != <uint32_t>(tcp - data) + TCP_CHECKSUM:
        if checksum_fold(checksum_add(tcp, out.length, _pseudo_sum(out, out.length))):
            return PACKET_TCP_CHECKSUM
    out.remote_port = get16(tcp)
    out.local_port = get16(tcp + 2)
    out.seq = get32(tcp + 4)
    out.ack = get32(tcp + 8)
    out.flags = tcp[13]
    out.window = get16(tcp + 14)
    out.urgent = get16(tcp + 18)
    out.has = 0
    out.bad_options = 0
    out.merged = 1
    if header > 20:
        _parse_options(tcp + 20, header - 20, out)
    out.payload = tcp + header
    out.length -= header
    return PACKET_OK


cdef int _cookie_header(const segment_t *fields) noexcept nogil:
    """Bytes of the option in front of the cookie."""
    return 4 if fields.has & HAS_FAST_OPEN_EXPERIMENT else 2


cdef int _options_length(const segment_t *fields) noexcept nogil:
    cdef int has = fields.has, size = 0
    if has & HAS_MSS:
        size += 4
        if has & HAS_FAST_OPEN:
            size += (_cookie_header(fields) + fields.cookie_length + 3) & ~3
    if has & HAS_SCALE:
        size += 4
    if has & HAS_TIMESTAMPS:
        size += 12
    elif has & HAS_SACK_PERMITTED:
        size += 4
    if has & HAS_SACK:
        size += 4 + 8 * fields.sacks
    return size


cdef int headers_length(const segment_t *fields) noexcept nogil:
    return ip_header_length(fields.remote) + 20 + _options_length(fields)


cdef uint8_t *_write_pair(uint8_t *option, const segment_t *fields) noexcept nogil:
    """Timestamps and SACK-permitted: together they fill three words without padding."""
    option[0] = option[1] = OPTION_NOP
    if fields.has & HAS_SACK_PERMITTED:
        option[0] = OPTION_SACK_PERMITTED
        option[1] = 2
        if not fields.has & HAS_TIMESTAMPS:
            option[2] = option[3] = OPTION_NOP
            return option + 4
    option[2] = OPTION_TIMESTAMPS
    option[3] = 10
    put32(option + 4, fields.ts_val)
    put32(option + 8, fields.ts_ecr)
    return option + 12


cdef uint8_t *_write_cookie(uint8_t *option, const segment_t *fields) noexcept nogil:
    cdef int header = _cookie_header(fields), _
    for _ in range(-(header + fields.cookie_length) & 3):
        option[0] = OPTION_NOP
        option += 1
    option[0] = OPTION_FAST_OPEN
    if header == 4:
        option[0] = OPTION_EXPERIMENT
        put16(option + 2, FAST_OPEN_EXPERIMENT)
    option[1] = <uint8_t>(header + fields.cookie_length)
    memcpy(option + header, fields.cookie, fields.cookie_length)
    return option + header + fields.cookie_length


cdef void _write_options(uint8_t *option, const segment_t *fields) noexcept nogil:
    """Each option is led by NOPs to a multiple of four, so there is no padding (MUST-69)."""
    cdef int i
    if fields.has & HAS_MSS:
        option[0] = OPTION_MSS
        option[1] = 4
        put16(option + 2, fields.mss)
        option += 4
        if fields.has & HAS_FAST_OPEN:
            option = _write_cookie(option, fields)
    if fields.has & (HAS_TIMESTAMPS | HAS_SACK_PERMITTED):
        option = _write_pair(option, fields)
    if fields.has & HAS_SCALE:
        option[0] = OPTION_NOP
        option[1] = OPTION_SCALE
        option[2] = 3
        option[3] = fields.scale
        option += 4
    if fields.has & HAS_SACK:
        option[0] = option[1] = OPTION_NOP
        option[2] = OPTION_SACK
        option[3] = <uint8_t>(2 + 8 * fields.sacks)
        for i in range(2 * fields.sacks):
            put32(option + 4 + 4 * i, fields.sack[i])


cdef uint32_t _write_fields(uint8_t *data, const segment_t *fields, uint32_t header) noexcept nogil:
    """All but the checksum; returns the length of the IP header."""
    cdef int ip = write_ip(data, fields, PROTOCOL_TCP, header + fields.length, fields.tos, fields.ttl)
    cdef uint8_t *tcp = data + ip
    put16(tcp, fields.local_port)
    put16(tcp + 2, fields.remote_port)
    put32(tcp + 4, fields.seq)
    put32(tcp + 8, fields.ack)
    tcp[12] = <uint8_t>(header << 2)
    tcp[13] = fields.flags
    put16(tcp + 14, fields.window)
    put16(tcp + TCP_CHECKSUM, 0)
    put16(tcp + 18, fields.urgent)
    _write_options(tcp + 20, fields)
    return ip


cdef uint32_t write_headers(uint8_t *data, const segment_t *fields) noexcept nogil:
    cdef uint32_t header = 20 + _options_length(fields), ip = _write_fields(data, fields, header)
    cdef uint32_t length = header + fields.length
    put16(
        data + ip + TCP_CHECKSUM,
        checksum_fold(checksum_add(data + ip, length, _pseudo_sum(fields, length))),
    )
    return ip + length


cdef uint32_t write_headers_partial(uint8_t *data, const segment_t *fields) noexcept nogil:
    cdef uint32_t header = 20 + _options_length(fields), ip = _write_fields(data, fields, header)
    # Not inverted: whoever completes it adds it to the rest.
    put16(data + ip + TCP_CHECKSUM, ~checksum_fold(_pseudo_sum(fields, header + fields.length)))
    return ip + header + fields.length
