"""Which packet of the engine answers to which line, and whether it came in time.

Strict, each packet of a connection answers to the next line.  Elastic, pure
ACKs may come at other moments than the script's, as they do for a TCP that
holds them for the answer:

- one that no line is about is passed over;
- one of new data that a line is about may be merged with a later one, ride on
  data, or be missing;
- a duplicate one, the answer to a segment that is out of order, old or
  unacceptable, has to come, and in time.

And a closed window may be probed with one new octet, as RFC 9293 section
3.8.6.1 wants it, where the script's kernel sends none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from support.packets import Segment

from .comparison import differences, is_pure_ack, sack_blocks, sent_blocks
from .flow import Flow, signed
from .script import IcmpPacket, Mismatch, TcpPacket, Unsupported, Wild
from .traffic import SAME_TIME, Traffic

#: Seconds that a `*` line waits.
PATIENCE: Final = 130.0
ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Window:
    """When a packet has to come, seconds since the script's start; no bounds for `*`."""

    earliest: float
    latest: float
    bounded: bool = True


@dataclass(slots=True)
class _Wanted:
    """A line about a packet, while it is looked for."""

    packet: TcpPacket
    flow: Flow
    deadline: float
    line: int
    text: str
    #: The acknowledgement number, on the wire.
    ack: int
    #: It is a pure ACK that nothing but new data asks for.
    deferrable: bool


def _is_probe(packet: TcpPacket, segment: Segment, flow: Flow) -> bool:
    """Whether both are probes of the closed window: the script's without an octet, the engine's with one."""
    return packet.pure_ack and packet.seq == flow.acked - 1 and flow.shut and len(segment.data) == 1


