"""A TCP peer that does what the test says and nothing by itself.

It never acknowledges, retransmits or closes on its own.  Sequence numbers are
relative everywhere: its SYN is 0 and its first byte 1, and so are the engine's.

    client.syn(mss=1460, wscale=7, timestamps=True)
    client.expect("SA", ack=1)
    client.ack()
    client.send(b"hello")
    client.expect("A", ack=6)

`established`, `fin_wait_2` and so on bring the ENGINE's side to that state of
RFC 9293 section 3.3.2 and return the peer, so that a test of a state is three
lines.  Every packet of the engine passes the judge before a test sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind

from .judge import Judge
from .ladder import describe, flags_text
from .packets import EXPERIMENT, EXPERIMENT_ID, FAST_OPEN, Options, Segment, build, read_options

if TYPE_CHECKING:
    from xtcp_twisted.engine import Group

    from .net import Net

#: For `expect(data=ANY)`: any payload, which the judge has checked anyway.
ANY = object()


class Client:
    """One end of one connection, scripted.

    :ivar cd: the engine's id of the connection, once there is one.
    :ivar seq: relative sequence number of the next new byte.
    :ivar rcv_nxt: relative number of the next byte expected from the engine.
    :ivar window: bytes that it is ready to take beyond `rcv_nxt`.
    """

    def __init__(
        self,
        net: Net,
        *,
        group: Group | None,
        port: int,
        ip: str,
        sport: int,
        server: str,
        iss: int = 0x1000_0000,
        mss: int | None = 1460,
        wscale: int | None = 7,
        timestamps: bool = True,
        window: int = 65_535,
    ) -> None:
        self.net = net
        self.group = group
        self.ip, self.sport, self.server, self.port = ip, sport, server, port
        self.iss = iss
        self.mss, self.wscale, self.offers_timestamps = mss, wscale, timestamps
        self.window = window
        self.cd = -1
        self.seq = 0
        self.rcv_nxt = 0
        self.ts_recent = 0
        self.inbox: list[tuple[Segment, int, int]] = []
        self._lost: list[Segment] | None = None
        self.judge = Judge(iss, net.mtu, 6 if ":" in ip else 4)
        net.clients[ip, sport, port] = self

    @property
    def key(self) -> tuple[str, int]:
        """The peer address as the engine reports it."""
        return self.ip, self.sport

    # --- sending --------------------------------------------------------------

    def packet(
        self,
        data: bytes = b"",
        flags: str = "A",
        *,
        seq: int | None = None,
        ack: int | None = None,
        win: int | None = None,
        options: Options | None = None,
        raw_options: bytes = b"",
        **fields: Any,
    ) -> bytes:
        """The bytes of a packet with relative `seq` and `ack`, without sending it.

        `win` is in bytes; `fields` go to `packets.build`.
        """
        seq = self.seq if seq is None else seq
        ack = self.rcv_nxt if ack is None else ack
        win = self.window if win is None else win
        scale = self.judge.peer_scale if self.judge.scaling and "S" not in flags else 0
        if options is None:
            options = [] if raw_options else self._options()
        return build(
            self.ip,
            self.server,
            self.sport,
            self.port,
            seq=self.iss + seq,
            ack=(self.judge.irs or 0) + ack if "A" in flags else 0,
            flags=flags,
            window=min(win >> scale, 65_535),
            options=options,
            raw_options=raw_options,
            data=data,
            **fields,
        )

    def send(self, data: bytes = b"", flags: str = "PA", **fields: Any) -> None:
        """Put a segment on the link; new sequence space moves `seq`.  The engine sees it at its next poll."""
        seq = fields.get("seq")
        seq = self.seq if seq is None else seq
        raw = self.packet(data, flags, **fields)
        length = len(data) + ("S" in flags) + ("F" in flags)
        if "R" not in flags:
            self.seq = max(self.seq, seq + length)
        sent = self._sent(raw, data, flags, seq, length)
        ack = fields.get("ack")
        ack = self.rcv_nxt if ack is None else ack
        if "R" not in flags:
            self.judge.peer_sent(seq, ack if "A" in flags else None, sent)
        self.net.ladder.add(self.net.now, self.sport, describe(sent, seq, ack), from_engine=False)
        self.net.link.deliver(raw)

    def _sent(self, raw: bytes, data: bytes, flags: str, seq: int, length: int) -> Segment:
        """A sent packet as a Segment; odd options, which only tests of the parser make, read as none."""
        header = 40 if ":" in self.ip else 20
        area = raw[header + 20 : len(raw) - len(data)]
        try:
            options = read_options(area, strange=True)
        except AssertionError:
            options = {}
        return Segment(
            time=self.net.now,
            src=self.ip,
            dst=self.server,
            sport=self.sport,
            dport=self.port,
            seq=(self.iss + seq) % 2**32,
            ack=int.from_bytes(raw[header + 8 : header + 12]),
            flags=frozenset(flags),
            window=int.from_bytes(raw[header + 14 : header + 16]),
            options=options,
            data=data,
            ttl=64,
            raw=raw,
        )

    def _options(self) -> Options:
        if self.judge.timestamps:
            return [("NOP", None), ("NOP", None), ("Timestamp", (self.tsval, self.ts_recent))]
        return []

    @property
    def tsval(self) -> int:
        """The peer's timestamp clock: milliseconds, from a value of its own."""
        return (0x7700_0000 + int(self.net.now * 1000)) % 2**32

    def syn(
        self,
        *,
        mss: int | str | None = "own",
        wscale: int | str | None = "own",
        timestamps: bool | str = "own",
        options: Options | None = None,
        raw_options: bytes = b"",
        cookie: bytes | None = None,
        kind: int = FAST_OPEN,
        flags: str = "S",
        **fields: Any,
    ) -> None:
        """Open; the options are those the peer was made with unless given here.

        `cookie` adds the option of Fast Open, of this `kind`; b"" asks for one.
        """
        mss = self.mss if mss == "own" else mss
        wscale = self.wscale if wscale == "own" else wscale
        timestamps = self.offers_timestamps if timestamps == "own" else timestamps
        if options is None and not raw_options:
            options = [("MSS", mss)] if mss is not None else []
            if timestamps:
                options += [("SAckOK", b""), ("Timestamp", (self.tsval, 0))]
            if wscale is not None:
                options += [("NOP", None), ("WScale", wscale)]
            if cookie is not None:
                options.append((kind, (EXPERIMENT_ID if kind == EXPERIMENT else b"") + cookie))
        self.send(flags=flags, seq=0, options=options, raw_options=raw_options, **fields)

    def ack(self, ack: int | None = None, **fields: Any) -> None:
        """A pure ACK of `ack`, by default of all that has come in order."""
        self.send(b"", "A", ack=ack, **fields)

    def sack(self, *blocks: tuple[int, int], ack: int | None = None, **fields: Any) -> None:
        """A pure ACK that reports blocks of what the engine sent (relative numbers, the latest first)."""
        edges = tuple(((self.judge.irs or 0) + edge) % 2**32 for block in blocks for edge in block)
        options = [*self._options(), ("NOP", None), ("NOP", None), ("SAck", edges)]
        self.send(b"", "A", ack=ack, options=options, **fields)

    def fin(self, data: bytes = b"", **fields: Any) -> None:
        self.send(data, "FA", **fields)

    def rst(self, seq: int | None = None, flags: str = "R", **fields: Any) -> None:
        self.send(b"", flags, seq=seq, **fields)

    # --- receiving ------------------------------------------------------------

    def arrived(self, segment: Segment) -> None:
        """The net hands over a packet of the engine; the judge sees it first."""
        assert segment.src == self.server, f"a packet from {segment.src}, not {self.server}"
        try:
            seq, ack = self.judge.engine_sent(segment)
        except AssertionError:
            text = describe(segment, segment.seq, segment.ack)
            self.net.ladder.add(self.net.now, self.sport, f"{text}   <== judged", from_engine=True)
            raise
        self.net.ladder.add(self.net.now, self.sport, describe(segment, seq, ack), from_engine=True)
        if self._lost is not None:
            self._lost.append(segment)
            return
        if segment.tsval is not None and seq <= self.rcv_nxt:
            self.ts_recent = segment.tsval
        if seq <= self.rcv_nxt and "R" not in segment.flags:
            self.rcv_nxt = max(self.rcv_nxt, seq + segment.length)
        self.inbox.append((segment, seq, ack))

    def blocks(self, segment: Segment) -> list[tuple[int, int]]:
        """The SACK blocks of a segment of the engine, in the peer's relative numbers."""
        return [((a - self.iss) % 2**32, (b - self.iss) % 2**32) for a, b in segment.sack]

    @contextmanager
    def losing(self) -> Iterator[list[Segment]]:
        """What the engine sends meanwhile is lost on its way to this peer; yields the list of it."""
        lost: list[Segment] = []
        self._lost = lost
        yield lost
        self._lost = None

    @property
    def received(self) -> bytes:
        """All that the engine has sent in order on this connection."""
        return bytes(self.judge.stream)

    def expect(
        self,
        flags: str,
        *,
        seq: int | None = None,
        ack: int | None = None,
        data: bytes | object = b"",
        win: int | None = None,
        at: float | None = None,
    ) -> Segment:
        """Take the next packet of the inbox and compare it.

        PSH counts only if `flags` names it.  `data` is empty unless given
        (`ANY` for any).  `at` is the time since the net's start, to a tick.
        """
        assert self.inbox, f"expected {flags}, nothing came"
        segment, got_seq, got_ack = self.inbox.pop(0)
        got = f"got {describe(segment, got_seq, got_ack)}"
        ignored = frozenset() if "P" in flags else frozenset("P")
        assert segment.flags - ignored == frozenset(flags), f"expected {flags}, {got}"
        assert seq is None or got_seq == seq, f"expected seq {seq}, {got}"
        assert ack is None or got_ack == ack, f"expected ack {ack}, {got}"
        assert data is ANY or segment.data == data, f"expected {data!r}, {got}: {segment.data!r}"
        assert win is None or segment.window == win, f"expected win {win}, {got}"
        if at is not None:
            offset = segment.time - self.net.ladder.start
            assert abs(offset - at) < 0.0015, f"expected at {at:.3f} s, {got} at {offset:.6f} s"
        return segment

    def expect_nothing(self) -> None:
        if self.inbox:
            segment, seq, ack = self.inbox[0]
            raise AssertionError(f"{self.sport}: expected nothing, got {describe(segment, seq, ack)}")

    def expect_reset(self, *, seq: int, at: float | None = None) -> Segment:
        """A RST with relative `seq`; whether it also carries an ACK is the sender's choice."""
        assert self.inbox, "expected a RST, nothing came"
        flags = "RA" if "A" in self.inbox[0][0].flags else "R"
        return self.expect(flags, seq=seq, at=at)

    def take(self) -> list[Segment]:
        """Everything in the inbox, taken away."""
        taken = [segment for segment, _, _ in self.inbox]
        self.inbox.clear()
        return taken

    def times(self) -> list[float]:
        """When each packet of the inbox came, seconds since the net's start; taken away."""
        return [round(segment.time - self.net.ladder.start, 3) for segment in self.take()]

    # --- the engine's states --------------------------------------------------

    def pending_id(self) -> int:
        """The id of this peer's connection request in its group."""
        assert self.group is not None
        ids = [pending for pending, peer in self.group.pending() if tuple(peer) == self.key]
        assert len(ids) == 1, f"{len(ids)} requests of {self.key} are pending"
        return ids[0]

    def asked(self, **options: Any) -> Self:
        """SYN taken in, nothing answered: the request is pending."""
        self.syn(**options)
        self.net.turn()
        return self

    def syn_received(self, **options: Any) -> Self:
        """SYN accepted (by the application or a credit), SYN-ACK received; with ECN if `flags` asks."""
        assert self.group is not None
        self.syn(**options)
        self.net.poll()
        if any(tuple(peer) == self.key for _, peer in self.group.pending()):
            self.cd = self.group.accept(self.pending_id())
        self.net.flush()
        self.expect("SAE" if self.judge.ecn else "SA", seq=0, ack=1)
        self.net.take_events(EventKind.PENDING)
        return self

    def established(self, **options: Any) -> Self:
        self.syn_received(**options)
        assert self.group is not None
        self.ack()
        self.net.turn()
        made = [e for e in self.net.take_events(EventKind.ESTABLISHED) if self._mine(e[2])]
        assert len(made) == 1, f"{len(made)} ESTABLISHED events for one handshake"
        assert self.cd in (-1, made[0][2]), "accept and ESTABLISHED name different connections"
        self.cd = made[0][2]
        self.expect_nothing()
        return self

    def _mine(self, cd: int) -> bool:
        assert self.group is not None
        return tuple(self.group.peer(cd)) == self.key

    def close_wait(self) -> Self:
        """The peer has closed, the engine has acknowledged that."""
        self.established()
        self.fin()
        self.net.turn()
        self.expect("A", ack=2)
        return self

    def last_ack(self) -> Self:
        """The peer closed first, then the engine."""
        self.close_wait()
        self._finish()
        return self

    def fin_wait_1(self) -> Self:
        """The engine closed first, its FIN is not acknowledged."""
        self.established()
        self._finish()
        return self

    def fin_wait_2(self) -> Self:
        self.fin_wait_1()
        self.ack()
        self.net.turn()
        self.expect_nothing()
        return self

    def closing(self) -> Self:
        """Both FINs crossed; the engine's is not acknowledged."""
        self.fin_wait_1()
        self.fin(ack=1)
        self.net.turn()
        self.expect("A", seq=2, ack=2)
        return self

    def time_wait(self) -> Self:
        """The engine closed first; everything is acknowledged."""
        self.fin_wait_2()
        self.fin()
        self.net.turn()
        self.expect("A", seq=2, ack=2)
        return self

    def _finish(self) -> None:
        assert self.group is not None
        self.group.finish(self.cd)
        self.net.turn()
        self.expect("FA", seq=1)

    # --- the engine's active open -----------------------------------------------

    def connected_to(self, local: tuple[str, int] | None = None, **limits: Any) -> Self:
        """The engine connects to this peer, which has to be made for the port that it listens on.

        Its SYN has arrived and is still in the inbox.  `limits` as for `Group.connect`.
        """
        assert self.group is not None
        self.cd = self.group.connect((self.ip, self.sport), local, **limits)
        self.server, self.port = self.group.local(self.cd)
        del self.net.clients[self.ip, self.sport, 0]
        self.net.clients[self.ip, self.sport, self.port] = self
        self.net.flush()
        return self

    def answer(self, data: bytes = b"", flags: str = "SA", **fields: Any) -> None:
        """Our SYN-ACK, or our SYN for a simultaneous open, with what `syn` would offer."""
        options: Options = [("MSS", self.mss)] if self.mss is not None else []
        if self.offers_timestamps:
            echoed = self.ts_recent if "A" in flags else 0
            options += [("SAckOK", b""), ("Timestamp", (self.tsval, echoed))]
        if self.wscale is not None:
            options += [("NOP", None), ("WScale", self.wscale)]
        self.send(data, flags, **({"seq": 0, "options": options} | fields))

    def active_established(self, local: tuple[str, int] | None = None) -> Self:
        """The engine has connected to this peer, in three steps."""
        self.connected_to(local)
        self.expect("S", seq=0)
        self.answer()
        self.net.turn()
        self.expect("A", seq=1, ack=1)
        assert self.net.kinds() == [EventKind.ESTABLISHED]
        return self

    # --- an exchange ----------------------------------------------------------

    def request(self, data: bytes) -> bytes:
        """Send, and let the application take it within the same turn; returns what it got."""
        assert self.group is not None
        self.send(data)
        self.net.poll()
        got = self.group.recv(65_536)
        self.net.flush()
        assert got is not None and got[0] == self.cd, f"no data for the application: {got}"
        return got[1]

    def exchange(self, request: bytes, answer: bytes) -> None:
        """Fig. 5a: request, answer with ACK in one packet, ACK."""
        assert self.group is not None
        self.send(request)
        with self.net.in_turn():
            assert self.group.recv(65_536) == (self.cd, request)
            assert self.group.send(self.cd, answer, ackd=ALL) == len(answer)
        self.expect("A", ack=self.seq, data=answer)
        self.ack()
        self.net.turn()

    def is_alive(self) -> None:
        """The connection still carries a request and its answer."""
        self.take()
        self.exchange(b"still there?", b"yes")
        self.expect_nothing()

    def __repr__(self) -> str:
        return f"<Client {self.ip}:{self.sport} seq={self.seq} rcv_nxt={self.rcv_nxt}>"


__all__ = ["ANY", "Client", "flags_text"]
