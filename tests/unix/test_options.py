"""Options of a Unix-socket group that change while it has connections (P05, P31)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unix.conftest import World
from xtcp_twisted.config import UNLIMITED
from xtcp_twisted.engine.kinds import EventKind
from xtcp_twisted.errors import ConfigurationError, GroupClosed

pytestmark = pytest.mark.feature("P05", "P31")


def test_a_user_timeout_holds_for_who_is_stalled_already(world: World) -> None:
    group = world.group(user_timeout_s=0)
    _, cd = world.connected(group)
    while group.send(cd, bytes(50_000)):
        world.net.flush()
    world.net.advance(100)
    assert world.net.take_events(EventKind.DOWN) == []
    group.set_options(user_timeout_s=60)
    world.net.advance(10)
    assert [event[2] for event in world.net.take_events(EventKind.DOWN)] == [cd]


def test_a_weight_holds_for_who_is_connected(world: World) -> None:
    group = world.group()
    _, cd = world.connected(group)
    small = group.send(cd, bytes(1 << 20))
    group.set_options(weight=2)
    assert small < group.send(cd, bytes(1 << 20)) + small <= 2 * small
    assert group.options.weight == 2


def test_credits_are_replaced(world: World) -> None:
    group = world.group(accept_credits=0)
    for _ in range(5):
        world.client(group)
    world.net.turn()
    assert (len(group), len(group.pending())) == (0, 5)
    group.set_options(accept_credits=3)
    assert (len(group), len(group.pending())) == (3, 2)
    group.set_options(accept_credits=UNLIMITED)
    assert (len(group), len(group.pending())) == (5, 0)


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"weight": 0}, "weight: 0 is not allowed"),
        ({"wait": 3}, "'wait': no such option; there are: ack_policy"),
        ({"weight": 2, "wait": 3}, "'wait': no such option"),
        ({"dscp": 64}, "dscp: 64 is not allowed"),
    ],
)
def test_what_is_wrong_changes_nothing(world: World, wrong: dict[str, Any], why: str) -> None:
    group = world.group()
    before = group.options
    with pytest.raises(ConfigurationError, match=why):
        group.set_options(**wrong)
    assert group.options == before


def test_a_closed_group_has_no_options_to_set(world: World) -> None:
    group = world.group()
    group.close()
    with pytest.raises(GroupClosed):
        group.set_options(weight=2)
