"""Any one segment for a connecting engine, against a few lines that say what RFC 9293 does with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.net import Net
from support.packets import Segment
from support.peer import Client

from xtcp_twisted.engine.kinds import ENDS, EventKind

near = st.sampled_from([-2, -1, 0, 1, 2, 3, 100, 62_463, 62_464, 62_465, 62_466, 2**31])
flags = st.sets(st.sampled_from("SFRPAU")).map(lambda s: "".join(sorted(s)))
payload = st.sampled_from([b"", b"x", b"y" * 1_000])


def syn_sent(flags: str, ack: int) -> str:
    """Section 3.10.7.3: the state afterwards."""
    if "A" in flags and ack != 1:
        return "SYN_SENT"
    if "R" in flags:
        return "REFUSED" if "A" in flags else "SYN_SENT"
    if "S" not in flags:
        return "SYN_SENT"
    return "OPEN" if "A" in flags else "SYN_RECEIVED"


def syn_received(flags: str, seq: int, ack: int, window: int) -> str:
    """Section 3.10.7.4 for an active open, with RFC 5961 and the SYN-ACK of Figure 8."""
    if "S" in flags and "R" not in flags and seq == 0:
        return "OPEN" if "A" in flags and ack == 1 else "SYN_RECEIVED"
    if not 1 <= seq < 1 + window:
        return "SYN_RECEIVED"
    if "R" in flags:
        return "REFUSED" if seq == 1 else "SYN_RECEIVED"
    if "S" in flags or "A" not in flags or ack != 1:
        return "SYN_RECEIVED"
    return "OPEN"


def outcome(net: Net, peer: Client) -> str:
    """What has become of the attempt."""
    kinds = net.kinds()
    if kinds and kinds[-1] in ENDS:
        assert kinds == [EventKind.RESET]
        return "REFUSED"
    assert peer.group is not None
    state = peer.group.info(peer.cd).state
    if not state.startswith("SYN"):
        assert kinds[0] == EventKind.ESTABLISHED
        return "OPEN"
    assert kinds == []
    return state


def connecting(crossed: bool) -> tuple[Net, Client, int]:
    net = Net()
    peer = net.listener(net.group(7), timestamps=False).connected_to()
    window = peer.expect("S").window
    if crossed:
        peer.answer(flags="S")
        net.turn()
        peer.expect("SA", seq=0, ack=1)
    return net, peer, window


def answers(net: Net, peer: Client, packet: bytes) -> list[Segment]:
    net.inject(packet)
    # What the packet acknowledged or opened is the judge's business only if the peer sent it.
    del net.clients[peer.ip, peer.sport, peer.port]
    net.turn()
    return net.strays


@pytest.mark.requirement("RFC 9293 3.10.7.3 fifth")
@given(st.booleans(), flags, near, near, payload)
def test_any_segment(crossed: bool, flags: str, seq: int, ack: int, data: bytes) -> None:
    net, peer, window = connecting(crossed)
    packet = peer.packet(data, flags, seq=seq, ack=ack, options=[])
    replies = answers(net, peer, packet)
    expected = syn_received(flags, seq, ack, window) if crossed else syn_sent(flags, ack)
    assert outcome(net, peer) == expected
    assert len(replies) <= 1
    if "R" in flags:
        assert not any("R" in reply.flags for reply in replies), "a reset for a reset"
    if expected == "OPEN":
        assert len(replies) == 1 or (crossed and not data and "F" not in flags)
    net.advance(400)
    assert net.engine.snapshot().active == 0 or expected == "OPEN"
    net.close()
