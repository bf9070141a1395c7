"""The bits that say what a row of the arena is in, and the values of its small fields.

Who owns a mechanism owns its bits; all of them stand here, so that none is taken twice.
"""

cdef enum:
    # What a reference of the index means: two high bits, then a row.
    REFERENCE_RECORD = 0
    REFERENCE_HALF_OPEN = 1
    REFERENCE_TIME_WAIT = 2
    REFERENCE_SHIFT = 30
    REFERENCE_ROW = 0x3FFFFFFF

    # record_t.flags
    RECORD_TIMESTAMPS = 1      # agreed in the handshake (RFC 7323)
    RECORD_SCALING = 2
    RECORD_DETACHED = 4        # the application has finished with it: its cd is stale
    RECORD_PAUSED = 8
    RECORD_FIN_QUEUED = 16     # our FIN comes after snd_lbb
    RECORD_FIN_SENT = 32
    RECORD_FIN_RECEIVED = 64   # rcv_nxt is behind the peer's FIN
    RECORD_EOF_TAKEN = 128     # the application was told of it by recv
    RECORD_ENDED = 256         # out of the index; only its end is still to be reported
    RECORD_SHORT = 512         # a send was short: report WRITABLE
    RECORD_TS_STALE = 1024     # ts_recent is older than 24 days (RFC 7323 section 5.5)
    RECORD_PROMISED = 2048     # accepted, handshake not complete
    RECORD_SACK = 4096         # agreed in the handshake (RFC 2018)
    RECORD_ECN = 8192          # agreed in the handshake (RFC 3168); in SYN-SENT: asked for
    RECORD_ECE = 16_384        # congestion was met: every ACK says so until the peer has heard it
    RECORD_CWR = 32_768        # the window was reduced: the next new data says so
    RECORD_FULL_ACKED = 65_536  # a full segment has come through: its size fits the path
    RECORD_NARROWED = 131_072  # mss is less than agreed (pathmtu.pxd)
    RECORD_NAGLE = 262_144     # small segments wait for acknowledgements (nagle.pxd)
    RECORD_KEEPALIVE = 524_288  # probed while idle
    RECORD_FAST_OPEN = 1_048_576  # opened by its SYN's cookie, its handshake is not complete (fastopen.pxd)
    RECORD_UNANSWERED = 2_097_152  # something was delivered, and nothing was queued by `send` since
    RECORD_LAST_SHORT = 4_194_304  # the newest segment was not a full one
    RECORD_OWN_TIMEOUT = 8_388_608  # its row of user_timeouts counts, not its group's option
    RECORD_ECHOED = 16_777_216  # with RECORD_CWR: it was an answer to the peer's ECE
    RECORD_OWN_NAGLE = 33_554_432  # the application set RECORD_NAGLE of it; its group's option does not count
    RECORD_OWN_KEEPALIVE = 67_108_864  # likewise RECORD_KEEPALIVE

    # active_t.flags
    ACTIVE_ACK_NOW = 1         # an acknowledgement leaves with the next flush
    ACTIVE_ACK_HELD = 2        # acknowledge_at holds
    ACTIVE_TRANSMIT = 4        # transmit_at holds
    ACTIVE_DISCARDED = 8       # payload of it was discarded because of pressure
    ACTIVE_FIN_PENDING = 16    # fin_seq holds
    ACTIVE_LINGER = 32         # linger_at holds
    ACTIVE_CLOSE_DUE = 64      # CLOSED is reported when everything was received
    ACTIVE_PROBE = 128         # send one byte or FIN into a closed window
    ACTIVE_LIMITED = 256       # the congestion window, nothing else, held the last output back
    ACTIVE_REORDER = 512       # transmit_at is the reordering timer's (RFC 8985 section 6.3)
    ACTIVE_TAIL = 1024         # transmit_at is the tail loss probe's (RFC 8985 section 7)
    ACTIVE_SYN = 2048          # active or fast open: our SYN is not acknowledged
    ACTIVE_SYN_NOW = 4096      # it leaves with the next flush
    ACTIVE_URGENT = 8192       # rcv_up holds: the application has not read so far; never with ACTIVE_LINGER
    ACTIVE_WATCHED = 16_384    # its row of stalls holds (holders.pxd)
    ACTIVE_FAST_COOKIE = 32_768  # our SYN-ACK brings a new cookie of Fast Open

    # half_open_t.flags
    HALF_REPORTED = 1
    HALF_ECN = 2               # ECN is agreed on
    HALF_CREDIT = 4            # it took one of a limited number of accept credits
    HALF_AGAIN = 8             # its SYN-ACK was sent again, so no round-trip time from it (Karn)
    HALF_FAST_OPEN = 16        # `slot` is the row of its SYN's data (fastopens.pxd)

    # extent_t.flags
    EXTENT_RESENT = 1          # Karn: no round-trip time from it
    EXTENT_SENT = 2
    EXTENT_SACKED = 4          # the peer holds it behind a gap
    EXTENT_LOST = 8
    EXTENT_AGAIN = 16          # sent again, and not known to be lost a second time
    EXTENT_FIN = 32            # the FIN left with its last byte

    # limits_t.syn_cookies, in the order of config.SYN_COOKIES
    COOKIES_AUTO = 0           # when the half-open table is crowded
    COOKIES_ALWAYS = 1
    COOKIES_OFF = 2
