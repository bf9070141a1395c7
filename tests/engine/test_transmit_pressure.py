"""What the transmit buffer's pressure states do to sends and broadcasts (P27 to P30)."""

from __future__ import annotations

import pytest
from support.net import MakeNet
from support.pressure import CHUNK, CHUNKS, Listeners

from xtcp_twisted.engine.kinds import EventKind

#: Chunks of the transmit buffer in use.
OPEN, FROZEN, WITHHOLDING, DISCARDING = 496, 528, 784, 912
#: More than any connection may queue.
MUCH = b"m" * 300_000


@pytest.fixture
def listeners(make_net: MakeNet) -> Listeners:
    return Listeners(make_net(transmit_buffer=CHUNKS * 256))


@pytest.mark.feature("P27")
@pytest.mark.parametrize("chunks, part", [(OPEN, 1), (FROZEN, 2)])
def test_frozen_halves_the_quotas(listeners: Listeners, chunks: int, part: int) -> None:
    """Of weight x free/64."""
    client = listeners.client(7)
    listeners.fill(chunks)
    assert client.group is not None
    assert client.group.send(client.cd, MUCH) == (CHUNKS - chunks) // 64 * 8 // part * CHUNK
    client.take()


@pytest.mark.feature("P28")
@pytest.mark.parametrize("chunks, reached", [(FROZEN, 1), (WITHHOLDING, 0)])
def test_withholding_pauses_broadcasts(listeners: Listeners, chunks: int, reached: int) -> None:
    """Who does not get it is told, and told again when there is room."""
    client = listeners.client(7)
    listeners.fill(chunks)
    listeners.net.gather()
    listeners.net.take_events()
    assert client.group is not None
    assert client.group.broadcast(b"news") == reached
    listeners.net.gather()
    assert (EventKind.STALLED in listeners.net.kinds()) == (reached == 0)
    at = listeners.net.now
    listeners.listen()
    assert (EventKind.WRITABLE in listeners.net.kinds()) == (reached == 0)
    assert listeners.net.now == at
    client.take()


@pytest.mark.feature("P30")
@pytest.mark.parametrize("priority, takes", [("high", True), ("normal", True), ("low", False)])
def test_withholding_takes_nothing_of_low_priority(listeners: Listeners, priority: str, takes: bool) -> None:
    client = listeners.client(7, priority=priority)
    listeners.fill(WITHHOLDING)
    assert client.group is not None
    listeners.net.take_events()
    assert (client.group.send(client.cd, b"answer") > 0) == takes
    listeners.net.flush()
    client.take()
    at = listeners.net.now
    listeners.listen()
    told = [event[2] for event in listeners.net.take_events(EventKind.WRITABLE)]
    assert (client.cd in told) == (not takes), "at once, not at the clock hand's next visit"
    assert listeners.net.now == at
    assert client.group.send(client.cd, b"answer") == 6
    listeners.net.flush()
    client.take()


@pytest.mark.feature("P27")
def test_discarding_takes_only_of_who_has_nothing_queued(listeners: Listeners) -> None:
    client, other = listeners.client(7), listeners.client(8)
    assert client.group is not None
    assert other.group is not None
    listeners.fill(DISCARDING - 16)
    assert client.group.send(client.cd, b"first") == 5
    listeners.net.turn()
    listeners.fill(DISCARDING + 1)
    assert listeners.state == "discarding"
    assert client.group.send(client.cd, b"second") == 0
    assert other.group.send(other.cd, b"first") == 5
    listeners.net.turn()
    for peer in (client, other):
        peer.take()
    listeners.net.take_events()
    client.ack()
    listeners.net.turn()
    assert [event[2] for event in listeners.net.take_events(EventKind.WRITABLE)] == [client.cd]
    assert client.group.send(client.cd, b"second") == 6
    listeners.net.turn()
    client.take()
