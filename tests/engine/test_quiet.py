"""Connections that are in the middle of nothing, for an orderly end."""

from __future__ import annotations

import pytest
from support.net import Net

from xtcp_twisted.config import ALL
from xtcp_twisted.engine import Group


def quiet(group: Group) -> list[int]:
    found, go_on = group.quiet()
    assert go_on == 0
    return found


def test_a_new_connection_is_quiet(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    assert quiet(group) == [client.cd]


def test_a_request_is_in_flight_until_its_answer_is_acknowledged(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"request")
    net.turn()
    assert quiet(group) == [], "it waits for the application"
    [(cd, _)] = group.recv_batch(1)
    assert quiet(group) == [], "the application has it"
    group.send(cd, b"", ALL)
    net.flush()
    assert quiet(group) == [], "it has no answer"
    group.send(cd, b"answer")
    net.flush()
    assert quiet(group) == [], "the client may have lost it"
    assert client.received == b"answer"
    client.ack()
    net.turn()
    assert quiet(group) == [cd]


def test_half_a_request_is_in_flight(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    client.send(b"half")
    net.turn()
    [(cd, _)] = group.recv_batch(1)
    group.need(cd, 8)
    assert quiet(group) == []


def test_whoever_is_gone_is_nobodys(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).established()
    group.finish(client.cd)
    assert quiet(group) == []
    net.client(group).asked()
    assert quiet(group) == [], "a request is no connection"


def test_groups_are_told_apart(net: Net) -> None:
    one, other = net.group(7), net.group(8)
    clients = [net.client(group).established() for group in (one, other, one)]
    assert quiet(one) == [clients[0].cd, clients[2].cd]
    assert quiet(other) == [clients[1].cd]


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_the_table_is_walked_in_slices(net: Net, rows: int) -> None:
    group = net.group(7)
    clients = [net.client(group).established() for _ in range(7)]
    found, go_on = group.quiet(0, rows)
    while go_on:
        assert len(found) <= go_on
        more, go_on = group.quiet(go_on, rows)
        found += more
    assert found == [client.cd for client in clients]
