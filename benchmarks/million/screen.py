"""Progress on standard error: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from typing import Final, TextIO

from benchmarks.million.watch import Look
from xtcp_twisted.demo import Screen

#: Where there is no terminal, a line of figures comes once in so many seconds.
PLAIN_INTERVAL: Final = 10.0


class Progress:
    """Shows phases, what comes out of them, and how things stand meanwhile."""

    def __init__(self, stream: TextIO) -> None:
        self._screen = Screen(stream)
        self._terminal = stream.isatty()
        self._lock = threading.Lock()  # the watch is another thread
        self._phase = ""
        self._last = self._began = time.monotonic()

    def phase(self, text: str) -> None:
        """Another phase has begun."""
        with self._lock:
            self._phase = text
            self._last = time.monotonic()
            self._screen.live(f"{self._elapsed()}  {text}")

    def look(self, look: Look) -> None:
        """How things stand."""
        with self._lock:
            now = time.monotonic()
            if not self._terminal and now - self._last < PLAIN_INTERVAL:
                return
            self._last = now
            self._screen.live(
                f"{self._elapsed()}  {self._phase}: {look.connections:,} connections, server"
                f" {look.resident / 2**20:,.0f} MiB, {look.server_cores:.0%} of a core"
            )

    def done(self, text: str) -> None:
        """What came out of a phase, to stay."""
        with self._lock:
            self._screen.say(f"{self._elapsed()}  {text}")

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._began)
        return f"{seconds // 60:>2}:{seconds % 60:02}"
