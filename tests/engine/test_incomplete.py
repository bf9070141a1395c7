"""Requests that the application calls incomplete: `need` and `consume`, acknowledgement, window, end."""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import ACK_POLICIES, ALL, UNLIMITED, KiB
from xtcp_twisted.engine import Group
from xtcp_twisted.errors import ConfigurationError, NotAcknowledgeable

policies = pytest.mark.parametrize("policy", ACK_POLICIES)

#: What a Linux client sends before it waits for an acknowledgement (RFC 6928).
INITIAL_WINDOW = 10


@pytest.fixture
def patient(net: Net) -> Group:
    """A group under the `application` policy."""
    return net.group(7, ack_policy="application")


# --- acknowledgement under the `application` policy ----------------------------


@pytest.mark.feature("P14")
@pytest.mark.parametrize("apart", [False, True])
def test_a_request_longer_than_the_initial_window_goes_on(net: Net, patient: Group, apart: bool) -> None:
    """All that the client may send is there, and was delivered before anybody said that there is more."""
    client = net.client(patient).established()
    for _ in range(INITIAL_WINDOW):
        client.send(bytes(1_000))
        if apart:
            net.poll()
    net.turn()
    client.expect_nothing()
    assert patient.recv(100_000) == (client.cd, bytes(10_000))
    patient.need(client.cd, 10_001)
    net.flush()
    client.expect("A", ack=10_001)
    assert patient.info(client.cd).held == 10_000


@pytest.mark.feature("P14")
def test_one_segment_of_it_is_acknowledged_after_the_delay(net: Net, patient: Group) -> None:
    """A client whose congestion window is one segment waits for nothing else."""
    client = net.client(patient).established()
    client.request(bytes(1_000))
    patient.need(client.cd, 2_000)
    client.expect_nothing()
    start = net.now - net.ladder.start
    net.advance(1)
    client.expect("A", ack=1_001, at=start + 0.04)
    client.expect_nothing()
    client.send(bytes(500))
    net.advance(1)
    client.expect("A", ack=1_501)


@pytest.mark.feature("P14")
def test_the_last_byte_of_it_waits_for_the_application(net: Net, patient: Group) -> None:
    """With all that was not acknowledged before it came."""
    client = net.client(patient).established()
    client.request(b"one, ")
    patient.need(client.cd, 8)
    client.send(b"two")
    net.advance(10)
    client.expect_nothing()
    assert patient.recv(100) == (client.cd, b"one, two")
    net.advance(10)
    client.expect_nothing()
    patient.send(client.cd, b"done", ALL)
    net.flush()
    client.expect("A", ack=9, data=b"done")


@pytest.mark.feature("P14")
def test_a_part_that_comes_again_is_acknowledged(net: Net, patient: Group) -> None:
    client = net.client(patient).established()
    client.request(b"part")
    patient.need(client.cd, 8)
    client.send(b"part", seq=1)
    net.turn()
    client.expect("A", ack=5)


# --- consume ---------------------------------------------------------------------


@policies
def test_consume_is_send_and_need_at_once(net: Net, policy: str) -> None:
    group = net.group(7, ack_policy=policy)
    one, two = net.client(group).established(), net.client(group).established()
    one.request(b"whole")
    two.request(b"whole, part")
    gone = net.client(group).established()
    group.abort(gone.cd)
    gone.take()
    assert group.consume([(one.cd, 5, 0), (gone.cd, 3, 3), (two.cd, 7, 8)]) == []
    assert group.info(one.cd).held == 0
    assert group.info(two.cd).held == 4
    assert group.recv(100) is None
    assert two.request(b" two") == b"part two"
    for client in (one, two, gone):
        client.take()


def test_its_acknowledgements_ride(net: Net) -> None:
    group = net.group(7, ack_policy="bounded")
    client = net.client(group).established()
    client.request(b"whole, part")
    group.consume([(client.cd, 7, 8)])
    net.flush()
    client.expect_nothing()
    group.send(client.cd, b"answer")
    net.flush()
    client.expect("A", ack=12, data=b"answer")


def test_what_it_refuses(net: Net) -> None:
    group = net.group(7)
    one, two = net.client(group).established(), net.client(group).established()
    one.request(b"one")
    two.request(b"two")
    with pytest.raises(NotAcknowledgeable, match="3 bytes were delivered"):
        group.consume([(one.cd, 1, 0), (two.cd, 4, 0)])
    assert (group.info(one.cd).held, group.info(two.cd).held) == (2, 3)
    assert group.consume([(one.cd, 0, 3), (two.cd, 3, 1 << 30)]) == [two.cd]
    assert group.info(two.cd).held == 0


# --- the end of the stream -------------------------------------------------------


