"""What is said to the kernel by netlink about a device: its addresses, sizes and state.

Importing this imports pyroute2, which takes 25 MB; import it where a device
must be configured or asked, and not before.  Each function works in the network
namespace of the thread that calls it.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from pyroute2 import IPRoute, NetlinkError

from xtcp_twisted.errors import ConfigurationError, LinkError

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface

# linux/if_link.h
IN6_ADDR_GEN_MODE_NONE: Final = 1
# linux/if_addr.h
IFA_F_NODAD: Final = 2


def configure(name: str, index: int, addresses: Iterable[Address], mtu: int, queue_length: int) -> None:
    """Give the new device `index` its MTU, queue length and addresses, and bring it up.

    :raises ConfigurationError: the kernel refuses an address.
    :raises LinkError: it refuses something else.
    """
    with IPRoute() as netlink:
        try:
            netlink.link("set", index=index, mtu=mtu, txqlen=queue_length)
            _without_link_local(netlink, index)
            for address in addresses:
                _add_address(netlink, index, address)
            netlink.link("set", index=index, state="up")
        except NetlinkError as error:
            raise LinkError(f"{name}: the kernel refuses the configuration: {error.args[1]}") from error


def host_addresses(index: int) -> list[Address]:
    """The kernel's own addresses on device `index`."""
    with IPRoute() as netlink:
        return [
            ipaddress.ip_interface((row.get("IFA_LOCAL") or row.get("IFA_ADDRESS"), row["prefixlen"]))
            for row in netlink.get_addr(index=index)
        ]


def _without_link_local(netlink: Any, index: int) -> None:
    """No link-local address, hence no router solicitations into the engine."""
    mode = ["IFLA_INET6_ADDR_GEN_MODE", IN6_ADDR_GEN_MODE_NONE]
    family = ["AF_INET6", {"attrs": [mode]}]
    try:
        netlink.link("set", index=index, IFLA_AF_SPEC={"attrs": [family]})
    except NetlinkError as error:
        # A kernel without IPv6 makes no such address either.
        if error.code not in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
            raise


def _add_address(netlink: Any, index: int, address: Address) -> None:
    """An address that may be used at once: nobody else on this link could have it, so nobody is asked."""
    flags = IFA_F_NODAD if address.version == 6 else 0
    try:
        netlink.addr(
            "add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, flags=flags
        )
    except NetlinkError as error:
        raise ConfigurationError(f"addresses: the kernel refuses {address}: {error.args[1]}") from error
