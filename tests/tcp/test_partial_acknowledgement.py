"""What the client is told, and what the application is offered again, under each policy (P14-P18).

An application acknowledges as much of what it received as it has dealt with;
the rest is the engine's to offer again: with what comes after it, and not in a
spin.
"""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flows import KernelFlow
from support.net import Net

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.lab import Lab

POLICIES = ["bounded", "application", "immediate"]
REQUEST, ANSWER = b"request", b"answer"

#: (answer, ackd) of a send, None for no send at all -> what the client hears, under each of the policies:
#: (seconds after the request, bytes of the request acknowledged on the wire, data).
TABLE = {
    None: ([(0.04, 7, b"")], [], [(0.0, 7, b"")]),
    (b"", 7): ([(0.0, 7, b"")],) * 3,
    (b"", 3): ([(0.0, 7, b"")], [(0.0, 3, b"")], [(0.0, 7, b"")]),
    (ANSWER, 7): ([(0.0, 7, ANSWER)],) * 3,
    (ANSWER, 3): ([(0.0, 7, ANSWER)], [(0.0, 3, ANSWER)], [(0.0, 7, ANSWER)]),
    (ANSWER, 0): ([(0.0, 7, ANSWER)], [(0.0, 0, ANSWER)], [(0.0, 7, ANSWER)]),
}


@pytest.mark.feature("P14", "P15", "P16")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sent", TABLE, ids=str)
def test_what_the_client_is_told(net: Net, policy: str, sent: tuple[bytes, int] | None) -> None:
    """`application`: what `ackd` named; the other two: all that has come, and never twice."""
    group = net.group(7, ack_policy=policy)
    client = net.client(group).established()
    client.send(REQUEST)
    with net.in_turn():
        assert group.recv(100) == (client.cd, REQUEST)
        if sent is not None:
            assert group.send(client.cd, *sent) == len(sent[0])
    client.ack()
    net.advance(10)
    heard = [
        (round(segment.time - net.ladder.start, 3), (segment.ack - client.iss) % 2**32 - 1, segment.data)
        for segment in client.take()
    ]
    assert heard == TABLE[sent][POLICIES.index(policy)]
    ackd = sent[1] if sent is not None else 0
    assert group.info(client.cd).held == len(REQUEST) - ackd


@pytest.mark.feature("P18")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("ackd", range(8))
def test_the_remainder_is_offered_once(net: Net, policy: str, ackd: int) -> None:
    """After a partial acknowledgement at once; after none, only with something new."""
    group = net.group(7, ack_policy=policy)
    client = net.client(group).established()
    client.request(REQUEST)
    net.take_events()
    group.send(client.cd, b"", ackd=ackd)
    net.turn()
    partial = 0 < ackd < len(REQUEST)
    assert net.kinds() == [EventKind.DATA] * partial
    assert group.recv(100) == ((client.cd, REQUEST[ackd:]) if partial else None)
    group.send(client.cd, ANSWER)
    net.turn()
    client.ack()
    net.advance(5)
    assert net.kinds() == [] and group.recv(100) is None
    client.send(b"+more")
    net.turn()
    assert group.recv(100) == (client.cd, REQUEST[ackd:] + b"+more")


lines = st.lists(st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"") + b"\n"), max_size=12)
cuts = st.lists(st.integers(1, 30), max_size=12)


@pytest.mark.feature("P14", "P18")
@pytest.mark.parametrize("policy", POLICIES)
@given(lines=lines, sizes=cuts, resent=st.booleans())
def test_an_application_of_lines_cannot_spin(
    policy: str, lines: list[bytes], sizes: list[int], resent: bool
) -> None:
    """It acknowledges whole lines only, however they are cut into segments, and sees each line once.

    It is woken once for each segment and once more for each remainder, also when segments come again.
    """
    net = Net()
    group = net.group(7, ack_policy=policy)
    client = net.client(group).established()
    stream, at, got = b"".join(lines), 0, b""
    segments = woken = acknowledged = 0
    for size in [*sizes, len(stream) + 1]:
        piece = stream[at : at + size]
        if not piece:
            break
        client.send(piece, seq=1 + at)
        at += len(piece)
        segments += 1
        if resent:
            client.send(piece, seq=1 + at - len(piece))
        net.turn()
        while net.kinds():
            woken += 1
            received = group.recv(65_536)
            assert received is not None and received[0] == client.cd
            whole = received[1].rfind(b"\n") + 1
            got += received[1][:whole]
            acknowledged += whole > 0
            group.send(client.cd, b"", ackd=whole)
            net.turn()
    assert got == stream
    assert woken <= segments + acknowledged
    net.advance(5)
    assert net.kinds() == [] and group.recv(100) is None
    assert group.info(client.cd).held == 0 and client.judge.last_ack == 1 + len(stream)
    net.close()


@pytest.mark.feature("P14", "P18", "P33")
@pytest.mark.parametrize("policy", POLICIES)
def test_the_kernel_keeps_what_was_not_acknowledged(lab: Lab, policy: str) -> None:
    """Under `application` it is the client's TCP that has the rest, byte by byte."""
    with closing(KernelFlow(lab, socket.AF_INET, ack_policy=policy)) as flow:
        keeps_the_rest(flow, policy)


def keeps_the_rest(flow: KernelFlow, policy: str) -> None:
    """A request of two lines and a half, of which the lines are acknowledged; then the rest of it comes."""
    group, cd = flow.group, flow.cd
    deferred = policy == "application"
    flow.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flow.sock.send(b"one\ntwo\nthr")
    flow.until(lambda: group.readable > 0)
    assert group.recv(100) == (cd, b"one\ntwo\nthr")
    if policy == "immediate":
        flow.until(lambda: flow.client_caches() == 0)
    else:
        flow.pass_by(0.02)
        assert flow.client_caches() == 11
    group.send(cd, b"", ackd=8)
    flow.until(lambda: flow.client_caches() == (3 if deferred else 0))
    assert group.recv(100) == (cd, b"thr")
    flow.sock.send(b"ee\n")
    flow.until(lambda: group.readable > 0)
    assert group.recv(100) == (cd, b"three\n")
    if deferred:
        assert flow.client_caches() == 6
    group.send(cd, b"", ackd=ALL)
    flow.until(lambda: flow.client_caches() == 0)
    assert group.info(cd).held == 0 and group.recv(100) is None
