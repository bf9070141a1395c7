"""Fast Open and what a group says about it: whose option counts, what its window shows (P38; RFC 7413)."""

from __future__ import annotations

from typing import Any

import pytest
from support.fast_open import ANSWER, END, REQUEST, cookie_for
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import ALL, UNLIMITED, GiB, GroupOptions, MiB
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P38")


def asks_fast(net: Net, group: Group, cookie: bytes) -> Client:
    client = net.client(group)
    client.syn(cookie=cookie, data=REQUEST)
    net.poll()
    return client


def completes_ordinarily(net: Net, client: Client) -> None:
    """The SYN's data was not taken: the client sends it again, behind its ACK."""
    client.expect("SA", seq=0, ack=1)
    client.send(REQUEST, seq=1)
    net.turn()
    assert net.counters()["TCPFastOpenPassive"] == 0
    assert EventKind.DATA in net.kinds()


@pytest.mark.feature("P06")
@pytest.mark.requirement("RFC 7413 6.1")
@pytest.mark.parametrize("how", ["accept", "into", "credit"])
def test_a_group_without_it_takes_no_request_that_may_come_twice(net: Net, how: str) -> None:
    """Its option counts, not that of the neighbour which has kept the request."""
    first = net.pool.open_group(7, share=True, options=GroupOptions(fast_open=8))
    second = net.pool.open_group(7, share=True)
    client = asks_fast(net, first, cookie_for(net, first))
    if how == "credit":
        second.credit(1)
    elif how == "into":
        first.accept(into=second)
    else:
        second.accept()
    net.flush()
    completes_ordinarily(net, client)
    assert second.recv(100) is not None


@pytest.mark.feature("P05")
def test_it_may_be_switched_off_while_a_request_waits(net: Net) -> None:
    group = net.group(7, fast_open=8)
    client = asks_fast(net, group, cookie_for(net, group))
    group.set_options(fast_open=0)
    group.accept()
    net.flush()
    completes_ordinarily(net, client)


@pytest.mark.requirement("RFC 7413 4.2.2")
def test_a_syn_ack_sent_again_shows_all_that_was_shown(make_net: MakeNet) -> None:
    """So the segments behind the first one show no more either, though they have a scale."""
    net = make_net(arena_limit=1 * GiB)
    options: dict[str, Any] = {"fast_open": 8, "accept_credits": UNLIMITED}
    group = net.group(7, pool=net.engine.create_pool(128 * MiB), **options)
    client = asks_fast(net, group, cookie_for(net, group))
    ((client.cd, data),) = group.recv_batch(1)
    group.send(client.cd, ANSWER, ALL)
    assert data == REQUEST
    net.flush()
    assert client.expect("SA", ack=END).window == 65_408 - len(REQUEST)
    assert client.expect("PA", ack=END, data=ANSWER).window << 7 == 65_408
    net.advance(1.0)
    assert client.expect("SA", ack=END).window == 65_408
    client.ack(1 + len(ANSWER))
    net.turn()
    client.exchange(b"another request", b"another answer")
    assert client.judge.edge > 1 * MiB
