"""Long lines and frames of kernel clients, under the `application` policy: none of them stalls."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Callable

import pytest

from tests.kernel.conftest import V4, V6, Served

pytestmark = pytest.mark.feature("P14", "P33")


def line(data: bytes) -> bytes:
    return data + b"\r\n"


def frame(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


@pytest.mark.parametrize("host", [V4, V6])
@pytest.mark.parametrize("group, join", [("longlines", line), ("longframes", frame)])
def test_requests_of_many_segments(
    served: Served, group: str, join: Callable[[bytes], bytes], host: str
) -> None:
    """Longer than the client's initial window, sent ahead, and the odd short one between them."""
    requests = [os.urandom(size).hex().encode() for size in (100_000, 1, 60_000, 10, 99_000, 50_000, 0)]
    answers = b"".join(join(f"{len(r)} {hashlib.sha256(r).hexdigest()}".encode()) for r in requests)
    with served.connect(group, host) as client:
        sender = threading.Thread(target=client.sendall, args=(b"".join(map(join, requests)),))
        sender.start()
        got = b""
        while len(got) < len(answers) and (piece := client.recv(65_536)):
            got += piece
        sender.join()
    assert got == answers
    assert "Traceback" not in served.log()
