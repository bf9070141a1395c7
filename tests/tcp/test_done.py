"""`Group.done`: processed, but the acknowledgement still waits for an answer (P14, P16)."""

from __future__ import annotations

import pytest
from support.net import Net

from xtcp_twisted.config import MiB


@pytest.mark.feature("P14")
def test_the_bytes_are_free_and_the_acknowledgement_is_held(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.request(b"request")
    group.done([(client.cd, b"request")])
    net.flush()
    client.expect_nothing()
    assert group.info(client.cd).held == 0
    net.advance(0.030)
    group.send(client.cd, b"answer")
    net.flush()
    client.expect("A", ack=8, data=b"answer")
    client.ack()
    net.advance(1)
    client.expect_nothing()


@pytest.mark.feature("P14")
def test_without_an_answer_it_leaves_at_the_bound(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.request(b"request")
    group.done([(client.cd, b"request")])
    net.flush()
    net.advance(1)
    client.expect("A", ack=8, at=0.040)
    client.expect_nothing()


@pytest.mark.feature("P14", "P16")
def test_under_the_application_policy_it_acknowledges_at_once(net: Net) -> None:
    group = net.group(7, ack_policy="application")
    client = net.client(group).established()
    client.request(b"request")
    group.done([(client.cd, b"request")])
    net.flush()
    client.expect("A", ack=8, at=0)


def test_a_peer_that_is_out_of_room_is_told_at_once(net: Net) -> None:
    """RFC 9293 section 3.8.6.2.2: a window that had closed and opens again does not wait for an answer."""
    group = net.group(7, pool=net.engine.create_pool(1 * MiB, name="small"))
    client = net.client(group).established()
    edge = 1 + group.info(client.cd).rcv_wnd
    while client.seq + 1_000 <= edge:
        client.send(bytes(1_000))
        net.turn()
        client.take()
    while (got := group.recv(65_536)) is not None:
        group.done([got])
    net.flush()
    assert client.take()[-1].window << 7 > 4 * 1_460


def test_stale_and_undelivered_ones_are_passed_over(net: Net) -> None:
    group = net.group(7)
    gone, idle, busy = (net.client(group).established() for _ in range(3))
    group.abort(gone.cd)
    busy.request(b"request")
    group.done([(gone.cd, b""), (idle.cd, b""), (12_345, b""), (busy.cd, b"request")])
    assert group.info(busy.cd).held == 0
