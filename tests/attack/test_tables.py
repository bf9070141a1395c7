"""What strangers can do to the engine's tables: rows 21, 25, 31 and 38 of the table of attacks."""

from __future__ import annotations

import random
import struct
from time import process_time

import pytest
from support.crafted import RST, craft, packed
from support.net import PEER_V4, V4, MakeNet, Net
from support.throng import connect

from xtcp_twisted.config import SWEEP_S, UNLIMITED
from xtcp_twisted.engine import Group
from xtcp_twisted.errors import StaleConnection
from xtcp_twisted.memory.siphash import siphash13
from xtcp_twisted.tcp import layout


def longest_probe(tags: list[int], slots: int) -> float:
    """The 99th percentile of the slots that a look-up visits, when the tags go in one after the other."""
    table = [False] * slots
    visits = []
    for tag in tags:
        at, visited = tag % slots, 1
        while table[at]:
            at, visited = (at + 1) % slots, visited + 1
        table[at] = True
        visits.append(visited)
    return sorted(visits)[len(visits) * 99 // 100]


def test_row_21_tuples_that_collide_under_one_key_do_not_under_another() -> None:
    """Tuples chosen to collide for key 0: the 99th percentile of the probes <= 2x that of random ones."""
    slots, crowd = 16_384, 4_000
    known, own = bytes(16), random.Random(21).randbytes(16)
    chosen: list[bytes] = []
    number = 0
    while len(chosen) < crowd:
        key = struct.pack("!12s4s12s4sHH", b"", number.to_bytes(4), b"", b"\1\2\3\4", number >> 8 & 0xFFFF, 7)
        if siphash13(known, key) % slots < slots // 16:
            chosen.append(key)
        number += 1
    pure = random.Random(22)
    chance = longest_probe([pure.getrandbits(32) for _ in range(crowd)], slots)
    assert longest_probe([siphash13(known, key) for key in chosen], slots) > 20 * chance
    assert longest_probe([siphash13(own, key) for key in chosen], slots) <= 2 * chance


def test_row_25_time_wait_assassination(make_net: MakeNet) -> None:
    """RFC 1337: no reset ends TIME-WAIT, wherever it lies and whatever it carries."""
    net = make_net()
    client = net.client(net.group(7)).time_wait()
    for seq in (2, 1, 3, 0, 1_000, -1_000, 2**31):
        for flags in ("R", "RA", "RFA", "RPA"):
            client.send(b"x" if "P" in flags else b"", flags, seq=seq)
    net.turn()
    client.expect_nothing()
    assert net.engine.snapshot().time_wait == 1
    net.advance(59)
    assert net.engine.snapshot().time_wait == 1


def use_all(group: Group, cd: int) -> None:
    """Each call that takes an id must say that this one is stale."""
    for call in (
        lambda: group.send(cd, b"not for you"),
        lambda: group.finish(cd),
        lambda: group.abort(cd),
        lambda: group.shutdown(cd),
        lambda: group.pause(cd),
        lambda: group.resume(cd),
        lambda: group.need(cd, 1),
        lambda: group.set_user(cd, 1),
        lambda: group.info(cd),
        lambda: group.peer(cd),
    ):
        with pytest.raises(StaleConnection):
            call()


def test_row_31_stale_ids(make_net: MakeNet) -> None:
    """10^6 connections opened and closed, with stale calls between: none touches another connection."""
    net = make_net(syn_cookies="always", max_connections=1_100)
    group, other = net.group(7, accept_credits=UNLIMITED), net.group(8, accept_credits=UNLIMITED)
    source = packed("198.51.100.9")
    witness = net.client(other).established()
    stale: list[int] = []
    used = set()
    for number in range(6_000):
        cd, _ = connect(net, source, 1_024 + number)
        assert cd not in used
        used.add(cd)
        group.abort(cd)
        net.engine.flush(net.now)
        net.link.take()
        stale.append(cd)
        if number % 100 == 99:
            use_all(group, stale[number // 2])
            use_all(group, cd)
            use_all(group, witness.cd)
    rows = [cd & 0xFFFFFFFF for cd in stale]
    assert len(set(rows)) < len(rows) // 3, "no row was used again: the test proves nothing"
    assert net.engine.snapshot().connections == 1
    witness.is_alive()


@pytest.mark.feature("P34")
def test_row_38_idle_connections_have_no_timers(make_net: MakeNet) -> None:
    """10^6 idle connections: no wake-up but the clock hand's, no slice of it longer than a millisecond."""
    count = 20_000
    net = make_net(syn_cookies="always", max_connections=count)
    group = net.group(7, accept_credits=UNLIMITED)
    for number in range(count):
        connect(net, packed("198.51.100.9"), 1_024 + number)
    net.advance(1)
    snapshot = net.engine.snapshot()
    assert (snapshot.connections, snapshot.active) == (count, 0)
    slices = []
    end = net.now + 2 * SWEEP_S
    while (due := net.engine.poll_at()) is not None and due < end:
        net.now = due
        began = process_time()
        net.engine.poll(net.now)
        net.engine.flush(net.now)
        slices.append(process_time() - began)
    assert 2 * 60 <= len(slices) <= 2 * 66, "64 slices a turn of the hand"
    assert len(group) == count
    if not layout.DEBUG:
        assert sorted(slices)[len(slices) // 2] < 0.001
    net.expect_nothing()
    group.close(abort=True)
    net.engine.poll(net.now)
    net.engine.flush(net.now)
    assert len(net.link.take()) <= count


def test_a_reset_of_a_stranger_costs_nothing(net: Net) -> None:
    """What is answered by nothing takes nothing either: resets to ports open and closed."""
    net.group(7, accept_credits=UNLIMITED)
    for number in range(2_000):
        net.inject(craft(packed(PEER_V4), packed(V4), 1_024 + number, 7 + number % 2, number, 1, RST))
    net.advance(0)
    net.expect_nothing()
    assert net.engine.snapshot().connection_bytes == 0
