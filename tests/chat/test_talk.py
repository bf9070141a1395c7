"""Names, instant messages and rooms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from examples.chat import rooms
from examples.chat.commands import Command
from examples.chat.lines import MAX_LINE, notice
from tests.chat.conftest import Scene
from tests.reactor.conftest import Logged

pytestmark = pytest.mark.feature("P36")


def test_everybody_in_the_room_hears_what_is_said(scene: Scene) -> None:
    ada, bob, eve = scene.users("ada", "bob", "eve")
    assert ada.says("hello") == ["* said to 2"]
    assert bob.hears() == eve.hears() == ["#lobby <ada> hello"]
    assert ada.hears() == []


def test_the_first_ones_are_told_who_comes_and_goes(scene: Scene) -> None:
    ada, bob = scene.user("ada"), scene.user("bob")
    assert ada.hears() == ["* bob has joined #lobby"]
    assert bob.says("/nick Robert")[0] == "* you are Robert"
    assert ada.hears() == ["* bob is now Robert"]
    assert bob.says("/quit") == ["* goodbye"]
    assert ada.hears() == ["* Robert has left #lobby"]
    assert ada.says("/who") == ["* 1 in #lobby: ada"]


def test_names(scene: Scene) -> None:
    ada, bob = scene.user("ada"), scene.user()
    assert bob.says("hello") == ["! take a name first: /nick NAME"]
    assert bob.says("/msg ada hello") == ["! take a name first: /nick NAME"]
    (refused,) = bob.says("/nick ADA")
    assert refused == "! ADA is taken; whoever it belongs to has a key: /nick ADA KEY"
    assert bob.says("/nick") == ["! a name has 1 to 32 bytes: letters, digits, _ and -"]
    bob.takes("bob")
    assert ada.hears() == ["* bob has joined #lobby"]
    assert ada.says("/nick Ada")[0] == "* you are Ada"
    assert bob.hears() == ["* ada is now Ada"]


def test_a_name_is_free_when_its_bearer_has_another(scene: Scene) -> None:
    ada = scene.user("ada")
    ada.says("/nick eve")
    scene.user("ada")


def test_instant_messages(scene: Scene) -> None:
    ada, bob, eve = scene.users("ada", "bob", "eve")
    assert ada.says("/msg BOB psst,  you") == ["* sent to bob"]
    assert bob.hears() == ["-ada- psst,  you"]
    assert eve.hears() == []
    assert ada.says("/msg carol hi") == ["! nobody is called carol; /who shows who is here"]
    assert ada.says("/msg") == ["! nobody is called that; /who shows who is here"]
    assert ada.says("/msg bob") == ["! an empty message says nothing: /msg NAME TEXT"]


def test_rooms(scene: Scene) -> None:
    ada, bob, eve = scene.users("ada", "bob", "eve")
    assert ada.says("/join #Tea") == ["* you are in #tea with 0 others"]
    assert bob.says("/join tea") == ["* you are in #tea with 1 other"]
    assert ada.hears() == ["* bob has joined #tea"]
    assert ada.says("milk?") == ["* said to 1"]
    assert bob.hears() == ["#tea <ada> milk?"]
    assert eve.hears() == []
    assert ada.says("/rooms") == ["* 2 rooms: #lobby 3, #tea 2"]
    assert eve.says("/who #tea") == ["* 2 in #tea: ada, bob"]
    assert ada.says("/join lobby") == ["* you speak in #lobby"]
    assert ada.says("here") == ["* said to 2"]
    assert bob.hears() == ["#lobby <ada> here"]
    assert bob.says("/leave") == ["* you have left #tea; you speak in #lobby"]
    assert ada.says("/leave tea") == ["* bob has left #tea", "* you have left #tea; you speak in #lobby"]
    assert ada.says("/rooms") == ["* 1 room: #lobby 3"]
    assert ada.says("/leave") == ["* you have left #lobby; you are in no room"]
    assert ada.says("/leave") == ["! you are in no room"]
    assert ada.says("/leave tea") == ["! you are not in #tea"]
    assert ada.says("alone") == ["! you are in no room: /join ROOM"]
    assert ada.says("/who tea") == ["* nobody is in #tea"]
    assert ada.says("/join a b") == ["! a room's name has 1 to 32 of a-z, 0-9, _ and -"]


def test_rooms_have_bounds(make_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MAX_MEMBERS", 2)
    monkeypatch.setattr(rooms, "MAX_JOINED", 2)
    scene = make_scene(rooms=3)
    ada, bob = scene.users("ada", "bob")
    eve = scene.user()
    *_, full = eve.says("/nick eve")
    assert full == "! #lobby is full, with 2 people; /join another room"
    assert ada.says("/join a")[0].startswith("* you are in")
    assert ada.says("/join b") == ["! you are in 2 rooms; /leave one first"]
    assert bob.says("/join b")[0].startswith("* you are in")
    assert eve.says("/join c") == ["! there is no room for another room; /rooms shows those there are"]


def test_in_a_large_room_nobody_is_told_who_comes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "ANNOUNCED", 2)
    ada, bob = scene.user("ada"), scene.user("bob")
    assert ada.hears() == ["* bob has joined #lobby"]
    scene.user("eve")
    assert ada.hears() == bob.hears() == []


def test_a_large_room_is_listed_in_part(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.chat.commands.NAMES_SHOWN", 2)
    ada, _, _ = scene.users("ada", "bob", "eve")
    assert ada.says("/who") == ["* 3 in #lobby: ada, bob and 1 more"]


def test_before_anybody_has_come_there_is_no_room(scene: Scene) -> None:
    assert scene.user().says("/rooms") == ["* there is no room; /join makes one"]


def test_help_explains_every_command(scene: Scene) -> None:
    ada = scene.user()
    first, *lines = ada.says("/help")
    assert first.startswith("* A line (at most 1,024 bytes) is said to your room")
    assert [line.split()[0] for line in lines] == [f"/{name}" for name in scene.chat.commands.table]
    assert all(len(line) < 80 for line in lines), "it fits a terminal"
    model = " ".join(ada.says("/help presence"))
    for word in ("PRESENTITY", "WATCHER", "FETCHER", "SUBSCRIBER", "NOTIFICATION", "PRESENCE INFORMATION"):
        assert word in model


def test_what_it_does_not_understand(scene: Scene) -> None:
    ada = scene.user("ada")
    assert ada.says("/dance wildly") == ["! /dance is not known; /help shows what is"]
    assert ada.says("") == ["! an empty line says nothing"]
    assert ada.says("/colours blue") == ["! say on or off: /colours on"]
    ada.send(b"\xff\xfe\n")
    ada.net.turn()
    assert ada.hears() == ["! a line is text in UTF-8"]


def test_escape_sequences_do_not_reach_others(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    ada.says("\x1b[2Jgone\x07")
    assert bob.hears() == ["#lobby <ada> [2Jgone"]


def test_colours_are_for_those_who_want_them(scene: Scene) -> None:
    ada, bob, eve = scene.users("ada", "bob", "eve")
    assert bob.says("/colours on") == ["\x1b[2m*\x1b[0m colours are on"]
    ada.says("hello")
    (line,) = bob.hears()
    assert line.startswith("\x1b[3")
    assert line.endswith("m#lobby <ada>\x1b[0m hello")
    assert eve.hears() == ["#lobby <ada> hello"]


def test_a_line_of_the_greatest_length_is_taken(scene: Scene) -> None:
    assert scene.user("ada").says("x" * MAX_LINE) == ["* said to 0"]


def test_an_error_in_a_command_costs_one_user(scene: Scene, logged: Logged) -> None:
    """The others are served, in the same batch even, and the one can come back."""

    def crash(principal: int, text: str) -> list[object]:
        scene.chat._service.post.say(notice("half done"), scene.chat._service.rooms.members(1))
        return [1 // 0]

    scene.chat.commands.table["crash"] = Command("", "breaks", crash)  # type: ignore[arg-type]
    ada, bob, eve = scene.users("ada", "bob", "eve")
    assert eve.says("/subscribe bob") == ["* you subscribe to bob", "~ bob is OPEN"]
    ada.send(b"before\n")
    bob.send(b"/crash\n")
    eve.send(b"after\n")
    scene.world.turns(3)
    assert bob.take()[-1].flags >= {"R"}
    assert ada.hears() == ["* said to 2", "* half done", "#lobby <eve> after"]
    assert eve.hears() == ["#lobby <ada> before", "* half done", "* said to 2", "~ bob is CLOSED"]
    assert len(logged.take(ZeroDivisionError)) == 1
    again = scene.user()
    assert again.says(f"/nick bob {bob.key}")[0] == "* you are bob again, in #lobby"
    assert eve.hears() == ["~ bob is OPEN"]
