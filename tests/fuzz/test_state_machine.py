"""Any order of segments, calls and pauses, against a model of TCP in plain Python (support.model).

After every step the engine's state, sequence variables and events are the
model's, and what the application reads is byte by byte what the model says.
That the packets keep RFC 9293's rules is the judge's business, as everywhere.
At the end the peer behaves: then everything arrives, both ways.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.leaks import assert_no_leaks
from support.model import SYNCHRONIZED, Arriving, Model
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.errors import NotAcknowledgeable, StaleConnection, WriteClosed

WINDOW = 65_535
#: Less than what a connection that its application has finished with may take (60 s in FIN-WAIT-2).
PATIENCE_S = 40.0

offsets = st.sampled_from([0, 0, 0, 0, 1, 5, 100, 700, 2_000, -1, -5, -300])
lengths = st.sampled_from([0, 1, 2, 5, 90, 100, 600, 1_448])
#: Of an acknowledgement: everything, something of it, something old, something never sent.
acks = st.sampled_from(["all", "all", "all", "half", "old", "ancient", "beyond"])
windows = st.sampled_from([0, 128, 1_024, 8_192, 65_408, 65_408])
pauses = st.sampled_from([0.001, 0.04, 0.2, 0.5, 1.1, 3.0])


def text(start: int, length: int, salt: int) -> bytes:
    """The peer's bytes from `start` on; another salt makes others of the same places."""
    return bytes((7 * place + salt) % 251 for place in range(start, start + length))


def opened(net: Net, way: str, peer: dict[str, Any], options: dict[str, Any]) -> Client:
    """An established connection: a passive, an active or a simultaneous open."""
    group = net.group(7, user_timeout_s=0, **options)
    if way == "passive":
        return net.client(group, **peer).established()
    client = net.listener(group, **peer)
    if way == "active":
        return client.active_established()
    client.connected_to()
    client.expect("S")
    client.answer(flags="S")
    net.turn()
    client.expect("SA", seq=0, ack=1)
    client.ack()
    net.turn()
    assert net.kinds() == [EventKind.ESTABLISHED]
    return client


