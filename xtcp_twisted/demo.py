"""``python -m xtcp_twisted.demo``: the main job, to look at.

``twistd xtcp`` with an example configuration, its TUN device in a lab, and a
fleet of real kernel TCP clients that talk to it.  A line of figures every
second on standard error; one line of JSON on standard output at the end.

Knows the lab and what the server says about itself; touches no engine.
"""

from __future__ import annotations

import argparse
import json
import math
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

import attrs

from xtcp_twisted.errors import ConfigurationError, ResourceError, XTCPError
from xtcp_twisted.lab.destinations import destinations
from xtcp_twisted.lab.fleet import Figures, Fleet
from xtcp_twisted.lab.lab import ENGINE_V4, Lab
from xtcp_twisted.lab.server import Server, ServerDied
from xtcp_twisted.reactor.settings import ConsoleSettings

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
    console: ConsoleSettings | None


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
    parser.add_argument(
        "--console",
        default=ConsoleSettings().place,
        metavar="[ADDRESS:]PORT",
        help="where the server's console listens, or 'off' (%(default)s)",
    )
    given = parser.parse_args(argv)
    if given.duration is not None and given.duration <= 0:
        parser.error("--duration: give a number of seconds above 0")
    rate = float(min(given.clients, 1000)) if given.rate is None else given.rate
    try:
        console = None if given.console == "off" else ConsoleSettings().moved(given.console)
    except ConfigurationError as error:
        parser.error(f"--console: {error}")
    return Options(given.clients, rate, given.duration, given.config, given.capture, console)


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
    """Lines that stay, and one that the next line replaces; elsewhere than on a terminal all stay."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._width = 0  #: of what stands on the live line

    def say(self, text: str) -> None:
        """Write lines that stay, the first in place of the live line."""
        self._replace(text)
        self._width = 0
        self._stream.write("\n")
        self._stream.flush()

    def live(self, text: str) -> None:
        """Write the live line."""
        if not self._terminal:
            self.say(text)
            return
        # A line that is broken in two could not be written over.
        self._replace(text[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()

    def keep(self) -> None:
        """Let the live line stay."""
        if self._width:
            self._width = 0
            self._stream.write("\n")
            self._stream.flush()

    def _replace(self, text: str) -> None:
        first, newline, rest = text.partition("\n")
        if self._width:
            # Blanks rather than control sequences: every terminal knows them.
            first = "\r" + first + " " * (self._width - len(first))
        self._stream.write(first + newline + rest)
        self._width = len(text)


class Table:
    """The figures that are shown while the fleet talks, each row less than 80 columns wide."""

    HEADER: Final = (
        "                       answer in ms       buffers       ACKs on  server\n"
        "connections    msg/s     p50    p99  receive  transmit  answers  memory errors"
    )

    def __init__(self) -> None:
        self._acks = (0, 0)

    def row(self, figures: Figures, status: Mapping[str, Any]) -> str:
        """One row, of what the fleet has seen and what the server says about itself."""
        snapshot = status["snapshot"]
        receive = sum(pool["receive_buffer"]["used"] for pool in snapshot["pools"])
        return (
            f"{figures.connections:>11,}{figures.recent_per_second:>9,.0f}"
            f"{_milliseconds(figures.recent.percentile(0.5)):>8}"
            f"{_milliseconds(figures.recent.percentile(0.99)):>7}"
            f"{_bytes(receive):>9}{_bytes(snapshot['transmit_buffer']['used']):>10}"
            f"{self._share(snapshot['counters']):>9}{_bytes(status['rss_bytes']):>8}"
            f"{sum(figures.errors.values()):>7,}"
        )

    def _share(self, counters: Mapping[str, int]) -> str:
        """Of the acknowledgements since the last row, those that cost no packet of their own."""
        before, self._acks = self._acks, (counters["PiggybackedAcks"], counters["PureAcks"])
        riding, alone = (now - then for now, then in zip(self._acks, before, strict=True))
        return f"{riding / (riding + alone):.1%}" if riding + alone else "-"


class Demo:
    """One run."""

    def __init__(self, options: Options, screen: Screen, stop: Stop) -> None:
        self.options = options
        self.screen = screen
        self.stop = stop
        #: The last that the server said about itself.
        self._status: Mapping[str, Any] = {}
        self._shown: set[str] = set()  #: errors of clients

    def run(self) -> dict[str, Any]:
        """Everything from the lab to its end; returns what the line of JSON says.

        :raises XTCPError: a right or a file is missing, an option is wrong, or the server died.
        """
        options = self.options
        console = None if options.console is None else _available(options.console)
        with Lab() as lab:
            if console is not None:
                console = attrs.evolve(console, token_file=str(lab.directory / "console-token"))
            server = Server(
                lab, options.config, capture=options.capture, imports=[Path.cwd()], console=console
            )
            # The server first: it checks the whole configuration, and says what is wrong with it.
            server.start(lambda: self.stop.signal is not None)
            targets = destinations(options.config, options.clients)
            fleet = Fleet(lab, targets, clients=options.clients, rate=options.rate)
            self._introduce(server, console)
            with fleet:
                fleet.selector.register(self.stop.wakeup, selectors.EVENT_READ)
                if self._connect(fleet, server):
                    self._watch(fleet, server)
                fleet.selector.unregister(self.stop.wakeup)
                self.screen.keep()
                figures = fleet.finish()
            return self._result(figures)

    def _introduce(self, server: Server, console: ConsoleSettings | None) -> None:
        command = shlex.join([sys.executable, "-m", "xtcp_twisted.lab"])
        self.screen.say(
            f"twistd xtcp runs (pid {server.pid}, {self.options.config}) in a private network.\n"
            "\n"
            + (_invitation(console) if console is not None else "")
            + "  Talk to its chat, in another terminal:\n"
            f"    {command} talk {ENGINE_V4} {CHAT_PORT}\n"
            "  Look around there with a shell:\n"
            f"    {command} join\n"
            "  End: "
            + (f"{self.options.duration:g} s from now, or " if self.options.duration else "")
            + "Ctrl-C\n"
        )

    def _connect(self, fleet: Fleet, server: Server) -> bool:
        """Show how the clients connect; False if a signal came first."""
        began = time.monotonic()
        while not fleet.ready():
            figures = fleet.figures()
            self.screen.live(f"{figures.opened:,} of {figures.clients:,} kernel TCP clients are connected")
            fleet.update(1.0)
            server.check()
            if self.stop.signal is not None:
                return False
        seconds = time.monotonic() - began
        opened = fleet.figures().opened
        self.screen.say(
            f"{opened:,} of {self.options.clients:,} kernel TCP clients connected in {seconds:.1f} s."
            f" They ask {self.options.rate:,.0f} times a second.\n"
        )
        fleet.mark()
        return True

    def _watch(self, fleet: Fleet, server: Server) -> None:
        """Show figures until the time is up, a signal comes or the last client is lost."""
        self.screen.say(Table.HEADER)
        table = Table()
        end = time.monotonic() + (self.options.duration or math.inf)
        while self.stop.signal is None and not fleet.done() and (left := end - time.monotonic()) > 0:
            fleet.update(min(1.0, left))
            self._status = server.status() or self._status
            figures = fleet.figures()
            self._show_errors(figures)
            if self._status:
                self.screen.live(table.row(figures, self._status))

    def _show_errors(self, figures: Figures) -> None:
        for text in figures.examples:
            if text not in self._shown:
                self._shown.add(text)
                self.screen.say(f"error: {text}")

    def _result(self, figures: Figures) -> dict[str, Any]:
        counters = self._status["snapshot"]["counters"] if self._status else {}
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
                name: None if (value := figures.latencies.percentile(share)) is None else round(value, 3)
                for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
            },
            "server_rss_bytes": self._status.get("rss_bytes"),
            "server_descriptors": self._status.get("descriptors"),
            "acks_on_answers": counters.get("PiggybackedAcks"),
            "acks_alone": counters.get("PureAcks"),
            "data_segments_out": counters.get("DataSegsOut"),
            "retransmitted": counters.get("RetransSegs"),
        }


def _available(console: ConsoleSettings) -> ConsoleSettings:
    """The console's settings with a port that can be had; a port of 0 becomes a free one.

    :raises ResourceError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in console.address else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((console.address, console.port))
            trial.listen()
        except OSError as error:
            raise ResourceError(
                f"the console cannot listen on {console.place}: {error.strerror}; give another port with"
                " --console PORT (make run CONSOLE=PORT), or go without it: --console off"
            ) from None
        return attrs.evolve(console, port=trial.getsockname()[1])


def _invitation(console: ConsoleSettings) -> str:
    from xtcp_console import invitation

    return (
        f"  Console: {invitation.link(console)}\n"
        "    The link works once, in a browser on this machine. For another one:\n"
        f"    {invitation.command(console)}\n"
    )


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


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
    print(json.dumps(result), flush=True)
    if result["errors"]:
        return WENT_WRONG
    if stop.signal is not None and (options.duration is not None or stop.signal != signal.SIGINT):
        return 128 + stop.signal
    return OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
