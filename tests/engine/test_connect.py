"""`Group.connect`: what may be asked, which source is chosen (RFC 6056), and what is refused."""

from __future__ import annotations

import socket
from itertools import pairwise
from typing import Any

import pytest
from support.net import V4, V6, MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import EngineConfig, GroupOptions
from xtcp_twisted.engine import Group
from xtcp_twisted.errors import (
    AddressInUse,
    AddressNotAvailable,
    ConfigurationError,
    GroupClosed,
    LocalError,
    PoolExhausted,
    PortsExhausted,
)

pytestmark = pytest.mark.feature("P09")

THERE = ("198.51.100.7", 80)


def ports(group: Group, count: int, remote: tuple[str, int] = THERE) -> list[int]:
    return [group.local(group.connect(remote))[1] for _ in range(count)]


# --- what is refused --------------------------------------------------------------------


@pytest.mark.requirement("RFC 9293 MUST-46")
@pytest.mark.parametrize(
    "remote, local, error, says",
    [
        (80, None, LocalError, "remote: 80"),
        (("198.51.100.7", 0), None, LocalError, "port 0"),
        (("198.51.100.7", 65_536), None, LocalError, "1 to 65535"),
        (("198.51.100.7", "80"), None, LocalError, "port '80'"),
        (("example.com", 80), None, LocalError, "'example.com' is no IP address"),
        ((None, 80), None, LocalError, "no IP address"),
        (("224.0.0.1", 80), None, LocalError, "one host"),
        (("255.255.255.255", 80), None, LocalError, "one host"),
        (("0.0.0.0", 80), None, LocalError, "one host"),
        (("2001:db8:c::7", 80), None, LocalError, "domain"),
        (THERE, ("198.51.100.8", 0), AddressNotAvailable, "not one of this engine's"),
        (THERE, (V6, 0), AddressNotAvailable, "no IPv4 address"),
        (THERE, (V4, -1), LocalError, "0 to 65535"),
        (THERE, ("here", 0), LocalError, "no IP address"),
    ],
)
def test_what_cannot_be_is_refused(
    net: Net, remote: Any, local: Any, error: type[LocalError], says: str
) -> None:
    """RFC 9293 MUST-46 among them; nothing has happened."""
    group = net.group(7)
    with pytest.raises(error, match=says):
        group.connect(remote, local)
    net.turn()
    net.expect_nothing()
    assert len(group) == 0


@pytest.mark.requirement("RFC 9293 MUST-46")
@pytest.mark.parametrize("host", ["ff02::1", "::"])
def test_what_cannot_be_in_ipv6(net: Net, host: str) -> None:
    with pytest.raises(LocalError, match="one host"):
        net.group(7, v6=True).connect((host, 80))


@pytest.mark.parametrize("limit", [0, -1, "5", 2_000_000, float("nan")])
def test_impossible_limits(net: Net, limit: Any) -> None:
    with pytest.raises(LocalError, match="timeout_s"):
        net.group(7).connect(THERE, timeout_s=limit)


def test_a_closed_group_connects_to_nobody(net: Net) -> None:
    group = net.group(7)
    group.close()
    with pytest.raises(GroupClosed):
        group.connect(THERE)


@pytest.mark.parametrize("bounds", [(0, 5), (6, 5), (1, 65_536), ("a", "b"), (1, 2, 3), 5])
def test_impossible_ranges(bounds: Any) -> None:
    with pytest.raises(ConfigurationError, match="ephemeral_ports"):
        EngineConfig(addresses=(V4,), ephemeral_ports=bounds)


# --- the source --------------------------------------------------------------------------


def test_an_explicit_source(net: Net) -> None:
    """The same port may lead to several destinations, but only once to each."""
    group = net.group(7)
    cd = group.connect(THERE, (V4, 5_000))
    assert group.local(cd) == (V4, 5_000)
    with pytest.raises(AddressInUse, match="port 5000"):
        group.connect(THERE, (V4, 5_000))
    group.connect(("198.51.100.7", 81), (V4, 5_000))
    group.connect(("198.51.100.8", 80), ("", 5_000))
    assert len(group) == 3
    group.abort(cd)
    group.connect(THERE, (V4, 5_000))


