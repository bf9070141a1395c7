"""The kernel as the other side, whoever opened: streams, half-closes, resets, closed windows, bad networks.

The engine and the kernel's socket are driven by one `select` in the test's own
thread, so that each test says what either side does, and when.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from xtcp_twisted.config import ALL, UNLIMITED, EngineConfig, GroupOptions, MiB
from xtcp_twisted.engine import Engine
from xtcp_twisted.engine.kinds import ENDS, EventKind
from xtcp_twisted.lab import Lab
from xtcp_twisted.link import ImpairedLink

ENGINE = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}
KERNEL = {socket.AF_INET: "10.77.0.1", socket.AF_INET6: "fd77::1"}
PIECE = 65_536


class Line:
    """One connection between the engine and a socket of the kernel.

    :ivar to_kernel: bytes that the engine is still to send.
    :ivar to_engine: bytes that the kernel is still to send.
    :ivar at_kernel: what the kernel's application has read; `at_engine`, the engine's.
    :ivar reading: which of the two applications read, of "kernel" and "engine".
    """

    def __init__(self, lab: Lab, opener: str, family: int, **impairment: Any) -> None:
        self.family = socket.AddressFamily(family)
        self.link = ImpairedLink(lab.link(), seed=5, **impairment)
        self.engine = Engine(
            self.link,
            EngineConfig(addresses=tuple(ENGINE.values()), max_connections=64, arena_limit=256 * MiB),
        )
        self.group = self.engine.create_pool(8 * MiB).open_group(
            7, domain=socket.AF_UNSPEC, options=GroupOptions(accept_credits=UNLIMITED)
        )
        self.to_kernel, self.to_engine = memoryview(b""), memoryview(b"")
        self.at_kernel, self.at_engine = bytearray(), bytearray()
        self.reading = {"kernel", "engine"}
        self.kernel_eof = self.engine_eof = False
        self.events: list[tuple[EventKind, int]] = []
        self.cd = -1
        self.connected = False
        self.sock = lab.call(self._connect if opener == "kernel" else self._listen)
        if opener == "kernel":
            self.until(lambda: self.cd >= 0)
        else:
            self.cd = self.group.connect(self.sock.getsockname()[:2])
            self.until(lambda: self._is_readable(self.sock) and (EventKind.ESTABLISHED, 0) in self.events)
            with self.sock as listener:
                self.sock, _ = listener.accept()
            self.sock.setblocking(False)
        self.connected = True

    def _connect(self) -> socket.socket:
        made = socket.socket(self.family)
        made.setblocking(False)
        assert made.connect_ex((ENGINE[self.family], 7)) == errno.EINPROGRESS
        return made

    def _listen(self) -> socket.socket:
        made = socket.socket(self.family)
        made.bind((KERNEL[self.family], 0))
        made.listen()
        return made

    @staticmethod
    def _is_readable(sock: socket.socket) -> bool:
        return bool(select.select([sock], [], [], 0)[0])

    def close(self) -> None:
        self.sock.close()
        self.engine.close()

    # --- a turn of either application ---------------------------------------------

    def turn(self) -> None:
        """Wait for something to do, then let the engine, its application and the kernel's do it."""
        listens = self.connected and "kernel" in self.reading and not self.kernel_eof
        reading = [self.sock] if listens else []
        sending = [self.sock] if self.to_engine else []
        select.select([self.engine.fileno(), *reading], sending, [], 0.05)
        self.engine.poll(time.monotonic())
        for kind, _, cd, detail in self.engine.events():
            self.events.append((EventKind(kind), detail))
            self.cd = cd
        self._engine_application()
        self.engine.flush(time.monotonic())
        if reading or sending:
            self._kernel_application(listens)

    def _engine_application(self) -> None:
        if "engine" in self.reading:
            for cd, data in self.group.recv_batch(16):
                self.at_engine += data
                self.engine_eof |= not data
                self.group.send(cd, b"", ALL)
        if self.to_kernel:
            taken = self.group.send(self.cd, bytes(self.to_kernel[:PIECE]))
            self.to_kernel = self.to_kernel[taken:]

    def _kernel_application(self, reads: bool) -> None:
        try:
            if self.to_engine:
                self.to_engine = self.to_engine[self.sock.send(self.to_engine[:PIECE]) :]
        except BlockingIOError:
            pass
        try:
            while reads and (data := self.sock.recv(PIECE)):
                self.at_kernel += data
            self.kernel_eof |= reads
        except BlockingIOError:
            pass

    def until(self, true: Callable[[], bool], limit_s: float = 60) -> None:
        end = time.monotonic() + limit_s
        while not true():
            assert time.monotonic() < end, f"not in {limit_s} s: {self.events} {self.engine.snapshot()}"
            self.turn()

    def transfer(self, to_kernel: bytes = b"", to_engine: bytes = b"") -> None:
        """Send what is given, both ways at once, until the other side has read it all."""
        self.to_kernel, self.to_engine = memoryview(to_kernel), memoryview(to_engine)
        kernel, engine = self.at_kernel + to_kernel, self.at_engine + to_engine
        self.until(lambda: len(self.at_kernel) >= len(kernel) and len(self.at_engine) >= len(engine))
        assert self.at_kernel == kernel
        assert self.at_engine == engine

    @property
    def end(self) -> tuple[EventKind, int] | None:
        return next((event for event in self.events if event[0] in ENDS), None)


