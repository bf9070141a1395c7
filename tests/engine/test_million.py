"""A million connections in one engine, which a process of its own holds (`support.million`).

Their clients are packets, since a machine for tests has not the memory for the sockets of a million;
`python -m benchmarks` has real clients, as many as the machine allows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xtcp_twisted.config import MiB
from xtcp_twisted.tcp import layout

ROOT = Path(__file__).parents[2]
#: The debug build checks all of its rows after every batch.
CONNECTIONS = 32_000 if layout.DEBUG else 1_000_000


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What the process saw."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "support.million", str(CONNECTIONS)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@pytest.mark.feature("P34")
def test_they_are_all_open(seen: dict[str, Any]) -> None:
    """Each went through its handshake, was reported once, and is still there."""
    assert (seen["made"], seen["open"]) == (CONNECTIONS, CONNECTIONS)


@pytest.mark.feature("P34")
@pytest.mark.skipif(layout.DEBUG, reason="the debug build keeps more")
def test_their_process_takes_less_than_two_hundred_megabytes(seen: dict[str, Any]) -> None:
    """Resident memory, all of it, while they are idle; and after 30,000 of them have been served."""
    assert seen["counted_bytes"] < 137 * CONNECTIONS
    assert seen["counted_bytes"] < seen["resident_idle"] < 200 * MiB
    assert seen["resident_after"] < seen["resident_idle"] + 16 * MiB


@pytest.mark.feature("P04", "P34")
def test_they_take_no_descriptor(seen: dict[str, Any]) -> None:
    assert seen["descriptors"] < 20


@pytest.mark.feature("P34")
def test_an_hour_of_silence_costs_no_packet(seen: dict[str, Any]) -> None:
    assert seen["packets_while_idle"] == 0


@pytest.mark.feature("P35")
def test_thirty_thousand_messages_are_answered_among_them(seen: dict[str, Any]) -> None:
    """1 KB each way, rightly, and each answer is one packet that acknowledges its request."""
    assert (seen["answered"], seen["packets"]) == (30_000, 30_000)


@pytest.mark.feature("P19")
def test_a_broadcast_to_all_of_them_is_stored_once(seen: dict[str, Any]) -> None:
    """A kilobyte takes its five chunks at most, for a million receivers as for one."""
    assert seen["reached"] == CONNECTIONS
    assert 1_024 <= seen["stored"] <= 5 * 256
