"""Which groups a tick shows, and when a page is out of date."""

from __future__ import annotations

import pytest
from support.net import Net
from support.watched import Watched

from xtcp_console.shown import GROUPS_SHOWN, RANKING_S
from xtcp_twisted.engine import Group


@pytest.fixture
def watched(net: Net) -> Watched:
    return Watched(net)


def crowd(net: Net, groups: int) -> list[Group]:
    """Groups of which the later ones have a connection each."""
    opened = [net.group(1_000 + n) for n in range(groups)]
    for group in opened[10:]:
        net.client(group).established()
    return opened


def test_the_layout_is_another_one_when_a_group_or_pool_comes_or_goes(watched: Watched) -> None:
    net = watched.net
    layouts = []

    def seen() -> None:
        watched.seconds(1)
        layout = watched.tick.layout
        watched.seconds(1)
        assert watched.tick.layout == layout, "nothing has changed"
        layouts.append(layout)

    group = net.group(7)
    seen()
    second = net.group(8)
    seen()
    pool = net.engine.create_pool(1 << 20)
    seen()
    second.close()
    seen()
    pool.close()
    seen()
    group.close()
    net.group(7)
    seen()
    assert layouts[4] == layouts[0], "all is as it was"
    assert len(set(layouts)) == 5, "but a group that was opened anew is another one"
    net.engine.create_pool(1 << 20, name="im")
    seen()
    net.engine.pools()[-1].close()
    net.engine.create_pool(1 << 20, name="im")
    seen()
    assert layouts[-1] != layouts[-2], "and so is a pool"


def test_the_layout_does_not_change_with_figures(watched: Watched) -> None:
    group = watched.net.group(7)
    watched.seconds(1)
    layout = watched.tick.layout
    watched.net.client(group).established().exchange(b"request", b"answer")
    watched.seconds(1)
    assert watched.tick.layout == layout


def test_all_groups_are_shown_when_they_are_few(watched: Watched) -> None:
    opened = crowd(watched.net, GROUPS_SHOWN)
    watched.seconds(1)
    assert list(watched.tick.groups) == [str(group.row) for group in opened]


def test_of_many_groups_those_with_most_connections(watched: Watched) -> None:
    net = watched.net
    opened = crowd(net, GROUPS_SHOWN + 10)
    watched.pass_by(0.5)
    for group in (opened[0], opened[-1]):
        net.client(group).asked()
    net.client(opened[-1]).established().send(b"unread")
    net.turn()
    watched.pass_by(0.5)
    tick = watched.tick
    assert list(tick.groups) == [str(group.row) for group in opened[10:]]
    assert tick.group_count == GROUPS_SHOWN + 10
    assert (tick.pending, tick.readable) == (2, 1), "of all groups, shown or not"
    [pool] = tick.pools.values()
    assert (pool.groups, pool.connections) == (GROUPS_SHOWN + 10, GROUPS_SHOWN + 1)


def test_the_choice_is_made_anew_now_and_then(watched: Watched) -> None:
    """Not with each change of rank: a page would have to be loaded again every second."""
    net = watched.net
    opened = crowd(net, GROUPS_SHOWN + 10)
    watched.seconds(1)
    first = watched.tick
    for _ in range(2):
        net.client(opened[0]).established()
    watched.seconds(5)
    assert watched.tick.layout == first.layout
    assert str(opened[0].row) not in watched.tick.groups
    watched.seconds(int(RANKING_S))
    assert watched.tick.layout != first.layout
    assert str(opened[0].row) in watched.tick.groups
    assert len(watched.tick.groups) == GROUPS_SHOWN


def test_a_group_that_closes_makes_room_at_once(watched: Watched) -> None:
    net = watched.net
    opened = crowd(net, GROUPS_SHOWN + 10)
    watched.seconds(1)
    net.client(opened[3]).established()
    opened[20].close(abort=True)
    watched.seconds(1)
    assert str(opened[3].row) in watched.tick.groups
    assert str(opened[20].row) not in watched.tick.groups
    assert len(watched.tick.groups) == GROUPS_SHOWN


def test_a_group_has_its_rate_as_soon_as_it_is_shown(watched: Watched) -> None:
    net = watched.net
    opened = crowd(net, GROUPS_SHOWN + 10)
    clients = [net.client(opened[0]).established() for _ in range(2)]
    watched.seconds(1, lambda: clients[0].exchange(b"request", b"answer"))
    assert watched.tick.groups[str(opened[0].row)].requests_per_s == 1
