"""The two servers of a run: ``twistd xtcp`` with a group protocol and console, and the bare responder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Final

from benchmarks import building
from benchmarks.servers import ROOT, ServerError
from xtcp_twisted.lab import CLIENT_ADDRESSES, ENGINE_ADDRESSES, Lab
from xtcp_twisted.lab.server import Server
from xtcp_twisted.link.tun import TunLink
from xtcp_twisted.reactor.settings import ConsoleSettings

PORT: Final = 7
#: Each has its own range of the clients' source ports.
TARGET: Final = f"10.77.1.1-10.77.1.80:{PORT}"
CONSOLE_PORT: Final = 8088
#: Packets that the device holds for the server: a storm of connection requests.
QUEUE_LENGTH: Final = 200_000
#: A server of very many clients trades some of their time for its processor's.
COALESCE_US: Final = 500
BUFFER: Final = "32 MiB"
#: Of the records, so many more than connections (a 32nd of them) are spare: closing ones, while others come.
SPARE_SHIFT: Final = 5


def configuration(connections: int) -> str:
    """The configuration file of the server."""
    return f"""\
[link]
addresses = {json.dumps(CLIENT_ADDRESSES)}
queue_length = {QUEUE_LENGTH}

[engine]
addresses = {json.dumps(ENGINE_ADDRESSES)}
max_connections = {1 << (connections + (connections >> SPARE_SHIFT)).bit_length()}
transmit_buffer = "{BUFFER}"
coalesce_us = {COALESCE_US}

[console]
port = {CONSOLE_PORT}

[[pool]]
name = "million"
receive_buffer = "{BUFFER}"

[[group]]
name = "echo"
port = {PORT}
protocol = "examples.echo.Echo"
"""


def xtcp(lab: Lab, connections: int) -> Server:
    """``twistd xtcp`` in the lab, once it answers; whoever asked for it stops it.

    :raises XTCPError: it does not come up.
    """
    path = lab.directory / "xtcp.toml"
    path.write_text(configuration(connections))
    console = ConsoleSettings(port=CONSOLE_PORT, token_file=str(lab.directory / "console-token"))
    server = Server(lab, path, imports=[ROOT], console=console, inside=True)
    server.start()
    return server


@contextlib.contextmanager
def responder(lab: Lab) -> Iterator[int]:
    """The bare responder in the lab; its process id.

    :raises ServerError: it cannot be compiled, or has died meanwhile.
    """
    try:
        program = building.program("echo_responder", [building.PROGRAMS / "echo_responder.c"], *building.FAST)
    except building.BuildError as error:
        raise ServerError(str(error)) from None
    TunLink(
        lab.device, addresses=lab.addresses, namespace=lab.path, queue_length=QUEUE_LENGTH, persist=True
    ).close()
    process = lab.popen([str(program), lab.device])
    try:
        yield process.pid
        if process.poll() is not None:
            raise ServerError("the bare responder died")
    finally:
        process.terminate()
        process.wait()
