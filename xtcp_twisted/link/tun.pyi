from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface
from os import PathLike

from xtcp_twisted.link.base import Link

class TunLink(Link):
    name: str
    created: bool
    io_uring: bool
    def __init__(
        self,
        name: str,
        *,
        addresses: Iterable[str] = (),
        mtu: int = 1500,
        namespace: str | PathLike[str] | int | None = None,
        owner: str | int | None = None,
        queue_length: int = 10_000,
        persist: bool = False,
        offload: bool = False,
        io_uring: bool = True,
    ) -> None: ...
    def host_addresses(self) -> list[IPv4Interface | IPv6Interface]: ...
    def is_up(self) -> bool: ...
