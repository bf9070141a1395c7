"""The rows of groups and pools: what the connections of one port, and of one buffer, share."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from xtcp_twisted.memory.links cimport link_t, list_t
from xtcp_twisted.memory.slab cimport slab_t
from xtcp_twisted.tcp.pressure cimport pressure_t
from xtcp_twisted.wire.segment cimport is_mapped

cdef enum:
    MAX_GROUPS = 65_535
    MAX_POOLS = 4_096
    PRIORITIES = 3

    # group_row_t.flags
    GROUP_OPEN = 1
    GROUP_LISTENING = 2
    GROUP_SIGNALLED = 4        # its eventfd is readable
    GROUP_SWEEP = 8            # closing: its connections are being ended
    GROUP_SWEEP_ABORT = 16
    GROUP_SILENT = 32          # refuses without RST
    GROUP_ANY_ADDRESS = 64
    GROUP_V4 = 128
    GROUP_V6 = 256
    GROUP_SCALING = 512
    GROUP_TIMESTAMPS = 1024
    GROUP_SACK = 2048
    GROUP_CUBIC = 4096
    GROUP_NAGLE = 8192         # new connections: nagle.pxd
    GROUP_KEEPALIVE = 16_384   # new connections: RECORD_KEEPALIVE
    GROUP_ECN = 32_768         # agrees to ECN when the peer asks for it
    GROUP_ECN_ASKS = 65_536    # asks for it in its own SYNs, too
    GROUP_SHARE = 131_072      # others may listen on its port, too (sharing.pxd)
    GROUP_COOKIES = 1_048_576  # its requests may be answered by SYN cookies
    GROUP_ATTENTION = 4_194_304  # its eventfd is readable for a reason outside of the engine

    POLICY_BOUNDED = 0
    POLICY_APPLICATION = 1
    POLICY_IMMEDIATE = 2

    # group_row_t.counters, in the order of GROUP_NAMES in counters.pyx
    G_ACCEPTED = 0
    G_REFUSED = 1
    G_IN_BYTES = 2
    G_OUT_BYTES = 3
    G_IN_SEGMENTS = 4
    G_OUT_SEGMENTS = 5
    G_PIGGYBACKED = 6
    G_PURE_ACKS = 7
    G_RESENDS = 8
    G_ENDED = 9
    G_DATA_IN = 10
    G_DATA_OUT = 11
    G_THROTTLED = 12           # the first of those that its pool has, too
    GROUP_COUNTERS = 18

    # pool_row_t.counters: what its pressure has done, in the order of THROTTLE_NAMES in counters.pyx
    T_ACKS_WITHHELD = 0
    T_SYN_DROPS = 1
    T_DROP_SEGS = 2
    T_DROP_BYTES = 3
    T_ACKS_TAKEN = 4
    T_ABORTS = 5
    THROTTLE_COUNTERS = 6

    # pool_row_t.variants: how it throttles
    VARIANT_WITHHOLD = 1       # acknowledgements wait while it withholds
    VARIANT_DISCARD = 2        # payload is discarded unseen while it discards

cdef struct group_row_t:
    uint32_t generation
    uint32_t references        # connections, and one for the open group itself
    uint32_t flags
    uint16_t pool_row
    uint16_t port
    uint8_t policy
    uint8_t priority           # 0 high, 1 normal, 2 low
    uint8_t weight
    uint8_t keepalive_probes
    uint16_t guaranteed        # chunks that a connection may hold though the pool is frozen
    uint8_t tos                # DSCP << 2, of every segment
    uint8_t ttl                # 0: the usual one
    uint16_t mss
    uint16_t next_on_port      # chain of groups that listen on one port
    uint8_t address[16]
    uint32_t ack_delay_ms
    uint32_t keepalive_ms
    uint32_t keepalive_interval_ms
    uint32_t user_timeout_ms   # 0: none
    uint32_t connect_timeout_ms
    uint32_t credits
    double rate                # accepts per second; 0: no limit
    double tokens
    int64_t tokens_at_us
    int64_t cookies_until_us   # acknowledgements that return SYN cookies may come until then
    uint32_t fast_open_limit   # requests that may be pending by Fast Open; 0: it is off
    uint32_t fast_open_pending
    uint32_t fast_open_resets[2]  # pending ones that were reset, in this slot of time and in the one before
    uint32_t fast_open_slot
    int eventfd                # -1: not made yet
    uint32_t connections
    uint32_t held              # bytes of receive chunks
    uint32_t unreported        # first pending entry whose PENDING event is due, or END
    uint64_t sweep_until       # stack_t.swept at which all of its connections have been visited
    list_t pending             # half-open rows
    link_t waiting             # engine's list, by priority, of groups with a pending entry
    uint32_t offered           # pending entries of groups that share its port and that it may accept, too
    list_t ready
    uint32_t notify_connections  # so many in `ready` are told at once; 1: each
    uint32_t notify_delay_ms   # fewer are told after so long
    int64_t notify_at_us       # while it is in the engine's list `holding`
    link_t holding
    link_t signal              # engine's list of descriptors that wait for a turn's end
    uint64_t counters[18]

cdef struct pool_row_t:
    uint32_t references        # groups, and one for the open pool
    uint32_t sweeping          # of those groups
    slab_t chunks
    uint64_t size
    pressure_t pressure        # of `chunks`
    uint8_t variants
    uint64_t counters[6]
    list_t throttled           # active rows of connections that wait for the pressure to fall
    uint32_t falls_seen        # pressure.falls when the present walk over them began
    uint32_t to_visit          # of them in this walk


cdef inline bint group_covers(const group_row_t *g, const uint8_t *address) noexcept nogil:
    """Whether a request to this address of the group's port is one for it."""
    if not g.flags & (GROUP_V4 if is_mapped(address) else GROUP_V6):
        return False
    return g.flags & GROUP_ANY_ADDRESS or memcmp(g.address, address, 16) == 0


cdef inline uint32_t requests_seen(const group_row_t *g) noexcept nogil:
    """Requests that wait and that the group may accept."""
    return g.pending.count + g.offered
