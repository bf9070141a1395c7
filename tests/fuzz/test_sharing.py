"""Groups of one port that come, go, change and take requests in any order: nothing is left."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.leaks import assert_no_leaks
from support.net import V4, V6, Net

from xtcp_twisted.config import PRIORITIES, UNLIMITED, GroupOptions
from xtcp_twisted.engine import Group
from xtcp_twisted.errors import AddressInUse, NothingPending, PoolExhausted

pytestmark = pytest.mark.feature("P06")

DOMAINS = [socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC]

options = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.sampled_from(PRIORITIES),
        "accept_credits": st.sampled_from([0, 1, 3, UNLIMITED]),
        "accept_rate": st.sampled_from([0, 2, 1_000]),
        "fast_open": st.sampled_from([0, 1, 5]),
        "weight": st.sampled_from([1, 8]),
    },
)
which = st.integers(0, 3)
opens = st.tuples(st.just("open"), st.sampled_from(DOMAINS), options)
steps = st.one_of(
    opens,
    st.tuples(st.just("request"), st.booleans(), st.booleans()),
    st.tuples(st.just("request"), st.booleans(), st.booleans()),
    st.tuples(st.just("change"), which, options),
    st.tuples(st.just("credit"), which, st.sampled_from([0, 1, UNLIMITED])),
    st.tuples(st.sampled_from(["accept", "refuse", "stop", "listen", "close"]), which, which),
    st.tuples(st.just("pause"), st.sampled_from([0.001, 0.3, 1.0, 5.0]), which),
)


class Port:
    """The groups of port 7, and strangers who ask for connections."""

    def __init__(self) -> None:
        self.net = Net(max_connections=16, max_half_open=16)
        self.groups: list[Group] = []
        self.cookies: dict[bool, bytes] = {}

    def open(self, domain: int, chosen: dict[str, Any]) -> None:
        if len(self.groups) < 4:
            made = self.net.pool.open_group(7, domain=domain, share=True, options=GroupOptions(**chosen))
            self.groups.append(made)

    def request(self, v6: bool, fast: bool) -> None:
        peer = self.net.client(ip="2001:db8:c::7" if v6 else None, server=V6 if v6 else V4)
        known = self.cookies.get(v6, b"")
        peer.syn(cookie=known if fast else None, data=b"request" if fast and known else b"")
        self.net.turn()
        for answer in peer.take():
            if answer.cookie:
                self.cookies[v6] = answer.cookie

    def call(self, what: str, group: Group, argument: Any) -> None:
        if what == "change":
            group.set_options(**argument)
        elif what == "credit":
            group.credit(argument)
        elif what == "accept":
            group.accept(into=self.groups[argument % len(self.groups)])
        elif what == "refuse":
            for pending_id, _ in group.pending(1):
                group.refuse(pending_id)
        elif what == "listen":
            group.listen()
        elif what == "stop":
            group.stop_listening()
        else:
            self.groups.remove(group)
            group.close()

    def step(self, what: str, first: Any, second: Any) -> None:
        if what == "open":
            self.open(first, second)
        elif what == "request":
            self.request(first, second)
        elif what == "pause":
            # It says so when the engine asks for turns without end.
            self.net.advance(first)
        elif self.groups:
            try:
                self.call(what, self.groups[first % len(self.groups)], second)
            except (AddressInUse, NothingPending, PoolExhausted):
                pass
        self.net.turn()


@settings(deadline=None)
@example(
    first=[
        ("open", socket.AF_INET, {}),
        ("open", socket.AF_INET6, {"accept_credits": UNLIMITED, "accept_rate": 1_000}),
    ],
    story=[("request", False, False)],
)
@given(st.lists(opens, min_size=2, max_size=3), st.lists(steps, max_size=25))
def test_any_order_of_calls_and_requests(
    first: list[tuple[str, Any, Any]], story: list[tuple[str, Any, Any]]
) -> None:
    port = Port()
    for step in first + story:
        port.step(*step)
        for group in port.groups:
            pending = group.pending()
            assert group.waiting == len(pending), "what is counted can be listed"
            assert len({pending_id for pending_id, _ in pending}) == len(pending), "each of them once"
    assert_no_leaks(port.net)
    port.net.close()
