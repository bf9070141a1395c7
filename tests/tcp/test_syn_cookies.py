"""SYN cookies: handshakes that take no memory (RFC 4987 section 3.6; architecture section 7)."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest
from support.net import PEER_V4, V4, MakeNet, Net
from support.packets import Segment, build
from support.peer import Client

from xtcp_twisted.config import COOKIE_MSS, COOKIE_SLOT_S, UNLIMITED, EngineConfig
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import ConfigurationError

pytestmark = pytest.mark.requirement("RFC 4987 3.6")

#: Of `ConnectionInfo`, what differs between any two connections.
OF_ITS_OWN = {"cd", "peer", "snd_una", "snd_nxt", "snd_lbb", "idle_ms"}


@pytest.fixture
def net(make_net: MakeNet) -> Net:
    """One whose every request is answered by a cookie."""
    return make_net(syn_cookies="always")


def answered(client: Client, **options: Any) -> Segment:
    """The SYN-ACK of a client's SYN."""
    client.syn(**options)
    client.net.turn()
    return client.expect("SA", seq=0, ack=1)


def opened(client: Client) -> int:
    """The id of the connection that the client's handshake has just made."""
    [(_, _, cd, _)] = client.net.take_events(EventKind.ESTABLISHED)
    client.cd = cd
    return cd


