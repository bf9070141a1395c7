"""The row that a connection leases while something is lost, out of order, or sent twice.

It holds what SACK (RFC 2018), loss recovery (RFC 6675, RFC 6582, RFC 6937),
RACK-TLP (RFC 8985), undo (RFC 3522, RFC 2883), ECN (RFC 3168) and CUBIC (RFC 9438) remember.
A connection whose segments arrive in order never has one; it goes with the
active block.  There are as many rows as records, so a lease never fails; as
address space only, memory is committed on touch.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from xtcp_twisted.memory.slab cimport NONE, slab_take
from xtcp_twisted.tcp.connection cimport conn_lease, conn_t
from xtcp_twisted.tcp.layout cimport stack_t

cdef extern from *:
    """
    #ifndef XTCP_DISORDER
    #define XTCP_DISORDER
    #include <stdint.h>

    struct recovery {
        /* What we hold behind gaps, as the peer is told. */
        uint32_t block[8];        /*   0  left and right edges, the most recent first */
        uint32_t duplicate[2];    /*  32  bytes that came twice, to be told once */
        /* What the peer holds of what we sent; bytes. */
        uint32_t sacked;          /*  40  without SACK: one segment per duplicate ACK */
        uint32_t lost;            /*  44 */
        uint32_t again;           /*  48  sent again, and not known to be lost a second time */
        uint32_t resend;          /*  52  extent: nothing before it is to be sent again; NONE: nothing */
        uint32_t high;            /*  56  after the highest byte that the peer is known to hold */
        uint32_t recover;         /*  60  the recovery point */
        /* RACK (RFC 8985): the segment sent last among those that were delivered. */
        uint32_t rack_sent_at;    /*  64  us */
        uint32_t rack_end;        /*  68 */
        uint32_t rack_rtt;        /*  72  us */
        uint32_t min_rtt;         /*  76  us */
        uint32_t dsack_round;     /*  80 */
        uint32_t tail_end;        /*  84  of the loss probe that is out */
        /* Proportional rate reduction (RFC 6937). */
        uint32_t prr_delivered;   /*  88 */
        uint32_t prr_out;         /*  92 */
        uint32_t prr_flight;      /*  96 */
        /* What a spurious recovery has to give back. */
        uint32_t prior_cwnd;      /* 100 */
        uint32_t prior_ssthresh;  /* 104 */
        uint32_t undo_from;       /* 108  SND.UNA when it began */
        uint32_t undo_bytes;      /* 112  sent again, and not reported as duplicates */
        uint32_t resent_ts;       /* 116  TSval of the first retransmission */
        /* CUBIC (RFC 9438). */
        uint32_t w_max;           /* 120  bytes */
        uint32_t w_est;           /* 124  bytes */
        uint32_t epoch_cwnd;      /* 128  bytes */
        uint32_t epoch_at;        /* 132  ms */
        uint32_t cubic_k;         /* 136  ms */
        uint16_t flags;           /* 140  RECOVERY_* */
        uint8_t  phase;           /* 142 */
        uint8_t  blocks;          /* 143  in `block` */
        uint8_t  dupacks;         /* 144 */
        uint8_t  reo_steps;       /* 145  quarters of min_rtt that reordering may take */
        uint8_t  reo_persist;     /* 146  recoveries that reo_steps lasts */
        uint8_t  reserved;        /* 147 */
        uint32_t reduced;         /* 148  SND.NXT when the peer's ECE reduced the window */
        uint32_t replayed_at;     /* 152  ms: a repeated request last brought the cached answer */
        uint8_t  unused[4];       /* 156 */
    };
    _Static_assert(sizeof(struct recovery) == 160, "the recovery row has 160 bytes");
    #endif
    """
    ctypedef struct recovery_t "struct recovery":
        uint32_t block[8]
        uint32_t duplicate[2]
        uint32_t sacked
        uint32_t lost
        uint32_t again
        uint32_t resend
        uint32_t high
        uint32_t recover
        uint32_t rack_sent_at
        uint32_t rack_end
        uint32_t rack_rtt
        uint32_t min_rtt
        uint32_t dsack_round
        uint32_t tail_end
        uint32_t prr_delivered
        uint32_t prr_out
        uint32_t prr_flight
        uint32_t prior_cwnd
        uint32_t prior_ssthresh
        uint32_t undo_from
        uint32_t undo_bytes
        uint32_t resent_ts
        uint32_t w_max
        uint32_t w_est
        uint32_t epoch_cwnd
        uint32_t epoch_at
        uint32_t cubic_k
        uint16_t flags
        uint8_t phase
        uint8_t blocks
        uint8_t dupacks
        uint8_t reo_steps
        uint8_t reo_persist
        uint32_t reduced
        uint32_t replayed_at

cdef enum:
    # recovery_t.phase
    PHASE_OPEN = 0
    PHASE_RECOVERY = 1         # fast recovery
    PHASE_LOSS = 2             # after a retransmission timeout

    # recovery_t.flags
    RECOVERY_DUPLICATE = 1     # `duplicate` holds
    RECOVERY_RACK = 2          # rack_sent_at, rack_end and rack_rtt hold
    RECOVERY_REORDERED = 4     # the path is known to reorder
    RECOVERY_DSACK_ROUND = 8   # dsack_round holds
    RECOVERY_FIN_LOST = 16
    RECOVERY_TAIL_DUE = 32     # a loss probe leaves with the next output
    RECOVERY_TAIL_OUT = 64     # tail_end holds
    RECOVERY_TAIL_RESENT = 128  # the probe repeated old bytes
    RECOVERY_RESENT = 256      # something was sent again since this recovery began
    RECOVERY_EIFEL = 512       # resent_ts holds, and no acknowledgement has told yet
    RECOVERY_EPOCH = 1024      # CUBIC: epoch_at holds
    RECOVERY_ECN = 2048        # `reduced` holds, and not all up to it is acknowledged
    RECOVERY_REPLAYED = 4096   # replayed_at holds
    RECOVERY_FRTO = 8192       # F-RTO has not decided yet about a timeout
    RECOVERY_FRTO_NEW = 16384  # and waits for what new data brings
    RECOVERY_MARKED = 32768    # the peer has told of congestion since this recovery began

    DUP_THRESH = 3

# What one acknowledgement brought.
cdef struct delivery_t:
    uint32_t acked             # bytes newly acknowledged in order
    uint32_t delivered         # bytes that the peer is newly known to hold
    uint32_t sent_at           # us: the latest of what was acknowledged in order; see `timed`
    bint timed                 # sent_at holds, and everything acknowledged was sent once (Karn)
    bint selective             # a SACK block told something new
    bint duplicate             # it carried a DSACK block
    bint repeated              # without SACK: a duplicate acknowledgement
    bint congested             # the peer tells of congestion (ECE)
    bint original              # the peer is newly known to hold bytes below `recover` that were sent once


cdef inline recovery_t *recovery_at(const stack_t *s, uint32_t row) noexcept nogil:
    return <recovery_t *>(s.recoveries.rows + <size_t>row * sizeof(recovery_t))


cdef inline recovery_t *recovery_of(const conn_t *c) noexcept nogil:
    """The connection's row, or NULL: nothing is out of order."""
    if c.a == NULL or c.a.recovery == NONE:
        return NULL
    return recovery_at(c.s, c.a.recovery)


cdef inline recovery_t *recovery_lease(conn_t *c) noexcept nogil:
    """The connection's row; leased when there is none."""
    cdef recovery_t *x
    if conn_lease(c).recovery != NONE:
        return recovery_at(c.s, c.a.recovery)
    c.a.recovery = slab_take(&c.s.recoveries)
    x = recovery_at(c.s, c.a.recovery)
    x.resend = NONE
    x.high = c.r.snd_una
    x.recover = c.r.snd_una - 1
    x.min_rtt = c.r.srtt
    x.reo_steps = 1
    return x
