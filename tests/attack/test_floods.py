"""Floods of strangers: rows 1, 2, 17, 26, 36 and 37 of the table of attacks, on the virtual clock.

A row's figure stands in the docstring of its test.  Where it speaks of a million,
there are as many here as a few seconds allow, and the tables are small enough to
be full all the time.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from time import process_time

import pytest
from support.crafted import ACK, FIN, RST, SYN, Strangers, craft, numbers, packed
from support.net import V4, V6, MakeNet, Net

from xtcp_twisted.config import MAX_TIME_WAIT, UNLIMITED, MiB
from xtcp_twisted.engine import Group
from xtcp_twisted.tcp import layout

#: One source address of the honest clients, and where the flood seems to come from.
HONEST = {V4: "203.0.113.5", V6: "2001:db8:5::5"}
FORGED = {V4: "198.51.0.0", V6: "2001:db8:f::"}
#: Bytes of a half-open entry and its place in the index.
ENTRY_BYTES = 64 + 8
TICK_S = 0.001

Turn = Callable[[], None]


class Siege:
    """A flood of SYNs, 100 a millisecond, and an honest client every 10 ms whose round trip takes 20 ms."""

    def __init__(
        self, net: Net, port: int, decide: Turn = lambda: None, flooded: int = 7, at: str = V4
    ) -> None:
        """
        :param port: what the honest clients call; `flooded`: what the flood calls.
        :param decide: what the application does in each turn.
        """
        self.net, self.port, self.decide = net, port, decide
        self.here, self.source = packed(at), packed(HONEST[at])
        self.strangers = Strangers(FORGED[at], at, flooded)
        self.asked = 0
        self.answers: list[tuple[float, int, int]] = []
        self.peak_bytes = self.peak_half_open = 0
        self.seconds = 0.0

    def run(self, syns: int) -> None:
        """So many forged SYNs."""
        net = self.net
        for tick in range(syns // 100):
            for number in range(100 * tick, 100 * tick + 100):
                net.link.deliver(self.strangers.packet(number))
            if tick % 10 == 0:
                self._ask()
            self._turn()
            net.now += TICK_S
        for _ in range(30):
            self._turn()
            net.now += TICK_S

    def _ask(self) -> None:
        sport = 1_024 + self.asked
        options = b"\2\4\5\xb4\4\2\x08\x0a\0\0\0\1\0\0\0\0\1\3\3\7"
        self.net.link.deliver(
            craft(self.source, self.here, sport, self.port, 1_000, options=options + bytes(-len(options) % 4))
        )
        self.asked += 1

    def _turn(self) -> None:
        net = self.net
        while self.answers and self.answers[0][0] <= net.now:
            _, sport, packet = self.answers.pop(0)
            net.link.deliver(self._acknowledgement(sport, packet))
        began = process_time()
        net.engine.poll(net.now)
        self.seconds += process_time() - began
        net.engine.events()
        self.decide()
        began = process_time()
        net.engine.flush(net.now)
        self.seconds += process_time() - began
        for _, packet in net.link.take():
            if packet[16:20] == self.source or packet[24:40] == self.source:
                dport, seq, _, flags = numbers(packet)
                assert flags & 0x3F == SYN | ACK
                self.stamps[dport] = self._stamp(packet)
                self.answers.append((net.now + 0.020, dport, seq))
        snapshot = net.engine.snapshot()
        self.peak_half_open = max(self.peak_half_open, snapshot.half_open)
        self.peak_bytes = max(self.peak_bytes, snapshot.connection_bytes - snapshot.connections * 256)

    @property
    def stamps(self) -> dict[int, bytes]:
        """The timestamp of the SYN-ACK to each client."""
        return self.__dict__.setdefault("_stamps", {})

    def _stamp(self, packet: bytes) -> bytes:
        at = packet.index(b"\x08\x0a", 40 if len(self.source) == 4 else 60)
        return packet[at + 2 : at + 6]

    def _acknowledgement(self, sport: int, seq: int) -> bytes:
        options = b"\1\1\x08\x0a\0\0\0\2" + self.stamps[sport]
        return craft(self.source, self.here, sport, self.port, 1_001, seq + 1, ACK, options=options)


@pytest.mark.parametrize("at", [V4, V6])
@pytest.mark.parametrize("cookies", ["auto", "always"])
def test_row_1_a_flood_of_requests(make_net: MakeNet, cookies: str, at: str) -> None:
    """10^6 SYNs of as many tuples at 100,000 a second: memory within the cap, >= 99 % of the honest connect,
    no more SYN-ACKs again than at first, less than 5 us of the processor for each."""
    net = make_net(max_half_open=4_096, max_connections=8_192, syn_cookies=cookies)
    group = net.group(7, v6=at == V6, accept_credits=UNLIMITED)
    siege = Siege(net, 7, at=at)
    syns = 100_000
    siege.run(syns)
    assert len(group) >= 0.99 * siege.asked
    assert siege.asked == 100
    # Three quarters of the table, and the one that made it so.
    assert siege.peak_half_open == (3_073 if cookies == "auto" else 0)
    assert siege.peak_bytes <= 4_096 * ENTRY_BYTES + 1_024
    if not layout.DEBUG:
        assert siege.seconds / syns < 5e-6
    net.advance(60)
    net.strays.clear()
    counters = net.counters()
    assert counters["TCPSynRetrans"] <= 3 * siege.peak_half_open
    assert counters["SyncookiesSent"] >= syns - 3_073
    assert counters["SyncookiesRecv"] + siege.peak_half_open >= len(group)
    assert net.engine.snapshot().half_open == 0


def test_row_1_where_the_application_decides(make_net: MakeNet) -> None:
    """The oldest offers make room; an application that looks at each turn's finds its own."""
    net = make_net(max_half_open=4_096, max_connections=8_192)
    group = net.group(7)
    known = HONEST[V4]

    def decide() -> None:
        for pending, (host, _) in group.pending()[-110:]:
            if host == known:
                group.accept(pending)

    siege = Siege(net, 7, decide)
    siege.run(20_000)
    assert len(group) >= 0.99 * siege.asked
    assert siege.peak_half_open <= 4_096
    assert net.counters()["TCPReqQFullDrop"] > 15_000
    net.advance(60)
    net.strays.clear()


