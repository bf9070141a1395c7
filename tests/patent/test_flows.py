"""The patent's communication flows, Fig. 5a to 5d, packet by packet.

Each figure shows the two TCP services as pairs [X:Y], the confirmed sequence
numbers of outbound and inbound transmissions, with the bytes sent and not yet
acknowledged below, and between them the packets.  `Flow` writes the same
columns from what really happens, in the figure's own symbols: the client's
numbers begin at C, the server's at S, a request has k bytes, an answer m.
A mismatch shows the figure and what happened side by side.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from support.net import Net
from support.packets import Segment

from xtcp_twisted.engine.kinds import ENDS, EventKind

REQUEST, ANSWER = b"what is the capital of Finland?", b"Helsinki"
#: Both policies that let the acknowledgement ride on the answer.
POLICIES = ["bounded", "application"]

Row = tuple[str, str, str]


def symbol(letter: str, size: int, part: str, number: int) -> str:
    """A relative sequence number as the figures write it: C, or C+k."""
    if number == 1:
        return letter
    assert number == 1 + size, f"{number} is neither {letter} nor {letter}+{part}"
    return f"{letter}+{part}"


@dataclass
class Flow:
    """One connection that exists already, and the columns of its figure."""

    net: Net
    policy: str
    seen: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.group = self.net.group(7, ack_policy=self.policy)
        self.client = self.net.client(self.group).established()
        # What the client's TCP knows: confirmed outbound, confirmed inbound, sent and not acknowledged.
        self.confirmed, self.inbound, self.cached = 1, 1, 0
        self.net.advance(0.1)

    # --- the columns ------------------------------------------------------------

    def _c(self, number: int) -> str:
        return symbol("C", len(REQUEST), "k", number)

    def _s(self, number: int) -> str:
        return symbol("S", len(ANSWER), "m", number)

    def _client_column(self) -> str:
        return f"{self._c(self.confirmed)}:{self._s(self.inbound)} {'k' if self.cached else '-'}"

    def _server_column(self) -> str:
        """As the engine tells it."""
        info = self.group.info(self.client.cd)
        una = info.snd_una - (self.client.judge.irs or 0)
        ackd = self.client.judge.last_ack
        cached = info.snd_nxt - info.snd_una
        assert cached in (0, len(ANSWER))
        return f"{self._s(una)}:{self._c(ackd)} {'m' if cached else '-'}"

    def row(self, packet: str) -> None:
        self.seen.append((self._client_column(), packet, self._server_column()))

    def shows(self, figure: str) -> None:
        """The columns so far are those of the figure."""
        expected = [tuple(map(str.strip, line.split("|"))) for line in figure.strip().splitlines()]
        if expected == self.seen:
            return
        empty = ("", "", "")
        lines = [f"{'':2}{'figure':<52}  what happened"]
        for wanted, got in itertools.zip_longest(expected, self.seen, fillvalue=empty):
            mark = "  " if wanted == got else "> "
            lines.append(mark + f"{' | '.join(wanted):<52}  {' | '.join(got)}")
        raise AssertionError("\n".join(lines))

    # --- the client's TCP ---------------------------------------------------------

    def request(self, *, lost: bool = False) -> None:
        """Req1[C:k], for the first time or again; it acknowledges what the client has confirmed."""
        self.cached = len(REQUEST)
        if lost:
            self.client.seq = 1 + len(REQUEST)
        else:
            self.client.send(REQUEST, seq=1)
            self.net.poll()
        self.row("Req1[C:k] -> X" if lost else "Req1[C:k] ->")

    def acknowledge(self, *, lost: bool = False) -> None:
        """ACK[S+m]."""
        if not lost:
            self.client.ack(self.inbound)
            self.net.turn()
        self.row(f"ACK[{self._s(self.inbound)}] ->" + (" X" if lost else ""))

    def answered(self, segments: list[Segment], *, lost: bool = False) -> None:
        """One packet came, the answer with its acknowledgement, and arrives unless it is lost."""
        assert len(segments) == 1, f"{len(segments)} packets for one answer"
        segment, judge = segments[0], self.client.judge
        assert segment.data == ANSWER
        seq = self._s((segment.seq - (judge.irs or 0)) % 2**32)
        ack = self._c((segment.ack - judge.iss) % 2**32)
        if not lost:
            self.inbound = 1 + len(ANSWER)
            self.confirmed, self.cached = 1 + len(REQUEST), 0
        self.row(f"{'X ' if lost else ''}<- Ans1[{seq}:m] ACK[{ack}]")

    # --- the application of the server --------------------------------------------

    def serve(self, *, lost: bool = False) -> None:
        """It is notified, receives Req1, and sends Ans1 with the acknowledgement of k bytes."""
        assert self.net.kinds() == [EventKind.DATA]
        assert self.group.recv(1_000) == (self.client.cd, REQUEST)
        assert self.group.send(self.client.cd, ANSWER, ackd=len(REQUEST)) == len(ANSWER)
        self.answered(self.leaves(lost=lost), lost=lost)

    def leaves(self, *, lost: bool = False) -> list[Segment]:
        """What the engine sends now."""
        if not lost:
            self.net.flush()
            return self.client.take()
        with self.client.losing() as segments:
            self.net.flush()
        return segments

    def asleep(self) -> None:
        """Nothing has woken it."""
        assert self.net.kinds() == []
        assert self.group.recv(1_000) is None


@pytest.fixture(params=POLICIES)
def flow(request: pytest.FixtureRequest, net: Net) -> Flow:
    return Flow(net, request.param)


@pytest.mark.feature("P24")
def test_fig_5a_an_ongoing_exchange(flow: Flow) -> None:
    """Request, answer with its acknowledgement, acknowledgement: the server sends one packet."""
    flow.request()
    flow.serve()
    flow.acknowledge()
    flow.asleep()
    flow.shows("""
        C:S k     | Req1[C:k] ->           | S:C -
        C+k:S+m - | <- Ans1[S:m] ACK[C+k]  | S:C+k m
        C+k:S+m - | ACK[S+m] ->            | S+m:C+k -
    """)


@pytest.mark.feature("P14", "P15", "P24")
def test_fig_5a_the_acknowledgement_waits_for_the_application(flow: Flow) -> None:
    """Between Req1 and Ans1 the server's TCP confirms nothing, neither at once nor 30 ms later."""
    flow.request()
    assert flow.leaves() == []
    flow.net.advance(0.03)
    assert flow.client.take() == []
    flow.serve()
    flow.acknowledge()