def test_a_syn_takes_no_memory_and_its_acknowledgement_makes_the_connection(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    client = net.client(group)
    answered(client)
    snapshot = net.engine.snapshot()
    assert (snapshot.half_open, snapshot.connections, snapshot.connection_bytes) == (0, 0, 0)
    assert net.take_events() == []
    net.advance(5)
    client.expect_nothing()
    client.ack()
    net.turn()
    opened(client)
    client.is_alive()
    counters = net.counters()
    assert (counters["SyncookiesSent"], counters["SyncookiesRecv"], counters["SyncookiesFailed"]) == (1, 1, 0)
    assert counters["PassiveOpens"] == 1
    assert group.info(client.cd).state == "ESTABLISHED"
    net.client(group).established().is_alive()


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("wscale", [None, 0, 1, 7, 14])
@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("mss", [None, 100, 536, 1_220, 1_400, 1_440])
def test_such_a_connection_is_like_any_other(
    make_net: MakeNet, v6: bool, wscale: int | None, timestamps: bool, mss: int | None
) -> None:
    """The same variables as by an entry; without timestamps, as of a client that offers nothing."""
    found = []
    for cookies in ("always", "off"):
        net = make_net(syn_cookies=cookies, mtu=1_500)
        group = net.group(7, v6=v6, accept_credits=UNLIMITED)
        scale = wscale if timestamps or cookies == "always" else None
        client = net.client(group, mss=mss, wscale=scale, timestamps=timestamps)
        syn_ack = answered(client)
        assert net.engine.snapshot().half_open == (cookies == "off")
        net.advance(0.064)
        client.ack()
        net.turn()
        info = asdict(group.info(opened(client)))
        # The options in a cookie's timestamp make it up to 63 ms older.
        assert 64_000 <= info.pop("srtt_us") < 128_000 or (cookies == "always" and not timestamps)
        rest = {name: value for name, value in info.items() if name not in OF_ITS_OWN}
        del rest["rttvar_us"], rest["rto_ms"]
        options = {kind: value for kind, value in syn_ack.options.items() if kind != 8}
        found.append((rest, options, syn_ack.window, 8 in syn_ack.options))
        client.is_alive()
    assert found[0] == found[1]


@pytest.mark.parametrize("mss", [*COOKIE_MSS, 300, 1_219, 1_221, 1_459, 8_000, 9_000])
def test_the_segment_size_is_rounded_down_to_one_of_the_table(make_net: MakeNet, mss: int) -> None:
    net = make_net(syn_cookies="always", mtu=9_000)
    group = net.group(7, accept_credits=UNLIMITED)
    client = net.client(group, mss=mss)
    answered(client)
    client.ack()
    net.turn()
    assert group.info(opened(client)).mss == max(size for size in COOKIE_MSS if size <= mss)


@pytest.mark.parametrize("timestamps", [True, False])
def test_ecn_comes_back_with_the_timestamp(net: Net, timestamps: bool) -> None:
    """Without one nothing keeps it, so the SYN-ACK does not agree."""
    group = net.group(7, accept_credits=UNLIMITED)
    client = net.client(group, timestamps=timestamps)
    client.syn(flags="SEC")
    net.turn()
    client.expect("SAE" if timestamps else "SA", seq=0, ack=1)
    client.ack()
    net.turn()
    assert group.info(opened(client)).ecn == timestamps
    client.is_alive()


def test_sack_and_scale_are_in_use(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    client = net.client(group, wscale=9, window=1 << 20)
    syn_ack = answered(client)
    assert {2, 3, 4, 8} <= set(syn_ack.options)
    client.ack()
    net.turn()
    cd = opened(client)
    assert group.info(cd).snd_wnd == 1 << 20
    client.send(b"later", seq=101)
    net.turn()
    assert client.blocks(client.expect("A", ack=1)) == [(101, 106)]


def test_without_timestamps_no_option_is_promised(net: Net) -> None:
    client = net.client(net.group(7, accept_credits=UNLIMITED), timestamps=False)
    assert set(answered(client, options=[("MSS", 1_460), ("SAckOK", b""), ("WScale", 7)]).options) == {2}


@pytest.mark.parametrize("timestamps", [True, False])
def test_ecn_is_agreed_to_where_there_are_timestamps(net: Net, timestamps: bool) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    client = net.client(group, timestamps=timestamps)
    client.syn(flags="SEC")
    net.turn()
    syn_ack = client.expect("SAE" if timestamps else "SA")
    assert syn_ack.tsval is None or syn_ack.tsval & 0x20
    client.ack()
    net.turn()
    assert group.info(opened(client)).ecn is timestamps
    assert net.counters()["TCPEcnAgreed"] == timestamps


class TestTimestamps:
    def test_the_options_are_in_its_low_bits(self, net: Net) -> None:
        """As Linux has them: 0 to 3 the window scale, 15 for none, 4 SACK, 5 ECN."""
        group = net.group(7, accept_credits=UNLIMITED)
        for wscale, sack, bits in [
            (7, True, 0x17),
            (None, True, 0x1F),
            (14, False, 0x0E),
            (None, False, 0x0F),
        ]:
            options: list[tuple[str, Any]] = [("MSS", 1_460), ("Timestamp", (1, 0))]
            if sack:
                options.append(("SAckOK", b""))
            if wscale is not None:
                options.append(("WScale", wscale))
            segment = answered(net.client(group), options=options)
            assert segment.tsval is not None and segment.tsval & 0x3F == bits

    def test_it_is_never_in_the_future(self, net: Net) -> None:
        """So that what the connection sends afterwards is not older (RFC 7323 section 5)."""
        group = net.group(7, accept_credits=UNLIMITED)
        for _ in range(70):
            client = net.client(group)
            before = answered(client).tsval
            client.ack()
            net.turn()
            group.send(opened(client), b"x")
            net.flush()
            after = client.expect("A", data=b"x").tsval
            assert before is not None and after is not None
            assert 0 <= (after - before) % 2**32 < 64
            net.advance(0.001)

    def test_it_measures_the_first_round_trip(self, net: Net) -> None:
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group)
        answered(client)
        net.advance(0.3)
        client.ack()
        net.turn()
        info = group.info(opened(client))
        assert 300_000 <= info.srtt_us < 364_000
        assert info.rttvar_us == info.srtt_us // 2

    def test_one_that_was_not_sent_is_refused(self, net: Net) -> None:
        """The options are in it, so a valid number alone does not make a connection with made-up ones."""
        client = net.client(net.group(7, accept_credits=UNLIMITED))
        answered(client)
        client.ack(options=[("Timestamp", (client.tsval, client.ts_recent + 100_000))])
        net.turn()
        client.expect("R", seq=1)
        assert net.engine.snapshot().connections == 0
        assert net.counters()["SyncookiesFailed"] == 1


class TestTheAcknowledgement:
    def test_its_data_is_taken(self, net: Net) -> None:
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group)
        answered(client)
        client.send(b"first words")
        net.turn()
        assert net.kinds() == [EventKind.ESTABLISHED, EventKind.DATA]
        received = group.recv(100)
        assert received is not None and received[1] == b"first words"

    def test_its_fin_is_taken(self, net: Net) -> None:
        client = net.client(net.group(7, accept_credits=UNLIMITED))
        answered(client)
        client.fin(b"bye")
        net.turn()
        assert net.kinds() == [EventKind.ESTABLISHED, EventKind.DATA, EventKind.EOF]
        client.expect("A", ack=5)

    def test_the_first_data_may_come_after_a_lost_one(self, net: Net) -> None:
        """Whatever comes first returns the cookie: it has the same numbers."""
        client = net.client(net.group(7, accept_credits=UNLIMITED))
        answered(client)
        net.advance(COOKIE_SLOT_S - 1)
        client.send(b"hello")
        net.turn()
        assert net.kinds() == [EventKind.ESTABLISHED, EventKind.DATA]

    def test_a_repeated_syn_gets_the_same_cookie(self, net: Net) -> None:
        client = net.client(net.group(7, accept_credits=UNLIMITED))
        first = answered(client)
        net.advance(1)
        assert answered(client).seq == first.seq
        client.ack()
        net.turn()
        client.cd = opened(client)
        client.syn()
        net.turn()
        client.expect("A", ack=1)

    @pytest.mark.parametrize("flags", ["SA", "RA", "R"])
    def test_only_an_acknowledgement_opens(self, net: Net, flags: str) -> None:
        client = net.client(net.group(7, accept_credits=UNLIMITED))
        answered(client)
        client.send(b"", flags, seq=1, ack=1)
        net.turn()
        client.take()
        assert net.engine.snapshot().connections == 0


