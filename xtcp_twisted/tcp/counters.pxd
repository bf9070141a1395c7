"""Counters of one engine; names in counters.pyx, in the same order."""

cdef enum:
    # TCP-MIB (RFC 4022)
    C_ACTIVE_OPENS
    C_PASSIVE_OPENS
    C_ATTEMPT_FAILS
    C_ESTAB_RESETS
    C_IN_SEGS
    C_OUT_SEGS
    C_RETRANS_SEGS
    C_IN_ERRS
    C_IN_CSUM_ERRORS
    C_OUT_RSTS
    # IP-MIB (RFC 4293)
    C_IP_IN_HDR_ERRORS
    C_IP_IN_ADDR_ERRORS
    C_IP_IN_UNKNOWN_PROTOS
    C_IP_IN_TRUNCATED
    C_IP_REASM_REQUESTS
    # Linux' IpExt: segments by their ECN field, in the order of its values
    C_IN_NO_ECT_PKTS
    C_IN_ECT1_PKTS
    C_IN_ECT0_PKTS
    C_IN_CE_PKTS
    # IP-MIB (RFC 4293), Linux' names: ICMPv4, then the same of ICMPv6
    C_ICMP_IN_MSGS
    C_ICMP_IN_ERRORS
    C_ICMP_IN_CSUM_ERRORS
    C_ICMP_IN_UNREACHABLE
    C_ICMP_IN_TIME_EXCEEDED
    C_ICMP_IN_PROBLEMS
    C_ICMP_IN_TOO_BIG
    C_ICMP_IN_ECHOS
    C_ICMP_OUT_MSGS
    C_ICMP_OUT_ECHO_REPLIES
    C_ICMP_OUT_UNREACHABLE
    C_ICMP_OUT_PROBLEMS
    C_ICMP6_IN_MSGS
    C_ICMP6_IN_ERRORS
    C_ICMP6_IN_CSUM_ERRORS
    C_ICMP6_IN_UNREACHABLE
    C_ICMP6_IN_TIME_EXCEEDED
    C_ICMP6_IN_PROBLEMS
    C_ICMP6_IN_TOO_BIG
    C_ICMP6_IN_ECHOS
    C_ICMP6_OUT_MSGS
    C_ICMP6_OUT_ECHO_REPLIES
    C_ICMP6_OUT_UNREACHABLE
    C_ICMP6_OUT_PROBLEMS
    # Linux' TcpExt, where it has one
    C_OUT_OF_WINDOW_ICMPS
    C_PAWS_ESTAB_REJECTED
    C_DELAYED_ACKS
    C_CHALLENGE_ACKS
    C_SYN_CHALLENGE
    C_TCP_TIMEOUTS
    C_ABORT_ON_TIMEOUT
    C_ABORT_ON_DATA
    C_KEEPALIVE_PROBES
    C_WINDOW_PROBES
    C_OFO_QUEUE
    C_OFO_DROP
    C_RCV_Q_DROP
    C_DUPLICATES
    C_LISTEN_OVERFLOWS
    C_LISTEN_DROPS
    C_REQ_Q_FULL_DO_COOKIES
    C_REQ_Q_FULL_DROP
    C_SYNCOOKIES_SENT
    C_SYNCOOKIES_RECV
    C_SYNCOOKIES_FAILED
    C_TIME_WAIT_OVERFLOW
    C_TIME_WAIT_RECYCLED
    C_TIME_WAIT_ACKS_SKIPPED
    C_SYN_RETRANS
    C_BAD_OPTIONS
    C_SACK_RECOVERY
    C_RENO_RECOVERY
    C_FAST_RETRANS
    C_SLOW_START_RETRANS
    C_LOSS_PROBES
    C_LOSS_PROBE_RECOVERY
    C_FULL_UNDO
    C_DSACK_UNDO
    C_SPURIOUS_RTOS
    C_SACK_RENEGING
    C_SACK_DISCARD
    C_SACK_REORDER
    C_DSACK_OLD_SENT
    C_DSACK_OFO_SENT
    C_DSACK_RECV
    C_DELIVERED_CE             # segments acknowledged with ECE
    C_FAST_OPEN_PASSIVE        # connections opened by the cookie of their SYN
    C_FAST_OPEN_PASSIVE_FAIL   # SYNs whose cookie is not ours, or no longer
    C_FAST_OPEN_OVERFLOW       # good ones for which too many were pending
    C_FAST_OPEN_COOKIE_REQD    # SYNs that ask for a cookie
    C_FAST_OPEN_ALT_KEY        # cookies of the key before this one
    # our own
    C_ECN_AGREED               # connections that came about with ECN
    C_ECN_FALLBACKS            # SYNs sent again without asking for it
    C_ECN_REDUCTIONS           # windows reduced because the peer told of congestion
    C_ENDED                    # connections that either side opened and whose record is free again
    C_ACCEPT_TIMEOUTS
    C_REFUSED
    C_PURE_ACKS
    C_PIGGYBACKED_ACKS
    C_DATA_SEGS_OUT
    C_DATA_SEGS_IN
    C_IN_BYTES
    C_OUT_BYTES
    C_WINDOW_UPDATES
    C_REPLY_DROPS
    C_RESET_LIMITED
    C_STALLED
    C_LINK_DROPS
    C_LINK_REFUSED
    # What the pressure of pools has done, in the order of groups.pxd, T_*
    C_ACKS_WITHHELD            # segments whose acknowledgement waits
    C_PRESSURE_SYN_DROPS
    C_PRESSURE_DROP_SEGS       # whose payload was discarded
    C_PRESSURE_DROP_BYTES
    C_PRESSURE_ACKS            # acknowledgements that made room in the transmit buffer all the same
    C_PRESSURE_ABORTS          # connections that held much of a pool that had discarded for long
    C_TRANSMIT_ABORTS          # connections that had stalled with much in a transmit buffer that discarded
    C_SOFT_ERRORS
    C_ICMP_LIMITED
    C_ICMP_DROPS               # the tray was full
    C_PATH_NARROWED
    C_PATH_DOUBTED             # packet-too-big that waits for a retransmission
    C_PATH_BLACK_HOLES
    C_PATH_WIDENED
    C_ANSWERS_REPLAYED         # cached answers sent again because the request came again
    C_REPLAYS_REFUSED          # repeated requests that brought none, though one was outstanding
    C_REPLAYS_LIMITED          # because of the engine's ration
    C_INVALID_TRANSITIONS
    COUNTERS
