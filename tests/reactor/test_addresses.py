"""A peer in one integer."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address

from xtcp_twisted.reactor.addresses import pack, toTwisted, unpack


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_there_and_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    assert unpack(pack((str(address), port))) == (str(address), port)


@pytest.mark.parametrize("host", ["0.0.0.0", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1"])
def test_the_edges(host: str) -> None:
    back, port = unpack(pack((host, 65_535)))
    assert (ipaddress.ip_address(back), port) == (ipaddress.ip_address(host), 65_535)


def test_as_twisted_has_them() -> None:
    assert toTwisted(("10.0.0.1", 5)) == IPv4Address("TCP", "10.0.0.1", 5)
    assert toTwisted(("fd77::1", 5)) == IPv6Address("TCP", "fd77::1", 5)