class TestForgery:
    @pytest.mark.parametrize("field", ["seq", "ack", "sport", "src", "dport", "dst"])
    @pytest.mark.parametrize("step", [1, 8, -1, 0x80_0080])
    def test_everything_is_covered(self, make_net: MakeNet, field: str, step: int) -> None:
        net = make_net(syn_cookies="always", addresses=(V4, "192.0.2.2"))
        group = net.group(7, accept_credits=UNLIMITED)
        net.group(8, accept_credits=UNLIMITED)
        client = net.client(group, timestamps=False)
        syn_ack = answered(client)
        answered(net.client(port=8, sport=999, timestamps=False))
        values: dict[str, Any] = {
            "src": PEER_V4,
            "dst": V4,
            "sport": client.sport,
            "dport": 7,
            "seq": client.iss + 1,
            "ack": syn_ack.seq + 1,
        }
        others = {"src": "198.51.100.8", "dst": "192.0.2.2", "dport": 8}
        values[field] = others.get(field) or (values[field] + step) % (65_536 if field == "sport" else 2**32)
        del net.clients[client.ip, client.sport, 7]
        net.inject(build(**values))
        net.turn()
        assert net.engine.snapshot().connections == 0
        assert net.counters()["SyncookiesFailed"] == 1
        assert [segment.flags for segment in net.strays] == [{"R"}]
        net.strays.clear()
        net.clients[client.ip, client.sport, 7] = client
        client.ack()
        net.turn()
        opened(client)

    def test_a_key_of_another_engine_does_not_fit(self, make_net: MakeNet) -> None:
        numbers = set()
        for seed in range(4):
            net = make_net(seed=seed, syn_cookies="always")
            numbers.add(answered(net.client(net.group(7, accept_credits=UNLIMITED), sport=5_000)).seq)
        assert len(numbers) == 4

    @pytest.mark.parametrize("age, good", [(0, True), (63, True), (64, True), (128, False), (192, False)])
    def test_two_slots_are_taken(self, make_net: MakeNet, age: float, good: bool) -> None:
        """At the start of a slot; 256 slots later the number of the slot is the same again."""
        net = make_net(syn_cookies="always", start=COOKIE_SLOT_S * 100.0)
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group, timestamps=False)
        answered(client)
        net.advance(age)
        answered(net.client(group))
        client.ack()
        net.turn()
        assert net.engine.snapshot().connections == good
        assert net.counters()["SyncookiesFailed"] == (not good)
        client.take()

    def test_the_number_of_a_slot_comes_again_under_another_key(self, make_net: MakeNet) -> None:
        net = make_net(syn_cookies="always")
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group, timestamps=False)
        answered(client)
        net.advance(256 * COOKIE_SLOT_S)
        answered(net.client(group))
        client.ack()
        net.turn()
        client.expect("R")

    def test_at_rest_nothing_is_looked_into(self, net: Net) -> None:
        """A right guess counts for nothing when no cookie can come back."""
        group = net.group(7, accept_credits=UNLIMITED)
        client = net.client(group)
        answered(client)
        net.advance(2 * COOKIE_SLOT_S)
        client.ack()
        net.turn()
        client.expect("R", seq=1)
        assert net.counters()["SyncookiesFailed"] == 0

    def test_one_group_s_cookies_open_no_other_group(self, net: Net) -> None:
        answered(net.client(net.group(7, accept_credits=UNLIMITED)))
        net.group(8, accept_credits=UNLIMITED)
        net.inject(build(PEER_V4, V4, 999, 8, seq=1, ack=1))
        net.turn()
        assert net.counters()["SyncookiesFailed"] == 0
        net.strays.clear()

    def test_failures_cost_no_more_than_the_ration_of_resets(self, make_net: MakeNet) -> None:
        net = make_net(syn_cookies="always", resets_per_second=10)
        answered(net.client(net.group(7, accept_credits=UNLIMITED)))
        for port in range(200):
            net.inject(build(PEER_V4, V4, 1_024 + port, 7, seq=1, ack=1))
        net.advance(0)
        assert len(net.strays) == 10
        assert net.counters()["SyncookiesFailed"] == 200
        net.strays.clear()