@pytest.mark.parametrize("options", [{"accept_credits": UNLIMITED, "syn_cookies": False}, {}])
def test_row_1_another_group_is_flooded(make_net: MakeNet, options: dict[str, int]) -> None:
    """A flood of requests that no cookie answers leaves room for those of other groups."""
    net = make_net(max_half_open=4_096, max_connections=8_192)
    net.group(8, **options)
    group = net.group(7)

    def decide() -> None:
        for pending, _ in group.pending():
            group.accept(pending)

    siege = Siege(net, 7, decide, flooded=8)
    siege.run(20_000)
    assert len(group) >= 0.99 * siege.asked
    assert siege.peak_half_open <= 4_096
    net.advance(60)
    net.strays.clear()


def test_row_2_forged_cookies(make_net: MakeNet) -> None:
    """2^20 random acknowledgements to a listener that has just sent cookies: no connection, RSTs rationed."""
    net = make_net(syn_cookies="always", resets_per_second=1_000)
    group = net.group(7, accept_credits=UNLIMITED)
    net.link.deliver(craft(packed("198.51.100.1"), packed(V4), 1_000, 7, 0))
    net.turn()
    net.link.take()
    # One number and its complement: the checksum of all is the same.
    packet = bytearray(craft(packed("198.51.100.2"), packed(V4), 1_000, 7, 0xFFFFFFFF, 0, ACK))
    guesses = random.Random(2)
    resets = 0
    for _ in range(1 << 12):
        for _ in range(1 << 8):
            guess = guesses.getrandbits(32)
            struct.pack_into("!II", packet, 24, ~guess & 0xFFFFFFFF, guess)
            net.link.deliver(bytes(packet))
        net.engine.poll(net.now)
        net.engine.flush(net.now)
        resets += len(net.link.take())
        net.now += TICK_S
    assert net.counters()["SyncookiesFailed"] == 1 << 20
    assert net.engine.snapshot().connections == 0
    assert len(group) == 0
    assert resets <= 1_000 + 1_000 * 4.1
    net.strays.clear()


