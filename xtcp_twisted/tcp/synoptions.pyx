"""What two SYNs agree on: segment size, window scale, timestamps, SACK, and ECN, which is no option.

RFC 9293 section 3.7.1 and MUST-14 to -16 for the size, RFC 7323 sections 2.2 and
3.2 and RFC 2018 section 2 for the others: an option is in use when both SYNs carry it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.tcp.ecn cimport ecn_agrees
from xtcp_twisted.tcp.groups cimport GROUP_SACK, GROUP_SCALING, GROUP_TIMESTAMPS
from xtcp_twisted.tcp.flags cimport HALF_ECN
from xtcp_twisted.wire.segment cimport HAS_MSS, HAS_SACK_PERMITTED, HAS_SCALE, HAS_TIMESTAMPS, is_mapped

cdef uint32_t DEFAULT_MSS_V4 = config.DEFAULT_MSS_V4
cdef uint32_t DEFAULT_MSS_V6 = config.DEFAULT_MSS_V6
cdef uint32_t MIN_SEND_MSS = config.MIN_SEND_MSS

cdef enum:
    SYN_OPTIONS = HAS_SCALE | HAS_TIMESTAMPS | HAS_SACK_PERMITTED


cdef uint32_t own_mss(const stack_t *s, const group_row_t *g, const uint8_t *remote) noexcept nogil:
    """MTU less the fixed headers (RFC 9293 MUST-67), at most what the group allows."""
    cdef uint32_t mss = s.limits.mtu - (40 if is_mapped(remote) else 60)
    return g.mss if g.mss and g.mss < mss else mss


cdef uint16_t _send_mss(const stack_t *s, const group_row_t *g, const segment_t *seg) noexcept nogil:
    """RFC 9293 section 3.7.1: the peer's option or its default, our own limit, and a floor."""
    cdef uint32_t own = own_mss(s, g, seg.remote)
    cdef uint32_t mss = DEFAULT_MSS_V4 if is_mapped(seg.remote) else DEFAULT_MSS_V6
    if seg.has & HAS_MSS:
        mss = seg.mss
    if mss > own:
        mss = own
    return <uint16_t>(mss if mss > MIN_SEND_MSS else MIN_SEND_MSS)


cdef void syn_options_clamp(const stack_t *s, const group_row_t *g, half_open_t *h) noexcept nogil:
    cdef uint32_t own = own_mss(s, g, h.remote)
    if h.mss > own:
        h.mss = <uint16_t>own


cdef uint8_t syn_options_offer(const group_row_t *g) noexcept nogil:
    return <uint8_t>(
        HAS_MSS
        | (HAS_SCALE if g.flags & GROUP_SCALING else 0)
        | (HAS_TIMESTAMPS if g.flags & GROUP_TIMESTAMPS else 0)
        | (HAS_SACK_PERMITTED if g.flags & GROUP_SACK else 0)
    )


cdef void syn_options_agree(
    const stack_t *s, const group_row_t *g, half_open_t *h, const segment_t *seg
) noexcept nogil:
    h.irs = seg.seq
    h.mss = _send_mss(s, g, seg)
    h.has = seg.has & SYN_OPTIONS
    if not g.flags & GROUP_SCALING:
        h.has &= ~HAS_SCALE
    if not g.flags & GROUP_TIMESTAMPS:
        h.has &= ~HAS_TIMESTAMPS
    if not g.flags & GROUP_SACK:
        h.has &= ~HAS_SACK_PERMITTED
    h.scale = seg.scale if h.has & HAS_SCALE else 0
    h.ts_recent = seg.ts_val if h.has & HAS_TIMESTAMPS else 0
    h.flags &= ~HALF_ECN
    if ecn_agrees(g, seg):
        h.flags |= HALF_ECN
