"""A turn of a reactor: groups' descriptors wait for its end, and there the link is read once more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from support.descriptors import readable
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine import Group
from xtcp_twisted.engine.kinds import EventKind

#: So late that no timer of the kernel's fires, which is set to the net's time.
LATE = 1_000_000_000.0
#: As `ANSWERED_AT_ONCE` of engine/core.pyx.
FEW = 16


@contextmanager
def turn(net: Net) -> Iterator[None]:
    """The body runs where a reactor's handlers run."""
    net.engine.begin_turn(net.now)
    net.gather()
    yield
    net.engine.end_turn(net.now)
    net.collect()


def serving(net: Net, clients: int = 1) -> tuple[Group, list[Client]]:
    """A group with established connections, of which everything has been told."""
    net.now = max(net.now, LATE)
    group = net.group(7, accept_credits=UNLIMITED)
    made = [net.client(group).established() for _ in range(clients)]
    net.engine.fileno()
    net.turn()
    net.take_events()
    return group, made


# --- Descriptors of groups ------------------------------------------------------------


def test_a_descriptor_tells_at_the_end_of_the_turn_what_was_left(net: Net) -> None:
    group, [client] = serving(net)
    gd = group.fileno()
    client.send(b"request")
    with turn(net):
        assert group.readable == 1
        assert not readable(gd)
    assert readable(gd)
    with turn(net):
        assert group.recv(100) == (client.cd, b"request")
        assert readable(gd)
    assert not readable(gd)


def test_a_descriptor_that_is_made_within_a_turn(net: Net) -> None:
    group, [client] = serving(net)
    client.send(b"request")
    with turn(net):
        gd = group.fileno()
    assert readable(gd)


def test_outside_of_a_turn_a_descriptor_tells_at_once(net: Net) -> None:
    group, [client] = serving(net)
    gd = group.fileno()
    with turn(net):
        pass
    client.send(b"request")
    net.poll()
    assert readable(gd)
    net.flush()


def test_a_flush_ends_a_turn_as_well(net: Net) -> None:
    """So does the way out of a reactor."""
    group, [client] = serving(net)
    gd = group.fileno()
    client.send(b"request")
    net.engine.begin_turn(net.now)
    net.flush()
    assert readable(gd)


def test_a_group_that_is_closed_within_the_turn_leaves_its_place_to_another(net: Net) -> None:
    group, [client] = serving(net)
    client.send(b"request")
    with turn(net):
        group.fileno()
        group.abort(client.cd)
        group.close()
    net.turn()
    group, [client] = serving(net)
    client.send(b"request")
    with turn(net):
        gd = group.fileno()
    assert readable(gd)
    with turn(net):
        group.recv(100)
    assert not readable(gd)


# --- Answers to what was sent -----------------------------------------------------------


def test_what_comes_while_an_answer_is_sent_is_taken_in_with_it(net: Net) -> None:
    """As the acknowledgement of a peer on this machine, which comes inside of the call that sends."""
    group, [client, other] = serving(net, 2)
    client.send(b"request")
    with turn(net):
        group.send(client.cd, b"answer")
        other.ack()
    assert net.link.pending == 0
    assert not readable(net.engine.fileno()), "an acknowledgement needs no turn of its own"


def test_what_else_comes_is_told_in_the_next_turn_which_is_due_at_once(net: Net) -> None:
    group, [client, other] = serving(net, 2)
    client.send(b"request")
    with turn(net):
        group.send(client.cd, b"answer")
        other.send(b"another")
    assert net.link.pending == 0
    assert readable(net.engine.fileno())
    net.take_events()
    with turn(net):
        assert [event[:3:2] for event in net.take_events()] == [(EventKind.DATA, other.cd)]


def test_a_request_to_connect_that_comes_so_is_told_too(net: Net) -> None:
    group, [client] = serving(net)
    group.credit(0)
    client.send(b"request")
    with turn(net):
        group.send(client.cd, b"answer")
        net.client(group).syn()
    assert net.link.pending == 0
    assert readable(net.engine.fileno())
    net.take_events()
    with turn(net):
        assert net.kinds() == [EventKind.PENDING]


def test_what_an_acknowledgement_lets_leave_leaves_in_the_same_turn(net: Net) -> None:
    group, [client, other] = serving(net, 2)
    other.ack(win=0)
    net.turn()
    with turn(net):
        group.send(other.cd, b"held back by the window")
    other.expect_nothing()
    client.send(b"request")
    with turn(net):
        group.send(client.cd, b"answer")
        other.ack(win=65_535)
    other.expect("PA", data=b"held back by the window")


def test_nothing_is_looked_for_when_nothing_was_sent(net: Net) -> None:
    _, [client] = serving(net)
    with turn(net):
        client.send(b"request")
    assert net.link.pending == 1


def test_no_more_is_taken_than_was_sent(net: Net) -> None:
    group, [client, *others] = serving(net, 3)
    with turn(net):
        group.send(client.cd, b"said")
        for other in others:
            other.ack()
    assert net.link.pending == 1


def test_a_turn_that_sent_much_leaves_the_answers_to_the_next(net: Net) -> None:
    group, clients = serving(net, FEW + 1)
    for count in (FEW, FEW + 1):
        with turn(net):
            for client in clients[:count]:
                group.send(client.cd, b"said")
            clients[0].ack()
        assert net.link.pending == (count > FEW)
        net.turn()