@pytest.mark.feature("P08")
class TestCredits:
    def test_one_is_taken_when_the_cookie_comes_back(self, net: Net) -> None:
        group = net.group(7, accept_credits=2)
        clients = [net.client(group) for _ in range(3)]
        for client in clients:
            answered(client)
        for client in clients:
            client.ack()
            net.turn()
        assert len(group) == 2
        counters = net.counters()
        assert (counters["SyncookiesRecv"], counters["ListenOverflows"], counters["ListenDrops"]) == (3, 1, 1)
        clients[2].expect_nothing()
        net.take_events()
        group.credit(1)
        clients[2].send(b"still there?")
        net.turn()
        opened(clients[2])
        assert len(group) == 3

    def test_without_any_the_application_is_asked(self, net: Net) -> None:
        group = net.group(7)
        client = net.client(group).asked()
        client.expect_nothing()
        group.accept(client.pending_id())
        net.flush()
        client.expect("SA")

    def test_the_rate_holds(self, net: Net) -> None:
        """Cookies that come back too fast are held up; the clients say it again with their data."""
        group = net.group(7, accept_credits=UNLIMITED, accept_rate=10.0)
        clients = [net.client(group) for _ in range(10)]
        for client in clients:
            answered(client)
        for tenths in range(12):
            for client in clients:
                client.send(b"x", seq=1)
            net.turn()
            assert len(group) <= 1 + tenths
            for client in clients:
                client.take()
            net.advance(0.1)
        assert len(group) == 10

    def test_the_rate_lets_syns_wait(self, net: Net) -> None:
        group = net.group(7, accept_credits=UNLIMITED, accept_rate=1.0)
        net.client(group).established()
        late = net.client(group).asked()
        late.expect_nothing()
        assert net.counters()["ListenDrops"] == 1
        net.advance(1)
        answered(late)

    def test_a_full_record_table_holds_the_cookie_up(self, make_net: MakeNet) -> None:
        net = make_net(max_connections=16, syn_cookies="always")
        group = net.group(7, accept_credits=UNLIMITED)
        late = net.client(group)
        answered(late)
        clients = [net.client(group).established() for _ in range(16)]
        late.ack()
        net.turn()
        late.expect_nothing()
        assert net.counters()["ListenOverflows"] == 1
        group.abort(clients[0].cd)
        net.flush()
        late.send(b"hello")
        net.turn()
        opened(late)


