"""Every structure that lives in the arena, and the state of one engine that refers to them.

The structures are C, so that their sizes are asserted where they are defined.
Offsets stand in comments, names are those of RFC 9293 section 3.3.1 in lower
case.  Rows refer to each other by index, never by pointer.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from xtcp_twisted.memory.arena cimport arena_t
from xtcp_twisted.memory.index cimport index_t
from xtcp_twisted.memory.links cimport link_t, list_t
from xtcp_twisted.memory.slab cimport slab_t
from xtcp_twisted.memory.wheel cimport node_t, wheel_t
from xtcp_twisted.tcp.bucket cimport bucket_t
from xtcp_twisted.tcp.fastopens cimport fast_opens_t
from xtcp_twisted.tcp.groups cimport group_row_t, pool_row_t
from xtcp_twisted.tcp.holders cimport relief_t
from xtcp_twisted.tcp.paths cimport paths_t
from xtcp_twisted.tcp.pressure cimport pressure_t
from xtcp_twisted.wire.segment cimport segment_t

cdef extern from *:
    """
    #ifndef XTCP_LAYOUT
    #define XTCP_LAYOUT
    #include <stdint.h>
    #ifndef XTCP_DEBUG
    #define XTCP_DEBUG 0
    #endif

    /* All that an idle connection needs.  First line: what every segment reads. */
    struct record {
        uint8_t  remote[16];      /*   0  IPv4 mapped */
        uint16_t remote_port;     /*  16 */
        uint16_t local_port;      /*  18 */
        uint32_t local_row;       /*  20  row of the table of local addresses */
        uint32_t generation;      /*  24  odd while in use */
        uint32_t tag;             /*  28  of the index */
        uint16_t group_row;       /*  32 */
        uint8_t  state;           /*  34  states.pxd */
        uint8_t  scales;          /*  35  our shift << 4 | the peer's shift */
        uint32_t flags;           /*  36  RECORD_* */
        uint32_t active;          /*  40  row of the active block, or NONE */
        uint32_t rcv_nxt;         /*  44 */
        uint32_t rcv_adv;         /*  48  right edge of the window shown; never retreats */
        uint32_t snd_una;         /*  52 */
        uint32_t snd_nxt;         /*  56  after the last byte ever sent */
        uint32_t snd_wnd;         /*  60 */
        uint32_t rcv_ackd;        /*  64  acknowledged by the application */
        uint32_t snd_lbb;         /*  68  after the last byte queued */
        uint32_t snd_wl1;         /*  72 */
        uint32_t snd_wl2;         /*  76 */
        uint32_t max_snd_wnd;     /*  80 */
        uint32_t ts_recent;       /*  84 */
        uint32_t last_heard;      /*  88  ms */
        uint32_t created;         /*  92  s */
        uint32_t srtt;            /*  96  us; 0: not measured */
        uint32_t rttvar;          /* 100  us */
        uint32_t cwnd;            /* 104  bytes */
        uint32_t ssthresh;        /* 108  bytes */
        uint32_t user;            /* 112  the application's cookie */
        uint32_t ts_offset;       /* 116 */
        uint16_t mss;             /* 120  payload of a full segment without options */
        uint16_t challenged;      /* 122  when, in units of 8 ms */
        uint8_t  probes;          /* 124  keepalive probes unanswered */
        uint8_t  resends;         /* 125  of the oldest segment */
        uint16_t last_sent;       /* 126  when data left last, in units of 8 ms; 0: long ago */
    };
    _Static_assert(sizeof(struct record) == 128, "the record is two cache lines");

    struct node { uint32_t deadline, next, previous; };
    struct link { uint32_t next, previous; };

    /* Leased only while something is pending. */
    struct active {
        uint32_t slot;            /*   0  the record's row */
        struct node timer;        /*   4 */
        struct link ready;        /*  16  group's list: something to receive */
        struct link output;       /*  24  engine's list: something to send */
        struct link event;        /*  32  engine's list: something to report */
        uint32_t rx_head;         /*  40  chunks in order, from rcv_ackd on */
        uint32_t rx_tail;         /*  44 */
        uint32_t ooo_head;        /*  48  chunks behind a gap, sorted */
        uint32_t rx_chunks;       /*  52  both */
        uint32_t tx_head;         /*  56  extents from snd_una on */
        uint32_t tx_tail;         /*  60 */
        uint32_t tx_chunks;       /*  64 */
        uint32_t delivered;       /*  68  after the last byte given to the application */
        uint32_t wire_ack;        /*  72  last acknowledgement sent */
        uint32_t need;            /*  76  bytes */
        uint32_t tx_next;         /*  80  first extent with bytes never sent, or NONE */
        uint32_t transmit_at;     /*  84  ms: resend or probe */
        uint32_t acknowledge_at;  /*  88  ms: the held acknowledgement */
        uint32_t progress;        /*  92  ms: the peer last acknowledged something, or we began to wait */
        union {
            uint32_t linger_at;   /*  96  ms: a finished connection is dropped, a connecting one given up */
            uint32_t rcv_up;      /*  96  instead, with ACTIVE_URGENT: after the urgent data */
        };
        uint32_t fin_seq;         /* 100  of a FIN behind a gap */
        uint16_t flags;           /* 104  ACTIVE_* */
        uint16_t events;          /* 106  1 << EventKind */
        uint16_t detail;          /* 108  errno of the end */
        uint8_t  backoff;         /* 110  doublings of the RTO */
        uint8_t  held;            /* 111  segments whose acknowledgement is held */
        uint32_t read_nxt;        /* 112  next byte that recv returns */
        struct link throttled;    /* 116  pool's list: hears of it when the pressure falls */
        uint32_t recovery;        /* 124  row of disorder.pxd, or NONE */
    };
    _Static_assert(sizeof(struct active) == 128, "the active block is two cache lines");

    /* A SYN that waits for the application, or whose SYN-ACK waits for its ACK. */
    struct half_open {
        uint8_t  remote[16];      /*   0 */
        uint16_t remote_port;     /*  16 */
        uint16_t local_port;      /*  18 */
        uint32_t local_row;       /*  20 */
        uint32_t generation;      /*  24 */
        uint32_t slot;            /*  28  record promised by accept, or NONE */
        uint16_t group_row;       /*  32 */
        uint16_t mss;             /*  34 */
        uint8_t  scale;           /*  36  the peer's */
        uint8_t  has;             /*  37  HAS_* of the SYN that we agreed to */
        uint8_t  tries;           /*  38  SYN-ACKs sent; 0: not accepted yet */
        uint8_t  flags;           /*  39  HALF_* */
        uint32_t irs;             /*  40 */
        uint32_t iss;             /*  44 */
        uint32_t ts_recent;       /*  48 */
        struct link link;         /*  52  group's pending list, or the engine's list of this try */
        uint32_t due;             /*  60  ms */
    };
    _Static_assert(sizeof(struct half_open) == 64, "a half-open entry is one cache line");

    struct time_wait {
        uint8_t  remote[16];      /*   0 */
        uint16_t remote_port;     /*  16 */
        uint16_t local_port;      /*  18 */
        uint16_t local_row;       /*  20  NO_LOCAL: the entry is dead */
        uint16_t answered;        /*  22  when, in units of 8 ms; 0: never */
        uint32_t snd_nxt;         /*  24 */
        uint32_t rcv_nxt;         /*  28 */
        uint32_t ts_recent;       /*  32 */
        uint32_t expires;         /*  36  ms; lowest bit: timestamps are in use */
    };
    _Static_assert(sizeof(struct time_wait) == 40, "a TIME-WAIT entry has 40 bytes");

    /* A piece of a connection's transmit queue: retransmission queue and answer cache in one. */
    struct extent {
        uint32_t chunk;           /*   0  chunk of the first byte */
        uint32_t offset;          /*   4  of the first byte in that chunk */
        uint32_t length;          /*   8  bytes */
        uint32_t seq;             /*  12 */
        uint32_t sent_at;         /*  16  us, of the latest sending */
        uint32_t flags;           /*  20  EXTENT_* */
        uint32_t payload;         /*  24  first chunk of the payload: it has the reference count */
        uint32_t next;            /*  28 */
    };
    _Static_assert(sizeof(struct extent) == 32, "an extent has 32 bytes");

    /* Received or queued bytes. */
    struct chunk {
        uint32_t next;            /*   0 */
        uint32_t seq;             /*   4  of data[start]; of a payload's first chunk: its references */
        uint16_t start;           /*   8 */
        uint16_t length;          /*  10  bytes from start on */
        uint8_t  data[244];       /*  12 */
    };
    _Static_assert(sizeof(struct chunk) == 256, "a chunk has 256 bytes");
    #endif
    """
    const int XTCP_DEBUG

    ctypedef struct record_t "struct record":
        uint8_t remote[16]
        uint16_t remote_port
        uint16_t local_port
        uint32_t local_row
        uint32_t generation
        uint32_t tag
        uint16_t group_row
        uint8_t state
        uint8_t scales
        uint32_t flags
        uint32_t active
        uint32_t rcv_nxt
        uint32_t rcv_adv
        uint32_t snd_una
        uint32_t snd_nxt
        uint32_t snd_wnd
        uint32_t rcv_ackd
        uint32_t snd_lbb
        uint32_t snd_wl1
        uint32_t snd_wl2
        uint32_t max_snd_wnd
        uint32_t ts_recent
        uint32_t last_heard
        uint32_t created
        uint32_t srtt
        uint32_t rttvar
        uint32_t cwnd
        uint32_t ssthresh
        uint32_t user
        uint32_t ts_offset
        uint16_t mss
        uint16_t challenged
        uint8_t probes
        uint8_t resends
        uint16_t last_sent

    ctypedef struct raw_node_t "struct node":
        uint32_t deadline
        uint32_t next
        uint32_t previous

    ctypedef struct raw_link_t "struct link":
        uint32_t next
        uint32_t previous

    ctypedef struct active_t "struct active":
        uint32_t slot
        raw_node_t timer
        raw_link_t ready
        raw_link_t output
        raw_link_t event
        uint32_t rx_head
        uint32_t rx_tail
        uint32_t ooo_head
        uint32_t rx_chunks
        uint32_t tx_head
        uint32_t tx_tail
        uint32_t tx_chunks
        uint32_t delivered
        uint32_t wire_ack
        uint32_t need
        uint32_t tx_next
        uint32_t transmit_at
        uint32_t acknowledge_at
        uint32_t progress
        uint32_t linger_at
        uint32_t rcv_up
        uint32_t fin_seq
        uint16_t flags
        uint16_t events
        uint16_t detail
        uint8_t backoff
        uint8_t held
        uint32_t read_nxt
        raw_link_t throttled
        uint32_t recovery

    ctypedef struct half_open_t "struct half_open":
        uint8_t remote[16]
        uint16_t remote_port
        uint16_t local_port
        uint32_t local_row
        uint32_t generation
        uint32_t slot
        uint16_t group_row
        uint16_t mss
        uint8_t scale
        uint8_t has
        uint8_t tries
        uint8_t flags
        uint32_t irs
        uint32_t iss
        uint32_t ts_recent
        raw_link_t link
        uint32_t due

    ctypedef struct time_wait_t "struct time_wait":
        uint8_t remote[16]
        uint16_t remote_port
        uint16_t local_port
        uint16_t local_row
        uint16_t answered
        uint32_t snd_nxt
        uint32_t rcv_nxt
        uint32_t ts_recent
        uint32_t expires

    ctypedef struct extent_t "struct extent":
        uint32_t chunk
        uint32_t offset
        uint32_t length
        uint32_t seq
        uint32_t sent_at
        uint32_t flags
        uint32_t payload
        uint32_t next

    ctypedef struct chunk_t "struct chunk":
        uint32_t next
        uint32_t seq
        uint16_t start
        uint16_t length
        uint8_t data[244]

cdef enum:
    CHUNK_BYTES = 244
    LOCALS = 65_535            # rows of the table of local addresses
    NO_LOCAL = LOCALS          # no row of it
    EXTENT_CHUNKS = 16         # most chunks of one payload, so that no walk is long
    PORT_COUNTERS = 256        # of the choice of ephemeral ports
    REPLIES = 4096             # answers that belong to no record, queued for one flush
    TRAY_BYTES = 262_144       # of ICMP, queued for one flush

cdef struct local_row_t:
    uint8_t address[16]
    uint32_t references
    uint32_t tag

cdef struct keys_t:
    uint64_t index[2]
    uint64_t isn[2]
    uint64_t timestamps[2]
    uint64_t ports[2]
    uint64_t cookie_base[2]
    uint64_t cookies[2]        # the keys of the time slots come from this one
    uint64_t fast_open[2]      # the keys of Fast Open's cookies come from this one

cdef struct limits_t:
    uint32_t mtu
    bint offload               # the link cuts super-segments and completes checksums
    uint32_t accept_timeout_ms
    uint32_t syn_ack_tries
    uint32_t syn_cookies       # COOKIES_*
    uint32_t time_wait_ms
    uint32_t first_port        # of the ephemeral ones
    uint32_t last_port

cdef struct stack_t:
    arena_t arena
    keys_t keys
    limits_t limits
    int64_t now_us
    uint32_t now_ms
    bint started               # a first `now` is known
    uint32_t heard_ms          # heard_us, as a time of timers
    int64_t heard_us           # what came to the link by then has been read (heard.pxd)
    int64_t behind_us          # when the polls began that have left something in the link
    uint32_t behind            # packets that they have taken in; 0: the last has left none

    slab_t records             # record_t
    uint32_t *user_timeouts    # ms, by row of records: touched for connections that differ from their group
    slab_t actives             # active_t
    slab_t half_opens          # half_open_t
    slab_t recoveries          # recovery_t
    slab_t extents             # extent_t
    slab_t payloads            # chunk_t: the transmit buffer
    pressure_t pressure        # of `payloads`
    uint64_t unacked_bytes     # of all transmit queues: sent, and not acknowledged
    uint64_t queued_bytes      # of all transmit queues: never sent
    uint32_t sending           # connections whose transmit queue is not empty
    slab_t locals              # local_row_t
    index_t index              # 4-tuples
    index_t local_index        # addresses
    wheel_t wheel

    time_wait_t *time_waits    # a ring
    uint32_t time_wait_capacity
    uint32_t time_wait_head
    uint32_t time_wait_count   # entries in the ring, dead ones too
    uint32_t time_wait_live

    group_row_t *groups
    slab_t group_rows
    pool_row_t *pools
    uint32_t pool_count
    uint32_t throttled         # connections in the pools' lists
    relief_t relief
    uint16_t *listeners        # first group row on each port, or MAX_GROUPS
    uint32_t port_counters[PORT_COUNTERS]  # where the next search for an ephemeral port begins

    list_t output              # active rows with something to send
    list_t reports             # active rows with events
    list_t answered[11]        # half-open rows by SYN-ACKs sent
    uint32_t unreported        # groups' pending entries to be reported
    uint32_t listening[3]      # groups that listen, by their priority
    list_t waiting[3]          # rows of groups with pending entries, by their priority
    uint32_t sweeping          # groups being closed, and walks of changed options
    uint32_t sweep_hand        # next record of the one walk for all groups being closed
    uint64_t swept             # records that it has visited, ever
    list_t ended               # rows of closed groups that have no connection left
    list_t holding             # rows of groups that hold back what they have to tell
    list_t signals             # rows of groups whose descriptors wait for a turn's end
    bint signals_held          # they do

    segment_t *replies         # ring of REPLIES
    uint32_t reply_head
    uint32_t reply_count
    bucket_t resets            # to strangers
    bucket_t icmp_answers      # echo replies and errors together
    bucket_t replays           # cached answers to repeated requests
    uint8_t *tray              # finished packets of ICMP, each behind its length; TRAY_BYTES
    uint32_t tray_used
    uint32_t tray_at           # the next to leave
    paths_t paths
    fast_opens_t fast_opens

    uint32_t hand              # next row of the clock hand
    uint32_t hand_at           # ms: its next slice
    uint32_t falls_seen        # pressure.falls when the present walk over short sends began
    uint32_t to_wake           # records that this walk has still to visit

    uint32_t state_counts[11]
    uint64_t transitions[121]  # how often one state has followed another (states.pxd): from * 11 + to
    uint64_t counters[160]


cdef inline record_t *record_at(const stack_t *s, uint32_t slot) noexcept nogil:
    return <record_t *>(s.records.rows + <size_t>slot * 128)


cdef inline active_t *active_at(const stack_t *s, uint32_t row) noexcept nogil:
    return <active_t *>(s.actives.rows + <size_t>row * 128)


cdef inline half_open_t *half_open_at(const stack_t *s, uint32_t row) noexcept nogil:
    return <half_open_t *>(s.half_opens.rows + <size_t>row * 64)


cdef inline extent_t *extent_at(const stack_t *s, uint32_t row) noexcept nogil:
    return <extent_t *>(s.extents.rows + <size_t>row * 32)


cdef inline chunk_t *payload_at(const stack_t *s, uint32_t row) noexcept nogil:
    return <chunk_t *>(s.payloads.rows + <size_t>row * 256)


cdef inline chunk_t *chunk_at(const pool_row_t *pool, uint32_t row) noexcept nogil:
    return <chunk_t *>(pool.chunks.rows + <size_t>row * 256)


cdef inline local_row_t *local_at(const stack_t *s, uint32_t row) noexcept nogil:
    return <local_row_t *>(s.locals.rows + <size_t>row * sizeof(local_row_t))


cdef inline bint earlier(uint32_t a, uint32_t b) noexcept nogil:
    """Whether a time in ms modulo 2**32 comes before another."""
    return <int>(a - b) < 0