def test_row_36_an_application_that_never_accepts(make_net: MakeNet) -> None:
    """10^5 SYNs: the table within its cap, all refused by the deadline, 900 ms from the first offer."""
    net = make_net(max_half_open=8_192)
    group = net.group(7)
    strangers = Strangers(FORGED[V4], V4, 7)
    resets = peak = 0
    for tick in range(1_000):
        for number in range(100 * tick, 100 * tick + 100):
            net.link.deliver(strangers.packet(number))
        net.engine.poll(net.now)
        net.engine.flush(net.now)
        net.engine.events()
        resets += len(net.link.take())
        peak = max(peak, net.engine.snapshot().half_open)
        net.now += TICK_S
    assert peak == 6_145
    assert len(group.pending()) == 6_145
    net.now += 0.900
    net.engine.poll(net.now)
    net.engine.flush(net.now)
    assert net.engine.snapshot().half_open == 0
    assert group.pending() == []
    resets += len(net.link.take())
    assert 0 < resets <= 1_000 + 1_900
    counters = net.counters()
    assert counters["AcceptTimeouts"] + counters["TCPReqQFullDrop"] == 100_000


def test_row_37_strays_cost_no_more_than_the_bucket(make_net: MakeNet) -> None:
    """10^5 stray ACKs a second, to a closed port and to a listening one: 1,000 RSTs a second."""
    net = make_net(resets_per_second=1_000)
    net.group(7, accept_credits=UNLIMITED)
    floods = [Strangers(FORGED[V4], V4, port, ACK, ack=1) for port in (7, 9)]
    resets = 0
    for tick in range(3_000):
        for number in range(50 * tick, 50 * tick + 50):
            for flood in floods:
                net.link.deliver(flood.packet(number))
        net.engine.poll(net.now)
        net.engine.flush(net.now)
        for _, packet in net.link.take():
            assert numbers(packet)[3] == RST
            resets += 1
        net.now += TICK_S
    assert 3_900 <= resets <= 4_000
    assert net.counters()["ResetsLimited"] == 300_000 - resets


def test_row_17_fragments_take_no_memory(net: Net) -> None:
    """No reassembly: each is counted and gone."""
    net.group(7, accept_credits=UNLIMITED)
    whole = bytearray(craft(packed("198.51.100.1"), packed(V4), 1_000, 7, 0))
    before = net.engine.snapshot().connection_bytes
    for number in range(20_000):
        # More fragments, or an offset; the header's checksum makes up for it by the identification.
        field = 0x2000 if number % 2 else 1 + number % 8_000
        struct.pack_into("!HH", whole, 4, (0x4000 - field) % 0xFFFF, field)
        net.link.deliver(bytes(whole))
        if number % 500 == 499:
            net.turn()
    counters = net.counters()
    assert counters["IpReasmReqds"] == 20_000
    assert net.engine.snapshot().connection_bytes == before
    net.expect_nothing()


def close_one(net: Net, group: Group, number: int) -> None:
    """A connection of stranger `number`, opened by a cookie, closed by the engine: it ends in TIME-WAIT."""
    here, there, sport = packed(V4), packed(f"198.51.{number >> 14}.9"), 1_024 + number % (1 << 14)
    net.link.deliver(craft(there, here, sport, 7, 0))
    net.engine.poll(net.now)
    net.engine.flush(net.now)
    [(_, raw)] = net.link.take()
    iss = numbers(raw)[1]
    net.link.deliver(craft(there, here, sport, 7, 1, iss + 1, ACK))
    net.engine.poll(net.now)
    [(_, _, cd, _)] = net.engine.events()
    group.finish(cd)
    net.engine.flush(net.now)
    net.link.deliver(craft(there, here, sport, 7, 1, iss + 2, ACK | FIN))
    net.engine.poll(net.now)
    net.engine.flush(net.now)
    net.link.take()


def test_row_26_a_flood_of_time_wait(make_net: MakeNet) -> None:
    """10^6 closes: <= 64 MB, the oldest leaving first."""
    largest = MAX_TIME_WAIT * (40 + 8)
    assert largest <= 64 * MiB
    net = make_net(syn_cookies="always", max_time_wait=1_024)
    group = net.group(7, accept_credits=UNLIMITED)
    for number in range(12_000):
        close_one(net, group, number)
        if number % 1_000 == 999:
            snapshot = net.engine.snapshot()
            assert snapshot.time_wait <= 1_024
            assert snapshot.connection_bytes <= 1_024 * (40 + 8) + 64
    assert net.counters()["TCPTimeWaitOverflow"] == 12_000 - 1_024
    for number, waits in [(0, False), (12_000 - 1_025, False), (12_000 - 1_024, True), (11_999, True)]:
        sport = 1_024 + number % (1 << 14)
        net.link.deliver(craft(packed(f"198.51.{number >> 14}.9"), packed(V4), sport, 7, 0, 1, ACK))
        net.turn()
        [segment] = net.strays
        assert (segment.flags == {"A"}) is waits
        net.strays.clear()
