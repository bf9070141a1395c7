"""TIME-WAIT: who may open a 4-tuple again, and what cannot end it (RFC 9293 section 3.6.1, RFC 6191)."""

from __future__ import annotations

import pytest
from support.crafted import ACK, FIN, craft, numbers, packed
from support.net import V4, MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import UNLIMITED


def waiting(net: Net, timestamps: bool = True, **options: object) -> Client:
    """A peer whose connection the engine has closed first, and whose packets the judge may see no more."""
    client = net.client(net.group(7, **options), timestamps=timestamps).time_wait()
    net.advance(1)
    return client


def newcomer(net: Net, old: Client, later: int, stamp: int | None) -> Client:
    """A SYN from the same port, its number and its timestamp so much after the last of the old connection."""
    new = net.client(old.group, sport=old.sport, iss=(old.iss + old.seq + later) % 2**32)
    options: list[tuple[str, object]] = [("MSS", 1_460)]
    if stamp is not None:
        options += [("SAckOK", b""), ("Timestamp", ((old.judge.tsvals[-1] + stamp) % 2**32, 0))]
    new.syn(options=options)
    return new


@pytest.mark.requirement("RFC 6191 2", "RFC 9293 MAY-2", "RFC 9293 SHLD-4")
@pytest.mark.parametrize("had", [True, False])
@pytest.mark.parametrize("stamp", [None, -1, 0, 1, 1_000_000])
@pytest.mark.parametrize("later", [-1, 0, 1, 2**31 - 1, -(2**31)])
def test_which_syn_opens_it_again(net: Net, had: bool, stamp: int | None, later: int) -> None:
    """The rules of RFC 6191 section 2, one after the other."""
    old = waiting(net, timestamps=had)
    if not had:
        old.judge.tsvals.append(5_000)
    greater = 0 <= later < 2**31
    if stamp is None:
        opens = greater
    elif not had:
        opens = True
    else:
        opens = stamp > 0 or (stamp == 0 and greater)
    old.judge.irs = None
    new = newcomer(net, old, later, stamp)
    net.poll()
    assert (len(old.group.pending()) == 1) is opens
    assert net.engine.snapshot().time_wait == (not opens)
    assert net.counters()["TWRecycled"] == opens
    if opens:
        old.group.accept()
    net.link.take()
    net.engine.flush(net.now)
    [(_, raw)] = net.link.take()
    assert raw[33] == (0x12 if opens else 0x10), "SYN-ACK, or the acknowledgement that RFC 5961 asks for"
    del net.clients[new.ip, new.sport, new.port]


@pytest.mark.feature("P37")
@pytest.mark.requirement("RFC 9293 MAY-2")
def test_the_new_number_is_beyond_all_of_the_old_connection(net: Net) -> None:
    """Also when that has sent faster than the clock of RFC 6528 ticks."""
    group = net.group(7)
    old = net.client(group, window=1 << 20).established()
    sent = 0
    while sent < 3_000_000:
        sent += group.send(old.cd, bytes(60_000))
        net.turn()
        old.ack()
        net.turn()
        old.take()
    group.finish(old.cd)
    net.turn()
    old.take()
    old.ack()
    net.turn()
    old.fin()
    net.turn()
    assert old.judge.irs is not None
    last = old.judge.irs + old.rcv_nxt
    new = net.client(group, sport=old.sport, iss=old.iss + 1_000_000).established()
    assert new.judge.irs is not None
    assert 0 < (new.judge.irs - last) % 2**32 < 2**31
    new.is_alive()


def test_a_closed_port_opens_nothing(net: Net) -> None:
    """The SYN of a stranger must not end what it cannot replace."""
    old = waiting(net)
    assert old.group is not None
    old.group.stop_listening()
    new = newcomer(net, old, 1_000, 1_000)
    del net.clients[new.ip, new.sport, new.port]
    net.turn()
    assert net.engine.snapshot().time_wait == 1
    assert [segment.flags for segment in net.strays] == [{"A"}]
    net.strays.clear()