@pytest.mark.feature("P23")
def test_fig_5b_a_request_is_lost(flow: Flow) -> None:
    """The client's TCP sends it again; it is then served in due course."""
    flow.request(lost=True)
    flow.asleep()
    flow.net.advance(0.2)
    flow.request()
    flow.serve()
    flow.acknowledge()
    flow.asleep()
    flow.shows("""
        C:S k     | Req1[C:k] -> X         | S:C -
        C:S k     | Req1[C:k] ->           | S:C -
        C+k:S+m - | <- Ans1[S:m] ACK[C+k]  | S:C+k m
        C+k:S+m - | ACK[S+m] ->            | S+m:C+k -
    """)


@pytest.mark.feature("P22")
def test_fig_5c_an_answer_is_lost(flow: Flow) -> None:
    """The duplicate of the request brings the answer again; the application sleeps on."""
    flow.request()
    flow.serve(lost=True)
    flow.net.advance(0.15)
    flow.request()
    flow.asleep()
    flow.answered(flow.leaves())
    flow.acknowledge()
    flow.asleep()
    flow.shows("""
        C:S k     | Req1[C:k] ->            | S:C -
        C:S k     | X <- Ans1[S:m] ACK[C+k] | S:C+k m
        C:S k     | Req1[C:k] ->            | S:C+k m
        C+k:S+m - | <- Ans1[S:m] ACK[C+k]   | S:C+k m
        C+k:S+m - | ACK[S+m] ->             | S+m:C+k -
    """)
    assert flow.net.counters()["AnswersReplayed"] == 1
    assert flow.net.transmit_used == 0


@pytest.mark.feature("P20")
def test_fig_5d_the_acknowledgement_of_an_answer_is_lost(flow: Flow) -> None:
    """XTCP's timer resends the answer, and the client acknowledges it once more."""
    flow.request()
    flow.serve()
    flow.acknowledge(lost=True)
    flow.net.advance(0.25)
    flow.answered(flow.client.take())
    flow.acknowledge()
    flow.asleep()
    flow.shows("""
        C:S k     | Req1[C:k] ->           | S:C -
        C+k:S+m - | <- Ans1[S:m] ACK[C+k]  | S:C+k m
        C+k:S+m - | ACK[S+m] -> X          | S:C+k m
        C+k:S+m - | <- Ans1[S:m] ACK[C+k]  | S:C+k m
        C+k:S+m - | ACK[S+m] ->            | S+m:C+k -
    """)
    assert flow.net.transmit_used == 0


@pytest.mark.feature("P20", "P21")
def test_fig_5d_until_the_connection_is_lost(flow: Flow) -> None:
    """Again and again, then the cache is purged and the application told."""
    flow.request()
    flow.serve()
    flow.net.advance(150)
    answers = [segment for segment in flow.client.take() if segment.data]
    assert len(answers) >= 3 and all(segment.data == ANSWER for segment in answers)
    assert [event[0] for event in flow.net.take_events(*ENDS)] == [EventKind.DOWN]
    assert flow.net.transmit_used == 0


def test_a_mismatch_shows_both_columns(net: Net) -> None:
    """What a failure of these tests prints."""
    flow = Flow(net, "bounded")
    flow.request()
    with pytest.raises(AssertionError) as failure:
        flow.shows("C:S k | Req1[C:k] -> | S:C m")
    text = str(failure.value)
    assert "> C:S k | Req1[C:k] -> | S:C m" in text and text.endswith("C:S k | Req1[C:k] -> | S:C -")