def test_the_port_of_a_service_may_be_a_source(net: Net) -> None:
    """As active FTP does with port 20: the 4-tuple is what must be free."""
    group = net.group(7)
    peer = net.listener(group).active_established((V4, 7))
    client = net.client(group).established()
    peer.is_alive()
    client.is_alive()


@pytest.mark.requirement("RFC 9293 MUST-42")
@pytest.mark.parametrize("crossed", [False, True])
def test_a_listener_beside_attempts_from_its_port(net: Net, crossed: bool) -> None:
    """RFC 9293 MUST-42: they are in SYN-SENT, or in SYN-RECEIVED."""
    group = net.group(7)
    peer = net.listener(group).connected_to((V4, 8))
    peer.expect("S", seq=0)
    if crossed:
        peer.answer(flags="S")
        net.turn()
        peer.expect("SA", seq=0, ack=1)
    assert group.info(peer.cd).state == ("SYN_RECEIVED" if crossed else "SYN_SENT")
    net.client(net.group(8)).established().is_alive()
    if crossed:
        peer.ack()
    else:
        peer.answer()
    net.turn()
    peer.is_alive()


@pytest.mark.requirement("RFC 6056 3.1")
def test_time_wait_keeps_its_tuple(make_net: MakeNet) -> None:
    net = make_net(ephemeral_ports=(40_000, 40_001))
    group = net.group(7)
    peer = net.listener(group).active_established()
    host, port = group.local(peer.cd)
    group.finish(peer.cd)
    net.turn()
    peer.fin(ack=2)
    net.turn()
    assert net.engine.snapshot().time_wait == 1
    with pytest.raises(AddressInUse, match="TIME-WAIT"):
        group.connect(peer.key, (host, port))
    other = group.local(group.connect(peer.key))[1]
    assert {port, other} == {40_000, 40_001}
    with pytest.raises(PortsExhausted):
        group.connect(peer.key)
    net.advance(100)
    assert group.local(group.connect(peer.key))[1] == port


@pytest.mark.requirement("RFC 9293 MUST-44")
def test_many_sources_and_domains(make_net: MakeNet) -> None:
    """The first address of the family, then the others; a prefix begins with its first host."""
    net = make_net(
        addresses=("192.0.2.1", "192.0.2.9", "2001:db8::/64", "2001:db8:1::5/64", "203.0.113.0/24"),
        ephemeral_ports=(50_000, 50_001),
    )
    group = net.pool.open_group(7, domain=socket.AF_UNSPEC)
    places = [group.local(group.connect(THERE)) for _ in range(6)]
    assert [host for host, _ in places] == ["192.0.2.1"] * 2 + ["192.0.2.9"] * 2 + ["203.0.113.1"] * 2
    assert len(set(places)) == 6
    with pytest.raises(PortsExhausted, match="from 50000 to 50001"):
        group.connect(THERE)
    there6 = ("2001:db8:c::7", 80)
    assert [group.local(group.connect(there6))[0] for _ in range(3)] == [
        "2001:db8::1",
        "2001:db8::1",
        "2001:db8:1::5",
    ]
    anywhere = group.connect(there6, ("2001:db8::abcd", 0))
    assert group.local(anywhere)[0] == "2001:db8::abcd"


@pytest.mark.requirement("RFC 9293 MUST-43")
def test_the_groups_address_is_the_source(make_net: MakeNet) -> None:
    net = make_net(addresses=("192.0.2.1", "192.0.2.9"))
    group = net.group(7, address="192.0.2.9")
    assert group.local(group.connect(THERE))[0] == "192.0.2.9"
    assert group.local(group.connect(THERE, ("192.0.2.1", 0)))[0] == "192.0.2.1"


def test_an_engine_without_the_family(make_net: MakeNet) -> None:
    net = make_net(addresses=(V6,))
    with pytest.raises(AddressNotAvailable, match="no IPv4 address"):
        net.group(7).connect(THERE)


# --- ephemeral ports (RFC 6056 section 3.3.4) ---------------------------------------------