Make = Callable[..., Line]


@pytest.fixture(params=["kernel", "engine"], ids=lambda opener: f"{opener} opens")
def opener(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ENGINE, ids=lambda family: socket.AddressFamily(family).name)
def line(lab: Lab, opener: str, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a line, which is closed at the end."""
    lines: list[Line] = []

    def make(**impairment: Any) -> Line:
        lines.append(Line(lab, opener, request.param, **impairment))
        return lines[-1]

    yield make
    for made in lines:
        made.close()


def stream(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.feature("P33")
def test_ten_megabytes_both_ways_at_once(line: Make) -> None:
    both = line()
    both.transfer(stream(10_000_000, 1), stream(10_000_000, 2))
    assert both.end is None


@pytest.mark.feature("P20", "P23")
@pytest.mark.parametrize(
    "impairment",
    [{"loss": 0.02}, {"loss": 0.005, "reorder": 0.03, "duplicate": 0.03, "delay": 0.002}, {"corrupt": 0.02}],
    ids=["loss", "loss, reordering, duplicates and delay", "corruption"],
)
def test_half_a_megabyte_both_ways_over_a_bad_network(line: Make, impairment: dict[str, float]) -> None:
    both = line(**impairment)
    both.transfer(stream(500_000, 3), stream(500_000, 4))
    both.sock.shutdown(socket.SHUT_WR)
    both.until(lambda: both.engine_eof)
    both.group.finish(both.cd)
    both.until(lambda: both.kernel_eof)


@pytest.mark.feature("P11")
def test_the_kernel_half_closes(line: Make) -> None:
    """What it said arrives, then the end; the engine goes on sending, and closes last."""
    both = line()
    both.transfer(to_engine=stream(100_000, 5))
    both.sock.shutdown(socket.SHUT_WR)
    both.until(lambda: both.engine_eof)
    assert both.group.info(both.cd).state == "CLOSE_WAIT"
    both.transfer(to_kernel=stream(1_000_000, 6))
    both.group.shutdown(both.cd)
    both.until(lambda: both.kernel_eof and both.end is not None)
    assert both.end == (EventKind.CLOSED, 0)
    assert both.engine.snapshot().time_wait == 0


@pytest.mark.feature("P11")
def test_the_engine_half_closes(line: Make) -> None:
    """The kernel reads the end, goes on sending, and closes last: TIME-WAIT is the engine's."""
    both = line()
    both.transfer(to_kernel=stream(100_000, 7))
    both.group.shutdown(both.cd)
    both.until(lambda: both.kernel_eof and both.group.info(both.cd).state == "FIN_WAIT_2")
    both.transfer(to_engine=stream(1_000_000, 8))
    both.sock.shutdown(socket.SHUT_WR)
    both.until(lambda: both.end is not None)
    assert both.engine_eof
    assert both.end == (EventKind.CLOSED, 0)
    assert both.engine.snapshot().time_wait == 1


def test_the_kernel_resets(line: Make) -> None:
    both = line()
    both.transfer(b"hello", b"hello")
    both.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    both.sock.close()
    both.reading = {"engine"}
    both.until(lambda: both.end is not None)
    assert both.end == (EventKind.RESET, errno.ECONNRESET)
    assert both.engine.snapshot().connections == 0


@pytest.mark.feature("P11")
def test_the_engine_resets(line: Make) -> None:
    both = line()
    both.transfer(b"hello", b"hello")
    both.reading = {"engine"}
    both.group.abort(both.cd)
    both.until(lambda: Line._is_readable(both.sock))
    with pytest.raises(ConnectionResetError):
        both.sock.recv(1)
    assert both.engine.snapshot().connections == 0


def test_a_kernel_that_does_not_read(line: Make) -> None:
    """It closes its window; the engine probes, and goes on when the kernel reads again."""
    both = line()
    sent = stream(8_000_000, 9)
    both.reading = {"engine"}
    both.to_kernel = memoryview(sent)
    both.until(lambda: both.engine.counters()["TCPWinProbe"] >= 2)
    assert both.group.info(both.cd).snd_wnd == 0
    assert both.to_kernel
    both.reading = {"engine", "kernel"}
    both.until(lambda: len(both.at_kernel) == len(sent))
    assert both.at_kernel == sent


def test_an_application_that_does_not_read(line: Make) -> None:
    """Its window closes, the kernel probes and waits, and nothing is lost."""
    both = line()
    sent = stream(8_000_000, 10)
    both.reading = {"kernel"}
    both.to_engine = memoryview(sent)
    both.until(lambda: both.group.info(both.cd).rcv_wnd == 0)
    left = len(both.to_engine)
    assert left
    both.reading = {"kernel", "engine"}
    both.until(lambda: len(both.at_engine) == len(sent))
    assert both.at_engine == sent
