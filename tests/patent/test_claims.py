"""The claims of WO 02/091709, one test each.

Claims 1 to 15 are methods of the protocol service, 31 to 37 of an application
server: they are carried out on virtual time with scripted clients.  Claims 16 to
30 and 38 to 44 are apparatus designed to do the same: there it is this machine
that does it, with clients of its kernel.  Everything is asked for by the calls
of Fig. 4, and nothing but `xtcp_select` drives the engine.  The claims about an
application server are in test_claims_of_servers.py.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from support.claims import ANSWER, DEFERRED, speaks_tcp_with_clients, with_pool
from support.worlds import REQUEST, World

from xtcp_twisted.api import (
    sockaddr_in,
    xtcp_cd,
    xtcp_set,
)
from xtcp_twisted.config import KiB, MiB

# --- 1 to 8, 16 to 23: pools, groups, connections -----------------------------------


def allocates_a_pool(world: World) -> None:
    """Asked for by size, with one receive buffer that its connections share."""
    assert world.engine.snapshot().pools == ()
    assert world.server.xtcp_initialize(256 * KiB) == 0
    [pool] = world.engine.snapshot().pools
    assert (pool.receive_buffer.size, pool.receive_buffer.used) == (256 * KiB, 0)
    gd = world.open(7, **DEFERRED)
    (first, _), (second, _) = world.connect(gd), world.connect(gd)
    first.send(bytes(1_000))
    world.until(lambda: world.buffers[0] >= 1_000)
    alone = world.buffers[0]
    second.send(bytes(1_000))
    world.until(lambda: world.buffers == [2 * alone])


@pytest.mark.feature("P01", "P12")
def test_claim_1_a_pool_with_a_shared_receive_buffer(method: World) -> None:
    allocates_a_pool(method)


@pytest.mark.feature("P01", "P12")
def test_claim_16_a_pool_with_a_shared_receive_buffer(apparatus: World) -> None:
    allocates_a_pool(apparatus)


@pytest.mark.feature("P33")
def test_claim_2_clients_communicate_by_tcp(method: World) -> None:
    speaks_tcp_with_clients(with_pool(method))


@pytest.mark.feature("P33")
def test_claim_17_clients_communicate_by_tcp(apparatus: World) -> None:
    speaks_tcp_with_clients(with_pool(apparatus))


def allocates_a_group(world: World) -> None:
    """With one descriptor for all of its connections, and what they have in common kept once."""
    before = world.descriptors()
    gd = world.open(7, keepalive_s=60)
    os.fstat(gd)
    assert world.descriptors() == before + 1
    for _ in range(3):
        world.connect(gd)
    assert world.descriptors() == before + 1
    group = world.server.group(gd)
    assert (group.fileno(), group.port, len(group)) == (gd, 7, 3)
    assert group.options.keepalive_s == 60


@pytest.mark.feature("P03", "P04", "P05")
def test_claim_3_a_group_with_a_common_descriptor(method: World) -> None:
    allocates_a_group(with_pool(method))


@pytest.mark.feature("P03", "P04", "P05")
def test_claim_18_a_group_with_a_common_descriptor(apparatus: World) -> None:
    allocates_a_group(with_pool(apparatus))


def allocates_a_connection(world: World) -> None:
    """When the application server accepts a client's request, and in its group."""
    gd, other = world.open(7), world.open(8)
    end = world.asks(gd)
    assert not end.connected
    cd = world.server.xtcp_accept(gd)
    assert cd > 0
    world.until(lambda: end.connected)
    sa = sockaddr_in()
    assert world.server.xtcp_pars(gd, cd, sa) == 0
    assert (sa.sin_addr, sa.sin_port) == end.address
    assert world.server.xtcp_pars(other, cd, sa) == -errno.EBADF


@pytest.mark.feature("P08", "P10")
def test_claim_4_a_connection_of_a_group(method: World) -> None:
    allocates_a_connection(with_pool(method))


@pytest.mark.feature("P08", "P10")
def test_claim_19_a_connection_of_a_group(apparatus: World) -> None:
    allocates_a_connection(with_pool(apparatus))


