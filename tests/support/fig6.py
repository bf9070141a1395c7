"""Requests and answers of Fig. 6, by the calls of Fig. 4, on virtual time."""

from __future__ import annotations

from support.calls import Calls
from support.peer import Client

REQUEST, ANSWER = b"who is there?", b"nobody but us"
#: What an acknowledgement of the whole request says: the SYN counts.
ACK_ALL = 1 + len(REQUEST)
#: Seconds after which a client asks again, before the resend timer of the answer is due.
SOON = 0.15


def resend_s(calls: Calls, gd: int, client: Client) -> float:
    """How long after an answer its resend timer expires."""
    return calls.group(gd).info(client.cd).rto_ms / 1_000


def requested(calls: Calls, gd: int, client: Client) -> None:
    """The request has come, and the application has received it."""
    client.send(REQUEST)
    assert calls.select(read=[gd]) == ([gd], [])
    assert calls.recv(gd) == (client.cd, REQUEST)


def answered(calls: Calls, gd: int, client: Client, *, lost: bool = False) -> None:
    """And is answered; the answer has left."""
    requested(calls, gd, client)
    assert calls.xtcp_send(gd, client.cd, len(REQUEST), ANSWER) == len(ANSWER)
    if lost:
        with client.losing():
            calls.turn()
    else:
        calls.turn()
        client.expect("A", ack=ACK_ALL, data=ANSWER)
