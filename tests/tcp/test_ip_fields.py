"""What an application may say about the IP header: DSCP and TTL (RFC 9293 sections 3.9.1.9 and 3.9.2)."""

from __future__ import annotations

import pytest
from support.net import Net
from support.packets import Segment
from support.peer import ANY, Client

from xtcp_twisted.errors import ConfigurationError

EF = 46
both = pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
pytestmark = pytest.mark.requirement("RFC 9293 MUST-48", "RFC 9293 MUST-49")


def fields(segment: Segment) -> tuple[int, int]:
    """DSCP and TTL."""
    return segment.tos >> 2, segment.ttl


@both
def test_the_usual_ones(net: Net, v6: bool) -> None:
    client = net.client(net.group(7, v6=v6))
    client.syn()
    with net.in_turn():
        assert client.group is not None
        client.group.accept()
    assert fields(client.expect("SA")) == (0, 64)


@pytest.mark.feature("P05")
@both
@pytest.mark.requirement("RFC 9293 SHLD-22")
def test_every_segment_of_a_connection_has_them(net: Net, v6: bool) -> None:
    """SYN-ACK, data, pure ACKs, retransmissions, keepalive probes, FIN."""
    group = net.group(7, v6=v6, dscp=EF, hop_limit=200, keepalive_s=10)
    client = net.client(group)
    client.syn()
    with net.in_turn():
        client.cd = group.accept()
    assert fields(client.expect("SA")) == (EF, 200)
    client.ack()
    client.send(b"question")
    net.advance(0.1)
    group.recv(100)
    group.send(client.cd, b"answer", ackd=8)
    net.advance(2)
    client.ack()
    net.advance(45)
    group.shutdown(client.cd)
    net.flush()
    sent = client.take()
    assert {fields(s) for s in sent} == {(EF, 200)}
    assert len(sent) > 5


@both
def test_an_active_open_has_them(net: Net, v6: bool) -> None:
    peer = net.listener(net.group(7, v6=v6, dscp=10, hop_limit=255)).connected_to()
    assert fields(peer.expect("S")) == (10, 255)
    peer.answer()
    net.turn()
    assert fields(peer.expect("A")) == (10, 255)


def reset_client(net: Net, how: str) -> Client:
    """A client that has just been reset."""
    group = net.group(7, dscp=EF, hop_limit=99)
    client = net.client(group)
    if how == "no connection":
        client.ack(1)
    elif how == "refused":
        client.asked()
        group.refuse(client.pending_id())
    elif how == "aborted":
        client.established()
        group.abort(client.cd)
    elif how == "late data":
        client.fin_wait_2()
        client.send(b"too late")
    net.turn()
    return client


@pytest.mark.parametrize("how", ["no connection", "refused", "aborted", "late data"])
def test_a_reset_has_them(net: Net, how: str) -> None:
    client = reset_client(net, how)
    [reset] = [segment for segment in client.take() if "R" in segment.flags]
    assert fields(reset) == (EF, 99)


def test_a_challenge_has_them(net: Net) -> None:
    client = net.client(net.group(7, dscp=EF, hop_limit=99)).syn_received()
    client.rst(seq=1_000)
    net.turn()
    assert fields(client.expect("A")) == (EF, 99)


def test_an_acknowledgement_in_time_wait_has_them(net: Net) -> None:
    """Else a peer that takes no packet from farther away (RFC 5082) would never hear it."""
    client = net.client(net.group(7, dscp=EF, hop_limit=255)).time_wait()
    client.send(b"", "FA", seq=1)
    net.turn()
    assert fields(client.expect("A", seq=2, ack=2)) == (EF, 255)


@both
def test_the_ecn_field_is_left_alone(net: Net, v6: bool) -> None:
    group = net.group(7, v6=v6, dscp=EF)
    client = net.client(group).established(flags="SEC")
    group.send(client.cd, b"data")
    net.flush()
    assert client.expect("A", data=ANY).tos == EF << 2 | 2
    client.send(b"a", ip={"tc" if v6 else "tos": EF << 2 | 3})
    net.advance(0.1)
    assert client.expect("AE").tos == EF << 2


@pytest.mark.feature("P05")
@pytest.mark.requirement("RFC 9293 SHLD-21")
def test_the_dscp_may_change(net: Net) -> None:
    group = net.group(7, dscp=EF)
    client = net.client(group).established()
    group.set_dscp(8)
    group.send(client.cd, b"data")
    net.flush()
    assert fields(client.expect("A", data=ANY)) == (8, 64)
    assert group.options.dscp == 8
    with pytest.raises(ConfigurationError, match="dscp: 64 is not allowed; give an integer from 0 to 63"):
        group.set_dscp(64)
    assert group.options.dscp == 8


@pytest.mark.parametrize(
    "option, allowed",
    [({"dscp": -1}, "0 to 63"), ({"hop_limit": 256}, "0 to 255"), ({"ecn": "yes"}, "'passive'")],
)
def test_what_is_not_allowed(net: Net, option: dict[str, object], allowed: str) -> None:
    with pytest.raises(ConfigurationError, match=allowed):
        net.group(7, **option)
