"""Addresses as Twisted shows them.

They are made when somebody asks: a million connections must not keep such objects.
Local addresses are few and shared.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address


def toTwisted(endpoint: tuple[str, int]) -> IPv4Address | IPv6Address:
    """``(host, port)`` of the engine as Twisted's address."""
    host, port = endpoint
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)
