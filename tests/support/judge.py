"""What must hold for every packet that the engine sends on one connection.

The judge sees both directions and knows what the peer has sent and promised.
It states RFC 9293's rules as far as they can be seen from outside, so that each
test, whatever it is about, also checks them.  All sequence numbers in here are
relative: 0 is the SYN, 1 the first byte of data.
"""

from __future__ import annotations

from .packets import EXPERIMENT, FAST_OPEN, SACK_OK, TIMESTAMPS, WSCALE, Segment

MIN_SEND_MSS = 216
DEFAULT_MSS = {4: 536, 6: 1220}
#: Seconds in which a millisecond clock goes half round, less a day: later than that, older looks newer.
HALF_TURN = 2**31 / 1000 - 86_400


def unwrap(value: int, base: int, near: int) -> int:
    """The relative number nearest to `near` that `value` (modulo 2^32) can stand for."""
    relative = (value - base) % 2**32
    return relative + round((near - relative) / 2**32) * 2**32


class Judge:
    """Both directions of one connection, as RFC 9293 section 3.3.1 would name them."""

    def __init__(self, iss: int, mtu: int, version: int) -> None:
        self.iss = iss
        self.mtu = mtu
        self.version = version
        # What the peer has done.
        self.ranges: list[tuple[int, int]] = []
        self.peer_edge = 0
        self.peer_mss = DEFAULT_MSS[version]
        self.peer_scale = 0
        self.offered: frozenset[int] = frozenset()
        self.tsvals: list[int] = []
        # For each SYN and SYN-ACK whether it asked for ECN, or agreed to it.
        self.peer_asked: list[bool] = []
        self.engine_asked: list[bool] = []
        self.confirmed = False
        # The peer's first SYN has brought a cookie of Fast Open.
        self.fast = False
        # What the engine has done.
        self.irs: int | None = None
        self.opening: Segment | None = None
        self.stream = bytearray()
        self.snd_max = 0
        self.fin_at: int | None = None
        self.last_ack = 0
        self.edge = 0
        self.last_tsval: int | None = None
        self.last_tsval_time = 0.0
        self.last_tsecr: int | None = None
        self.last_tsecr_time = 0.0

    # --- what the peer sends --------------------------------------------------

    def peer_sent(self, seq: int, ack: int | None, segment: Segment) -> None:
        """Take note of a segment of the peer; `seq` and `ack` are relative."""
        self.ranges.append((seq, seq + segment.length))
        if "S" in segment.flags and seq == 0:
            self.peer_asked.append(segment.asks_ecn)
        if "S" in segment.flags and self.confirmed:
            return
        if "S" in segment.flags and "R" not in segment.flags:
            self.offered = frozenset(segment.options)
            self.fast = self.fast or bool(segment.cookie)
            if segment.mss is not None:
                self.peer_mss = segment.mss
            self.peer_scale = min(segment.wscale or 0, 14)
            self.peer_edge = 1 + segment.window
            self.confirmed = ack is not None and ack >= 1
        elif ack is not None:
            scale = self.peer_scale if self.scaling else 0
            self.peer_edge = max(self.peer_edge, ack + (segment.window << scale))
            self.confirmed = self.confirmed or ack >= 1
        if segment.tsval is not None:
            self.tsvals.append(segment.tsval)

    @property
    def contiguous(self) -> int:
        """How far the peer has sent without a gap: RCV.NXT can be no greater."""
        reach = 0
        for start, end in sorted(self.ranges):
            if start > reach:
                break
            reach = max(reach, end)
        return reach

    def _agreed(self, kind: int) -> bool:
        return self.opening is not None and kind in self.opening.options and kind in self.offered

    @property
    def scaling(self) -> bool:
        return self._agreed(WSCALE)

    @property
    def timestamps(self) -> bool:
        return self._agreed(TIMESTAMPS)

    @property
    def ecn(self) -> bool:
        """RFC 3168 section 6.1.1: every SYN and SYN-ACK on the way asked, or agreed."""
        return bool(self.peer_asked) and bool(self.engine_asked) and all(self.peer_asked + self.engine_asked)

    # --- what the engine sends ------------------------------------------------

    def engine_sent(self, segment: Segment) -> tuple[int, int]:
        """Check a segment of the engine; returns its relative (seq, ack)."""
        if "R" in segment.flags:
            return self._reset(segment)
        if "S" in segment.flags:
            self._opening(segment)
        assert self.irs is not None, "the engine sends before its SYN"
        if "S" in segment.flags and "A" not in segment.flags:
            return self._active_opening(segment)
        assert "A" in segment.flags, "a segment without ACK after the first SYN (RFC 9293 3.1)"
        seq = unwrap(segment.seq, self.irs, self.snd_max)
        ack = unwrap(segment.ack, self.iss, self.last_ack)
        self._acknowledgement(ack)
        self._window(ack, segment)
        self._timestamp(segment)
        self._congestion(seq, segment)
        self._sequence(seq, segment)
        self._payload(seq, segment)
        return seq, ack

    def _reset(self, segment: Segment) -> tuple[int, int]:
        assert not segment.data, "a RST with data"
        assert not segment.flags & {"S", "F", "P", "U", "E", "C"}, f"a RST with {sorted(segment.flags)}"
        assert not segment.ecn, "a RST that is ECT (RFC 3168 6.1)"
        irs = segment.seq if self.irs is None else self.irs
        return unwrap(segment.seq, irs, self.snd_max), unwrap(segment.ack, self.iss, self.last_ack)

    def _opening(self, segment: Segment) -> None:
        if self.opening is None:
            self.opening, self.irs = segment, segment.seq
        assert segment.seq == self.irs, "the ISN changed in a retransmitted SYN-ACK"
        assert not segment.data, "data on a SYN-ACK without Fast Open"
        assert not segment.ecn, "a SYN that is ECT (RFC 3168 6.1.1)"
        self.engine_asked.append(segment.asks_ecn)
        if "A" in segment.flags:
            assert "C" not in segment.flags, "CWR in a SYN-ACK (RFC 3168 6.1.1)"
            assert self.peer_asked[0] or "E" not in segment.flags, "a SYN-ACK agrees to ECN unasked"
        else:
            assert segment.asks_ecn == ("E" in segment.flags) == ("C" in segment.flags), "half an ECN-setup"
        for kind in (WSCALE, SACK_OK, TIMESTAMPS) if "A" in segment.flags else ():
            assert kind not in segment.options or kind in self.offered, (
                f"option {kind} in the SYN-ACK was not offered (RFC 7323 2.2, 3.2; RFC 2018 2)"
            )
        self._cookie(segment)
        first = self.opening
        assert segment.mss == first.mss, "the MSS of a retransmitted SYN changed"
        if segment.flags == first.flags:
            assert segment.wscale == first.wscale, "the options of a retransmitted SYN changed"
        assert (segment.wscale or 0) <= 14, f"window scale {segment.wscale} (RFC 7323 2.3)"

    def _cookie(self, segment: Segment) -> None:
        """RFC 7413 section 4.1.1: an even number of bytes from 4 to 16, in the option that was asked by."""
        assert not {FAST_OPEN, EXPERIMENT} <= set(segment.options), "Fast Open twice"
        if segment.cookie is None:
            assert EXPERIMENT not in segment.options, "an experiment that is not Fast Open"
            return
        if "A" not in segment.flags:
            assert len(segment.cookie) in (0, *range(4, 17, 2)), f"a cookie of {len(segment.cookie)} bytes"
            return
        for kind in (FAST_OPEN, EXPERIMENT):
            assert kind not in segment.options or kind in self.offered, f"option {kind} was not offered"
        assert len(segment.cookie) in range(4, 17, 2), f"a cookie of {len(segment.cookie)} bytes"
        assert len(self.engine_asked) == 1, "a SYN-ACK that is sent again has the option (section 4.2.2)"

    def _active_opening(self, segment: Segment) -> tuple[int, int]:
        """The engine's SYN of an active open: it acknowledges nothing, its ACK field is 0 (RFC 9293 3.1)."""
        assert not self.ranges, "a SYN without ACK after the peer's SYN came"
        assert segment.ack == 0, f"ACK field {segment.ack} without ACK"
        assert segment.tsecr in (None, 0), f"TSecr {segment.tsecr} in a SYN (RFC 7323 3.2)"
        self.edge = 1 + segment.window
        self.snd_max = max(self.snd_max, 1)
        return 0, 0

    def _acknowledgement(self, ack: int) -> None:
        assert ack >= self.last_ack, f"the ACK number moved back from {self.last_ack} to {ack}"
        assert ack <= self.contiguous, f"ACK {ack} is past {self.contiguous}, all that was sent in order"
        self.last_ack = ack

    def _window(self, ack: int, segment: Segment) -> None:
        scale = 0
        if self.scaling and "S" not in segment.flags:
            assert self.opening is not None
            scale = self.opening.wscale or 0
        edge = ack + (segment.window << scale)
        assert edge >= self.edge, (
            f"the right window edge retreated from {self.edge} to {edge} (RFC 9293 SHLD-14)"
        )
        self.edge = edge

    def _timestamp(self, segment: Segment) -> None:
        if "S" not in segment.flags:
            assert (TIMESTAMPS in segment.options) == self.timestamps, (
                "timestamps stand on all segments or on none (RFC 7323 3.2)"
            )
            syns = {2, WSCALE, SACK_OK, FAST_OPEN, EXPERIMENT}
            assert not set(segment.options) & syns, "a SYN's option on another segment"
        if segment.tsval is None or segment.tsecr is None:
            return
        if self.last_tsval is not None and segment.time - self.last_tsval_time < HALF_TURN:
            step = (segment.tsval - self.last_tsval) % 2**32
            assert step < 2**31, "TSval moved back (RFC 7323 4.1)"
        self.last_tsval, self.last_tsval_time = segment.tsval, segment.time
        assert segment.tsecr in self.tsvals, f"TSecr {segment.tsecr} was never a TSval of the peer"
        if self.last_tsecr is not None and segment.time - self.last_tsecr_time < HALF_TURN:
            step = (segment.tsecr - self.last_tsecr) % 2**32
            assert step < 2**31, "TSecr moved back (RFC 7323 4.3)"
        self.last_tsecr, self.last_tsecr_time = segment.tsecr, segment.time

    def _congestion(self, seq: int, segment: Segment) -> None:
        """RFC 3168 section 6.1: what may be ECT, and what may say ECE and CWR."""
        if "S" in segment.flags:
            return
        fresh = bool(segment.data) and seq >= self.snd_max and seq < self.peer_edge
        assert segment.ecn in (0, 2), f"ECN field {segment.ecn}: neither ECT(0) nor nothing"
        assert not segment.ecn or fresh, "ECT on what is sent again, an ACK or a probe (6.1.4 to 6.1.6)"
        assert "C" not in segment.flags or fresh, "CWR on something else than new data (6.1.2)"
        marks = segment.flags & {"E", "C"} or segment.ecn
        assert self.ecn or not marks, f"{marks} without ECN"
        assert not self.ecn or not fresh or segment.ecn, "new data that is not ECT"

    def _blocks(self, segment: Segment) -> None:
        """RFC 2018 section 4 and RFC 2883 section 4: what a block reports, the peer has sent."""
        assert not segment.sack or self._agreed(SACK_OK), "SACK blocks that were not agreed on"
        for number, (left, right) in enumerate(segment.sack):
            start, end = (unwrap(edge, self.iss, self.last_ack) for edge in (left, right))
            assert start < end, f"an empty SACK block {start}:{end}"
            assert start != self.last_ack, "a SACK block that starts at the ACK number"
            assert start > self.last_ack or number == 0, f"a block {start}:{end} below the ACK number"
            reach = start
            for first, last in sorted(self.ranges):
                if first <= reach:
                    reach = max(reach, last)
            assert end <= reach, f"the SACK block {start}:{end} reports what was never sent"

    def _payload(self, seq: int, segment: Segment) -> None:
        """Size, window, and the same bytes at each transmission."""
        data = segment.data
        self._blocks(segment)
        if not data:
            return
        assert self.confirmed or self.fast, "data before the handshake is complete"
        header = 20 if self.version == 4 else 40
        room = max(MIN_SEND_MSS, self.peer_mss) - (len(segment.raw) - header - 20 - len(data))
        assert len(data) <= room, f"{len(data)} bytes of data, the peer's MSS leaves {room}"
        end = seq + len(data)
        probe = len(data) == 1 and seq == self.peer_edge
        assert end <= self.peer_edge or probe, f"data up to {end}, beyond the window to {self.peer_edge}"
        assert seq >= 1, "data in front of the stream"
        old = bytes(self.stream[seq - 1 : end - 1])
        assert old == data[: len(old)], f"retransmitted bytes differ: {data[: len(old)]!r}, were {old!r}"
        self.stream += data[len(old) :]

    def _sequence(self, seq: int, segment: Segment) -> None:
        end = seq + segment.length
        if "F" in segment.flags:
            assert self.fin_at in (None, end - 1), f"FIN at {end - 1}, was at {self.fin_at}"
            self.fin_at = end - 1
            assert self.fin_at >= len(self.stream) + 1, "FIN in front of data that was sent"
        elif self.fin_at is not None:
            assert end <= self.fin_at + 1, "a segment beyond the FIN"
        assert seq <= max(self.snd_max, 0), f"SEQ {seq} leaves a gap after {self.snd_max}"
        self.snd_max = max(self.snd_max, end)
