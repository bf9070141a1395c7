"""The claims of WO 02/091709, one test each.

Claims 1 to 15 are methods of the protocol service, 31 to 37 of an application
server: they are carried out on virtual time with scripted clients.  Claims 16 to
30 and 38 to 44 are apparatus designed to do the same: there it is this machine
that does it, with clients of its kernel.  Everything is asked for by the calls
of Fig. 4, and nothing but `xtcp_select` drives the engine.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

import pytest
from support.net import Net
from support.worlds import REQUEST, Machine, Scripted, World

from xtcp_twisted.api import (
    PF_INET,
    SOCK_STREAM,
    sockaddr_in,
    xtcp_accept,
    xtcp_cd,
    xtcp_initialize,
    xtcp_open_group,
    xtcp_pars,
    xtcp_rcv,
    xtcp_select,
    xtcp_send,
    xtcp_set,
)
from xtcp_twisted.config import KiB, MiB
from xtcp_twisted.lab import Lab

ANSWER = b"Helsinki"
#: Under this policy nothing is acknowledged before the application says so, however long it takes.
DEFERRED = {"ack_policy": "application"}


@pytest.fixture
def method(net: Net) -> World:
    """Where a claimed method is carried out."""
    return Scripted(net)


@pytest.fixture
def apparatus(lab: Lab) -> Iterator[World]:
    """A machine that was enabled to."""
    made = Machine(lab)
    yield made
    made.close()


def with_pool(world: World, size: int = 1 * MiB) -> World:
    """The application server has a pool."""
    assert world.server.xtcp_initialize(size) == 0
    return world


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


def speaks_tcp_with_clients(world: World) -> None:
    """Handshake, exchange and acknowledgements of a TCP that knows nothing of all this."""
    gd = world.open(7)
    end, cd = world.connect(gd)
    end.send(REQUEST)
    assert world.receive(gd) == (cd, REQUEST)
    assert world.server.xtcp_send(gd, cd, len(REQUEST), ANSWER) == len(ANSWER)
    world.until(lambda: end.readable)
    assert end.read() == ANSWER
    world.until(lambda: world.cached == 0)
    assert end.unacknowledged == 0
    assert world.counter("RetransSegs") == 0


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


# --- 31 to 37, 38 to 44: the application server -----------------------------------------


def requests_group_and_connection(world: World, clients: int = 1) -> None:
    """First a group, then a connection of it for each client that asks."""
    with world.server:
        gd = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        assert gd > 0
        cds = set()
        for _ in range(clients):
            end = world.asks(gd)
            cd = xtcp_accept(gd)
            assert cd > 0
            world.until(lambda end=end: end.connected)
            sa = sockaddr_in()
            assert xtcp_pars(gd, cd, sa) == 0
            assert (sa.sin_addr, sa.sin_port) == end.address
            cds.add(cd)
        assert xtcp_accept(gd) == -errno.EAGAIN
    assert len(cds) == clients


@pytest.mark.feature("P03", "P08", "P26")
def test_claim_31_requesting_a_group_then_a_connection_of_it(method: World) -> None:
    requests_group_and_connection(with_pool(method))


@pytest.mark.feature("P03", "P08", "P26")
def test_claim_38_requesting_a_group_then_a_connection_of_it(apparatus: World) -> None:
    requests_group_and_connection(with_pool(apparatus))


@pytest.mark.feature("P26", "P33")
def test_claim_32_with_clients_that_communicate_by_tcp(method: World) -> None:
    speaks_tcp_with_clients(with_pool(method))


@pytest.mark.feature("P26", "P33")
def test_claim_39_with_clients_that_communicate_by_tcp(apparatus: World) -> None:
    speaks_tcp_with_clients(with_pool(apparatus))


def requests_a_pool(world: World) -> None:
    """Without one there is no group; with one there is."""
    with world.server:
        assert xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7) == -errno.ENXIO
        assert xtcp_initialize(256 * KiB) == 0
    requests_group_and_connection(world)
    [pool] = world.engine.snapshot().pools
    assert pool.receive_buffer.size == 256 * KiB


@pytest.mark.feature("P01", "P26")
def test_claim_33_requesting_a_pool(method: World) -> None:
    requests_a_pool(method)


@pytest.mark.feature("P01", "P26")
def test_claim_40_requesting_a_pool(apparatus: World) -> None:
    requests_a_pool(apparatus)


@pytest.mark.feature("P08", "P26")
def test_claim_34_requesting_a_second_connection_of_the_group(method: World) -> None:
    requests_group_and_connection(with_pool(method), clients=2)


@pytest.mark.feature("P08", "P26")
def test_claim_41_requesting_a_second_connection_of_the_group(apparatus: World) -> None:
    requests_group_and_connection(with_pool(apparatus), clients=2)


def requests_a_second_group(world: World) -> None:
    """For other clients, and each set of clients is notified of by its own descriptor."""
    with world.server:
        gds = [xtcp_open_group(PF_INET, SOCK_STREAM, 0, port) for port in (7, 8)]
        assert min(gds) > 0 and gds[0] != gds[1]
        for gd in gds:
            end, cd = world.connect(gd)
            end.send(REQUEST)
            readgds = xtcp_set(gds)
            assert xtcp_select(2, readgds, None, 10) == 1
            assert list(readgds) == [gd]
            assert world.receive(gd) == (cd, REQUEST)


@pytest.mark.feature("P03", "P26")
def test_claim_35_requesting_a_second_group(method: World) -> None:
    requests_a_second_group(with_pool(method))


@pytest.mark.feature("P03", "P26")
def test_claim_42_requesting_a_second_group(apparatus: World) -> None:
    requests_a_second_group(with_pool(apparatus))


def is_notified_and_requests_reading(world: World) -> None:
    """The notification names the group, the reading the connection in it that was established before."""
    with world.server:
        gd = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        end, accepted = world.connect(gd)
        readgds, cd, buf = xtcp_set([gd]), xtcp_cd(), bytearray(100)
        assert xtcp_select(1, readgds, None, 0) == 0
        assert xtcp_rcv(gd, cd, buf, 100) == -errno.EAGAIN
        end.send(REQUEST)
        readgds = xtcp_set([gd])
        assert (xtcp_select(1, readgds, None, 10), list(readgds)) == (1, [gd])
        assert xtcp_rcv(gd + 1_000, cd, buf, 100) == -errno.EBADF
        assert xtcp_rcv(gd, cd, buf, 100) == len(REQUEST)
        assert (cd.value, bytes(buf[: len(REQUEST)])) == (accepted, REQUEST)


@pytest.mark.feature("P13", "P25", "P26")
def test_claim_36_notified_of_a_request_and_reading_it(method: World) -> None:
    is_notified_and_requests_reading(with_pool(method))


@pytest.mark.feature("P13", "P25", "P26")
def test_claim_43_notified_of_a_request_and_reading_it(apparatus: World) -> None:
    is_notified_and_requests_reading(with_pool(apparatus))


def requests_transmission(world: World) -> None:
    """Of answer and acknowledgement; group and connection must belong together."""
    with world.server:
        gd = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
        other = xtcp_open_group(PF_INET, SOCK_STREAM, 0, 8)
        end, cd = world.connect(gd)
        end.send(REQUEST)
        assert world.receive(gd) == (cd, REQUEST)
        for wrong in ((other, cd), (gd, cd + 1), (gd + 1_000, cd)):
            assert xtcp_send(*wrong, len(REQUEST), ANSWER, len(ANSWER)) == -errno.EBADF
        assert world.cached == 0
        assert xtcp_send(gd, cd, len(REQUEST), ANSWER, len(ANSWER)) == len(ANSWER)
    world.until(lambda: end.readable)
    assert end.read() == ANSWER
    assert end.unacknowledged == 0


@pytest.mark.feature("P15", "P26")
def test_claim_37_requesting_transmission_of_answer_and_acknowledgement(method: World) -> None:
    requests_transmission(with_pool(method))


@pytest.mark.feature("P15", "P26")
def test_claim_44_requesting_transmission_of_answer_and_acknowledgement(apparatus: World) -> None:
    requests_transmission(with_pool(apparatus))


def test_every_claim_has_its_test() -> None:
    found = [int(match[1]) for name in globals() if (match := re.match(r"test_claim_(\d+)_", name))]
    assert sorted(found) == list(range(1, 45))
