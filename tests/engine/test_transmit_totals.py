"""What the transmit buffer holds: bytes sent and not acknowledged, bytes never sent, and whose.

The debug build also compares the totals with a walk over every queue after every turn.
"""

from __future__ import annotations

import pytest
from support.net import MakeNet, Net
from support.peer import Client

from xtcp_twisted.config import UNLIMITED

pytestmark = pytest.mark.feature("P19")


def totals(net: Net) -> tuple[int, int, int]:
    """Bytes unacknowledged, bytes queued, connections sending."""
    snapshot = net.engine.snapshot()
    return snapshot.unacked_bytes, snapshot.queued_bytes, snapshot.sending


@pytest.fixture
def client(net: Net) -> Client:
    """A connection with a window of 1,000 bytes and a full segment of more."""
    return net.client(net.group(7), window=1_000, wscale=0).established()


def send(client: Client, data: bytes) -> None:
    assert client.group is not None
    assert client.group.send(client.cd, data) == len(data)


def test_an_idle_connection_sends_nothing(net: Net, client: Client) -> None:
    assert totals(net) == (0, 0, 0)


def test_what_was_written_is_queued_until_it_leaves(net: Net, client: Client) -> None:
    send(client, bytes(300))
    assert totals(net) == (0, 300, 1)
    net.turn()
    assert totals(net) == (300, 0, 1)
    client.take()


def test_what_the_window_does_not_allow_stays_queued(net: Net, client: Client) -> None:
    send(client, bytes(1_700))
    net.turn()
    assert totals(net) == (1_000, 700, 1)
    client.take()


def test_an_acknowledgement_takes_away_what_it_covers(net: Net, client: Client) -> None:
    """A part of a segment, then a segment's rest, and what the moved window lets out."""
    send(client, bytes(1_700))
    net.turn()
    client.ack(1 + 400, win=600)
    net.turn()
    assert totals(net) == (600, 700, 1)
    client.ack(1 + 1_000, win=1_000)
    net.turn()
    assert totals(net) == (700, 0, 1)
    client.ack(1 + 1_700)
    net.turn()
    assert totals(net) == (0, 0, 0)
    client.take()


def test_a_repeated_acknowledgement_takes_away_nothing(net: Net, client: Client) -> None:
    send(client, bytes(500))
    net.turn()
    for _ in range(3):
        client.ack(1 + 200)
        net.turn()
        assert totals(net) == (300, 0, 1)
    client.take()


def test_what_is_sent_again_was_counted_already(net: Net, client: Client) -> None:
    send(client, bytes(1_700))
    net.turn()
    before = net.counters()["RetransSegs"]
    net.advance(5)
    assert net.counters()["RetransSegs"] > before
    assert totals(net) == (1_000, 700, 1)
    client.take()


def test_a_probe_of_a_closed_window_is_a_byte_sent(net: Net) -> None:
    client = net.client(net.group(7), window=0, wscale=0).established()
    send(client, bytes(20))
    net.turn()
    assert totals(net) == (0, 20, 1)
    net.advance(2)
    assert totals(net) == (1, 19, 1)
    client.take()


def test_a_fin_is_no_payload(net: Net, client: Client) -> None:
    assert client.group is not None
    send(client, bytes(1_200))
    client.group.shutdown(client.cd)
    net.turn()
    assert totals(net) == (1_000, 200, 1)
    client.ack(1 + 1_000)
    net.turn()
    assert totals(net) == (200, 0, 1)
    net.advance(0.5)
    assert totals(net) == (200, 0, 1), "the FIN and what goes with it were sent again"
    client.ack(1 + 1_200 + 1)
    net.turn()
    assert totals(net) == (0, 0, 0)
    client.take()


def test_payload_acknowledged_but_not_the_fin(net: Net, client: Client) -> None:
    assert client.group is not None
    send(client, bytes(200))
    client.group.finish(client.cd)
    net.turn()
    client.ack(1 + 200)
    net.turn()
    assert totals(net) == (0, 0, 0)
    net.advance(200)
    client.take()


@pytest.mark.parametrize("shut", [False, True], ids=["open", "FIN sent"])
@pytest.mark.parametrize("acked", [0, 300], ids=["all of it", "half acknowledged"])
@pytest.mark.parametrize("how", ["abort", "reset", "timeout", "group", "linger"])
def test_the_end_takes_it_all_away(net: Net, client: Client, how: str, acked: int, shut: bool) -> None:
    group = client.group
    assert group is not None
    other = net.client(group).established()
    send(other, bytes(50))
    send(client, bytes(600 if shut else 1_700))
    if shut:
        group.shutdown(client.cd)
    net.turn()
    client.ack(1 + acked, win=1_000 - acked)
    net.turn()
    assert totals(net) == (50 + (600 if shut else 1_000) - acked, 0 if shut else 700, 2)
    other.ack(1 + 50)
    net.turn()
    if how == "abort":
        group.abort(client.cd)
    elif how == "reset":
        client.rst()
    elif how == "timeout":
        net.advance(150)
    elif how == "group":
        group.close(abort=True)
    else:
        group.finish(client.cd)
        net.advance(200)
    net.turn()
    assert totals(net) == (0, 0, 0)
    client.take()
    other.take()


def test_a_broadcast_counts_for_every_receiver(net: Net) -> None:
    """It is stored once, but each connection has to send it and have it acknowledged."""
    group = net.group(7, accept_credits=UNLIMITED)
    clients = [net.client(group).established() for _ in range(10)]
    group.broadcast(bytes(1_000))
    assert totals(net) == (0, 10_000, 10)
    assert net.transmit_used < 3_000
    net.turn()
    assert totals(net) == (10_000, 0, 10)
    clients[0].ack(1 + 1_000)
    clients[1].ack(1 + 400)
    net.turn()
    group.abort(clients[2].cd)
    assert totals(net) == (10_000 - 1_000 - 400 - 1_000, 0, 8)
    for client in clients[3:]:
        client.ack(1 + 1_000)
    net.turn()
    assert totals(net) == (600, 0, 1)
    for client in clients:
        client.take()


def test_a_write_that_did_not_fit_counts_what_was_taken(make_net: MakeNet) -> None:
    net = make_net(transmit_buffer=64 * 1024)
    group = net.group(7)
    client = net.client(group, window=0).established()
    taken = group.send(client.cd, bytes(100_000))
    assert 0 < taken < 100_000
    assert totals(net) == (0, taken, 1)
    client.take()
