"""`pauseProducing` of an ordinary transport closes the window of its client, and of nobody else."""

from __future__ import annotations

import array
import fcntl
import hashlib
import os
import socket
import termios
import threading
from typing import Any

import pytest
from support.blocking import send_until_it_blocks
from support.capture import WRONG, tshark

from tests.kernel.conftest import GROUPS, Served

pytestmark = pytest.mark.feature("P12", "P33")

SIZE = 3_000_000


def unacknowledged(connection: socket.socket) -> int:
    """What the client's kernel still keeps."""
    count = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, count)
    return count[0]


def pool(served: Served) -> dict[str, Any]:
    [small] = [found for found in served.snapshot()["pools"] if found["name"] == "small"]
    return dict(small["receive_buffer"])


def test_the_send_of_a_client_blocks_until_the_protocol_reads(served: Served) -> None:
    payload = os.urandom(SIZE)
    with served.connect("pauses", SO_SNDBUF=65_536) as stopped, served.connect("beside") as other:
        sent = send_until_it_blocks(stopped, payload, served.snapshot)
        assert 0 < sent < SIZE // 2
        kept = unacknowledged(stopped)
        assert kept > 0
        full = pool(served)
        # What it sent is in the shared buffer, and that is not full of it.
        assert sent - kept <= full["used"] < full["size"] / 2
        assert full["pressure"]["state"] == "open"
        for n in range(100):
            other.sendall(b"%d" % n)
            assert other.recv(10) == b"%d" % n
        assert unacknowledged(stopped) == kept

        stopped.settimeout(60)
        sender = threading.Thread(target=stopped.sendall, args=(payload[sent:],))
        sender.start()
        served.connect("gate").close()
        sender.join()
        stopped.shutdown(socket.SHUT_WR)
        assert stopped.recv(100) == hashlib.sha256(payload).digest()
        assert stopped.recv(100) == b""
    capture = served.stop()
    closed = f"tcp.srcport == {GROUPS['pauses'][0]} && tcp.window_size_value == 0 && tcp.flags.reset == 0"
    assert tshark(capture, closed)
    assert not tshark(capture, closed.replace(str(GROUPS["pauses"][0]), str(GROUPS["beside"][0])))
    assert tshark(capture, WRONG) == []
    assert "Traceback" not in served.log()
