"""Addresses as Twisted shows them, and as a transport keeps them.

A transport must answer `getPeer` after its connection has left the engine, yet a
million of them must not keep address objects.  The peer is therefore kept as one
integer (32 bytes); local addresses are few and shared.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from twisted.internet.address import IPv4Address, IPv6Address

#: Set in a packed endpoint whose address is of IPv6 (above 128 address and 16 port bits).
_V6: Final = 1 << 144


def toTwisted(endpoint: tuple[str, int]) -> IPv4Address | IPv6Address:
    """``(host, port)`` of the engine as Twisted's address."""
    host, port = endpoint
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


def pack(endpoint: tuple[str, int]) -> int:
    """``(host, port)`` as one integer."""
    host, port = endpoint
    address = ipaddress.ip_address(host)
    return int(address) << 16 | port | (_V6 if address.version == 6 else 0)


def unpack(packed: int) -> tuple[str, int]:
    """The reverse of `pack`."""
    number = (packed & ~_V6) >> 16
    address = ipaddress.IPv6Address(number) if packed & _V6 else ipaddress.IPv4Address(number)
    return str(address), packed & 0xFFFF
