"""The servers that are compared, and how each is started inside a lab.

All serve the same echo.  The XTCP ones make a TUN device in the lab and are
ordinary ``twistd xtcp`` processes with a configuration file; so does the bare
responder, the ceiling of all stacks on such a device.  The others listen
on the lab's loopback device, which is the shortest way that kernel TCP has.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shlex
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

import attrs

from benchmarks import building
from xtcp_twisted.lab import CLIENT_ADDRESSES, ENGINE_ADDRESSES, Lab
from xtcp_twisted.link.tun import TunLink

ROOT: Final = Path(__file__).parent.parent
APPLICATIONS: Final = Path(__file__).with_name("applications")
#: How long a server may take until it answers its first request, seconds.
START_TIME: Final = 20.0
#: How long it may take to end, seconds; then it is killed.
END_TIME: Final = 10.0

LIBURING: Final = Path("/usr/include/liburing.h")
PORT: Final = 7
#: For asyncio, which asks for 256 KiB at each read: without these, glibc gives them back each time,
#: and the kernel clears new ones.
TUNED_MALLOC: Final = {
    "MALLOC_MMAP_THRESHOLD_": "4000000",
    "MALLOC_TRIM_THRESHOLD_": "16000000",
    "MALLOC_TOP_PAD_": "8000000",
}
#: Many destinations, because each has 64,512 source ports at most.
ENGINE_TARGET: Final = f"10.77.1.1-10.77.1.40:{PORT}"
LOOPBACK_TARGET: Final = f"127.0.1.1-127.0.1.40:{PORT}"


class ServerError(Exception):
    """A server did not come up, or died; the text ends with what it had to say."""


@attrs.frozen
class Server:
    """One kind of server.

    An XTCP server has a `configuration`: a function of the number of
    connections to come that returns the TOML text, which `command` is given as
    a file.  One in C has a `program`, compiled when it is needed and linked with
    `libraries`; `device` says that it answers on a TUN device, whose name it is
    given.  `environment` is what it has beside ours.
    """

    name: str
    label: str
    command: tuple[str, ...] = ()
    configuration: Callable[[int], str] | None = None
    program: str = ""
    libraries: tuple[str, ...] = ()
    device: bool = False
    environment: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def kernel_tcp(self) -> bool:
        """Whether its connections are sockets, each with a descriptor in the server."""
        return self.configuration is None and not self.device

    @property
    def target(self) -> str:
        """Where the load generator sends its connections."""
        return LOOPBACK_TARGET if self.kernel_tcp else ENGINE_TARGET

    @contextlib.contextmanager
    def running(self, lab: Lab, connections: int, core: int | None = None) -> Iterator[int]:
        """Run it in `lab`, pinned to processor `core`; gives its process id once it answers.

        Raises `ServerError` when it does not come up.
        """
        command = [*self._compiled(), *self.command]
        if self.device:
            lay_device(lab)
            command.append(lab.device)
        if self.configuration is not None:
            settings = lab.directory / "xtcp.toml"
            settings.write_text(self.configuration(connections))
            command.append(f"--config={settings}")
        answers = partial(_echoes, lab, self.target.partition("-")[0])
        with serving(lab, command, answers, core, self.environment) as pid:
            yield pid

    def _compiled(self) -> list[str]:
        if not self.program:
            return []
        sources = [building.PROGRAMS / f"{self.program}.c"]
        try:
            made = building.program(self.program, sources, *building.FAST, libraries=self.libraries)
        except building.BuildError as error:
            raise ServerError(str(error)) from None
        return [str(made)]


def lay_device(lab: Lab) -> None:
    """A TUN device in the lab, for a program that does not make one; it goes with the lab."""
    TunLink(lab.device, addresses=lab.addresses, namespace=lab.path, persist=True).close()


@contextlib.contextmanager
def serving(
    lab: Lab,
    command: Sequence[str],
    answers: Callable[[], bool],
    core: int | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[int]:
    """Run a server in `lab`, pinned to processor `core`; gives its process id once it answers.

    :param answers: asks it once; may raise `OSError` while it does not answer.
    :param environment: what it has beside ours.
    :raises ServerError: it does not come up, or has died meanwhile.
    """
    log = lab.directory / "server.log"
    with log.open("wb") as output:
        process = lab.popen(
            command,
            cwd=lab.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        if core is not None:
            os.sched_setaffinity(process.pid, (core,))
        if reason := _wait(answers, process):
            raise ServerError(f"{shlex.join(command)} {reason}:\n{_tail(log)}")
        yield process.pid
        if process.poll() is not None:
            raise ServerError(f"{shlex.join(command)} died:\n{_tail(log)}")
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """A reactor that is stuck does not see SIGTERM."""
    process.terminate()
    try:
        process.wait(END_TIME)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _echoes(lab: Lab, host: str) -> bool:
    with lab.call(socket.create_connection, (host, PORT), timeout=1) as probe:
        probe.sendall(b"ready?")
        return probe.recv(64) == b"ready?"


def _wait(answers: Callable[[], bool], process: subprocess.Popen[bytes]) -> str:
    """Ask until there is an answer; returns nothing, or what went wrong."""
    deadline = time.monotonic() + START_TIME
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if answers():
                return ""
        except OSError:
            time.sleep(0.05)
    return "ended at once" if process.poll() is not None else f"did not answer within {START_TIME:g} seconds"


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(it printed nothing)"


def _configuration(group: str, connections: int) -> str:
    """The configuration file of an XTCP server with one group."""
    return f"""
[link]
addresses = {json.dumps(CLIENT_ADDRESSES)}

[engine]
addresses = {json.dumps(ENGINE_ADDRESSES)}
max_connections = {max(65_536, 2 * connections)}

[[pool]]
name = "benchmark"

[[group]]
name = "echo"
port = {PORT}
{group}
"""


def twistd(*arguments: str | Path) -> tuple[str, ...]:
    program = Path(sysconfig.get_path("scripts"), "twistd")
    return (str(program), "--nodaemon", "--pidfile=", *map(str, arguments))


def _asyncio(loop: str) -> tuple[str, ...]:
    return (sys.executable, str(APPLICATIONS / "asyncio_echo.py"), loop, str(PORT))


SERVERS: Final = {
    server.name: server
    for server in (
        Server(
            "xtcp-group",
            "XTCP, group protocol",
            twistd("xtcp"),
            partial(_configuration, 'protocol = "examples.echo.Echo"'),
        ),
        Server(
            "xtcp-protocol",
            "XTCP, ordinary Protocol",
            twistd("xtcp"),
            partial(_configuration, 'factory = "benchmarks.applications.echo.EchoFactory"'),
        ),
        Server("responder", "bare responder (the ceiling)", program="echo_responder", device=True),
        Server("epoll", "epoll server in C", (str(PORT),), program="echo_kernel"),
        Server("uring", "io_uring server in C", (str(PORT),), program="echo_uring", libraries=("uring",)),
        Server("uvloop", "asyncio on uvloop", _asyncio("uvloop")),
        Server("asyncio-tuned", "asyncio, malloc tuned", _asyncio("asyncio"), environment=TUNED_MALLOC),
        Server("asyncio", "asyncio", _asyncio("asyncio")),
        Server(
            "twisted",
            "Twisted, epoll reactor",
            twistd("--reactor=epoll", "--python", APPLICATIONS / "epoll.tac"),
        ),
    )
}


def default_servers() -> list[str]:
    """All that can be measured here: with uvloop and with liburing only where they are installed."""
    there = {"uvloop": find_spec("uvloop"), "uring": LIBURING.exists()}
    return [name for name in SERVERS if there.get(name, True)]
