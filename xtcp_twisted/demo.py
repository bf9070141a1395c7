"""``python -m xtcp_twisted.demo``: the main job, to look at.

``twistd xtcp`` with an example configuration, its TUN device in a lab, and a
fleet of real kernel TCP clients that talk to it.  A line of figures every
second on standard error; one line of JSON on standard output at the end.

Knows the lab and what the server says about itself; touches no engine.
"""

from __future__ import annotations

import argparse
import json
import selectors
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from xtcp_twisted.errors import XTCPError
from xtcp_twisted.lab.destinations import destinations
from xtcp_twisted.lab.fleet import Figures, Fleet
from xtcp_twisted.lab.lab import ENGINE_V4, Lab
from xtcp_twisted.lab.server import Server, ServerDied

PROG: Final = "python -m xtcp_twisted.demo"
DEFAULT_CONFIG: Final = Path("examples/xtcp.toml")
CHAT_PORT: Final = 5222

#: Exit statuses.
OK: Final = 0
WENT_WRONG: Final = 1  #: errors of clients, or the server died
NOT_STARTED: Final = 2  #: a right or a file is missing, or an option is wrong


@dataclass(frozen=True)
class Options:
    """The command line."""

    clients: int
    rate: float
    duration: float | None  #: seconds of talking once every client is connected; None: until Ctrl-C
    config: Path
    capture: Path | None


def parse(argv: Sequence[str]) -> Options:
    """Read the command line; ends the process with a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Start `twistd xtcp` with an example configuration and let real kernel TCP clients"
        " talk to it, in a private network that leaves nothing behind.",
        epilog="Figures go to standard error, one line of JSON at the end to standard output."
        f" Exit status: {OK}, {WENT_WRONG} if clients saw errors or the server died, {NOT_STARTED} if a right"
        " is missing or an option is wrong.",
    )
    parser.add_argument(
        "--clients", type=int, default=1000, metavar="N", help="kernel TCP clients (%(default)s)"
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="R",
        help="requests per second, all clients together (one per client and second, at most 1000)",
    )
    parser.add_argument(
        "--duration", type=float, metavar="S", help="end S seconds after all are connected (else: Ctrl-C)"
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="of the server (%(default)s)"
    )
    parser.add_argument("--capture", type=Path, metavar="FILE", help="write all packets to FILE (pcapng)")
    given = parser.parse_args(argv)
    if given.duration is not None and given.duration <= 0:
        parser.error("--duration: give a number of seconds above 0")
    rate = float(min(given.clients, 1000)) if given.rate is None else given.rate
    return Options(given.clients, rate, given.duration, given.config, given.capture)


class Stop:
    """SIGINT, SIGTERM and SIGHUP as something to wait for instead of something that interrupts.

    :ivar signal: the number of the first one; None so far.
    :ivar wakeup: a socket that gets readable with it.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.wakeup, self._write = socket.socketpair()
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.signal = self.signal or number


