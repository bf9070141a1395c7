"""The patent's communication flows, Fig. 5a to 5d, packet by packet.

Each is played twice, by a scripted peer on virtual time and by an unmodified TCP
(the kernel's) from which the network takes exactly the packet that the figure
takes, under both policies that let the acknowledgement ride on the answer.  The
columns are those of the figures; `support.figure` says how to read them.

A request has k bytes, an answer m; the ongoing exchange of Fig. 5a has a second
pair, of l and n.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from support.figure import compare
from support.flows import Flow, KernelFlow, ScriptedFlow
from support.net import MakeNet

from xtcp_twisted.engine.kinds import EventKind

#: How long an application that takes its time takes, seconds.
THINKING_S = 0.01
POLICIES = ["bounded", "application"]
CLIENTS = ["scripted", "kernel"]
FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}

FIG_5A = """
    send Req1 | C:S k         | Req1[C:k] ->                | S:C -         | notify
    notify    | C+k:S -       | <- Ans1[S:m] ACK[C+k]       | S:C+k m       | recv Req1, send Ans1, ack k
    recv Ans1 | C+k:S+m -     | ACK[S+m] ->                 | S+m:C+k -     |
    send Req2 | C+k:S+m l     | Req2[C+k:l] ->              | S+m:C+k -     | notify
    notify    | C+k+l:S+m -   | <- Ans2[S+m:n] ACK[C+k+l]   | S+m:C+k+l n   | recv Req2, send Ans2, ack l
    recv Ans2 | C+k+l:S+m+n - | ACK[S+m+n] ->               | S+m+n:C+k+l - |
"""
FIG_5B = """
    send Req1 | C:S k     | Req1[C:k] -> X         | S:C -     |
              | C:S k     | Req1[C:k] ->           | S:C -     | notify
    notify    | C+k:S -   | <- Ans1[S:m] ACK[C+k]  | S:C+k m   | recv Req1, send Ans1, ack k
    recv Ans1 | C+k:S+m - | ACK[S+m] ->            | S+m:C+k - |
"""
FIG_5C = """
    send Req1 | C:S k     | Req1[C:k] ->            | S:C -     | notify
              | C:S k     | X <- Ans1[S:m] ACK[C+k] | S:C+k m   | recv Req1, send Ans1, ack k
              | C:S k     | Req1[C:k] ->            | S:C+k m   |
    notify    | C+k:S -   | <- Ans1[S:m] ACK[C+k]   | S:C+k m   |
    recv Ans1 | C+k:S+m - | ACK[S+m] ->             | S+m:C+k - |
"""
FIG_5D = """
    send Req1 | C:S k     | Req1[C:k] ->           | S:C -     | notify
    notify    | C+k:S -   | <- Ans1[S:m] ACK[C+k]  | S:C+k m   | recv Req1, send Ans1, ack k
    recv Ans1 | C+k:S+m - | ACK[S+m] -> X          | S:C+k m   |
              | C+k:S+m - | <- Ans1[S:m] ACK[C+k]  | S:C+k m   |
              | C+k:S+m - | ACK[S+m] ->            | S+m:C+k - |
"""


@pytest.fixture(params=[f"{client}-{family}" for client in CLIENTS for family in FAMILIES])
def flow(
    request: pytest.FixtureRequest, policy: str, options: dict[str, float], resends: bool
) -> Iterator[Flow]:
    """A connection that has been established already."""
    client, _, family = request.param.partition("-")
    settings = {"ack_policy": policy} | options
    if client == "scripted":
        make_net: MakeNet = request.getfixturevalue("make_net")
        yield ScriptedFlow(make_net, v6=family == "IPv6", **settings)
        return
    flow = KernelFlow(request.getfixturevalue("lab"), FAMILIES[family], resends=resends, **settings)
    yield flow
    flow.close()


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def options() -> dict[str, float]:
    """More options of the group."""
    return {}


@pytest.fixture
def resends() -> bool:
    """Whether the client's TCP has to ask again."""
    return False


@pytest.mark.feature("P24", "P33")
def test_fig_5a_an_ongoing_exchange(flow: Flow) -> None:
    """Request, answer with its acknowledgement, acknowledgement: the server sends one packet for each."""
    for _ in range(2):
        flow.request()
        flow.serve()
        flow.acknowledge()
    flow.asleep()
    flow.shows(FIG_5A)
    assert flow.engine.snapshot().transmit_buffer.used == 0


@pytest.mark.feature("P14", "P15", "P24")
def test_fig_5a_the_acknowledgement_waits_for_the_application(flow: Flow) -> None:
    """An application that takes its time changes no packet, and nothing leaves before it has answered."""
    for _ in range(2):
        flow.request()
        flow.serve(thinking_s=THINKING_S)
        flow.acknowledge()
    flow.shows(FIG_5A)


