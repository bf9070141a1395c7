"""A flood of forged SYNs while kernel clients connect and talk (attack row 1)."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from support.capture import WRONG, tshark
from support.crafted import Strangers

from tests.kernel.conftest import V4, V6, Served
from xtcp_twisted.lab import Lab

Eventually = Callable[[Callable[[], bool]], None]

#: Linux' if_ether.h and tcp.h.
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
TCPI_OPT_TIMESTAMPS, TCPI_OPT_SACK, TCPI_OPT_WSCALE = 1, 2, 4
CLIENTS = 40
HALF_OPEN = 1_024


class Flood:
    """Forged SYNs of both families into the engine's device, as if they came from a network behind it.

    Nobody routes the answers: they end in the namespace.
    """

    def __init__(self, lab: Lab, port: int) -> None:
        self.sent = 0
        self._stop = threading.Event()
        self._socket = lab.call(socket.socket, socket.AF_PACKET, socket.SOCK_DGRAM)
        self._sources = [
            (Strangers("198.51.0.0", V4, port), ETH_P_IP),
            (Strangers("2001:db8:f::", V6, port), ETH_P_IPV6),
        ]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        """Some ten thousand a second."""
        while not self._stop.wait(0.005):
            for number in range(self.sent, self.sent + 25):
                for strangers, protocol in self._sources:
                    self._socket.sendto(strangers.packet(number), ("xtcp0", protocol))
            self.sent += 25


@pytest.fixture
def served(lab: Lab, tmp_path: Path) -> Served:
    """A server whose table of half-open entries is small, so that a flood fills it at once."""
    return Served(lab, tmp_path, engine=f"max_half_open = {HALF_OPEN}")


def talk(connection: socket.socket) -> None:
    """More than a window in both directions."""
    payload = os.urandom(200_000)
    sender = threading.Thread(target=connection.sendall, args=(payload,))
    sender.start()
    answer = bytearray()
    while len(answer) < len(payload):
        part = connection.recv(1 << 16)
        assert part, f"the stream ends after {len(answer)} bytes"
        answer += part
    sender.join()
    assert answer == payload


@pytest.mark.parametrize("group", ["echo", "plain"])
def test_clients_connect_and_talk_during_a_flood(served: Served, group: str, eventually: Eventually) -> None:
    port = {"echo": 7, "plain": 8}[group]
    with Flood(served.lab, port) as flood:
        eventually(lambda: served.snapshot()["counters"]["SyncookiesSent"] > 2 * HALF_OPEN)
        for number in range(CLIENTS):
            with served.connect(group, (V4, V6)[number % 2]) as connection:
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
                options = struct.unpack("5xB2x", info)[0]
                assert options & 7 == TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE
                talk(connection)
        snapshot = served.snapshot()
        assert 0 < snapshot["half_open"] <= HALF_OPEN
        assert snapshot["counters"]["SyncookiesRecv"] >= CLIENTS
        assert snapshot["counters"]["SyncookiesFailed"] == 0
        assert snapshot["counters"]["ListenOverflows"] == 0
        assert flood.sent > HALF_OPEN
    assert tshark(served.stop(), WRONG) == []
    assert "Traceback" not in served.log()
