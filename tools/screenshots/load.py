"""Kernel clients that send more than their server takes, or get more than they read, now and then."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tests.support.live import Console

#: How often the threads do something, seconds.
STEP_S: Final = 0.05
#: Connections that send at a time.
AT_ONCE: Final = 4
#: What a client's kernel keeps for it, bytes; with more, waves would be smoothed out there.
KERNEL_BYTES: Final = 16_384


@dataclass(frozen=True)
class Waves:
    """Clients of one port that send in waves."""

    port: int
    clients: int
    every_s: float  #: from the beginning of one wave to that of the next
    last_s: float
    bytes_per_s: float  #: in a wave, all clients together
    read_bytes_per_s: float = 0  #: that each client reads all the time

    @contextmanager
    def running(self, console: Console) -> Iterator[None]:
        """Send and read, from now on."""
        sockets = [console.connect(self.port, KERNEL_BYTES) for _ in range(self.clients)]
        turn = itertools.cycle(sockets)
        piece = bytes(int(self.bytes_per_s * STEP_S / AT_ONCE))
        read = int(self.read_bytes_per_s * STEP_S)
        began = time.monotonic()

        def step() -> None:
            if (time.monotonic() - began) % self.every_s < self.last_s:
                for client in itertools.islice(turn, AT_ONCE):
                    with suppress(BlockingIOError):  # its window is closed, which the console shows
                        client.send(piece)
            for client in sockets if read else ():
                with suppress(BlockingIOError):
                    client.recv(read)

        with _repeated(step):
            yield
        for client in sockets:
            client.close()


@contextmanager
def _repeated(step: Callable[[], None]) -> Iterator[None]:
    """Call `step` again and again in a thread."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(STEP_S):
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
