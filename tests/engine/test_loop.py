"""An engine that connects to itself: its packets are looped inside it (architecture section 3)."""

from __future__ import annotations

import errno
import random

import pytest
from support.net import PEER_V4, PEER_V6, V4, V6, MakeNet, Net
from support.packets import build

from xtcp_twisted.config import ALL, UNLIMITED, GroupOptions, KiB
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import AddressNotAvailable

#: Turns at one instant, after which a conversation is said to go on for ever.
MOST_TURNS = 5_000


def settle(net: Net) -> int:
    """Turns at this instant, as long as the engine asks for one; how many."""
    turns = 0
    while (due := net.engine.poll_at()) is not None and due <= net.now:
        turns += 1
        assert turns < MOST_TURNS, "the engine talks to itself for ever"
        net.turn()
    return turns


def connected(net: Net, listening: Group, connecting: Group, host: str = V4) -> tuple[int, int]:
    """The two ends of a connection of the engine with itself: of who connects, and of who listens."""
    near = connecting.connect((host, listening.port))
    settle(net)
    made = {event[2] for event in net.take_events(EventKind.ESTABLISHED)}
    assert near in made and len(made) == 2
    return near, (made - {near}).pop()


def groups(net: Net, v6: bool = False) -> tuple[Group, Group]:
    return net.group(7, v6=v6, accept_credits=UNLIMITED), net.group(8, v6=v6)


@pytest.mark.feature("P09")
@pytest.mark.parametrize("v6", [False, True])
class TestTwoEnds:
    def test_both_tell_the_same_places(self, net: Net, v6: bool) -> None:
        listening, connecting = groups(net, v6)
        near, far = connected(net, listening, connecting, V6 if v6 else V4)
        assert connecting.local(near) == listening.peer(far)
        assert connecting.peer(near) == listening.local(far) == (V6 if v6 else V4, 7)
        net.expect_nothing()
        assert net.link.take() == []

    def test_an_exchange(self, net: Net, v6: bool) -> None:
        listening, connecting = groups(net, v6)
        near, far = connected(net, listening, connecting, V6 if v6 else V4)
        connecting.send(near, b"who is there?")
        settle(net)
        assert listening.recv(100) == (far, b"who is there?")
        listening.send(far, b"nobody but us", ackd=ALL)
        settle(net)
        assert connecting.recv(100) == (near, b"nobody but us")
        connecting.send(near, b"", ackd=ALL)
        net.advance(1)
        assert net.transmit_used == net.receive_used == 0

    def test_a_megabyte_each_way(self, net: Net, v6: bool) -> None:
        listening, connecting = groups(net, v6)
        near, far = connected(net, listening, connecting, V6 if v6 else V4)
        data = random.Random(1).randbytes(1 << 20)
        there, back = _Stream(connecting, near, data), _Stream(listening, far, data[::-1])
        for _ in range(20_000):
            there.give()
            back.give()
            net.now += 0.000_1
            net.turn()
            there.take(listening)
            back.take(connecting)
            if there.done and back.done:
                break
        assert bytes(there.received) == data and bytes(back.received) == data[::-1]

    def test_an_orderly_end(self, net: Net, v6: bool) -> None:
        listening, connecting = groups(net, v6)
        near, far = connected(net, listening, connecting, V6 if v6 else V4)
        connecting.finish(near)
        settle(net)
        assert listening.recv(100) == (far, b"")
        listening.finish(far)
        settle(net)
        assert len(connecting) == len(listening) == 0
        assert net.engine.snapshot().time_wait == 1

    def test_a_reset(self, net: Net, v6: bool) -> None:
        listening, connecting = groups(net, v6)
        near, far = connected(net, listening, connecting, V6 if v6 else V4)
        net.kinds()
        connecting.abort(near)
        settle(net)
        assert [(event[0], event[2], event[3]) for event in net.take_events()] == [
            (EventKind.RESET, far, errno.ECONNRESET)
        ]

    def test_nobody_listens(self, net: Net, v6: bool) -> None:
        connecting = net.group(8, v6=v6)
        near = connecting.connect((V6 if v6 else V4, 9))
        settle(net)
        assert [(event[0], event[2], event[3]) for event in net.take_events()] == [
            (EventKind.RESET, near, errno.ECONNREFUSED)
        ]


class _Stream:
    """Bytes from one end to the other, as the buffers take them."""

    def __init__(self, group: Group, cd: int, data: bytes) -> None:
        self.group, self.cd, self.rest, self.size = group, cd, data, len(data)
        self.received = bytearray()

    def give(self) -> None:
        if self.rest:
            self.rest = self.rest[self.group.send(self.cd, self.rest) :]

    def take(self, group: Group) -> None:
        while (got := group.recv(1 << 20)) is not None:
            self.received += got[1]
            group.send(got[0], b"", ackd=ALL)

    @property
    def done(self) -> bool:
        return len(self.received) == self.size


