"""Every edge of the state machine, each by a scripted peer (RFC 9293 section 3.3.2, Figure 5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine import Group
from xtcp_twisted.tcp.states import NAMES, TRANSITIONS

pytestmark = pytest.mark.feature("P33")

Edge = tuple[str, str]
Visit = Callable[[Net, Group], None]

#: What the table says, and what it says of all states: a reset, an abort or a timeout ends them.
EDGES: list[Edge] = sorted(
    {(state, after) for state, row in TRANSITIONS.items() for after in row}
    | {(state, "CLOSED") for state in NAMES if state not in {"CLOSED", "LISTEN"}}
)
#: How each edge is taken.
VISITS: dict[Edge, Visit] = {}


def visits(*edges: Edge) -> Callable[[Visit], Visit]:
    """The function takes these edges."""

    def enter(visit: Visit) -> Visit:
        VISITS.update(dict.fromkeys(edges, visit))
        return visit

    return enter


def accepting(net: Net, group: Group) -> Client:
    return net.client(group).established()


@visits(("LISTEN", "SYN_RECEIVED"), ("SYN_RECEIVED", "ESTABLISHED"))
def a_passive_open(net: Net, group: Group) -> None:
    accepting(net, group)


@visits(("CLOSED", "SYN_SENT"), ("SYN_SENT", "ESTABLISHED"))
def an_active_open(net: Net, group: Group) -> None:
    net.listener(group).active_established()


@visits(("SYN_SENT", "SYN_RECEIVED"))
def both_open(net: Net, group: Group) -> None:
    crossed(net, group)


def crossed(net: Net, group: Group) -> Client:
    """Simultaneous open: the engine is in SYN-RECEIVED."""
    client = net.listener(group).connected_to()
    client.expect("S", seq=0)
    client.answer(flags="S")
    net.turn()
    client.expect("SA", seq=0, ack=1)
    assert group.info(client.cd).state == "SYN_RECEIVED"
    return client


@visits(("SYN_RECEIVED", "FIN_WAIT_1"))
def closing_before_the_handshake_is_complete(net: Net, group: Group) -> None:
    client = crossed(net, group)
    group.shutdown(client.cd)
    net.flush()
    client.expect("FA", seq=1)


@visits(("ESTABLISHED", "FIN_WAIT_1"), ("FIN_WAIT_1", "FIN_WAIT_2"), ("FIN_WAIT_2", "TIME_WAIT"))
def we_close_first(net: Net, group: Group) -> None:
    net.client(group).time_wait()


@visits(("FIN_WAIT_1", "CLOSING"), ("CLOSING", "TIME_WAIT"))
def both_close(net: Net, group: Group) -> None:
    client = net.client(group).closing()
    client.ack(2)
    net.turn()


@visits(("FIN_WAIT_1", "TIME_WAIT"), ("TIME_WAIT", "CLOSED"))
def the_peer_closes_when_it_hears_of_our_close(net: Net, group: Group) -> None:
    """Figure 5, note 2: FIN and the acknowledgement of ours in one segment, with the last bytes."""
    client = accepting(net, group)
    group.shutdown(client.cd)
    net.flush()
    client.expect("FA", seq=1)
    client.fin(b"bye")
    net.turn()
    client.expect("A", seq=2, ack=5)
    assert group.recv(10) == (client.cd, b"bye")
    group.send(client.cd, b"", ackd=ALL)
    assert group.recv(10) == (client.cd, b"")
    net.turn()


@visits(("ESTABLISHED", "CLOSE_WAIT"), ("CLOSE_WAIT", "LAST_ACK"), ("LAST_ACK", "CLOSED"))
def the_peer_closes_first(net: Net, group: Group) -> None:
    client = net.client(group).last_ack()
    client.ack()
    net.turn()


@visits(("SYN_SENT", "CLOSED"))
def nobody_listens(net: Net, group: Group) -> None:
    client = net.listener(group).connected_to()
    client.expect("S", seq=0)
    client.send(flags="RA", seq=0, ack=1, options=[])
    net.turn()


@visits(("SYN_RECEIVED", "CLOSED"))
def a_reset_of_a_simultaneous_open(net: Net, group: Group) -> None:
    client = crossed(net, group)
    client.rst(seq=1)
    net.turn()


def _reset_in(state: str) -> Visit:
    def visit(net: Net, group: Group) -> None:
        client = net.client(group)
        getattr(client, state.lower())()
        client.rst(seq=client.seq)
        net.turn()

    return visit


for _state in ("ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING"):
    visits((_state, "CLOSED"))(_reset_in(_state))


@pytest.mark.requirement("RFC 9293 3.3.2")
@pytest.mark.parametrize("state, after", EDGES, ids=[f"{state}-{after}" for state, after in EDGES])
def test_every_edge_of_the_table_is_taken(net: Net, state: str, after: str) -> None:
    """A new edge fails here until somebody visits it."""
    assert (state, after) in VISITS, "no visit of this edge"
    group = net.group(7)
    VISITS[state, after](net, group)
    net.take_events()
    assert net.engine.transitions().get((state, after)) == 1
    assert net.counters()["InvalidTransitions"] == 0
    net.engine.close()


@pytest.mark.requirement("RFC 9293 3.3.2")
def test_no_edge_is_taken_that_the_table_does_not_have(net: Net) -> None:
    """All visits together: nothing but the table."""
    for number, visit in enumerate(dict.fromkeys(VISITS.values())):
        visit(net, net.group(100 + number))
    net.take_events()
    assert set(net.engine.transitions()) <= set(EDGES)
    net.engine.close()


@pytest.mark.requirement("RFC 9293 3.10.7.4 fifth FIN", "RFC 9293 3.10.7.4 eighth")
def test_a_fin_behind_a_gap_leaves_fin_wait_1_by_the_acknowledgement_alone(net: Net) -> None:
    """FIN-WAIT-2 until what is in front of the FIN has come."""
    group = net.group(7)
    client = accepting(net, group)
    group.shutdown(client.cd)
    net.flush()
    client.expect("FA", seq=1)
    client.fin(b"world", seq=7)
    net.turn()
    assert group.info(client.cd).state == "FIN_WAIT_2"
    client.send(b"hello ", seq=1)
    net.turn()
    assert group.recv(100) == (client.cd, b"hello world")
    assert net.engine.transitions()["FIN_WAIT_2", "TIME_WAIT"] == 1
    net.engine.close()
