"""Who the peer is, as Twisted shows it, after its connection has left the engine, too."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address

from xtcp_twisted.engine.numbers import Numbers
from xtcp_twisted.reactor.addresses import toTwisted


def is_mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """No peer has such an address: it stands for one of IPv4."""
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


@given(st.ip_addresses().filter(lambda address: not is_mapped(address)), st.integers(0, 65_535))
def test_there_and_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    assert Numbers(1, (str(address), port), 0, 0)._peer == (str(address), port)


@pytest.mark.parametrize("host", ["0.0.0.0", "255.255.255.255", "::", "::1"])
def test_the_edges(host: str) -> None:
    numbers = Numbers((1 << 63) - 1, (host, 65_535), 0xFFFF, 0xFFFF_FFFF)
    assert numbers._peer == (host, 65_535)
    assert (numbers.cd, numbers._flags, numbers.sessionno) == ((1 << 63) - 1, 0xFFFF, 0xFFFF_FFFF)


def test_as_twisted_has_them() -> None:
    assert toTwisted(("10.0.0.1", 5)) == IPv4Address("TCP", "10.0.0.1", 5)
    assert toTwisted(("fd77::1", 5)) == IPv6Address("TCP", "fd77::1", 5)
