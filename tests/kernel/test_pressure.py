"""Kernel clients overfill a small pool: they are slowed down, and every byte arrives once (P27 to P30)."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.capture import WRONG, tshark

from tests.kernel.conftest import Served

CLIENTS = 48
#: Of each client; all together five times the pool.
SIZE = 30_000

Eventually = Callable[[Callable[[], bool]], None]


def pool(served: Served) -> dict[str, Any]:
    [small] = [found for found in served.snapshot()["pools"] if found["name"] == "small"]
    return dict(small["receive_buffer"])


@pytest.mark.feature("P27", "P28", "P29", "P30")
def test_a_pool_that_is_overfilled_loses_nothing(served: Served, eventually: Eventually) -> None:
    """The application sleeps while forty-eight clients send; then it reads everything."""
    connections = [served.connect("dam") for _ in range(CLIENTS)]
    payloads = [os.urandom(SIZE) for _ in connections]
    answers = [b""] * CLIENTS

    def talk(i: int) -> None:
        connections[i].sendall(payloads[i])
        connections[i].shutdown(1)
        while part := connections[i].recv(64):
            answers[i] += part

    talkers = [threading.Thread(target=talk, args=(i,)) for i in range(CLIENTS)]
    for talker in talkers:
        talker.start()
    eventually(lambda: pool(served)["pressure"]["state"] == "discarding")
    eventually(lambda: served.snapshot()["counters"]["PressureDropSegs"] > CLIENTS)
    full = pool(served)
    assert full["used"] <= full["size"]
    served.connect("gate").close()
    for talker in talkers:
        talker.join(60)
    assert answers == [hashlib.sha256(payload).digest() for payload in payloads]
    eventually(lambda: pool(served)["used"] == 0)
    after = pool(served)["pressure"]
    assert after["state"] == "open"
    assert all(after["entries"].values())
    assert served.snapshot()["counters"]["AcksWithheld"] > 0
    for connection in connections:
        connection.close()
    assert tshark(served.stop(), WRONG) == []


#: Who fill a pool that is too small for what each of them is guaranteed.
THRONG = 2_000
#: Of each; all together sixty times the pool.
SHARE = 8_000


@pytest.mark.feature("P27", "P28", "P29", "P30")
def test_two_thousand_clients_pass_through_all_levels(served: Served, eventually: Eventually) -> None:
    """All send at once, faster than the pool can hold; then the application reads while they go on.

    Every byte of every client arrives exactly once and in order, as the digest of each stream says,
    nobody is aborted, and nobody is left waiting.
    """
    connections = [served.connect("dam", SO_SNDBUF=4 * SHARE) for _ in range(THRONG)]
    payloads = [os.urandom(SHARE) for _ in connections]
    for connection, payload in zip(connections, payloads, strict=True):
        connection.sendall(payload)
        connection.shutdown(socket.SHUT_WR)
    eventually(lambda: pool(served)["pressure"]["state"] == "discarding")
    eventually(lambda: served.snapshot()["counters"]["PressureDropSegs"] > THRONG)
    served.connect("gate").close()
    answers = []
    for connection in connections:
        answer = b""
        while part := connection.recv(64):
            answer += part
        answers.append(answer)
    assert answers == [hashlib.sha256(payload).digest() for payload in payloads]
    eventually(lambda: pool(served)["used"] == 0)
    after = pool(served)["pressure"]
    assert after["state"] == "open"
    assert all(after["entries"].values())
    counters = served.snapshot()["counters"]
    assert counters["AcksWithheld"] > 0
    assert counters["PressureAborts"] == counters["TransmitAborts"] == 0
    for connection in connections:
        connection.close()
    assert tshark(served.stop(), WRONG) == []
