"""What `Engine.events` reports: the kinds of event and the reasons of an end."""

from __future__ import annotations

from enum import IntEnum


class EventKind(IntEnum):
    """Kinds of event, in the order in which one connection's are reported.

    `PENDING` belongs to a group (its `cd` is the pending id), all others to a
    connection.  The last three end a connection: exactly one of them is
    reported for each connection that was established or that `connect` began,
    unless a call of the application (`finish`, `abort`) had ended it already.
    """

    #: A connection request waits for `accept` or `refuse` (P08).
    PENDING = 0
    #: The handshake is complete.
    ESTABLISHED = 1
    #: There is something to `recv`.
    DATA = 2
    #: The peer has announced urgent data, or more of it (RFC 9293 MUST-32, RFC 6093), which comes in line;
    #: `detail` is how many bytes `recv` has to return until its end (MUST-33): not all need have come.
    URGENT = 3
    #: The peer has closed its sending side; `recv` returns b"" once.
    EOF = 4
    #: A broadcast could not be queued for this connection.
    STALLED = 5
    #: There is room again: a short `send` may be tried again.  It comes last of the two, so what
    #: the application does about a loss it does after it has heard of it; room that was
    #: taken up meanwhile is told of anew.
    WRITABLE = 6
    #: Something is wrong and may get right again: ICMP says so, or nothing was acknowledged after three
    #: retransmissions (RFC 9293 SHLD-25, SHLD-9); `detail` is the errno.
    SOFT_ERROR = 7
    #: Both sides have closed in order.
    CLOSED = 8
    #: The peer sent RST; `detail` is ECONNREFUSED if it was the answer to our SYN.
    RESET = 9
    #: Given up: the connect, retransmission or keepalive limit was reached (P21), or (ENOBUFS) a buffer that
    #: discarded for long needed what the connection held (P27); `detail` is the errno.
    DOWN = 10


#: The kinds that end a connection.
ENDS = frozenset({EventKind.CLOSED, EventKind.RESET, EventKind.DOWN})