def allocates_a_second_connection(world: World) -> None:
    """For a second client, in the same group."""
    gd = world.open(7)
    (first, one), (second, two) = world.connect(gd), world.connect(gd)
    assert one != two
    for end, cd in ((first, one), (second, two)):
        sa = sockaddr_in()
        assert world.server.xtcp_pars(gd, cd, sa) == 0
        assert (sa.sin_addr, sa.sin_port) == end.address
    assert len(world.server.group(gd)) == 2


@pytest.mark.feature("P03", "P08")
def test_claim_5_a_second_connection_of_the_group(method: World) -> None:
    allocates_a_second_connection(with_pool(method))


@pytest.mark.feature("P03", "P08")
def test_claim_20_a_second_connection_of_the_group(apparatus: World) -> None:
    allocates_a_second_connection(with_pool(apparatus))


def allocates_a_second_group(world: World) -> None:
    """With a descriptor and attributes of its own, for clients of its own; the pool is the same."""
    quick, slow = world.open(7, ack_policy="immediate"), world.open(8, **DEFERRED)
    assert quick != slow
    (first, one), (second, two) = world.connect(quick), world.connect(slow)
    first.send(b"one")
    second.send(b"two")
    assert world.receive(quick) == (one, b"one")
    assert world.receive(slow) == (two, b"two")
    world.until(lambda: first.unacknowledged == 0)
    assert second.unacknowledged == 3
    assert len(world.engine.snapshot().pools) == 1


@pytest.mark.feature("P03", "P04", "P05")
def test_claim_6_a_second_group_in_the_pool(method: World) -> None:
    allocates_a_second_group(with_pool(method))


@pytest.mark.feature("P03", "P04", "P05")
def test_claim_21_a_second_group_in_the_pool(apparatus: World) -> None:
    allocates_a_second_group(with_pool(apparatus))


def allocates_a_second_pool(world: World) -> None:
    """For the first application server, then for another: each has a buffer, and groups, of its own."""
    gd = world.open(7, **DEFERRED)
    assert world.server.xtcp_initialize(512 * KiB) == 0
    next_gd = world.open(8, **DEFERRED)
    another = world.another_server()
    assert another.xtcp_initialize(256 * KiB) == 0
    other_gd = world.open(9, another, **DEFERRED)
    sizes = [pool.receive_buffer.size for pool in world.engine.snapshot().pools]
    assert sizes == [1 * MiB, 512 * KiB, 256 * KiB]
    for place, (server, group) in enumerate(
        [(world.server, gd), (world.server, next_gd), (another, other_gd)]
    ):
        end, _ = world.connect(group, server)
        end.send(bytes(1_000))
        world.until(lambda place=place: world.buffers[place] >= 1_000)
        assert all(used == 0 for used in world.buffers[place + 1 :])
    assert world.server.xtcp_accept(other_gd) == -errno.EBADF
    assert another.xtcp_close_group(gd) == -errno.EBADF


@pytest.mark.feature("P01", "P26")
def test_claim_7_a_second_pool_of_the_first_or_another_application_server(method: World) -> None:
    allocates_a_second_pool(with_pool(method))


@pytest.mark.feature("P01", "P26")
def test_claim_22_a_second_pool_of_the_first_or_another_application_server(apparatus: World) -> None:
    allocates_a_second_pool(with_pool(apparatus))


def has_one_transmit_buffer(world: World) -> None:
    """For the connections of all groups of all pools."""
    gds = [world.open(7), world.open(8)]
    assert world.server.xtcp_initialize(1 * MiB) == 0
    gds.append(world.open(9))
    connected = [world.connect(gd) for gd in gds]
    assert world.cached == 0
    one = 0
    for number, (gd, (_, cd)) in enumerate(zip(gds, connected, strict=True), 1):
        assert world.server.xtcp_send(gd, cd, 0, bytes(2_000)) == 2_000
        one = one or world.cached
        assert world.cached == number * one
    for end, _ in connected:
        world.until(lambda end=end: end.readable)


@pytest.mark.feature("P19")
def test_claim_8_a_transmit_buffer_for_all(method: World) -> None:
    has_one_transmit_buffer(with_pool(method))


