"""``python -m xtcp_twisted.lab``: run a program in a lab next to an engine, or join a running lab."""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from xtcp_twisted.errors import LinkError, LocalError, PrivilegeError, XTCPError
from xtcp_twisted.lab import keeper
from xtcp_twisted.lab.lab import ENGINE_V4, Lab
from xtcp_twisted.lab.namespace import CLONE_NEWNET, CLONE_NEWUSER, enter
from xtcp_twisted.lab.server import Server

PROG: Final = "python -m xtcp_twisted.lab"
DEFAULT_CONFIG: Final = Path("examples/xtcp.toml")
#: Exit status when the lab itself fails, as `timeout` and `env` have it; else the program's.
FAILED: Final = 125

EPILOG: Final = f"""\
examples:
  {PROG} -- curl http://{ENGINE_V4}/      one program, then everything is gone
  {PROG}                               a shell in a new lab
  {PROG} --capture all.pcapng -- nc {ENGINE_V4} 7
  {PROG} join                          a shell in the lab that is running (make run)
  {PROG} join -- ss -tn                one program there
  {PROG} talk {ENGINE_V4} 5222         lines to and from a server there, as nc does

The lab is a private network namespace with a TUN device.  The clients' side has the
addresses 10.77.0.1 and fd77::1; the engine has those of the configuration.  Nothing of
the host's network is touched, and nothing stays.  The exit status is the program's;
{FAILED} if the lab or the server failed.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} [--config FILE | --no-engine] [--capture FILE] [--] [PROGRAM [ARG ...]]\n"
        f"       {PROG} join [--lab PID] [--] [PROGRAM [ARG ...]]\n"
        f"       {PROG} talk [--lab PID] HOST PORT",
        description="Run PROGRAM (a shell, if none is given) in a private network next to an engine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="of the engine (%(default)s)"
    )
    parser.add_argument("--no-engine", action="store_true", help="an empty lab: the program brings its own")
    parser.add_argument("--capture", type=Path, metavar="FILE", help="write all packets to FILE (pcapng)")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM", help="and its arguments")
    return parser


def _join_parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{PROG} {verb}")
    parser.add_argument("--lab", type=int, metavar="PID", help="if several run: the one of this process")
    if verb == "talk":
        parser.add_argument("host")
        parser.add_argument("port", type=int)
    else:
        parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM")
    return parser


def _program(words: Sequence[str]) -> list[str]:
    words = list(words[1:] if words[:1] == ["--"] else words)
    return words or [os.environ.get("SHELL", "/bin/sh")]


def run(options: argparse.Namespace) -> int:
    """Run the program in a lab of its own; its exit status."""
    program = _program(options.program)
    with Lab() as lab:
        server = None
        if not options.no_engine:
            server = Server(lab, options.config, capture=options.capture, imports=[Path.cwd()])
            server.start()
            print(f"{PROG}: the engine runs (pid {server.pid}); now: {program[0]}", file=sys.stderr)
        status = _run_program(lab, program)
        if server is not None:
            server.check()
    return status


def _run_program(lab: Lab, program: list[str]) -> int:
    early: list[int] = []
    pass_on: Callable[[int], None] = early.append
    # Before the program starts, so that no signal finds the lab alone in the way.
    # The terminal sends a Ctrl-C to the program as well; it decides.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: pass_on(number))
    try:
        process = lab.popen(program)
    except OSError as error:
        print(f"{PROG}: {program[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    pass_on = process.send_signal
    for missed in early:
        process.send_signal(missed)
    status = process.wait()
    return status if status >= 0 else 128 - status


def running() -> list[int]:
    """The keeper processes of the labs that run on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == keeper.NAME:
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return sorted(found)


def enter_lab(pid: int | None) -> None:
    """Move this process, which must have one thread, into a running lab.

    :param pid: a process in it; None: the only lab there is.
    :raises XTCPError: there is none, there are several, or it belongs to somebody else.
    """
    if pid is None:
        labs = running()
        if not labs:
            raise LocalError("no lab is running; start one with `make run`, or see --help")
        if len(labs) > 1:
            raise LocalError(f"several labs are running; choose: --lab {' | --lab '.join(map(str, labs))}")
        (pid,) = labs
    try:
        for name, kind in (("user", CLONE_NEWUSER), ("net", CLONE_NEWNET)):
            if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
                enter(f"/proc/{pid}/ns/{name}", kind)
    except FileNotFoundError:
        raise LocalError(f"there is no process {pid}; running labs: {running()}") from None
    except PermissionError:
        raise PrivilegeError(
            f"the lab of process {pid} belongs to another user; type:\n"
            f"    sudo {sys.executable} {' '.join(sys.orig_argv[1:])}"
        ) from None


def join(options: argparse.Namespace) -> int:
    """Become a program in a running lab."""
    program = _program(options.program)
    enter_lab(options.lab)
    try:
        os.execvp(program[0], program)  # noqa: S606 - the user's own program
    except OSError as error:
        print(f"{PROG}: {program[0]}: {error.strerror}", file=sys.stderr)
        return 127


def talk(options: argparse.Namespace) -> int:
    """Carry lines between the terminal and a server in a running lab, until either ends."""
    enter_lab(options.lab)
    try:
        connection = socket.create_connection((options.host, options.port), timeout=10)
    except OSError as error:
        raise LinkError(f"{options.host} port {options.port}: {error.strerror or error}") from None
    connection.settimeout(None)
    sources = [connection, sys.stdin.fileno()]
    with connection:
        while True:
            for source in select.select(sources, [], [])[0]:
                if source is connection:
                    data = connection.recv(65536)
                    if not data:
                        return 0
                    os.write(sys.stdout.fileno(), data)
                elif data := os.read(sys.stdin.fileno(), 65536):
                    connection.sendall(data)
                else:
                    connection.shutdown(socket.SHUT_WR)
                    sources.remove(sys.stdin.fileno())


def main(argv: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    verbs = {"join": join, "talk": talk}
    try:
        if argv and argv[0] in verbs:
            return verbs[argv[0]](_join_parser(argv[0]).parse_args(argv[1:]))
        return run(_parser().parse_args(argv))
    except XTCPError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return FAILED
    except (KeyboardInterrupt, BrokenPipeError, ConnectionError):
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
