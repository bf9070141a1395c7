"""Requests that wait, for an accept credit or for the application: no turn is due for nothing."""

from __future__ import annotations

import socket

import pytest
from support.net import V6, MakeNet, Net

from xtcp_twisted.config import UNLIMITED, GroupOptions
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P08")


@pytest.mark.feature("P06")
def test_credits_of_a_neighbour_that_does_not_see_the_request_make_no_turn_due(net: Net) -> None:
    decides = net.pool.open_group(7, domain=socket.AF_UNSPEC, share=True)
    paced = net.pool.open_group(
        7,
        domain=socket.AF_INET6,
        share=True,
        options=GroupOptions(accept_credits=UNLIMITED, accept_rate=1_000),
    )
    client = net.client(decides).asked()
    due = net.engine.poll_at()
    assert due is not None and due > net.now
    # `advance` says so when the engine asks for turns without end.
    net.advance(0.8)
    assert (decides.waiting, paced.waiting) == (1, 0)
    decides.accept()
    net.flush()
    client.expect("SA")


def test_credits_make_no_turn_due_while_the_record_table_is_full(make_net: MakeNet) -> None:
    net = make_net(max_connections=16)
    paced = net.group(7, accept_credits=UNLIMITED, accept_rate=2)
    other = net.group(8)
    net.client(paced).established()
    waits = net.client(paced).asked()
    others = [net.client(other).established() for _ in range(15)]
    # The rate allows one more after 0.5 s, but there is no record for it.
    net.advance(0.7)
    assert paced.waiting == 1
    others[0].rst(seq=1)
    net.turn()
    net.advance(0.01)
    waits.expect("SA")


@pytest.mark.feature("P05")
def test_a_changed_weight_reports_no_room_before_the_handshake_is_complete(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).syn_received()
    assert group.send(client.cd, b"early") == 0
    group.set_options(weight=2)
    net.turn()
    assert EventKind.WRITABLE not in net.kinds()
    client.ack()
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED, EventKind.WRITABLE]


@pytest.mark.feature("P06")
@pytest.mark.feature("P07")
def test_what_a_closed_group_leaves_goes_to_those_of_each_address(make_net: MakeNet) -> None:
    """In the order of its age, though requests to several addresses took turns."""
    addresses = ("192.0.2.1", "192.0.2.2", V6)
    net = make_net(addresses=addresses)
    first = net.pool.open_group(7, domain=socket.AF_UNSPEC, share=True)
    heirs = [net.pool.open_group(7, address=address, share=True) for address in addresses[:2]]
    clients = []
    for turn in range(6):
        clients += [net.client(heirs[turn % 2]).asked() for _ in range(2)]
        net.advance(0.001)
    lost = net.client(first, server=V6, ip="2001:db8:c::7").asked()
    first.close()
    net.flush()
    lost.expect("RA")
    for which, heir in enumerate(heirs):
        mine = [client.key for at, client in enumerate(clients) if at // 2 % 2 == which]
        assert [peer for _, peer in heir.pending()] == mine
        assert heir.waiting == len(mine)
        for _ in mine:
            heir.accept()
        assert heir.waiting == 0