class Expectations:
    """Looks for the packets that lines are about."""

    def __init__(self, traffic: Traffic, *, elastic: bool) -> None:
        self.traffic = traffic
        self.elastic = elastic

    def meet(self, packet: TcpPacket | IcmpPacket, window: Window, line: int, text: str) -> bool:
        """Wait for the packet and compare it; whether there was one (elastic, it may be left out).

        :raises Mismatch: it does not come, comes at another time, or is another one.
        """
        if isinstance(packet, IcmpPacket):
            raise Unsupported(f"an ICMP packet of the engine (line {line})")
        wanted = self._wanted(packet, window, line, text)
        first = self._find(wanted) if self.elastic else self._next(wanted)
        if first is None:
            return False
        flow = wanted.flow
        if "S" in first.flags & packet.flags and (not flow.synced or flow.ended or packet.seq is None):
            flow.opened(first.seq, packet.seq or 0)
        if self.elastic and _is_probe(packet, first, flow):
            self.traffic.other_probes += 1
            flow.probed = True
            wanted.packet = replace(packet, seq=flow.acked, length=1)
        pieces = self._pieces(wanted, first)
        self._in_time(window, pieces, wanted)
        self._compare(wanted, pieces)
        return True

    def _wanted(self, packet: TcpPacket, window: Window, line: int, text: str) -> _Wanted:
        flow = self.traffic.expected_flow(packet, line)
        ack = ((packet.ack or 0) + flow.remote(syn=False)) % 2**32
        new = flow.highest_ack is None or signed(ack - flow.highest_ack) > 0
        deferrable = packet.pure_ack and new and not sack_blocks(packet)
        return _Wanted(packet, flow, max(window.latest, self.traffic.now), line, text, ack, deferrable)

    # --- which packet ---------------------------------------------------------

    def _next(self, wanted: _Wanted) -> Segment:
        """The connection's next packet."""
        segment = self._wait(wanted)
        if segment is None:
            raise Mismatch(f"no packet by {wanted.deadline:.4f}: expected {wanted.text}", wanted.line)
        return segment

    def _wait(self, wanted: _Wanted) -> Segment | None:
        traffic, flow = self.traffic, wanted.flow
        traffic.collect()
        while not flow.waiting:
            left = wanted.deadline - traffic.now
            if left <= SAME_TIME:
                return None
            traffic.step(left)
        return flow.waiting.popleft()

    def _find(self, wanted: _Wanted) -> Segment | None:
        """The packet, pure ACKs of no line passed over; None when an ACK is deferred."""
        similar = None
        while (segment := self._wait(wanted)) is not None:
            if not is_pure_ack(segment):
                return self._instead(wanted, segment)
            if wanted.packet.pure_ack:
                ahead = signed(segment.ack - wanted.ack)
                if ahead > 0:
                    return self._instead(wanted, segment)
                if ahead == 0:
                    if self._same_blocks(wanted, segment):
                        return segment
                    similar = segment
            self.traffic.extra_acks += 1
            wanted.flow.acknowledged(segment)
            self.traffic.note(f"extra   {self.traffic.shown(segment, wanted.flow)}")
        if wanted.deferrable:
            self._defer(wanted)
            return None
        if similar is None:
            raise Mismatch(f"no packet by {wanted.deadline:.4f}: expected {wanted.text}", wanted.line)
        return similar

    def _instead(self, wanted: _Wanted, segment: Segment) -> Segment | None:
        """A packet that cannot be passed over: it may make the line's ACK superfluous."""
        if not wanted.deferrable or "A" not in segment.flags or signed(segment.ack - wanted.ack) < 0:
            return segment
        wanted.flow.waiting.appendleft(segment)
        self._defer(wanted)
        return None

    def _defer(self, wanted: _Wanted) -> None:
        self.traffic.deferred_acks += 1
        self.traffic.note(f"no      {wanted.text}: its ACK is deferred")

    def _same_blocks(self, wanted: _Wanted, segment: Segment) -> bool:
        if isinstance(wanted.packet.options, Wild):
            return True
        return sent_blocks(segment, wanted.flow) == sack_blocks(wanted.packet)

    # --- whether it is right --------------------------------------------------

    def _pieces(self, wanted: _Wanted, first: Segment) -> list[Segment]:
        """A script's long packet may come as several segments, as no card divides ours."""
        flow, pieces, length = wanted.flow, [first], len(first.data)
        self.traffic.note(f"engine  {self.traffic.shown(first, flow)}")
        while 0 < length < wanted.packet.length and not pieces[-1].flags & {"S", "R", "F"}:
            if self.traffic.setup.strict_segments:
                break
            piece = self._next(wanted)
            self.traffic.note(f"engine  {self.traffic.shown(piece, flow)}")
            if piece.seq != (first.seq + length) % 2**32:
                raise Mismatch(
                    f"out of order in {wanted.text}: {self.traffic.shown(piece, flow)}", wanted.line
                )
            pieces.append(piece)
            length += len(piece.data)
        over = length - wanted.packet.length
        if flow.probed and 0 < over < len(pieces[-1].data):
            # An octet went ahead as a probe: the segments behind it are cut elsewhere than the script's.
            last, data = pieces[-1], pieces[-1].data
            pieces[-1] = replace(last, data=data[:-over])
            flow.waiting.appendleft(
                replace(last, seq=(last.seq + len(data) - over) % 2**32, data=data[-over:])
            )
        for piece in pieces:
            flow.acknowledged(piece)
        return pieces

    def _in_time(self, window: Window, pieces: list[Segment], wanted: _Wanted) -> None:
        if not window.bounded:
            return
        earliest = window.earliest
        if self.elastic and is_pure_ack(pieces[0]):
            earliest = 0.0
        for time in map(self.traffic.time_of, (pieces[0], pieces[-1])):
            if not earliest - ROUNDING <= time <= window.latest + ROUNDING:
                raise Mismatch(
                    f"timing: expected {window.earliest:.4f} to {window.latest:.4f}, came at {time:.4f}:"
                    f" {wanted.text}",
                    wanted.line,
                )

    def _compare(self, wanted: _Wanted, pieces: list[Segment]) -> None:
        packet, flow = wanted.packet, wanted.flow
        found = next(differences(packet, pieces, flow), None)
        stamps, live = packet.option("TS"), pieces[-1].tsval
        if stamps is not None and live is not None:
            flow.saw_stamp(stamps[1], live)
            found = found or self._stamp_difference(stamps[1], live, flow)
        elif live is not None and isinstance(packet.options, Wild):
            flow.saw_stamp(live, live)
        if found is not None:
            actual = self.traffic.shown(pieces[-1], flow)
            raise Mismatch(f"{found}\n  script: {wanted.text}\n  actual: {actual}", wanted.line)

    def _stamp_difference(self, script: int, live: int, flow: Flow) -> str | None:
        tick = self.traffic.setup.tick
        late = abs(flow.stamp_drift(script, live)) * tick
        if tick and late > self.traffic.tolerance(self.traffic.now) + tick:
            return f"TS val: {late:.3f} seconds from {script}"
        return None
