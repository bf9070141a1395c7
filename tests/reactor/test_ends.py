"""Connections end over a stack as over Twisted's own TCP: the same calls, in order, for the same reasons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def seen(kind: str) -> dict[str, Any]:
    """What both sides of all conversations saw."""
    path = os.pathsep.join((str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")))
    run = subprocess.run(
        [sys.executable, "-m", "tests.reactor.ends", kind],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return dict(json.loads(run.stdout))


@pytest.fixture(scope="module")
def kernel() -> dict[str, Any]:
    return seen("kernel")


def test_every_conversation_ends_as_over_the_kernel(kernel: dict[str, Any]) -> None:
    assert seen("xtcp") == kernel


def test_the_conversations_are_what_they_are_called(kernel: dict[str, Any]) -> None:
    """So that two sides that saw nothing are not taken for agreement."""
    assert kernel["the_server_aborts"] == [
        ["made", "lost ConnectionAborted after 8 bytes"],
        ["made", "lost ConnectionLost after 0 bytes"],
    ]
    assert kernel["tls_of_a_producer"] == [
        ["made", "unregistered", "lost ConnectionDone after 8 bytes"],
        ["made", "lost ConnectionDone after 3000000 bytes"],
    ]
    assert kernel["the_client_closes_its_half_first"] == [
        ["made", "read lost", "lost ConnectionDone after 8 bytes"],
        ["made", "write lost", "read lost", "lost ConnectionDone after 5 bytes"],
    ]
