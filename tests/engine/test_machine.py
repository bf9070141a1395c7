"""Any history of two connections: a state machine against a model of their streams.

The rules are what a client, an application and time can do.  The judge checks
every packet; the model knows what each side has written, so at any moment what
the other has read must be a prefix of it.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.net import Net
from support.peer import Client

from xtcp_twisted.config import ALL
from xtcp_twisted.engine.kinds import ENDS, EventKind

which = st.integers(0, 1)


class Side:
    """One connection with what was written and read on it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked = b""  # written by the client, also what was not transmitted yet
        self.read = b""  # acknowledged by the application
        self.delivered = b""  # given to it and not acknowledged
        self.places = {0}  # where in that recv may go on: 0 when it is all offered again
        self.answered = b""  # taken by send
        self.peer_closed = False
        self.over = False


class TwoConnections(RuleBasedStateMachine):
    @initialize(policy=st.sampled_from(["bounded", "application", "immediate"]), stamps=st.booleans())
    def begin(self, policy: str, stamps: bool) -> None:
        self.net = Net()
        self.group = self.net.group(7, ack_policy=policy)
        self.sides = [
            Side(self.net.client(self.group, timestamps=stamps).established()),
            Side(self.net.client(self.group, timestamps=not stamps, iss=2**32 - 2_000).established()),
        ]
        self.count = 0

    def teardown(self) -> None:
        if hasattr(self, "net"):
            self.net.close()

    # --- the client -------------------------------------------------------------

    @rule(i=which, size=st.integers(1, 1_400))
    def write(self, i: int, size: int) -> None:
        """New data, if the window lets it."""
        side = self.sides[i]
        size = min(size, side.client.judge.edge - 1 - len(side.asked))
        if side.over or side.peer_closed or size <= 0:
            return
        self.count += 1
        data = bytes((self.count + k) % 251 for k in range(size))
        side.client.send(data, seq=1 + len(side.asked))
        side.asked += data

    @rule(i=which, size=st.integers(1, 1_400))
    def lose(self, i: int, size: int) -> None:
        """New data that does not arrive: the client knows it, the engine does not."""
        side = self.sides[i]
        size = min(size, side.client.judge.edge - 1 - len(side.asked))
        if not side.over and not side.peer_closed and size > 0:
            side.asked += bytes((len(side.asked) + k) % 249 for k in range(size))

    @rule(i=which, at=st.floats(0, 1), size=st.integers(1, 1_400))
    def repeat(self, i: int, at: float, size: int) -> None:
        """A retransmission of any part."""
        side = self.sides[i]
        start = int(at * len(side.asked))
        data = side.asked[start : start + size]
        if data and not side.over:
            side.client.send(data, seq=1 + start)

    @rule(i=which, back=st.integers(0, 3_000))
    def acknowledge(self, i: int, back: int) -> None:
        side = self.sides[i]
        if not side.over:
            client = side.client
            client.ack(max(1, client.rcv_nxt - back), seq=1 + len(side.asked) + side.peer_closed)

    @rule(i=which)
    def close_by_peer(self, i: int) -> None:
        side = self.sides[i]
        if not side.over:
            side.client.send(b"", "FA", seq=1 + len(side.asked))
            side.peer_closed = True

    # --- time and the application -------------------------------------------------

    @rule()
    def turn(self) -> None:
        self.net.turn()

    @rule(seconds=st.sampled_from([0.001, 0.04, 0.3, 2.0]))
    def wait(self, seconds: float) -> None:
        self.net.advance(seconds)

    @rule(limit=st.integers(1, 4_000))
    def recv(self, limit: int) -> None:
        """What is given is the continuation of what was given, or of what was acknowledged."""
        received = self.group.recv(limit)
        if received is None:
            return
        cd, data = received
        side = next(s for s in self.sides if s.client.cd == cd)
        known = side.asked[len(side.read) :]
        side.places = {at + len(data) for at in side.places | {0} if known[at:].startswith(data)}
        assert side.places, "not what the client wrote"
        side.delivered = known[: self.group.info(cd).delivered]
        assert len(side.delivered) >= min(side.places)

    @rule(i=which, part=st.floats(0, 1), answer=st.binary(max_size=2_000))
    def send(self, i: int, part: float, answer: bytes) -> None:
        side = self.sides[i]
        if side.over:
            return
        ackd = int(part * len(side.delivered))
        side.answered += answer[: self.group.send(side.client.cd, answer, ackd=ackd)]
        side.read += side.delivered[:ackd]
        side.delivered = side.delivered[ackd:]
        side.places = {at - ackd for at in side.places if at >= ackd}
        assert self.group.info(side.client.cd).delivered == len(side.delivered)

    @precondition(lambda self: self.count > 3)
    @rule(i=which, how=st.sampled_from(["abort", "finish"]))
    def leave(self, i: int, how: str) -> None:
        side = self.sides[i]
        if not side.over:
            side.over = True
            getattr(self.group, how)(side.client.cd)

    # --- what must hold -------------------------------------------------------------

    @invariant()
    def streams_are_prefixes(self) -> None:
        for side in getattr(self, "sides", []):
            assert side.answered.startswith(side.client.received)
            assert side.client.judge.last_ack <= len(side.asked) + 1 + side.peer_closed

    @invariant()
    def ends_are_told_once(self) -> None:
        if not hasattr(self, "net"):
            return
        for kind, _, cd, _ in self.net.take_events():
            side = next(s for s in self.sides if s.client.cd == cd)
            if kind in ENDS:
                assert not side.over, "an end for a connection that was over"
                assert kind != EventKind.RESET, "no client of this test resets"
                side.over = True

    @invariant()
    def buffers_are_empty_when_all_is_over(self) -> None:
        if hasattr(self, "net") and all(side.over for side in self.sides):
            snapshot = self.net.engine.snapshot()
            if snapshot.connections == 0:
                assert (self.net.receive_used, self.net.transmit_used, snapshot.active) == (0, 0, 0)

    @precondition(lambda self: not any(side.over for side in self.sides))
    @rule()
    def settle(self) -> None:
        """The network behaves for a while: everything written arrives, both ways."""
        # Under the `application` policy nothing else would: what was delivered is not offered again.
        self.acknowledge_delivered()
        for _ in range(300):
            done = True
            for side in self.sides:
                client = side.client
                at = client.judge.last_ack - 1
                window = min(client.judge.edge - client.judge.last_ack, 1_400)
                if at < len(side.asked) and window > 0:
                    client.send(side.asked[at : at + window], seq=1 + at)
                client.ack(seq=1 + len(side.asked) + side.peer_closed)
            self.net.turn()
            while (received := self.group.recv(65_536)) is not None:
                side = next(s for s in self.sides if s.client.cd == received[0])
                if received[1]:
                    side.read += side.asked[
                        len(side.read) : len(side.read) + self.group.info(received[0]).delivered
                    ]
                    side.delivered, side.places = b"", {0}
                    self.group.send(received[0], b"", ackd=ALL)
            self.net.advance(0.3)
            for side in self.sides:
                client = side.client
                done = (
                    done and client.judge.last_ack >= len(side.asked) + 1 and client.received == side.answered
                )
            if done:
                break
        assert done, "the streams do not complete"
        self.acknowledge_delivered()

    def acknowledge_delivered(self) -> None:
        for side in self.sides:
            held = self.group.info(side.client.cd).delivered
            self.group.send(side.client.cd, b"", ackd=ALL)
            side.read += side.asked[len(side.read) : len(side.read) + held]
            side.delivered, side.places = b"", {0}


TwoConnections.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestTwoConnections = TwoConnections.TestCase
