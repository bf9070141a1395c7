"""Rewrites a script's active open as a passive one.

Many public scripts reach ESTABLISHED by connect(), although what they are
about, what happens in a state, is the same for an accepted connection:

    socket(...) = fd                         socket(...) = 1000
    connect(fd, ...) = -1 EINPROGRESS        bind(1000), listen(1000)
    > S  0:0(0) <A>                          < S  0:0(0) win W <B>
    < S. 0:0(0) ack 1 win W <B>      ->      > S. 0:0(0) ack 1 <...>
    > .  1:1(0) ack 1                        < .  1:1(0) ack 1 win W
                                             accept(1000) = fd

A script that has another shape stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .script import (
    ANY,
    Action,
    Call,
    Command,
    Event,
    Inbound,
    Option,
    Outbound,
    Script,
    Symbol,
    TcpPacket,
    When,
)

#: The descriptor of the listening socket that the script does not know of.
LISTENER: Final = 1000
#: Seconds between SYN-ACK and ACK.
ROUND_TRIP: Final = 0.05
#: What may stand between connect() and the end of its handshake without meaning anything for it.
_ASIDE: Final = {"getsockopt", "setsockopt", "fcntl"}


def made_passive(script: Script) -> bool:
    """Rewrite `script` in place if it opens one connection actively; whether it was done."""
    calls = [
        i for i, e in enumerate(script.events) if isinstance(e.action, Call) and e.action.name == "connect"
    ]
    if len(calls) != 1:
        return False
    at = calls[0]
    handshake, end = _handshake(script.events, at + 1)
    if handshake is None or not _continues(script.events, end):
        return False
    connect = script.events[at]
    assert isinstance(connect.action, Call)
    fd = connect.action.arguments[0]
    before, later = _split(script.events[:at], fd)
    if any(isinstance(e.action, Call) and e.action.name == "bind" for e in later):
        return False
    commands = [e for e in script.events[at + 1 : end] if isinstance(e.action, Command)]
    opening = [
        Event(When(ROUND_TRIP if action is handshake.acknowledgement else 0.0), action, connect.line, text)
        for action, text in handshake.passive(fd)
    ]
    script.events = [*before, *opening, *later, *commands, *script.events[end:]]
    return True


class _Handshake:
    """The three packets of an active open, and what they become."""

    def __init__(self, syn: TcpPacket, syn_ack: TcpPacket) -> None:
        offered = syn.option("TS")
        answered = syn_ack.option("TS")
        self.window = syn_ack.window
        self.options = tuple(("TS", o[1], 0) if o[0] == "TS" else o for o in syn_ack.listed)
        stamps: tuple[Option, ...] = ()
        if answered is not None:
            stamps = (("nop",), ("nop",), ("TS", answered[1], offered[1] if offered else 0))
        self.acknowledgement = Inbound(
            TcpPacket(frozenset("."), 1, 0, ack=1, window=self.window, options=stamps)
        )

    def passive(self, fd: int) -> list[tuple[Action, str]]:
        syn = TcpPacket(frozenset("S"), 0, 0, window=self.window, options=self.options)
        syn_ack = TcpPacket(frozenset("S."), 0, 0, ack=1, options=ANY)
        opened = [ANY, Symbol("SOCK_STREAM"), Symbol("IPPROTO_TCP")]
        return [
            (Call("socket", opened, LISTENER), "socket"),
            (Call("bind", [LISTENER, ANY, ANY], 0), "bind"),
            (Call("listen", [LISTENER, 5], 0), "listen"),
            (Inbound(syn), "< S 0:0(0) (made passive)"),
            (Outbound(syn_ack), "> S. 0:0(0) ack 1 <...> (made passive)"),
            (self.acknowledgement, "< . 1:1(0) ack 1 (made passive)"),
            (Call("accept", [LISTENER, ANY, ANY], fd), "accept"),
        ]


def _handshake(events: list[Event], at: int) -> tuple[_Handshake | None, int]:
    """The handshake that begins at `at`, and where it ends; None if it is not the usual one."""
    packets: list[tuple[type, TcpPacket]] = []
    while at < len(events) and len(packets) < 3:
        action = events[at].action
        if isinstance(action, Inbound | Outbound) and isinstance(action.packet, TcpPacket):
            packets.append((type(action), action.packet))
        elif not isinstance(action, Command) and not (isinstance(action, Call) and action.name in _ASIDE):
            return None, at
        at += 1
    if [kind for kind, _ in packets] != [Outbound, Inbound, Outbound]:
        return None, at
    syn, syn_ack, ack = (packet for _, packet in packets)
    shapes = [(p.flags, p.seq, p.length, p.ack) for p in (syn, syn_ack, ack)]
    usual = [(frozenset("S"), 0, 0, None), (frozenset("S."), 0, 0, 1), (frozenset("."), 1, 0, 1)]
    return (_Handshake(syn, syn_ack) if shapes == usual else None), at


def _continues(events: list[Event], end: int) -> bool:
    """Whether what follows counts its time from what was before, not from the script's start."""
    return end == len(events) or events[end].when.relative


def _split(events: list[Event], fd: int) -> tuple[list[Event], list[Event]]:
    """What stands before connect(): what stays there, and what is done to the connection once it is there."""
    before, later = [], []
    for event in events:
        call = event.action
        if isinstance(call, Call) and call.name == "socket" and call.result == fd:
            continue
        if not isinstance(call, Call) or call.arguments[:1] != [fd]:
            before.append(event)
        elif call.name != "getsockopt":
            later.append(replace(event, when=When()))
    return before, later
