"""One end of a TCP connection in plain Python, as RFC 9293 section 3.10 words it.

The reference that the engine is compared with: a stream is a `bytes`, what came
out of order a dictionary of single bytes, and there is no buffer, no timer and
no congestion.  It says what a segment or a call does to the state and to the
sequence variables, not when the engine sends something.

Sequence numbers are relative: 0 is a SYN, 1 the first byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: What follows when our FIN is acknowledged, and when the peer's has come.
FIN_ACKNOWLEDGED = {"FIN_WAIT_1": "FIN_WAIT_2", "CLOSING": "TIME_WAIT", "LAST_ACK": "CLOSED"}
FIN_RECEIVED = {"ESTABLISHED": "CLOSE_WAIT", "FIN_WAIT_1": "CLOSING", "FIN_WAIT_2": "TIME_WAIT"}
CLOSED_BY_US = {"ESTABLISHED": "FIN_WAIT_1", "CLOSE_WAIT": "LAST_ACK"}
#: States that have a record; TIME-WAIT is a table of its own.
SYNCHRONIZED = ("ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK")


@dataclass
class Arriving:
    """A segment of the peer, and what the engine has told and sent so far."""

    seq: int
    ack: int
    flags: frozenset[str]
    data: bytes
    #: The right edge of the window that the engine has shown.
    edge: int
    #: After the last byte or FIN that the engine has sent (SND.NXT).
    sent: int

    @property
    def length(self) -> int:
        return len(self.data) + ("S" in self.flags) + ("F" in self.flags)


@dataclass
class Model:
    """The transmission control block, in the state after a three-way handshake.

    :ivar ended: how the connection ended for the application ("RESET" or "CLOSED"), if it did.
    :ivar detached: the application has finished with it and hears no more.
    """

    #: The largest window that the peer has ever shown (MAX.SND.WND of RFC 5961).
    max_snd_wnd: int
    state: str = "ESTABLISHED"
    snd_una: int = 1
    written: bytearray = field(default_factory=bytearray)
    #: Relative number of our FIN, once the application has closed.
    fin: int | None = None
    rcv_nxt: int = 1
    stream: bytearray = field(default_factory=bytearray)
    behind: dict[int, int] = field(default_factory=dict)
    #: Relative number of the peer's FIN, once a segment that carries it was accepted.
    peer_fin: int | None = None
    acknowledged: int = 0
    delivered: int = 0
    read: int = 0
    eof_taken: bool = False
    paused: bool = False
    detached: bool = False
    ended: str | None = None

    # --- section 3.10.7.4: a segment arrives -------------------------------------

    def arrives(self, s: Arriving) -> None:
        if self.state not in SYNCHRONIZED:
            return
        if not self._acceptable(s):
            # Its ACK counts all the same, unless it comes from beyond the window.
            if s.flags.isdisjoint("RS") and "A" in s.flags and s.seq <= s.edge:
                self._acknowledgement(s)
            return
        if "R" in s.flags:
            # RFC 5961 section 3.2: only the very next number resets.
            if s.seq == self.rcv_nxt:
                self._end("RESET", "CLOSED")
            return
        if "S" in s.flags or "A" not in s.flags:
            return
        if not self._acknowledgement(s) or self.state not in SYNCHRONIZED:
            return
        if self.detached and s.data and s.seq + len(s.data) > self.rcv_nxt:
            # SHLD-3: nobody will read it.
            self._end("RESET", "CLOSED")
            return
        self._text(s)
        self._fin(s)

    def _acceptable(self, s: Arriving) -> bool:
        """First: the table of four cases."""
        # A FIN may take the one number behind the window.
        window = max(s.edge - self.rcv_nxt, 0)
        if s.length == 0:
            return s.seq == self.rcv_nxt if window == 0 else self.rcv_nxt <= s.seq < s.edge
        last = s.seq + s.length - 1
        return window > 0 and (self.rcv_nxt <= s.seq < s.edge or self.rcv_nxt <= last < s.edge)

    def _acknowledgement(self, s: Arriving) -> bool:
        """Fifth, with RFC 5961 section 5.2; False: the segment is dropped."""
        if s.ack > s.sent or s.ack < self.snd_una - self.max_snd_wnd:
            return False
        self.snd_una = max(self.snd_una, s.ack)
        if self.fin is not None and self.snd_una == self.fin + 1 and self.state in FIN_ACKNOWLEDGED:
            self._go(FIN_ACKNOWLEDGED[self.state])
        return True

    def _text(self, s: Arriving) -> None:
        """Seventh: what lies in the window; the byte that came first stays."""
        if self.peer_fin is not None and self.rcv_nxt > self.peer_fin:
            return
        for place, byte in enumerate(s.data, s.seq):
            if self.rcv_nxt <= place < s.edge:
                self.behind.setdefault(place, byte)
        before = self.rcv_nxt
        while self.rcv_nxt in self.behind:
            self.stream.append(self.behind.pop(self.rcv_nxt))
            self.rcv_nxt += 1
        if self.rcv_nxt != before:
            # What was not acknowledged is offered again, with what is new.
            self.read = self.acknowledged

    def _fin(self, s: Arriving) -> None:
        """Eighth."""
        end = s.seq + len(s.data)
        if "F" in s.flags and end <= s.edge:
            self.peer_fin = end
        if self.peer_fin is not None and self.peer_fin == self.rcv_nxt:
            self.rcv_nxt += 1
            self.read = self.acknowledged
            self._go(FIN_RECEIVED[self.state])
            if self.fin is not None and self.snd_una == self.fin + 1 and self.state in FIN_ACKNOWLEDGED:
                self._go(FIN_ACKNOWLEDGED[self.state])

    def _go(self, state: str) -> None:
        if state in ("TIME_WAIT", "CLOSED"):
            self._end("CLOSED", state)
        self.state = state

    def _end(self, how: str, state: str) -> None:
        self.state = state
        if not self.detached:
            self.ended = how

    # --- sections 3.10.2 to 3.10.5: calls ------------------------------------------

    @property
    def gone(self) -> bool:
        """The application's id means nothing any more."""
        return self.detached or self.ended == "RESET" or (self.ended is not None and self.eof_taken)

    @property
    def received(self) -> int:
        return len(self.stream)

    @property
    def fin_received(self) -> bool:
        return self.peer_fin is not None and self.rcv_nxt > self.peer_fin

    def receive(self, most: int) -> bytes | None:
        """What `recv` gives: the next bytes, b"" once at the end, or None."""
        if self.paused or self.ended == "RESET":
            return None
        data = bytes(self.stream[self.read : self.read + most])
        if data:
            self.read += len(data)
            self.delivered = max(self.delivered, self.read)
            return data
        if self.fin_received and not self.eof_taken:
            self.eof_taken = True
            return b""
        return None

    @property
    def unacknowledged(self) -> int:
        """Bytes that were delivered and not acknowledged: the most that `send` may name."""
        return self.delivered - self.acknowledged

    def acknowledge(self, count: int) -> None:
        partly = count != self.unacknowledged
        self.acknowledged += count
        if partly or self.read < self.acknowledged:
            self.read = self.acknowledged

    def write(self, data: bytes) -> int:
        if self.fin is not None or self.state not in CLOSED_BY_US:
            return 0
        self.written += data
        return len(data)

    def shutdown(self) -> None:
        if self.fin is None and self.state in CLOSED_BY_US:
            self.fin = len(self.written) + 1
            self.state = CLOSED_BY_US[self.state]

    def finish(self) -> None:
        """Close; bytes that nobody has read make it a reset (SHLD-3)."""
        if self.state not in SYNCHRONIZED or self.received > self.delivered or self.behind:
            self.abort()
            return
        self.acknowledged = self.delivered
        self.shutdown()
        self.detached = True

    def abort(self) -> None:
        self.detached = True
        if self.state in SYNCHRONIZED:
            self.state = "CLOSED"