class TestWhen:
    def fill(self, net: Net, count: int) -> None:
        """So many half-open entries, of a group that never decides."""
        for index in range(count):
            net.inject(build(f"198.51.{index // 250}.{index % 250 + 1}", V4, 1_024, 9, seq=index, flags="S"))
        net.advance(0)

    def test_auto_sends_them_when_the_table_is_over_three_quarters_full(self, make_net: MakeNet) -> None:
        net = make_net(max_half_open=64, accept_timeout_ms=60_000)
        net.group(9)
        group = net.group(7, accept_credits=UNLIMITED)
        self.fill(net, 48)
        answered(net.client(group))
        assert net.engine.snapshot().half_open == 49
        client = net.client(group)
        answered(client)
        counters = net.counters()
        assert (counters["SyncookiesSent"], counters["TCPReqQFullDoCookies"]) == (1, 1)
        assert net.engine.snapshot().half_open == 49
        client.ack()
        net.turn()
        opened(client)

    def test_off_sends_none(self, make_net: MakeNet) -> None:
        net = make_net(max_half_open=64, accept_timeout_ms=60_000, syn_cookies="off")
        net.group(9)
        group = net.group(7, accept_credits=UNLIMITED)
        self.fill(net, 64)
        answered(net.client(group))
        assert net.counters()["SyncookiesSent"] == 0
        assert net.engine.snapshot().half_open <= 64

    def test_a_group_may_refuse_them(self, net: Net) -> None:
        group = net.group(7, accept_credits=UNLIMITED, syn_cookies=False)
        net.client(group).syn_received()
        assert net.engine.snapshot().half_open == 1
        assert net.counters()["SyncookiesSent"] == 0

    def test_other_words_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="syn_cookies: 'yes' is not allowed"):
            EngineConfig(addresses=(V4,), syn_cookies="yes")

    def test_under_pressure_and_with_no_room_none_is_sent(self, make_net: MakeNet) -> None:
        net = make_net(max_connections=16, syn_cookies="always")
        group = net.group(7, accept_credits=UNLIMITED)
        for _ in range(16):
            net.client(group).established()
        late = net.client(group).asked()
        late.expect_nothing()
        assert net.counters()["SyncookiesSent"] == 16


@pytest.mark.feature("P37")
@pytest.mark.requirement("RFC 9293 MUST-8")
def test_the_numbers_of_a_tuple_rise_by_the_slot(make_net: MakeNet) -> None:
    """RFC 6528: M goes on, in steps; F stays."""
    net = make_net(syn_cookies="always", start=COOKIE_SLOT_S * 1_000.0)
    group = net.group(7, accept_credits=UNLIMITED)
    numbers = []
    for step in range(5):
        numbers.append(answered(net.client(group, sport=5_000, iss=step * 77)).seq)
        net.advance(COOKIE_SLOT_S)
    steps = [(b - a) % 2**32 for a, b in pairwise(numbers)]
    assert all(0 < step < 2 << 24 for step in steps)
    assert len({number % (1 << 24) for number in numbers}) == 5


@pytest.mark.feature("P37")
def test_they_are_spread_over_the_whole_space(net: Net) -> None:
    """Chi-square over the top four bits of 800 tuples: 15 degrees of freedom, p = 0.0001 at 44.3."""
    group = net.group(7, accept_credits=UNLIMITED)
    buckets = [0] * 16
    for sport in range(10_000, 10_800):
        buckets[answered(net.client(group, sport=sport)).seq >> 28] += 1
        net.clients.clear()
    chi_square = sum((n - 50) ** 2 / 50 for n in buckets)
    assert chi_square < 44.3, buckets
