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
    # Linux' TcpExt, where it has one
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
    C_LISTEN_DROPS
    C_REQ_Q_FULL
    C_TIME_WAIT_OVERFLOW
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
    # our own
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
    C_ACKS_WITHHELD            # segments whose acknowledgement waits because of pressure
    C_PRESSURE_SYN_DROPS
    C_PRESSURE_DROP_SEGS       # whose payload was discarded because of pressure
    C_PRESSURE_DROP_BYTES
    C_INVALID_TRANSITIONS
    COUNTERS