@pytest.mark.feature("P19")
def test_claim_23_a_transmit_buffer_for_all(apparatus: World) -> None:
    has_one_transmit_buffer(with_pool(apparatus))


# --- 9 to 15, 24 to 30: requests and answers ------------------------------------------


def notifies_and_defers(world: World) -> None:
    """Of a new request; one that comes again is seen to be none, and still nothing is acknowledged."""
    gd = world.open(7, **DEFERRED)
    end, cd = world.connect(gd)
    end.send(REQUEST)
    assert world.receive(gd) == (cd, REQUEST)
    assert end.unacknowledged == len(REQUEST)
    world.resend(end)
    readgds = xtcp_set([gd])
    assert world.server.xtcp_select(1, readgds, None, 0) == 0
    assert world.server.xtcp_recv(gd, xtcp_cd(), bytearray(100)) == -errno.EAGAIN
    assert end.unacknowledged == len(REQUEST)
    world.server.xtcp_send(gd, cd, len(REQUEST), None, 0)
    world.until(lambda: end.unacknowledged == 0)


@pytest.mark.feature("P14", "P25")
def test_claim_9_a_new_request_notifies_and_its_acknowledgement_is_deferred(method: World) -> None:
    notifies_and_defers(with_pool(method))


@pytest.mark.feature("P14", "P25")
def test_claim_24_a_new_request_notifies_and_its_acknowledgement_is_deferred(apparatus: World) -> None:
    notifies_and_defers(with_pool(apparatus))


def buffers_with_the_group(world: World) -> None:
    """What clients of one group have sent lies in a buffer that they share."""
    gd, other = world.open(7, **DEFERRED), world.open(8, **DEFERRED)
    ends = [world.connect(gd)[0], world.connect(gd)[0], world.connect(other)[0]]
    for number, end in enumerate(ends[:2], 1):
        end.send(bytes(1_000))
        world.until(lambda number=number: world.held(gd) >= number * 1_000)
    assert world.held(other) == 0
    ends[2].send(bytes(1_000))
    world.until(lambda: world.held(other) >= 1_000)
    assert world.buffers == [world.held(gd) + world.held(other)]


@pytest.mark.feature("P12")
def test_claim_10_requests_of_a_group_share_a_buffer(method: World) -> None:
    buffers_with_the_group(with_pool(method))


@pytest.mark.feature("P12")
def test_claim_25_requests_of_a_group_share_a_buffer(apparatus: World) -> None:
    buffers_with_the_group(with_pool(apparatus))


def provides_what_is_buffered(world: World) -> None:
    """The application server reads of the group: each request once, with its connection."""
    gd = world.open(7, **DEFERRED)
    (first, one), (second, two) = world.connect(gd), world.connect(gd)
    first.send(b"of the first")
    world.until(lambda: world.held(gd))
    alone = world.held(gd)
    second.send(b"of the second")
    world.until(lambda: world.held(gd) > alone)
    got = {world.receive(gd), world.receive(gd)}
    assert got == {(one, b"of the first"), (two, b"of the second")}
    assert world.server.xtcp_recv(gd, xtcp_cd(), bytearray(100)) == -errno.EAGAIN


@pytest.mark.feature("P13")
def test_claim_11_a_buffered_request_is_read(method: World) -> None:
    provides_what_is_buffered(with_pool(method))


@pytest.mark.feature("P13")
def test_claim_26_a_buffered_request_is_read(apparatus: World) -> None:
    provides_what_is_buffered(with_pool(apparatus))


def sends_answer_and_acknowledgement(world: World) -> None:
    """In one packet, and of exactly as much as the application server has processed."""
    gd = world.open(7, **DEFERRED)
    end, cd = world.connect(gd)
    end.send(REQUEST)
    assert world.receive(gd) == (cd, REQUEST)
    sent = world.counter("OutSegs")
    assert world.server.xtcp_send(gd, cd, len(REQUEST) - 5, ANSWER) == len(ANSWER)
    world.until(lambda: end.readable)
    assert world.counter("OutSegs") == sent + 1
    assert end.unacknowledged == 5
    assert end.read() == ANSWER
    assert world.server.xtcp_send(gd, cd, 6, b"") == -errno.EINVAL
    assert world.server.xtcp_send(gd, cd, 5, b"") == 0
    world.until(lambda: end.unacknowledged == 0)


