"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

#: Seconds that anything may take which a busy machine makes slow.
PATIENCE_S: Final = 60


def until(true: Callable[[], Any], what: str = "") -> Any:
    """The first true answer, asked for again and again; each of them is a round trip to another process."""
    end = time.monotonic() + PATIENCE_S
    while not (answer := true()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return answer
