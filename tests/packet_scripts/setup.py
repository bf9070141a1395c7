"""The surroundings that a script asks for, as far as the engine has an answer to them.

A script says what it needs by `--name=value` lines, by sysctls in the names of
Linux or FreeBSD, and by socket options before listen().  What changes nothing
that can be seen here is passed over.  Own lines of this project are
`--group_NAME=VALUE`, any field of `GroupOptions`; `--accept=script`, the script
itself decides about each connection request; and `--acks=strict`, pure ACKs have
to come exactly when the script says, whatever the run tolerates otherwise.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import attrs

from xtcp_twisted.config import CONGESTION_CONTROLS, UNLIMITED, GroupOptions, KiB

from .script import Unsupported

#: Bytes that one connection may hold when the script does not say; what a Linux receiver shows.
RECEIVE_BUFFER: Final = 256 * KiB
#: A connection may hold this part of its pool's receive buffer ...
SHARE: Final = 64
#: ... which consists of chunks with room for so many bytes.
CHUNK: Final = 256
CHUNK_BYTES: Final = 244

_ADDRESSES: Final = {
    4: ("192.168.0.1", "192.0.2.1"),
    6: ("fd3d:a0b:17d6::1", "fd3d:fa7b:d17d::1"),
}
_SYSCTL: Final = re.compile(r"""(?:/proc/sys/)?((?:net|kern)[\w./]*)=("[^"]*"|'[^']*'|\S+)""")
#: Both systems number them alike.
_ECN_MODES: Final = {"0": "off", "1": "on", "2": "passive"}
_LINUX: Final = re.compile(r"\bnet[./]ipv4\b|defaults\.sh|set_sysctls")
_COUNT: Final = re.compile(r"grep -c '?(\w+)'?\s*\|\s*grep (\d+)")


@dataclass(slots=True)
class Setup:
    """What one script needs.

    :ivar port: of the engine's listening socket; `service`: of the peer's, that it connects to.
    :ivar receive_buffer: bytes that one connection may hold.
    :ivar tolerance: seconds by which a packet may be early or late.
    :ivar stretch: the same, as a part of the time since the line before.
    :ivar tick: seconds of one step of the engine's timestamps, as the script has it; 0: not compared.
    :ivar linux: the script speaks of Linux, whose TCP_INFO counts windows in segments.
    :ivar by_script: connection requests wait for the script's `xtcp_accept`.
    """

    local: str
    remote: str
    port: int = 8080
    service: int = 8080
    mtu: int = 1500
    receive_buffer: int = RECEIVE_BUFFER
    tolerance: float = 0.004
    stretch: float = 0.125
    tick: float = 0.0
    by_script: bool = False
    linux: bool = False
    strict_acks: bool = False
    strict_segments: bool = False
    group: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """Of the Internet Protocol: 4 or 6."""
        return ipaddress.ip_address(self.local).version

    @property
    def pool_size(self) -> int:
        """Bytes of a pool whose connections may hold `receive_buffer` bytes of payload each."""
        return SHARE * -(-self.receive_buffer // CHUNK_BYTES) * CHUNK

    def options(self) -> GroupOptions:
        """Of the group: classic acknowledgement, everybody accepted, unless the script says otherwise."""
        usual: dict[str, Any] = {"ack_policy": "immediate"}
        if not self.by_script:
            usual["accept_credits"] = UNLIMITED
        return GroupOptions(**(usual | self.group))

    def shell(self, text: str) -> None:
        """Take from a shell line the sysctls that mean something here."""
        self.linux = self.linux or bool(_LINUX.search(text))
        for name, value in _SYSCTL.findall(text):
            self._sysctl(name.replace("/", "."), value.strip("\"'`"))

    def _sysctl(self, name: str, value: str) -> None:
        if name == "net.ipv4.tcp_timestamps":
            self.group["timestamps"] = value != "0"
        elif name == "net.ipv4.tcp_window_scaling":
            self.group["window_scaling"] = value != "0"
        elif name == "net.inet.tcp.rfc1323":
            self.group["timestamps"] = self.group["window_scaling"] = value != "0"
        elif name in {"net.ipv4.tcp_sack", "net.inet.tcp.sack.enable"}:
            self.group["sack"] = value != "0"
        elif name in {"net.ipv4.tcp_ecn", "net.inet.tcp.ecn.enable"} and value in _ECN_MODES:
            self.group["ecn"] = _ECN_MODES[value]
        elif name == "net.ipv4.tcp_congestion_control" and value in CONGESTION_CONTROLS:
            self.group["congestion"] = value
        elif name == "net.inet.tcp.recvspace":
            # FreeBSD rounds up to whole segments.
            segment = self.mtu - (40 if self.version == 4 else 60)
            self.receive_buffer = -(-int(value) // segment) * segment

    def socket_option(self, name: str, value: int) -> bool:
        """Take a socket option that was set before listen(); whether it is one that has a meaning here."""
        if name in {"SO_RCVBUF", "SO_RCVBUFFORCE"}:
            self.receive_buffer = max(value, 4 * KiB)
        elif name == "TCP_MAXSEG":
            self.group["mss"] = value
        elif name in {"IP_TOS", "IPV6_TCLASS"}:
            self.group["dscp"] = value >> 2
        elif name in {"IP_TTL", "IPV6_UNICAST_HOPS"}:
            self.group["hop_limit"] = value
        elif name == "TCP_NODELAY":
            self.group["nagle"] = value == 0
        elif name == "TCP_USER_TIMEOUT":
            self.group["user_timeout_s"] = value / 1000
        else:
            return False
        return True


def setup_for(options: Mapping[str, str]) -> Setup:
    """The surroundings that the `--name=value` lines ask for.

    :raises Unsupported: addresses of two families.
    """
    local, remote = _ADDRESSES[6 if options.get("ip_version") == "ipv6" else 4]
    setup = Setup(_address(options.get("local_ip", local)), _address(options.get("remote_ip", remote)))
    if setup.version != ipaddress.ip_address(setup.remote).version:
        raise Unsupported("addresses of two families")
    setup.port = int(options.get("bind_port", setup.port))
    setup.service = int(options.get("connect_port", setup.service))
    setup.mtu = int(options.get("mtu", setup.mtu))
    setup.tolerance = float(options.get("tolerance_usecs", 4_000)) / 1e6
    setup.stretch = float(options.get("tolerance_percent", 12.5)) / 100
    setup.tick = float(options.get("tcp_ts_tick_usecs", 0)) / 1e6
    setup.strict_segments = "strict_segments" in options
    setup.strict_acks = options.get("acks") == "strict"
    setup.by_script = options.get("accept") == "script"
    fields = attrs.fields_dict(GroupOptions)
    for name, value in options.items():
        if name.startswith("group_"):
            key = name.removeprefix("group_")
            setup.group[key] = _like(fields[key].default, value)
    return setup


def _like(default: Any, value: str) -> Any:
    """`value` as a boolean, number or text: whatever the default is."""
    return value == "true" if isinstance(default, bool) else type(default)(value)


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text.strip('"').split("/")[0]))


def counted_states(text: str) -> tuple[str, int] | None:
    """The state and number that a line like `sockstat ... | grep -c TIME_WAIT | grep 1` looks for."""
    match = _COUNT.search(text)
    return (match[1], int(match[2])) if match else None
