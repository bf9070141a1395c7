"""Who guesses without seeing: rows 4, 5 and 6 of the table of attacks (RFC 5961, CVE-2016-5696)."""

from __future__ import annotations

import random

import pytest
from support.crafted import ACK, PSH, craft, packed
from support.net import V4, Net
from support.peer import Client


def exchanged(net: Net, size: int = 3_000, **options: object) -> Client:
    """A connection over which the engine has sent `size` bytes, all acknowledged."""
    group = net.group(7, ack_policy="immediate")
    client = net.client(group, **options).established()
    group.send(client.cd, bytes(size))
    net.flush()
    client.take()
    client.ack()
    net.turn()
    client.take()
    return client


@pytest.mark.requirement("RFC 5961 5.2")
def test_row_5_blind_data(net: Net) -> None:
    """ACK numbers over the whole space: delivered only with one in [SND.UNA - MAX.SND.WND, SND.NXT]."""
    client = exchanged(net, timestamps=False)
    assert client.group is not None
    assert client.judge.irs is not None
    window, una = client.group.info(client.cd).snd_wnd, client.rcv_nxt
    offsets = [step * (1 << 20) + 1 for step in range(-2_048, 2_048)]
    for offset in [*offsets, -window - 1, -window, 0, 1]:
        good = -window <= offset <= 0
        if good:
            client.send(b"x", ack=una + offset)
        else:
            numbers = client.iss + client.seq, client.judge.irs + una + offset
            net.inject(craft(packed(client.ip), packed(V4), client.sport, 7, *numbers, ACK | PSH, b"x"))
        net.turn()
        got = client.group.recv(100)
        assert (got is not None) is good, f"SND.UNA {offset:+}"
        if good:
            client.group.send(client.cd, b"", ackd=1)
        net.flush()
        client.take()
    assert client.seq == 3, "no more than two of them can be good"


@pytest.mark.requirement("RFC 5961 4.2")
def test_row_4_blind_syn(net: Net) -> None:
    """2,000 SYNs into a connection: one challenge, nothing else changes."""
    client = exchanged(net)
    assert client.group is not None
    before = client.group.info(client.cd)
    guesses = random.Random(4)
    for _ in range(2_000):
        net.inject(client.packet(b"", "S", seq=guesses.randrange(2**32), options=[("MSS", 1)]))
    net.turn()
    assert len(client.take()) == 1
    after = client.group.info(client.cd)
    assert before == after


def test_row_6_challenges_tell_nothing_of_other_connections(net: Net) -> None:
    """CVE-2016-5696: what an attacker counts on his own connection does not depend on what he sent to a
    victim's; over many trials with and without a right guess he sees exactly the same."""
    group = net.group(7)
    victim, own = net.client(group).established(), net.client(group).established()
    guesses = random.Random(6)
    seen: dict[bool, list[int]] = {True: [], False: []}
    for trial in range(100):
        right = bool(trial % 2)
        for _ in range(5):
            seq = 1 + (guesses.randrange(1, 60_000) if right else guesses.randrange(200_000, 2**31))
            victim.rst(seq=seq)
            own.rst(seq=1 + guesses.randrange(1, 60_000))
            net.turn()
        seen[right].append(len(own.take()))
        victim.take()
        net.advance(0.6)
    assert set(seen[True]) == set(seen[False]) == {1}
    assert net.counters()["TCPChallengeACK"] == 100 + 50
