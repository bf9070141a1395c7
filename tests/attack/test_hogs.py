"""Peers that take what others need: rows 10, 11, 22 and 24 of the table of attacks."""

from __future__ import annotations

import pytest
from support.crafted import ACK, PSH, craft, packed
from support.net import V4, MakeNet, Net
from support.packets import read
from support.throng import connect

from xtcp_twisted.config import ALL, UNLIMITED, KiB, MiB
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import StaleConnection

#: Who do not read; 8 chunks for each of them are four tenths of a buffer of 1 MiB.
STALLED = 200
SOURCE = packed("203.0.113.9")


def leave(net: Net) -> None:
    """End everything without reading what it sends: it is many packets, and nobody is there."""
    for pool in net.engine.pools():
        for group in pool.groups():
            group.close(abort=True)
    for _ in range(10):
        net.engine.poll(net.now)
        net.engine.flush(net.now)
    net.link.take()


@pytest.mark.feature("P19")
@pytest.mark.parametrize("window", [0, 5])
def test_rows_10_and_11_who_does_not_read(make_net: MakeNet, window: int) -> None:
    """Sockstress and slow reading: each asks for a megabyte and shows hardly a window.  The transmit buffer
    keeps its size, an honest client is served >= 80 % of the time, and nobody is probed without pause.

    This holds as long as what each connection is guaranteed (8 chunks) fits the buffer for all of them.
    """
    net = make_net(transmit_buffer=1 * MiB)
    group = net.group(7, accept_credits=UNLIMITED)
    stalled = [connect(net, SOURCE, 1_024 + number, window=window)[0] for number in range(STALLED)]
    taken = sum(group.send(cd, bytes(1 * MiB)) for cd in stalled)
    assert taken <= 1 * MiB
    assert net.transmit_used <= 1 * MiB
    net.engine.flush(net.now)
    net.link.take()
    served = 0
    honest = net.client(group).established()
    for _ in range(50):
        honest.send(b"request")
        net.poll()
        batch = [cd for cd, _ in group.recv_batch(10)]
        assert batch == [honest.cd]
        served += group.send(honest.cd, b"answer" * 100, ackd=ALL) == 600
        net.engine.flush(net.now)
        for _, raw in net.link.take():
            if raw[16:20] == packed(honest.ip):
                honest.arrived(read(net.now, bytes(raw), net.mtu))
        honest.take()
        honest.ack()
        net.poll()
    assert served >= 40
    sent, end = 0, net.now + 30
    while (due := net.engine.poll_at()) is not None and due <= end:
        net.now = max(net.now, due)
        net.engine.poll(net.now)
        net.engine.flush(net.now)
        sent += len(net.link.take())
    assert sent <= STALLED * 12, f"{sent} packets to {STALLED} who do not read, in 30 s"
    leave(net)


@pytest.mark.feature("P12")
@pytest.mark.feature("P27")
def test_row_10_more_who_do_not_read_than_the_buffer_has_room_for(make_net: MakeNet) -> None:
    """Sockstress by so many that what each is guaranteed does not fit: the longest-stalled are aborted.

    All but their first seconds are the honest client's: it is served >= 80 % of a minute.
    """
    net = make_net(transmit_buffer=256 * KiB)
    group = net.group(7, accept_credits=UNLIMITED)
    stalled = [connect(net, SOURCE, 1_024 + number, window=0)[0] for number in range(400)]
    honest = net.client(group).established()
    taken = [group.send(cd, bytes(1 * MiB)) for cd in stalled]
    assert taken[-1] == 0, "the buffer is full"
    served = 0
    for _ in range(60):
        honest.send(b"request")
        net.poll()
        assert [cd for cd, _ in group.recv_batch(10)] == [honest.cd]
        served += group.send(honest.cd, b"answer" * 100, ackd=ALL) == 600
        for cd in stalled:
            try:
                group.send(cd, bytes(1 * MiB))  # the attackers go on asking
            except StaleConnection:
                continue
        net.engine.flush(net.now)
        end = net.now + 1.0
        while True:
            for _, raw in net.link.take():
                if raw[16:20] == packed(honest.ip):
                    honest.arrived(read(net.now, bytes(raw), net.mtu))
            honest.take()
            honest.ack()
            due = net.engine.poll_at()
            if due is None or due > end:
                break
            net.now = max(net.now, due)
            net.poll()
            net.engine.flush(net.now)
        net.now = end
    assert served >= 48
    assert honest.cd not in {cd for _, _, cd, _ in net.take_events(EventKind.DOWN)}
    assert 0 < net.counters()["TransmitAborts"] <= len(stalled)
    leave(net)


def test_row_22_one_hog_among_many(make_net: MakeNet) -> None:
    """It holds no more than its quota, and each of the others' requests is served."""
    net = make_net()
    pool = net.engine.create_pool(512 * KiB, name="small")
    group = net.group(7, pool=pool, accept_credits=UNLIMITED)
    peers = [connect(net, SOURCE, 2_000 + number) for number in range(300)]
    hog_cd, hog_iss = connect(net, SOURCE, 999)
    for number in range(100):
        data = bytes(1_000)
        net.link.deliver(craft(SOURCE, packed(V4), 999, 7, 1 + 1_000 * number, hog_iss + 1, ACK | PSH, data))
    net.engine.poll(net.now)
    held = net.receive_used
    assert held <= max(8 * 256, 512 * KiB // 64) + 256
    net.engine.flush(net.now)
    for turn in range(3):
        for number, (_, iss) in enumerate(peers):
            seq = 1 + 500 * turn
            net.link.deliver(
                craft(SOURCE, packed(V4), 2_000 + number, 7, seq, iss + 1, ACK | PSH, b"r" * 500)
            )
            net.engine.poll(net.now)
            found = [(cd, data) for cd, data in group.recv_batch(10) if cd != hog_cd]
            assert [(cd, len(data)) for cd, data in found] == [(peers[number][0], 500)]
            group.send(found[0][0], b"", ackd=ALL)
            net.engine.flush(net.now)
    assert net.receive_used == held
    net.link.take()
    leave(net)


@pytest.mark.feature("P12")
def test_row_24_an_application_that_acknowledges_nothing(make_net: MakeNet) -> None:
    """Its connections hold no more than the pool has, and are told that there is no room."""
    net = make_net()
    pool = net.engine.create_pool(256 * KiB, name="small")
    group = net.group(7, pool=pool, accept_credits=UNLIMITED)
    peers = [connect(net, SOURCE, 2_000 + number) for number in range(100)]
    for step in range(20):
        for number, (_, iss) in enumerate(peers):
            seq = 1 + 1_000 * step
            net.link.deliver(
                craft(SOURCE, packed(V4), 2_000 + number, 7, seq, iss + 1, ACK | PSH, bytes(1_000))
            )
        net.engine.poll(net.now)
        group.recv_batch(1_000)
        net.engine.flush(net.now)
        assert net.receive_used <= 256 * KiB
        net.now += 0.1
    net.link.take()
    windows = [group.info(cd).rcv_wnd for cd, _ in peers]
    # What each is guaranteed, and the last segment, which was not taken: no edge moves back.
    assert max(windows) <= 8 * 244 + 1_000
    assert net.receive_used >= 128 * KiB
    leave(net)
