"""The cookies of TCP Fast Open and their keys (P38; RFC 7413)."""

from __future__ import annotations

from typing import Any

import pytest
from support.fast_open import END, REQUEST, cookie_for, served
from support.net import MakeNet, Net
from support.packets import EXPERIMENT, FAST_OPEN

from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.errors import ConfigurationError, LocalError

pytestmark = pytest.mark.feature("P38")


class TestCookie:
    @pytest.mark.requirement("RFC 7413 4.1.2")
    def test_it_is_that_of_the_addresses(self, net: Net) -> None:
        group, other = served(net), served(net, 8)
        cookie = cookie_for(net, group)
        assert len(cookie) == 8
        assert cookie_for(net, group) == cookie == cookie_for(net, other)
        assert cookie_for(net, group, ip="198.51.100.8") != cookie
        assert cookie_for(net, served(net, 9, v6=True)) != cookie

    @pytest.mark.parametrize("length", [4, 6, 8, 10, 16])
    def test_a_wrong_one_is_an_ordinary_handshake_and_brings_a_good_one(self, net: Net, length: int) -> None:
        group = served(net)
        good = cookie_for(net, group)
        client = net.client(group)
        client.syn(cookie=bytes(length), data=REQUEST)
        net.turn()
        assert client.expect("SA", seq=0, ack=1).cookie == good
        assert group.recv(100) is None
        client.send(REQUEST, seq=1)
        net.turn()
        received = group.recv(100)
        assert received is not None and received[1] == REQUEST
        assert net.counters()["TCPFastOpenPassiveFail"] == 1

    @pytest.mark.requirement("RFC 7413 4.1.1")
    @pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 9, 15, 17, 18])
    @pytest.mark.parametrize("kind", [FAST_OPEN, EXPERIMENT])
    def test_one_of_an_impossible_length_is_no_option(self, net: Net, length: int, kind: int) -> None:
        client = net.client(served(net), timestamps=False, wscale=None)
        client.syn(cookie=bytes(length), kind=kind, data=REQUEST)
        net.turn()
        assert client.expect("SA", ack=1).cookie is None

    def test_the_older_option_does_as_well(self, net: Net) -> None:
        group = served(net)
        cookie = cookie_for(net, group)
        client = net.client(group)
        client.syn(cookie=b"", kind=EXPERIMENT)
        net.turn()
        syn_ack = client.expect("SA", ack=1)
        assert syn_ack.cookie == cookie and FAST_OPEN not in syn_ack.options
        client = net.client(group)
        client.syn(cookie=cookie, kind=EXPERIMENT, data=REQUEST)
        net.turn()
        assert client.expect("SA", ack=END).cookie is None

    @pytest.mark.requirement("RFC 7413 6.1")
    def test_without_the_groups_option_there_is_none(self, net: Net) -> None:
        group = net.group(7, accept_credits=UNLIMITED)
        for cookie in (b"", bytes(8)):
            client = net.client(group)
            client.syn(cookie=cookie, data=REQUEST if cookie else b"")
            net.turn()
            assert client.expect("SA", ack=1).cookie is None
        assert not any(value for name, value in net.counters().items() if "FastOpen" in name)

    def test_it_counts_on_syns_only(self, net: Net) -> None:
        group = served(net)
        client = net.client(group).established()
        client.send(b"x", options=[(FAST_OPEN, bytes(8)), *client._options()])
        net.turn()
        assert group.recv(10) == (client.cd, b"x")


class TestKeys:
    @pytest.mark.requirement("RFC 7413 5.1")
    def test_after_two_lifetimes_a_cookie_is_worth_nothing(self, make_net: MakeNet) -> None:
        net = make_net(fast_open_key_s=100)
        group = served(net)
        old = cookie_for(net, group)
        net.advance(110)
        new = cookie_for(net, group)
        assert new != old
        client = net.client(group)
        client.syn(cookie=old, data=REQUEST)
        net.turn()
        assert client.expect("SA", ack=END).cookie == new, "that of the key before is taken, and replaced"
        assert net.counters()["TCPFastOpenPassiveAltKey"] == 1
        net.advance(100)
        client = net.client(group)
        client.syn(cookie=old, data=REQUEST)
        net.turn()
        assert client.expect("SA", ack=1).cookie not in (None, old, new)

    def test_after_a_long_rest_too(self, make_net: MakeNet) -> None:
        net = make_net(fast_open_key_s=100)
        group = served(net)
        old = cookie_for(net, group)
        net.advance(250)
        client = net.client(group)
        client.syn(cookie=old, data=REQUEST)
        net.turn()
        client.expect("SA", ack=1)

    def test_by_a_call(self, make_net: MakeNet) -> None:
        net = make_net(fast_open_key_s=0)
        group = served(net)
        first = cookie_for(net, group)
        net.advance(10_000)
        assert cookie_for(net, group) == first
        net.engine.rotate_fast_open_key()
        assert cookie_for(net, group) != first
        net.engine.rotate_fast_open_key()
        client = net.client(group)
        client.syn(cookie=first, data=REQUEST)
        net.turn()
        client.expect("SA", ack=1)

    def test_engines_that_share_a_key_share_cookies(self, make_net: MakeNet) -> None:
        cookies = []
        for seed in (1, 2):
            net = make_net(seed=seed, fast_open_key_s=0)
            net.engine.rotate_fast_open_key(b"sixteen bytes !!")
            net.engine.rotate_fast_open_key(b"sixteen bytes !!")
            cookies.append(cookie_for(net, served(net)))
        assert cookies[0] == cookies[1]

    @pytest.mark.parametrize("key", [b"", b"short", bytes(17), "sixteen letters!", 5])
    def test_a_wrong_key_changes_nothing(self, net: Net, key: Any) -> None:
        group = served(net)
        cookie = cookie_for(net, group)
        with pytest.raises(LocalError, match="16 random bytes"):
            net.engine.rotate_fast_open_key(key)
        assert cookie_for(net, group) == cookie

    @pytest.mark.requirement("RFC 7413 6.1")
    @pytest.mark.parametrize("limit", [-1, 70_000, 1.5, True, "on"])
    def test_the_option_is_checked(self, net: Net, limit: Any) -> None:
        with pytest.raises(ConfigurationError, match="fast_open"):
            served(net, fast_open=limit)