@pytest.mark.feature("P15", "P16", "P17", "P18")
def test_claim_12_an_answer_with_the_acknowledgement_of_what_was_processed(method: World) -> None:
    sends_answer_and_acknowledgement(with_pool(method))


@pytest.mark.feature("P15", "P16", "P17", "P18")
def test_claim_27_an_answer_with_the_acknowledgement_of_what_was_processed(apparatus: World) -> None:
    sends_answer_and_acknowledgement(with_pool(apparatus))


def caches_answers_of_all(world: World) -> None:
    """Answers that were sent stay, in one cache for the clients of both groups."""
    gds = [world.open(7), world.open(8)]
    connected = [world.connect(gd) for gd in gds]
    with world.silence():
        one = 0
        for number, (gd, (end, cd)) in enumerate(zip(gds, connected, strict=True), 1):
            assert world.server.xtcp_send(gd, cd, 0, ANSWER) == len(ANSWER)
            world.until(lambda end=end: end.readable)
            one = one or world.cached
            assert world.cached == number * one > 0


@pytest.mark.feature("P19")
def test_claim_13_sent_answers_are_cached_for_all_groups_together(method: World) -> None:
    caches_answers_of_all(with_pool(method))


@pytest.mark.feature("P19")
def test_claim_28_sent_answers_are_cached_for_all_groups_together(apparatus: World) -> None:
    caches_answers_of_all(with_pool(apparatus))


def purges_what_is_acknowledged(world: World) -> None:
    """And no timer of the answer goes on."""
    gd = world.open(7)
    end, cd = world.connect(gd)
    assert world.server.xtcp_send(gd, cd, 0, ANSWER) == len(ANSWER)
    assert world.cached > 0
    world.until(lambda: end.readable)
    assert end.read() == ANSWER
    world.until(lambda: world.cached == 0)
    world.pass_by(0.5)
    assert world.counter("RetransSegs") == 0


@pytest.mark.feature("P19", "P20")
def test_claim_14_an_acknowledged_answer_leaves_the_cache(method: World) -> None:
    purges_what_is_acknowledged(with_pool(method))


@pytest.mark.feature("P19", "P20")
def test_claim_29_an_acknowledged_answer_leaves_the_cache(apparatus: World) -> None:
    purges_what_is_acknowledged(with_pool(apparatus))


def answers_a_retransmission_from_the_cache(world: World) -> None:
    """Answer and acknowledgement were lost; the request comes again and brings both, and nobody is woken."""
    gd = world.open(7)
    end, cd = world.connect(gd)
    end.send(REQUEST)
    assert world.receive(gd) == (cd, REQUEST)
    replayed = world.counter("AnswersReplayed")
    with world.answer_is_lost():
        assert world.server.xtcp_send(gd, cd, len(REQUEST), ANSWER) == len(ANSWER)
    world.until(lambda: end.readable)
    assert end.read() == ANSWER
    assert end.unacknowledged == 0
    assert world.counter("AnswersReplayed") == replayed + 1
    assert world.server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0
    assert world.server.xtcp_recv(gd, xtcp_cd(), bytearray(100)) == -errno.EAGAIN


@pytest.mark.feature("P22")
def test_claim_15_a_retransmission_is_answered_from_the_cache(method: World) -> None:
    answers_a_retransmission_from_the_cache(with_pool(method))


@pytest.mark.feature("P22")
def test_claim_30_a_retransmission_is_answered_from_the_cache(apparatus: World) -> None:
    answers_a_retransmission_from_the_cache(with_pool(apparatus))


def test_every_claim_has_its_test() -> None:
    found = [
        int(number)
        for file in Path(__file__).parent.glob("test_claims*.py")
        for number in re.findall(r"^def test_claim_(\d+)_", file.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(found) == list(range(1, 45))
