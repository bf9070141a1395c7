"""An accepted connection whose handshake is not complete: everything may be asked of it, little happens.

`accept` returns the id before the client's ACK is there, so the application may
use it in the same turn.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.net import MakeNet, Net

from xtcp_twisted.config import ALL
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind

pytestmark = pytest.mark.feature("P08")

CALLS: dict[str, Callable[[Group, int], object]] = {
    "send": lambda group, cd: group.send(cd, b"early"),
    "acknowledge": lambda group, cd: group.send(cd, b"", ackd=ALL),
    "need": lambda group, cd: group.need(cd, 10),
    "pause": lambda group, cd: group.pause(cd),
    "resume": lambda group, cd: group.resume(cd),
    "broadcast": lambda group, cd: group.broadcast(b"early", [cd]),
    "broadcast to all": lambda group, cd: group.broadcast(b"early"),
    "info": lambda group, cd: group.info(cd),
    "set_user": lambda group, cd: group.set_user(cd, 5),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@calls
def test_the_handshake_completes_all_the_same(net: Net, call: Callable[[Group, int], object]) -> None:
    group = net.group(7)
    client = net.client(group).syn_received()
    call(group, client.cd)
    net.turn()
    client.ack()
    net.turn()
    group.resume(client.cd)
    group.need(client.cd, 0)
    net.turn()
    client.is_alive()


@calls
@pytest.mark.parametrize("reported", [False, True])
def test_nothing_is_left_when_the_client_resets(
    net: Net, call: Callable[[Group, int], object], reported: bool
) -> None:
    """Not even an event for the next connection in the same slot."""
    group = net.group(7)
    client = net.client(group).syn_received()
    call(group, client.cd)
    if reported:
        net.turn()
    client.rst(seq=1)
    net.poll()
    net.flush()
    assert net.engine.snapshot().active == 0
    assert net.engine.snapshot().connections == 0
    net.take_events()
    net.client(group).established().is_alive()


@calls
@pytest.mark.parametrize("end", ["abort", "finish"])
def test_nothing_is_left_when_the_application_leaves(
    net: Net, call: Callable[[Group, int], object], end: str
) -> None:
    group = net.group(7)
    client = net.client(group).syn_received()
    call(group, client.cd)
    getattr(group, end)(client.cd)
    net.turn()
    assert net.engine.snapshot().active == 0
    client.expect_reset(seq=1)


def test_what_send_refused_is_announced_later(net: Net) -> None:
    """A short count is followed by WRITABLE when there is room: here, when the handshake completes."""
    group = net.group(7)
    client = net.client(group).syn_received()
    assert group.send(client.cd, b"early") == 0
    client.ack()
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED, EventKind.WRITABLE]
    assert group.send(client.cd, b"early") == 5


def test_pause_holds_from_before_the_handshake(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).syn_received()
    group.pause(client.cd)
    client.ack()
    client.send(b"data")
    net.turn()
    assert group.recv(100) is None
    group.resume(client.cd)
    assert group.recv(100) == (client.cd, b"data")


def test_the_cookie_is_kept_through_the_handshake(net: Net) -> None:
    group = net.group(7)
    client = net.client(group).syn_received()
    group.set_user(client.cd, 77)
    client.ack()
    net.turn()
    assert group.user(client.cd) == 77


def test_an_engine_that_slept_for_weeks_keeps_time(make_net: MakeNet) -> None:
    """No connection, so no turn, for longer than the 32-bit millisecond clock can tell apart."""
    net = make_net()
    group = net.group(7)
    net.turn()
    net.stall(30 * 86_400)
    client = net.client(group).established()
    client.exchange(b"q", b"a")
    client.send(b"held")
    net.turn()
    assert group.recv(100) is not None
    net.advance(0.05)
    client.expect("A", ack=client.seq)
    group.send(client.cd, b"lost", ackd=ALL)
    net.flush()
    client.take()
    net.advance(0.5)
    client.expect("A", data=b"lost")