class Screen:
    """One line that is written over on a terminal; a line each time elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._dirty = False

    def say(self, text: str) -> None:
        """Write lines that stay."""
        self._stream.write("\n" * self._dirty + text + "\n")
        self._stream.flush()
        self._dirty = False

    def live(self, text: str) -> None:
        """Write the line of figures."""
        if not self._terminal:
            self.say(text)
            return
        width = shutil.get_terminal_size().columns
        self._stream.write(f"\r\033[K{text[: width - 1]}")
        self._stream.flush()
        self._dirty = True


class Demo:
    """One run."""

    def __init__(self, options: Options, screen: Screen, stop: Stop) -> None:
        self.options = options
        self.screen = screen
        self.stop = stop
        #: The last that the server said about itself.
        self._status: Mapping[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Everything from the lab to its end; returns what the line of JSON says.

        :raises XTCPError: a right or a file is missing, an option is wrong, or the server died.
        """
        options = self.options
        with Lab() as lab:
            server = Server(lab, options.config, capture=options.capture, imports=[Path.cwd()])
            # The server first: it checks the whole configuration, and says what is wrong with it.
            server.start(lambda: self.stop.signal is not None)
            targets = destinations(options.config, options.clients)
            fleet = Fleet(lab, targets, clients=options.clients, rate=options.rate)
            self._introduce(lab, server)
            with fleet:
                fleet.selector.register(self.stop.wakeup, selectors.EVENT_READ)
                self._watch(fleet, server)
                fleet.selector.unregister(self.stop.wakeup)
                figures = fleet.finish()
            return self._result(figures)

    def _introduce(self, lab: Lab, server: Server) -> None:
        command = shlex.join([sys.executable, "-m", "xtcp_twisted.lab"])
        self.screen.say(
            f"The server runs (pid {server.pid}); {self.options.clients:,} kernel TCP clients are coming,"
            f" {self.options.rate:,.0f} requests/s together.\n"
            f"  chat with it:    {command} talk {ENGINE_V4} {CHAT_PORT}\n"
            f"  a shell inside:  {command} join\n"
            f"  or, with any program:  nsenter --net={lab.path} PROGRAM"
            + ("" if self.options.duration else "\n  end:             Ctrl-C")
        )

    def _watch(self, fleet: Fleet, server: Server) -> None:
        """Show figures until the time is up, a signal comes or the last client is lost."""
        began: float | None = None
        started = time.monotonic()
        while True:
            tick = 1.0
            if began is not None and self.options.duration is not None:
                left = began + self.options.duration - time.monotonic()
                if left <= 0:
                    break
                tick = min(tick, left)
            fleet.update(tick)
            if self.stop.signal is not None:
                break
            self._status = server.status() or self._status
            figures = fleet.figures()
            if began is None and fleet.ready():
                began = time.monotonic()
                fleet.mark()
                self.screen.say(f"{figures.opened:,} connected after {began - started:.1f} s")
            self.screen.live(self._line(figures))
            if fleet.done():
                break

    def _line(self, figures: Figures) -> str:
        words = [f"{figures.connections:,} connections", f"{figures.recent_per_second:,.0f} msg/s"]
        if (median := figures.recent.percentile(0.5)) is not None:
            words.append(f"p50 {median:.2g} ms, p99 {figures.recent.percentile(0.99):.2g} ms")
        words += self._server_words(self._status)
        errors = sum(figures.errors.values())
        words.append(f"{errors:,} errors" if errors else "no errors")
        return " | ".join(words)

    def _server_words(self, status: Mapping[str, Any]) -> list[str]:
        if not status:
            return []
        snapshot = status["snapshot"]
        receive = sum(pool["receive_buffer"]["used"] for pool in snapshot["pools"])
        transmit = snapshot["transmit_buffer"]["used"]
        return [
            f"buffers: receive {_bytes(receive)}, transmit {_bytes(transmit)}",
            f"server {_bytes(status['rss_bytes'])}, {status['descriptors']} descriptors",
        ]

    def _result(self, figures: Figures) -> dict[str, Any]:
        return {
            "clients": figures.clients,
            "connections": figures.connections,
            "opened": figures.opened,
            "requests": figures.requests,
            "answers": figures.answers,
            "errors": sum(figures.errors.values()),
            "errors_by_kind": dict(figures.errors),
            "error_examples": list(figures.examples[:5]),
            "late": figures.late,
            "msgs_per_s": round(figures.per_second, 1),
            "latency_ms": {
                name: figures.latencies.percentile(share)
                for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
            },
            "server_rss_bytes": self._status.get("rss_bytes"),
            "server_descriptors": self._status.get("descriptors"),
        }


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def main(argv: Sequence[str]) -> int:
    """Run the demonstration; returns the exit status."""
    options = parse(argv)
    screen = Screen(sys.stderr)
    stop = Stop()
    try:
        result = Demo(options, screen, stop).run()
    except ServerDied as error:
        screen.say(f"{PROG}: {error}")
        return WENT_WRONG
    except XTCPError as error:
        screen.say(f"{PROG}: {error}")
        return NOT_STARTED
    screen.say("")
    print(json.dumps(result), flush=True)
    if result["errors"]:
        return WENT_WRONG
    if stop.signal is not None and (options.duration is not None or stop.signal != signal.SIGINT):
        return 128 + stop.signal
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
