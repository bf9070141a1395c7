"""Presence after RFC 2778: presentities, fetchers, subscribers, notifications, rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from examples.chat import presence
from tests.chat.conftest import Scene

pytestmark = pytest.mark.feature("P36")


def test_a_fetcher_asks_once(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    assert bob.says("/fetch ada") == ["~ ada is OPEN"]
    ada.says("/away")
    assert bob.hears() == []
    assert bob.says("/fetch ada") == ["~ ada is OPEN, away"]
    assert bob.says("/fetch nobody") == ["~ nobody is CLOSED"]
    assert bob.says("/fetch") == ["* you subscribe to nobody: /subscribe NAME, or /fetch NAME"]
    assert bob.says("/fetch a b") == ["! a name has 1 to 32 bytes: letters, digits, _ and -"]


def test_a_subscriber_is_notified_of_each_change(scene: Scene) -> None:
    ada, bob, eve = scene.users("ada", "bob", "eve")
    assert bob.says("/subscribe ada") == ["* you subscribe to ada", "~ ada is OPEN"]
    assert ada.says("/away at lunch") == ["* ada is OPEN, away: at lunch"]
    assert bob.hears() == ["~ ada is OPEN, away: at lunch"]
    assert ada.says("/away at lunch") == ["* ada is OPEN, away: at lunch"]
    assert bob.hears() == [], "nothing has changed"
    assert ada.says("/busy") == ["* ada is CLOSED, busy"]
    assert bob.hears() == ["~ ada is CLOSED, busy"]
    assert ada.says("/back") == ["* ada is OPEN"]
    assert bob.hears() == ["~ ada is OPEN"]
    assert eve.hears() == []
    assert ada.says("/busy " + "x" * 81) == ["! a note has at most 80 bytes"]


def test_one_may_wait_for_somebody_who_is_not_here(scene: Scene) -> None:
    bob = scene.user("bob")
    assert bob.says("/subscribe ada") == ["* you subscribe to ada", "~ ada is CLOSED"]
    ada = scene.user("Ada")
    assert bob.hears() == ["~ Ada is OPEN", "* Ada has joined #lobby"]
    ada.says("/quit")
    assert bob.hears() == ["* Ada has left #lobby", "~ Ada is CLOSED"]
    scene.user("ada")
    assert bob.hears()[0] == "~ ada is OPEN"


def test_another_name_is_another_presentity(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    bob.says("/subscribe ada")
    bob.says("/subscribe eve")
    ada.says("/away thinking")
    bob.hears()
    ada.says("/nick eve")
    assert bob.hears() == ["~ ada is CLOSED", "~ eve is OPEN, away: thinking", "* ada is now eve"]
    assert bob.says("/fetch") == ["~ ada is CLOSED", "~ eve is OPEN, away: thinking"]


def test_a_closed_instant_inbox_takes_nothing(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    ada.says("/busy exam")
    assert bob.says("/msg ada hi") == ["! not sent: ada is CLOSED, busy: exam"]
    assert ada.hears() == []
    ada.says("/away soon back")
    assert bob.says("/msg ada hi") == ["* sent to ada, who is away: soon back"]
    assert ada.hears() == ["-bob- hi"]


def test_watcher_information(scene: Scene) -> None:
    ada, bob, eve = scene.users("ada", "bob", "eve")
    assert ada.says("/watchers") == ["* no subscribers; fetched 0 times"]
    bob.says("/subscribe ada")
    eve.says("/subscribe ada")
    eve.says("/fetch ada")
    assert ada.says("/watchers") == ["* 2 subscribers: bob, eve; fetched 1 time"]
    eve.says("/quit")
    ada.hears()
    assert ada.says("/watchers") == ["* 1 subscriber: bob; fetched 1 time"]


def test_subscriptions_end(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    bob.says("/subscribe ada")
    assert bob.says("/subscribe ada") == ["! you have subscribed to ada already"]
    assert bob.says("/unsubscribe ada") == ["* you do not subscribe to ada any more"]
    assert bob.says("/unsubscribe ada") == ["! you do not subscribe to ada; /fetch shows to whom you do"]
    ada.says("/away")
    assert bob.hears() == []


def test_whoever_is_blocked_finds_one_closed(scene: Scene) -> None:
    """Delivery and access rules; that there is one is not to be seen, not even from the end."""
    ada, eve, bob = scene.users("ada", "eve", "bob")
    eve.says("/subscribe ada")
    bob.says("/subscribe ada")
    assert ada.says("/block eve") == ["* you are CLOSED for eve"]
    assert ada.says("/block eve") == ["! you block eve already"]
    assert eve.says("/fetch ada") == ["~ ada is CLOSED"]
    assert eve.says("/msg ada hi") == ["! not sent: ada is CLOSED"]
    ada.says("/away")
    assert (eve.hears(), bob.hears()) == ([], ["~ ada is OPEN, away"])
    assert ada.says("/unblock eve") == ["* you do not block eve any more"]
    assert ada.says("/unblock eve") == ["! you do not block eve"]
    assert eve.says("/fetch ada") == ["~ ada is OPEN, away"]
    ada.says("/block eve")
    ada.says("/quit")
    assert eve.hears() == ["* ada has left #lobby"]
    assert bob.hears() == ["* ada has left #lobby", "~ ada is CLOSED"]


@pytest.mark.parametrize("command", ["/subscribe", "/block"])
def test_names_that_nobody_has_leave_room_for_those_who_come(
    make_scene: Callable[..., Scene], command: str
) -> None:
    """One person wants as many as there may be; everybody still finds a name."""
    scene = make_scene(people=4)
    ada = scene.user("ada")
    for i in range(4):
        assert not ada.says(f"{command} absent{i}")[0].startswith("!")
    assert ada.says(f"{command} absent4") == ["! there is no room for another name"]
    for name in ("bob", "eve"):
        scene.user(name)
    ada.hears()
    assert ada.says("/nick zoe")[0] == "* you are zoe"
    ada.says("/quit")
    bob = scene.user("ada")
    assert bob.says(f"{command} absent9")[0].startswith("*"), "what nobody wants any more has gone"


def test_subscriptions_have_bounds(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MAX_WATCHED", 1)
    monkeypatch.setattr(presence, "MAX_WATCHERS", 1)
    ada, bob = scene.users("ada", "bob")
    ada.says("/subscribe eve")
    assert ada.says("/subscribe bob") == ["! you have 1 subscriptions; /unsubscribe from one first"]
    assert bob.says("/subscribe eve") == ["! eve has 1 subscribers, which is all that one may have"]
    ada.says("/block eve")
    assert ada.says("/block bob") == ["! you block 1 names; /unblock one first"]


@pytest.mark.parametrize(
    "command", ["subscribe", "unsubscribe", "fetch", "watchers", "away", "busy", "back", "block"]
)
def test_presence_is_for_those_with_a_name(scene: Scene, command: str) -> None:
    assert scene.user().says(f"/{command} ada") == ["! take a name first: /nick NAME"]