@pytest.mark.feature("P23", "P33")
@pytest.mark.parametrize("resends", [True], ids=["asks again"])
def test_fig_5b_a_request_is_lost(flow: Flow) -> None:
    """The client's TCP sends it again; it is then served in due course."""
    flow.request(lost=True)
    flow.asleep()
    flow.request_again()
    flow.serve()
    flow.acknowledge()
    flow.asleep()
    flow.shows(FIG_5B)


@pytest.mark.feature("P22", "P33")
@pytest.mark.parametrize("resends", [True], ids=["asks again"])
def test_fig_5c_an_answer_is_lost(flow: Flow) -> None:
    """The duplicate of the request brings the cached answer again; the application sleeps on."""
    flow.request()
    flow.serve(lost=True)
    flow.request_again()
    flow.asleep()
    flow.answer_again()
    flow.acknowledge()
    flow.asleep()
    flow.shows(FIG_5C)
    assert flow.engine.counters()["AnswersReplayed"] == 1
    assert flow.engine.snapshot().transmit_buffer.used == 0


@pytest.mark.feature("P20", "P33")
def test_fig_5d_the_acknowledgement_of_an_answer_is_lost(flow: Flow) -> None:
    """XTCP registers a timeout and resends the answer; the client acknowledges it once more."""
    flow.request()
    flow.serve()
    flow.acknowledge(lost=True)
    flow.answer_again()
    flow.acknowledge()
    flow.asleep()
    flow.shows(FIG_5D)
    assert flow.engine.counters()["AnswersReplayed"] == 0
    assert flow.engine.snapshot().transmit_buffer.used == 0


@pytest.mark.feature("P20")
def test_fig_5d_the_resend_is_re_attempted_periodically(flow: Flow) -> None:
    """Until the acknowledgement comes: the third does."""
    flow.request()
    flow.serve()
    flow.acknowledge(lost=True)
    flow.answer_again()
    flow.acknowledge(lost=True)
    flow.answer_again()
    flow.acknowledge()
    flow.asleep()
    *exchange, once_more, acknowledged = FIG_5D.strip().splitlines()
    lost = exchange[-1].replace("recv Ans1", "")
    flow.shows("\n".join([*exchange, once_more, lost, once_more, acknowledged]))


@pytest.mark.feature("P20", "P21")
@pytest.mark.parametrize("options", [{"user_timeout_s": 2}], ids=["2 s"])
def test_fig_5d_until_the_connection_is_deemed_lost(flow: Flow) -> None:
    """Again and again; then the cache is purged and the application told."""
    flow.request()
    flow.serve()
    flow.acknowledge(lost=True)
    exchange = len(flow.rows)
    flow.until_down()
    compare("\n".join(FIG_5D.strip().splitlines()[:exchange]), flow.rows[:exchange])
    answers = [row for row in flow.rows[exchange:] if "Ans1" in row.packet]
    assert len(answers) >= 3
    assert {(row.packet, row.server) for row in answers} == {("<- Ans1[S:m] ACK[C+k]", "S:C+k m")}
    assert flow.end == EventKind.DOWN
    assert flow.engine.snapshot().transmit_buffer.used == 0


#: What a failure prints where Fig. 5b was expected, and the answer was lost instead.
MISMATCH = """
          client    | TCP       | network                 | XTCP      | server
figure    send Req1 | C:S k     | Req1[C:k] -> X          | S:C -     |
> but got send Req1 | C:S k     | Req1[C:k] ->            | S:C -     | notify
figure              | C:S k     | Req1[C:k] ->            | S:C -     | notify
> but got           | C:S k     | X <- Ans1[S:m] ACK[C+k] | S:C+k m   | recv Req1, send Ans1, ack k
figure    notify    | C+k:S -   | <- Ans1[S:m] ACK[C+k]   | S:C+k m   | recv Req1, send Ans1, ack k
> but got           |           |                         |           |
figure    recv Ans1 | C+k:S+m - | ACK[S+m] ->             | S+m:C+k - |
> but got           |           |                         |           |
"""


def test_a_mismatch_shows_the_figure_and_what_happened(make_net: MakeNet) -> None:
    """The columns of the figure, and under each row that differs those of the packets."""
    flow = ScriptedFlow(make_net, ack_policy="bounded")
    flow.request()
    flow.serve(lost=True)
    with pytest.raises(AssertionError) as failure:
        flow.shows(FIG_5B)
    assert str(failure.value) == MISMATCH.rstrip()