@pytest.mark.requirement("RFC 6056 3.1", "RFC 6056 3.3.4")
def test_ports_of_one_destination_follow_each_other(make_net: MakeNet) -> None:
    """Each is used once before the first comes again; a service's port is left out."""
    net = make_net(ephemeral_ports=(50_000, 50_099))
    net.group(50_042)
    group = net.group(7)
    used = ports(group, 99)
    assert sorted(used) == [port for port in range(50_000, 50_100) if port != 50_042]
    steps = {(b - a) % 100 for a, b in pairwise(used)}
    assert steps <= {1, 2}
    with pytest.raises(PortsExhausted):
        group.connect(THERE)
    # Another destination has them all to itself.
    assert len(ports(group, 99, ("198.51.100.7", 81))) == 99


@pytest.mark.requirement("RFC 6056 3.2", "RFC 6056 3.3.4")
def test_ports_do_not_tell_of_other_destinations(make_net: MakeNet) -> None:
    """The first ports of many destinations fill the range evenly, and differ under another key."""
    starts = []
    for seed in (1, 2):
        net = make_net(seed=seed)
        group = net.group(7)
        starts.append([ports(group, 1, ("198.51.100.7", 1_000 + i))[0] for i in range(400)])
        assert all(32_768 <= port <= 60_999 for port in starts[-1])
        tenths = [sum((port - 32_768) * 10 // 28_232 == tenth for port in starts[-1]) for tenth in range(10)]
        # Chi-square of 9 degrees of freedom: 27.9 is passed once in a thousand, and the keys are fixed.
        assert sum((n - 40) ** 2 / 40 for n in tenths) < 27.9, tenths
    assert starts[0] != starts[1]


@pytest.mark.requirement("RFC 6056 3.3.4")
def test_a_peer_cannot_count_the_connections_to_another(make_net: MakeNet) -> None:
    """What one destination sees follows from its own connections, unless two share one of the counters."""
    steps = []
    for others in (0, 50):
        net = make_net(seed=3)
        group = net.group(7)
        [before] = ports(group, 1)
        ports(group, others, ("203.0.113.5", 443))
        [after] = ports(group, 1)
        steps.append(after - before)
    assert steps == [1, 1]


# --- tables -------------------------------------------------------------------------------


def test_the_record_table_is_full(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    group = net.group(7)
    cds = [group.connect(THERE) for _ in range(16)]
    with pytest.raises(PoolExhausted, match="max_connections"):
        group.connect(THERE)
    assert len(group) == 16
    for cd in cds:
        group.abort(cd)
    assert len(group) == 0


def test_more_at_once_than_one_flush_has_frames(net: Net) -> None:
    """None waits for its retransmission timer."""
    group = net.group(7)
    for _ in range(500):
        group.connect(THERE)
    net.turn()
    assert len(net.strays) == 500
    assert {frozenset("S")} == {segment.flags for segment in net.strays}
    assert len({segment.sport for segment in net.strays}) == 500
    assert len({segment.seq for segment in net.strays}) == 500
    net.strays.clear()


def test_before_the_first_poll_no_time_is_known(make_net: MakeNet) -> None:
    """The time of the SYN is that of its flush, and so is its limit's."""
    net = make_net()
    peer = Client(net, group=net.group(7), port=0, ip=THERE[0], sport=80, server=V4)
    peer.connected_to(timeout_s=2.5)
    net.advance(2.4)
    assert peer.times() == [0.0, 1.0]
    net.advance(0.2)
    assert net.engine.snapshot().connections == 0


def test_a_census_and_a_snapshot_show_the_attempt(net: Net) -> None:
    group = net.group(7)
    net.listener(group).connected_to().take()
    snapshot = net.engine.snapshot()
    assert (snapshot.states["SYN_SENT"], snapshot.connections, snapshot.active) == (1, 1, 1)
    census = net.engine.census()
    while not census.advance(1_024):
        pass
    assert sum(census.counts["SYN_SENT"]) == 1


def test_options_have_the_limit() -> None:
    assert GroupOptions().connect_timeout_s == 180
    with pytest.raises(ConfigurationError, match="connect_timeout_s"):
        GroupOptions(connect_timeout_s=0)