@pytest.mark.feature("P08")
def test_the_application_decides_about_it_like_about_any(net: Net) -> None:
    listening, connecting = net.group(7), net.group(8)
    near = connecting.connect((V4, 7))
    settle(net)
    ((pending, peer),) = listening.pending()
    assert tuple(peer) == connecting.local(near)
    far = listening.accept(pending)
    settle(net)
    assert {event[2] for event in net.take_events(EventKind.ESTABLISHED)} == {near, far}


def test_the_two_ends_of_one_group(net: Net) -> None:
    group = net.group(7, accept_credits=UNLIMITED)
    near, far = connected(net, group, group)
    group.send(near, b"hello")
    settle(net)
    assert group.recv(100) == (far, b"hello")


def test_between_two_addresses_of_a_prefix(make_net: MakeNet) -> None:
    net = make_net(addresses=("192.0.2.0/24",))
    listening = net.group(7, accept_credits=UNLIMITED)
    connecting = net.group(8)
    near = connecting.connect(("192.0.2.77", 7), ("192.0.2.33", 4_000))
    settle(net)
    assert connecting.info(near).state == "ESTABLISHED"
    assert [info[0] for info in (connecting.local(near), connecting.peer(near))] == [
        "192.0.2.33",
        "192.0.2.77",
    ]
    assert len(listening) == 1


class TestItself:
    """RFC 9293 section 3.5, simultaneous open, with one end that is both."""

    def test_it_hears_what_it_says(self, net: Net) -> None:
        group = net.group(7)
        cd = group.connect((V4, 7), (V4, 7))
        settle(net)
        assert net.kinds() == [EventKind.ESTABLISHED]
        assert group.local(cd) == group.peer(cd) == (V4, 7)
        group.send(cd, b"hello, me")
        settle(net)
        assert group.recv(100) == (cd, b"hello, me")
        group.send(cd, b"hello again", ackd=ALL)
        settle(net)
        assert group.recv(100) == (cd, b"hello again")
        group.send(cd, b"", ackd=ALL)
        net.advance(1)
        assert net.transmit_used == 0 and net.counters()["RetransSegs"] == 0

    def test_it_closes(self, net: Net) -> None:
        """Its FIN is the peer's FIN: CLOSING, then TIME-WAIT (Figure 13)."""
        group = net.group(7)
        cd = group.connect((V4, 7), (V4, 7))
        settle(net)
        group.finish(cd)
        settle(net)
        assert len(group) == 0 and net.engine.snapshot().time_wait == 1
        net.advance(70)
        assert net.engine.snapshot().time_wait == 0

    def test_it_aborts(self, net: Net) -> None:
        group = net.group(7)
        cd = group.connect((V4, 7), (V4, 7))
        settle(net)
        group.abort(cd)
        settle(net)
        assert len(group) == 0

    def test_never_by_chance(self, make_net: MakeNet) -> None:
        """With a destination among the ephemeral ports, its own port is not chosen."""
        net = make_net(ephemeral_ports=(40_000, 40_003))
        group = net.group(7)
        ports = {group.local(group.connect((V4, 40_002)))[1] for _ in range(3)}
        assert ports == {40_000, 40_001, 40_003}


class TestFromOutside:
    """What comes from a link with one of our addresses as its source is forged."""

    def forged(self, net: Net, sport: int, **fields: object) -> None:
        before = net.counters()["IpInAddrErrors"]
        net.inject(build(V4, V4, sport, 7, **fields))  # type: ignore[arg-type]
        net.turn()
        net.expect_nothing()
        assert net.counters()["IpInAddrErrors"] == before + 1

    def test_a_request(self, net: Net) -> None:
        listening, connecting = groups(net)
        self.forged(net, 5_000, seq=1, flags="S")
        connected(net, listening, connecting)
        self.forged(net, 5_000, seq=1, flags="S")
        assert len(listening) == 1

    def test_a_reset_of_a_connection_with_itself(self, net: Net) -> None:
        listening, connecting = groups(net)
        near, far = connected(net, listening, connecting)
        info = listening.info(far)
        self.forged(net, connecting.local(near)[1], seq=info.rcv_nxt, ack=info.snd_nxt, flags="RA")
        assert info.state == listening.info(far).state == "ESTABLISHED"

    def test_a_reset_of_a_request(self, net: Net) -> None:
        listening, connecting = net.group(7), net.group(8)
        near = connecting.connect((V4, 7))
        settle(net)
        self.forged(net, connecting.local(near)[1], seq=connecting.info(near).snd_una, flags="R")
        assert len(listening.pending()) == 1


