"""The other ends of the stream that are compared, and how each is started inside a lab.

Three modes, by the way that packets go: over a TUN device as they are, over one
with the virtio header (whole super-segments, checksums left to the kernel), and
over the loopback device from socket to socket.  On a TUN device the bare responder
is the ceiling; it does nothing with the payload.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from benchmarks import building
from benchmarks.servers import APPLICATIONS, lay_device, serving, twistd
from xtcp_twisted.lab import CLIENT_ADDRESSES, ENGINE_ADDRESSES, ENGINE_V4, Lab
from xtcp_twisted.reactor.settings import LinkSettings

USAGE: Final = Path(__file__).parent.parent / "generator" / "usage.c"
#: The discard and the generator service, as in programs/bulk.h.
PORTS: Final = (9, 19)
LOOPBACK: Final = "127.0.0.1"

PLAIN: Final = "plain"
HEADER: Final = "header"
SOCKETS: Final = "sockets"
MODES: Final = {
    PLAIN: "TUN device, no virtio header",
    HEADER: "TUN device with the virtio header",
    SOCKETS: "kernel TCP on loopback",
}
#: The key of ``[link]`` that switches the virtio header on.
HEADER_KEY: Final = "offload"


def build(name: str) -> Path:
    """Compile one of the programs; raises `building.BuildError`."""
    sources = [building.PROGRAMS / f"{name}.c"]
    if name == "stream":
        sources.append(USAGE)
    return building.program(name, sources, *building.FAST, f"-I{USAGE.parent}")


@attrs.frozen
class Side:
    """One kind of server.

    :ivar command: makes its command line, in this lab.
    :ivar device: whether it finds a TUN device in the lab, with addresses.
    """

    name: str
    label: str
    mode: str
    command: Callable[[Lab], list[str]]
    device: bool = False

    @property
    def address(self) -> str:
        """Where the client connects."""
        return LOOPBACK if self.mode == SOCKETS else ENGINE_V4

    @property
    def missing(self) -> str:
        """Why it cannot be measured; empty if it can."""
        if self.name.startswith("xtcp") and self.mode == HEADER and not _knows_header():
            return f"XTCP's TUN link has no option {HEADER_KEY} yet"
        return ""

    @contextlib.contextmanager
    def running(self, lab: Lab, core: int | None) -> Iterator[int]:
        """Run it in `lab`, pinned to processor `core`; gives its process id once it answers.

        :raises ServerError: it does not come up.
        """
        if self.device:
            lay_device(lab)
        with serving(lab, self.command(lab), partial(_takes_bytes, lab, self.address), core) as pid:
            yield pid


def _knows_header() -> bool:
    return HEADER_KEY in {field.name for field in attrs.fields(LinkSettings)}


def _takes_bytes(lab: Lab, address: str) -> bool:
    with lab.call(socket.create_connection, (address, PORTS[0]), timeout=1) as probe:
        probe.shutdown(socket.SHUT_WR)
        return probe.recv(64) in (b"", b"0\n")


def _xtcp(kind: str, mode: str, lab: Lab) -> list[str]:
    """``twistd xtcp`` with two groups."""
    names = ("DiscardGroup", "GenerateGroup") if kind == "group" else ("Discard", "Generate")
    settings = lab.directory / "xtcp.toml"
    groups = "".join(
        f'[[group]]\nname = "{name}"\nport = {port}\nprotocol = "benchmarks.applications.streams.{name}"\n'
        for name, port in zip(names, PORTS, strict=True)
    )
    settings.write_text(
        f"[link]\naddresses = {json.dumps(CLIENT_ADDRESSES)}\n"
        + (f"{HEADER_KEY} = true\n" if mode == HEADER else "")
        + f"[engine]\naddresses = {json.dumps(ENGINE_ADDRESSES)}\n"
        f'[[pool]]\nname = "bulk"\n{groups}'
    )
    return [*twistd("xtcp"), f"--config={settings}"]


def _responder(mode: str, lab: Lab) -> list[str]:
    return [str(build("responder")), lab.device, mode]


def _twisted(lab: Lab) -> list[str]:
    return list(twistd("--reactor=epoll", "--python", APPLICATIONS / "streams.tac"))


def _kernel(lab: Lab) -> list[str]:
    return [str(build("kernel"))]


def _tun_sides(mode: str) -> tuple[Side, ...]:
    return (
        Side(f"xtcp-protocol-{mode}", "XTCP, ordinary Protocol", mode, partial(_xtcp, "protocol", mode)),
        Side(f"xtcp-group-{mode}", "XTCP, group protocol", mode, partial(_xtcp, "group", mode)),
        Side(f"responder-{mode}", "bare responder (the ceiling)", mode, partial(_responder, mode), True),
    )


SIDES: Final = {
    side.name: side
    for side in (
        *_tun_sides(PLAIN),
        *_tun_sides(HEADER),
        Side("twisted", "Twisted, ordinary Protocol", SOCKETS, _twisted),
        Side("kernel", "server in C", SOCKETS, _kernel),
    )
}
