"""Anything in any order on a connection that came about by Fast Open: it ends, and nothing of it is left."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.net import Net
from support.packets import Segment
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.errors import StaleConnection, WriteClosed

pytestmark = pytest.mark.feature("P38")

DATA = b"request"
END = 1 + len(DATA)

seqs = st.sampled_from([-1, 0, 1, 3, END, END, END + 1, END + 500, 70_000, 2**31])
numbers = st.sampled_from([-1, 0, 1, 1, 5, 8, 9, 3_000])
flags = st.sets(st.sampled_from("SFRPAU")).map(lambda s: "".join(sorted(s)))
payload = st.sampled_from([b"", b"", b"x", DATA, bytes(1_000)])
segments = st.tuples(st.just("segment"), flags, seqs, numbers, payload)
calls = st.tuples(
    st.sampled_from(["recv", "answer", "long answer", "acknowledge", "shutdown", "finish", "abort", "turn"])
)
pauses = st.tuples(st.just("pause"), st.sampled_from([0.001, 0.05, 0.6, 1.1, 5.0, 40.0]))
policies = st.sampled_from(["bounded", "application", "immediate"])


def begun(policy: str, decides: bool, data: bytes = DATA) -> tuple[Net, Client]:
    """A SYN with a good cookie was taken in and accepted; nothing has left yet."""
    net = Net()
    group = net.group(7, fast_open=2, ack_policy=policy, accept_credits=0 if decides else 100)
    asks = net.client(group)
    asks.syn(cookie=b"")
    net.poll()
    if decides:
        group.accept()
    net.flush()
    cookie = asks.expect("SA").cookie
    assert cookie is not None
    asks.rst(seq=1)
    net.turn()
    peer = net.client(group, timestamps=False)
    peer.syn(cookie=cookie, data=data)
    net.poll()
    if decides:
        group.accept()
        net.gather()
    peer.cd = net.take_events(EventKind.ESTABLISHED)[0][2]
    return net, peer


def call(peer: Client, name: str) -> None:
    """One thing that an application may do; what is refused changes nothing."""
    assert peer.group is not None
    try:
        if name == "recv":
            peer.group.recv(1_000)
        elif name == "answer":
            peer.group.send(peer.cd, b"answer", ALL)
        elif name == "long answer":
            peer.group.send(peer.cd, bytes(20_000))
        elif name == "acknowledge":
            peer.group.send(peer.cd, b"", ALL)
        elif name != "turn":
            getattr(peer.group, name)(peer.cd)
    except (StaleConnection, WriteClosed):
        pass


@settings(deadline=None)
@given(policies, st.booleans(), st.lists(st.one_of(segments, segments, calls, calls, pauses), max_size=12))
def test_any_story_ends_without_a_trace(policy: str, decides: bool, story: list[tuple]) -> None:  # type: ignore[type-arg]
    net, peer = begun(policy, decides)
    # What the injected segments acknowledge or open is not what a peer has sent, so nobody judges.
    net.clients.clear()
    for what, *rest in story:
        if what == "segment":
            marks, seq, ack, data = rest
            net.inject(peer.packet(data, marks, seq=seq, ack=ack, options=[]))
            net.poll()
        elif what == "pause":
            net.advance(rest[0])
        else:
            call(peer, what)
            if what == "turn":
                net.turn()
    net.advance(1)
    call(peer, "abort")
    net.advance(400)
    snapshot = net.engine.snapshot()
    assert (snapshot.connections, snapshot.half_open, snapshot.active) == (0, 0, 0)
    assert snapshot.counters["InvalidTransitions"] == 0
    assert net.receive_used == net.transmit_used == 0
    net.close()


def outcome(flags: str, seq: int, ack: int, told: int, window: int) -> str:
    """RFC 9293 section 3.10.7.4 for a passive open whose SYN brought data, with RFC 5961."""
    if ("S" in flags and "R" not in flags and seq == 0) or not 1 <= seq < 1 + window:
        return "SYN_RECEIVED"
    if "R" in flags:
        return "RESET" if seq in (END, told) else "SYN_RECEIVED"
    return "SYN_RECEIVED" if "S" in flags or "A" not in flags or ack != 1 else "OPEN"


@settings(deadline=None)
@given(policies, flags, seqs, numbers, payload)
def test_any_one_segment(policy: str, flags: str, seq: int, ack: int, data: bytes) -> None:
    net, peer = begun(policy, False)
    net.flush()
    told = 1 if policy == "application" else END
    syn_ack: Segment = peer.expect("SA", seq=0, ack=told)
    net.inject(peer.packet(data, flags, seq=seq, ack=ack, options=[]))
    del net.clients[peer.ip, peer.sport, peer.port]
    net.turn()
    kinds = net.kinds()
    expected = outcome(flags, seq, ack, told, syn_ack.window + told - 1)
    assert peer.group is not None
    if expected == "RESET":
        assert EventKind.RESET in kinds
    else:
        assert not set(kinds) & set(ENDS)
        state = peer.group.info(peer.cd).state
        assert state == expected if expected == "SYN_RECEIVED" else state in ("ESTABLISHED", "CLOSE_WAIT")
    if "R" in flags:
        assert not any("R" in reply.flags for reply in net.strays), "a reset for a reset"
    net.close()