@policies
@pytest.mark.parametrize("call", ["need", "consume"])
def test_what_was_incomplete_at_the_end_is_offered_once(net: Net, policy: str, call: str) -> None:
    """Then the end is: more will not come, whatever is needed."""
    group = net.group(7, ack_policy=policy)
    client = net.client(group).established()
    client.request(b"half")
    group.need(client.cd, 5)
    client.fin(b"!")
    net.turn()
    assert group.recv(100) == (client.cd, b"half!")
    if call == "need":
        group.need(client.cd, 6)
    else:
        group.consume([(client.cd, 0, 6)])
    assert group.recv(100) == (client.cd, b"")
    assert group.recv(100) is None
    group.finish(client.cd)
    net.flush()
    client.take()


def test_what_is_needed_is_delivered_at_once_whatever_its_size(net: Net) -> None:
    group = net.group(7, pool=net.engine.create_pool(32 * 1_024 * KiB))
    client = net.client(group, window=1 << 20).established()
    for i in range(200):
        client.send(bytes([i]) * 1_400)
        net.turn()
    client.take()
    assert group.info(client.cd).held == 280_000
    [(_, first)] = group.recv_batch(1)
    assert len(first) == 262_144
    group.need(client.cd, 270_000)
    [(_, again)] = group.recv_batch(1)
    assert len(again) >= 270_000
    assert again.startswith(first)


# --- what is guaranteed ------------------------------------------------------------


class Frozen:
    """A frozen pool of 1 MiB; clients of other groups get no more than what is guaranteed."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.pool = net.engine.create_pool(1_024 * KiB)
        crowd = net.group(8, pool=self.pool, weight=64, ack_policy="immediate", accept_credits=UNLIMITED)
        hogs = [net.client(crowd).established() for _ in range(9)]
        for hog in hogs:
            for _ in range(44):
                hog.send(b"h" * 1_400)
                net.turn()
            hog.take()
        assert self.state == "frozen"

    @property
    def state(self) -> str:
        return self.net.engine.snapshot().pools[-1].receive_buffer.pressure.state

    def client(self, **options: object) -> Client:
        group = self.net.group(7, pool=self.pool, **options)
        return self.net.client(group, mss=1_460).established()


@pytest.mark.feature("P27")
@policies
@pytest.mark.parametrize("guaranteed", [2 * KiB, 20 * KiB])
def test_the_longest_request_that_is_guaranteed_comes_through(
    make_net: MakeNet, policy: str, guaranteed: int
) -> None:
    """From whatever byte of a chunk on, in segments as they fit the window, to the last byte."""
    frozen = Frozen(make_net())
    client = frozen.client(ack_policy=policy, guaranteed_bytes=guaranteed)
    group = client.group
    assert group is not None
    longest = guaranteed - 255
    # The request before it leaves most of a chunk; a window that was shown before is used up.
    before = client.judge.edge - client.seq - 1
    while client.seq <= before:
        client.send(b"b" * min(1_000, before + 1 - client.seq))
        frozen.net.turn()
        while received := group.recv(100_000):
            group.send(received[0], b"", len(received[1]) - 1)
            group.consume([(received[0], 0, 2)])
            if len(received[1]) == 1:
                break
        client.take()
    sent = 1
    for _ in range(500):
        while received := group.recv(100_000):
            if len(received[1]) >= longest:
                assert len(received[1]) == longest
                client.take()
                return
            group.need(client.cd, longest)
        frozen.net.advance(0.05)
        client.take()
        room = min(client.judge.edge - client.seq, 1_400, longest - sent)
        if room > 0:
            client.send(b"r" * room)
            sent += room
        frozen.net.turn()
    raise AssertionError(f"{sent} of {longest} bytes were let in")


def test_more_is_guaranteed_to_connections_that_live(make_net: MakeNet) -> None:
    frozen = Frozen(make_net())
    client = frozen.client(ack_policy="immediate")
    group = client.group
    assert group is not None
    group.set_options(guaranteed_bytes=64 * KiB)
    for _ in range(30):
        client.send(b"x" * 1_400)
        frozen.net.turn()
        client.take()
    assert group.info(client.cd).held == 42_000
    with pytest.raises(ConfigurationError, match="guaranteed_bytes: 2047 is not allowed"):
        group.set_options(guaranteed_bytes=2_047)


# --- broadcasts ------------------------------------------------------------------


def test_a_broadcast_may_leave_some_out(net: Net) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(3)]
    cds = [client.cd for client in clients]
    assert group.broadcast(b"x", but={cds[1]: "busy"}) == 2
    assert group.broadcast(b"y", cds[:2], but={cds[0]}) == 1
    net.flush()
    assert [client.received for client in clients] == [b"x", b"y", b"x"]
    for client in clients:
        client.take()