class Conversation(RuleBasedStateMachine):
    """One connection, its peer, its application, and the model."""

    @initialize(
        way=st.sampled_from(["passive", "active", "simultaneous"]),
        policy=st.sampled_from(["bounded", "application", "immediate"]),
        timestamps=st.booleans(),
        sack=st.booleans(),
        iss=st.sampled_from([0x1000_0000, 2**32 - 2, 2**32 - 900, 2**31 - 2]),
    )
    def open(self, way: str, policy: str, timestamps: bool, sack: bool, iss: int) -> None:
        self.net = Net(seed=iss)
        self.policy = policy
        self.peer = opened(
            self.net,
            way,
            {"iss": iss, "timestamps": timestamps, "window": WINDOW},
            {"ack_policy": policy, "sack": sack},
        )
        assert self.peer.group is not None
        self.group, self.cd = self.peer.group, self.peer.cd
        self.model = Model(max_snd_wnd=WINDOW)
        self.reached = 1  # what the peer has ever sent
        self.fin_place: int | None = None
        self.finished_at = 0.0
        self.bad_line = ExitStack()
        self.ends: list[EventKind] = []

    # --- the peer -----------------------------------------------------------------

    def _arrive(self, seq: int, ack: int, flags: str, data: bytes, window: int = WINDOW) -> None:
        """Send, and tell the model at the moment when the engine takes it in."""
        segment = Arriving(
            seq, ack, frozenset(flags), data, self.peer.judge.edge, max(self.peer.judge.snd_max, 1)
        )
        self.peer.send(data, flags, seq=seq, ack=ack, win=window)
        self.model.arrives(segment)

    def _number(self, ack: str) -> int:
        got, una = self.peer.rcv_nxt, self.model.snd_una
        return {
            "all": got,
            "half": (got + una) // 2,
            "old": una - 10,
            "ancient": una - WINDOW - 100,
            "beyond": max(self.peer.judge.snd_max, 1) + 1,
        }[ack]

    @rule(
        offset=offsets, length=lengths, salt=st.integers(0, 1), ack=acks, window=windows, turn=st.booleans()
    )
    def text_arrives(self, offset: int, length: int, salt: int, ack: str, window: int, turn: bool) -> None:
        start = max(1, self.model.rcv_nxt + offset)
        end = start + length
        if self.fin_place is not None:
            start, end = min(start, self.fin_place), min(end, self.fin_place)
        self.reached = max(self.reached, end)
        self._arrive(start, self._number(ack), "PA", text(start, end - start, salt), window)
        if turn or self.model.state not in SYNCHRONIZED:
            self._turn()

    @rule(length=lengths, ack=acks)
    def fin_arrives(self, length: int, ack: str) -> None:
        if self.fin_place is None:
            self.fin_place = self.reached
        start = max(1, self.fin_place - length)
        self._arrive(start, self._number(ack), "FA", text(start, self.fin_place - start, 0))
        self._turn()

    @precondition(lambda self: self.model.state in SYNCHRONIZED)
    @rule(
        offset=st.sampled_from([-WINDOW, -1, 1, 2, 100, WINDOW // 2]),
        flags=st.sampled_from(["R", "RA", "S", "SA", "P", "", "F"]),
    )
    def forged_segment_arrives(self, offset: int, flags: str) -> None:
        """It misses the next number, or carries a SYN or no ACK: the connection stays as it is."""
        self._turn()
        before = self.model.rcv_nxt, self.model.snd_una, self.model.state
        self._arrive(self.model.rcv_nxt + offset, self.peer.rcv_nxt, flags, b"")
        assert before == (self.model.rcv_nxt, self.model.snd_una, self.model.state)
        self._turn()

    @rule()
    def reset_arrives(self) -> None:
        self._turn()
        self._arrive(self.model.rcv_nxt, self.peer.rcv_nxt, "R", b"")
        self._turn()

    @rule(lost=st.booleans())
    def line_to_the_peer(self, lost: bool) -> None:
        self.bad_line.close()
        if lost:
            self.bad_line.enter_context(self.peer.losing())

    # --- time ---------------------------------------------------------------------

    @rule(pause=pauses)
    def time_passes(self, pause: float) -> None:
        self._turn()
        if self.model.detached and self.net.now + pause > self.finished_at + PATIENCE_S:
            return
        self.net.advance(pause)
        self._events()
        if self.policy == "bounded" and pause >= 0.04 and self.model.state in SYNCHRONIZED:
            assert self.peer.judge.last_ack == self.model.rcv_nxt, "an acknowledgement is overdue"

    # --- the application ----------------------------------------------------------

    @precondition(lambda self: not self.model.detached)
    @rule(most=st.sampled_from([1, 10, 500, 65_536]))
    def receive(self, most: int) -> None:
        self._turn()
        expected = self.model.receive(most)
        assert self.group.recv(most) == (None if expected is None else (self.cd, expected))
        self._turn()

    @precondition(lambda self: not self.model.gone)
    @rule(length=lengths, share=st.sampled_from(["none", "one", "half", "all", "ALL", "too much"]))
    def send(self, length: int, share: str) -> None:
        self._turn()
        if self.model.gone:
            return
        most = self.model.unacknowledged
        counts = {"none": 0, "one": min(1, most), "half": most // 2, "all": most, "ALL": most}
        ackd = ALL if share == "ALL" else counts.get(share, most + 1)
        start = len(self.model.written)
        data = text(start, length, 3)
        if share == "too much":
            with pytest.raises(NotAcknowledgeable):
                self.group.send(self.cd, data, ackd)
        elif length and (self.model.fin is not None or self.model.state not in SYNCHRONIZED):
            with pytest.raises(WriteClosed):
                self.group.send(self.cd, data, ackd)
        else:
            assert self.group.send(self.cd, data, ackd) == self.model.write(data)
            self.model.acknowledge(counts[share])
        self._turn()

    @precondition(lambda self: not self.model.gone)
    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self._turn()
        if self.model.gone:
            return
        self.model.paused = paused
        (self.group.pause if paused else self.group.resume)(self.cd)
        self._turn()

    @precondition(lambda self: not self.model.gone)
    @rule(how=st.sampled_from(["shutdown", "shutdown", "finish", "abort"]))
    def close(self, how: str) -> None:
        self._turn()
        if self.model.gone:
            return
        getattr(self.group, how)(self.cd)
        getattr(self.model, how)()
        self.finished_at = self.net.now
        self._turn()

    # --- what must hold -----------------------------------------------------------

    def _turn(self) -> None:
        self.net.turn()
        self._events()

    def _events(self) -> None:
        for kind, _, cd, _ in self.net.take_events():
            assert cd == self.cd
            if kind in ENDS:
                self.ends.append(EventKind(kind))
            elif kind == EventKind.EOF:
                assert self.model.fin_received, "EOF without a FIN"
        self._compare()

    def _compare(self) -> None:
        model, judge = self.model, self.peer.judge
        assert bytes(judge.stream) == bytes(model.written[: len(judge.stream)]), (
            "sent is not what was written"
        )
        assert judge.fin_at in (None, model.fin), f"FIN at {judge.fin_at}, the stream ends at {model.fin}"
        self._compare_end()
        if model.gone:
            with pytest.raises(StaleConnection):
                self.group.info(self.cd)
            states = {name: count for name, count in self.net.engine.snapshot().states.items() if count}
            assert states in ({}, {"TIME_WAIT": 1}) or states == {model.state: 1}, (states, model.state)
            return
        info = self.group.info(self.cd)
        assert info.state == model.state
        assert (info.rcv_nxt - self.peer.iss) % 2**32 == model.rcv_nxt
        assert (info.rcv_ackd - self.peer.iss - 1) % 2**32 == model.acknowledged
        assert info.out_of_order == len(model.behind)
        if model.state in SYNCHRONIZED:
            assert judge.irs is not None
            assert (info.snd_una - judge.irs) % 2**32 == model.snd_una

    def _compare_end(self) -> None:
        """The application hears of the end once, and after the end of the stream."""
        model = self.model
        if model.ended is None or (model.ended == "CLOSED" and not model.eof_taken):
            expected = []
        else:
            expected = [EventKind[model.ended]]
        assert self.ends == expected

    @invariant()
    def acknowledged_as_the_policy_says(self) -> None:
        if self.net.link.pending or self.model.detached or self.model.state not in SYNCHRONIZED:
            return
        told = self.peer.judge.last_ack
        if self.policy == "immediate":
            assert told == self.model.rcv_nxt
        elif self.policy == "application":
            most = 1 + self.model.acknowledged
            assert told <= most + (self.model.fin_received and most == self.model.rcv_nxt - 1)

    # --- the end ------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "net"):
            return
        self._turn()
        self.bad_line.close()
        for _ in range(40):
            if self.model.state not in SYNCHRONIZED:
                break
            self._behave()
        if not self.model.gone:
            assert self.model.received + 2 == self.model.rcv_nxt, "the peer's stream is not whole"
        assert self.model.state not in SYNCHRONIZED, f"{self.model.state}: no end in sight"
        if self.model.ended == "CLOSED":
            assert self.peer.judge.stream == self.model.written
        assert_no_leaks(self.net)
        self.net.close()

    def _behave(self) -> None:
        """The peer sends what is missing, takes everything and closes; so does the application."""
        model = self.model
        if self.fin_place is None:
            self.fin_place = self.reached
        start = min(model.rcv_nxt, self.fin_place)
        end = min(start + 1_000, self.fin_place)
        flags = "FPA" if end == self.fin_place else "PA"
        self._arrive(start, self.peer.rcv_nxt, flags, text(start, end - start, 0))
        self._turn()
        if not model.gone:
            self.pause(False)
            while not model.gone and model.read < model.received:
                self.receive(65_536)
            self.receive(65_536)
        if not model.gone:
            self.send(0, "ALL")
        if not model.gone:
            model.shutdown()
            self.group.shutdown(self.cd)
            self._turn()
        self.net.advance(3.5)
        self._events()


TestConversation = Conversation.TestCase