def test_a_full_table_leaves_it(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    old = waiting(net)
    assert old.group is not None
    for _ in range(16):
        net.client(old.group).established()
    net.take_events()
    newcomer(net, old, 1_000, 1_000).expect_nothing()
    net.turn()
    assert net.engine.snapshot().time_wait == 1
    assert net.counters()["ListenOverflows"] == 1


@pytest.mark.parametrize("flags", ["SA", "SF"])
def test_no_other_syn_opens_it(net: Net, flags: str) -> None:
    old = waiting(net)
    old.send(b"", flags, seq=old.seq + 10)
    net.turn()
    assert net.engine.snapshot().time_wait == 1
    old.take()


class TestAnswers:
    """What comes late is acknowledged, but two ends that do not agree must fall silent (attack row 7)."""

    def test_one_in_half_a_second(self, net: Net) -> None:
        old = waiting(net)
        for _ in range(1_000):
            old.send(b"late", seq=1)
            net.turn()
            net.advance(0.01)
        assert len(old.take()) == 20
        assert net.counters()["TCPACKSkippedTimeWait"] == 980

    def test_the_fin_again_is_always_answered_and_starts_it_anew(self, net: Net) -> None:
        """RFC 9293 section 3.10.7.4, eighth step."""
        old = waiting(net)
        for _ in range(5):
            old.send(b"", "FA", seq=1)
            net.turn()
            old.expect("A", seq=2, ack=2)
            net.advance(50)
        assert net.engine.snapshot().time_wait == 1
        net.advance(12)
        assert net.engine.snapshot().time_wait == 0

    @pytest.mark.parametrize("seq", [0, 2, 1_000, -1_000])
    def test_another_fin_does_not(self, net: Net, seq: int) -> None:
        old = waiting(net)
        net.advance(50)
        old.judge.ranges.append((2, 1_001))
        old.send(b"", "FA", seq=seq)
        net.turn()
        old.expect("A", seq=2, ack=2)
        net.advance(11)
        assert net.engine.snapshot().time_wait == 0

    def test_nor_one_from_the_past(self, net: Net) -> None:
        """PAWS holds here as well (RFC 7323 section 5.3)."""
        old = waiting(net)
        net.advance(50)
        for options in ([], [("Timestamp", (old.tsval - 60_000, 0))]):
            old.send(b"", "FA", seq=1, options=options)
            net.turn()
        assert len(old.take()) == 1
        assert net.counters()["PAWSEstabRejected"] == 2
        net.advance(11)
        assert net.engine.snapshot().time_wait == 0

    def test_its_last_acknowledgement_is_not_answered(self, net: Net) -> None:
        old = waiting(net)
        old.ack()
        net.turn()
        old.expect_nothing()


@pytest.mark.requirement("RFC 9293 MUST-13")
def test_all_that_expires_at_once_is_ended_in_slices(make_net: MakeNet) -> None:
    """Of 6,000 no single turn pays for more than 4,096."""
    net = make_net(max_time_wait=8_192, time_wait_s=5.0, syn_cookies="always")
    group = net.group(7, accept_credits=UNLIMITED)
    here, there = packed(V4), packed("198.51.100.9")
    for sport in range(1_024, 7_024):
        net.link.deliver(craft(there, here, sport, 7, 0))
        net.engine.poll(net.now)
        net.engine.flush(net.now)
        [(_, raw)] = net.link.take()
        _, iss, _, _ = numbers(raw)
        net.link.deliver(craft(there, here, sport, 7, 1, iss + 1, ACK))
        net.engine.poll(net.now)
        [(_, _, cd, _)] = net.engine.events()
        group.finish(cd)
        net.engine.flush(net.now)
        net.link.deliver(craft(there, here, sport, 7, 1, iss + 2, ACK | FIN))
        net.engine.poll(net.now)
        net.engine.flush(net.now)
        net.link.take()
    left = net.engine.snapshot().time_wait
    assert left == 6_000
    net.now += 6
    while left:
        net.engine.poll(net.now)
        now = net.engine.snapshot().time_wait
        assert 0 < left - now <= 4_096
        left = now
        net.now += 0.5


def test_each_new_entry_ends_two_old_ones(make_net: MakeNet) -> None:
    net = make_net(max_time_wait=16, time_wait_s=1.0)
    group = net.group(7)
    for _ in range(16):
        net.client(group).time_wait()
    made = [net.client(group).fin_wait_2() for _ in range(8)]
    net.stall(1.5)
    for client in made:
        client.fin()
    net.poll()
    assert net.counters()["TCPTimeWaitOverflow"] == 0
    net.flush()


@pytest.mark.requirement("RFC 9293 MUST-13")
def test_one_that_was_opened_again_delays_no_other(make_net: MakeNet) -> None:
    """Each ends after its own two MSL, although the next one in the ring is dead."""
    net = make_net(time_wait_s=10.0)
    group = net.group(7)
    ends = []
    for _ in range(8):
        net.client(group).time_wait()
        ends.append(net.now + 10)
        net.advance(0.5)
    del ends[1]
    second = sorted(net.clients.values(), key=lambda client: client.sport)[1]
    newcomer(net, second, 1_000, 1_000).syn_received()
    while net.now < ends[-1]:
        net.advance(0.25)
        # The clock hand comes by twice in a second.
        assert net.engine.snapshot().time_wait <= sum(end > net.now - 0.5 for end in ends)