class TestBounds:
    def test_others_do_not_wait(self, make_net: MakeNet) -> None:
        """A poll takes at most half of its packets from the engine itself."""
        net = make_net(packets_per_poll=8, offload=False)
        listening, connecting = groups(net)
        near, far = connected(net, listening, connecting)
        client = net.client(listening).established()
        connecting.send(near, bytes(100_000))
        net.flush()
        net.poll()
        client.send(b"and me?")
        for _ in range(6):
            client.ack()
        assert net.poll() <= 8
        got = dict(listening.recv_batch(10))
        assert got[client.cd] == b"and me?" and far in got

    def test_nothing_is_answered_while_it_is_sent(self, net: Net) -> None:
        """One hop in each turn: no recursion, however the two ends talk."""
        listening, connecting = groups(net)
        near, far = connected(net, listening, connecting)
        connecting.send(near, b"ping")
        assert net.flush() == 1
        assert listening.recv(10) is None
        assert net.poll() == 1
        assert listening.recv(10) == (far, b"ping")

    def test_a_full_ring_loses_packets_and_no_bytes(self, make_net: MakeNet) -> None:
        """As a network would; TCP sends them again."""
        net = make_net(transmit_buffer=32 << 20, arena_limit=1 << 30)
        pool = net.engine.create_pool(64 << 20)
        options = {"ack_policy": "immediate", "user_timeout_s": 0}
        listening = net.group(7, pool=pool, accept_credits=UNLIMITED, **options)
        connecting = net.group(8, pool=pool, **options)
        pairs = [connected(net, listening, connecting) for _ in range(400)]
        data = random.Random(2).randbytes(14_000)
        for near, _ in pairs:
            assert connecting.send(near, data) == len(data)
        net.flush()
        assert net.counters()["LinkDrops"] > 0
        received: dict[int, bytearray] = {far: bytearray() for _, far in pairs}
        for _ in range(4_000):
            net.advance(0.01)
            for cd, piece in listening.recv_batch(1_000):
                received[cd] += piece
                listening.send(cd, b"", ackd=ALL)
            if all(len(piece) == len(data) for piece in received.values()):
                break
        assert all(bytes(piece) == data for piece in received.values())
        assert net.counters()["RetransSegs"] > 0

    def test_the_end_of_the_engine(self, make_net: MakeNet) -> None:
        """With packets in the ring; the pools go one after the other."""
        net = make_net()
        first, second = net.engine.create_pool(64 * KiB), net.engine.create_pool(64 * KiB)
        listening = net.group(7, pool=first, accept_credits=UNLIMITED)
        connecting = net.group(8, pool=second)
        near, _ = connected(net, listening, connecting)
        connecting.send(near, b"hello")
        net.flush()
        listening.close(abort=True)
        first.close()
        settle(net)
        assert EventKind.RESET in net.kinds()
        net.engine.close()
        assert net.engine.closed


def test_an_address_of_another_engine_is_not_looped(net: Net) -> None:
    listening, connecting = groups(net)
    connected(net, listening, connecting)
    connecting.connect((PEER_V4, 7))
    net.engine.flush(net.now)
    assert len(net.link.take()) == 1


class TestLoopback:
    """127/8 and ::1 are inside the engine, as they are inside every host."""

    @pytest.mark.parametrize(
        "host, near_host", [("127.0.0.1", "127.0.0.1"), ("127.3.4.5", "127.0.0.1"), ("::1", "::1")]
    )
    def test_an_exchange(self, net: Net, host: str, near_host: str) -> None:
        listening, connecting = groups(net, v6=":" in host)
        near, far = connected(net, listening, connecting, host)
        assert listening.peer(far)[0] == near_host
        assert listening.local(far) == (host, 7)
        connecting.send(near, b"who is there?")
        settle(net)
        assert listening.recv(100) == (far, b"who is there?")
        assert net.link.take() == []

    def test_a_group_of_its_own(self, net: Net) -> None:
        pool = net.pool
        inside = pool.open_group(7, address="127.0.0.1", options=GroupOptions(accept_credits=UNLIMITED))
        connecting = net.group(8)
        connected(net, inside, connecting, "127.0.0.1")
        refused = connecting.connect((V4, 7))
        settle(net)
        assert [event[2:] for event in net.take_events(EventKind.RESET)] == [(refused, errno.ECONNREFUSED)]

    @pytest.mark.parametrize(
        "server, client", [("127.0.0.1", PEER_V4), (V4, "127.0.0.1"), ("127.0.0.1", "127.0.0.1")]
    )
    @pytest.mark.parametrize("talking", [False, True], ids=["quiet", "talking to itself"])
    def test_not_from_outside(self, net: Net, server: str, client: str, talking: bool) -> None:
        listening, connecting = groups(net)
        if talking:
            connected(net, listening, connecting, "127.0.0.1")
        before = len(listening), net.counters()["IpInAddrErrors"]
        net.inject(build(client, server, 5_000, 7, seq=1, flags="S"))
        net.turn()
        assert (len(listening), net.counters()["IpInAddrErrors"] - 1) == before
        assert net.link.take() == []

    @pytest.mark.parametrize("host, outside", [("127.0.0.1", PEER_V4), ("::1", PEER_V6)])
    def test_not_to_the_outside(self, net: Net, host: str, outside: str) -> None:
        connecting = net.group(8, v6=":" in host)
        with pytest.raises(AddressNotAvailable, match="no IPv. address to reach"):
            connecting.connect((outside, 7), (host, 0))
        net.turn()
        assert net.link.take() == []
