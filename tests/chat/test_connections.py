"""Lines in pieces, too many of them, readers who do not read, and connections that break."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from examples.chat import post
from examples.chat.lines import MAX_LINE
from examples.chat.protocol import Chat
from tests.chat.conftest import Scene, User
from tests.reactor.world import ANY, World
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.port import Binding

pytestmark = pytest.mark.feature("P36")


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path, as those of Unix sockets must be."""
    with TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


# --- lines ------------------------------------------------------------------------------


@pytest.mark.feature("P15", "P24")
def test_a_line_gets_one_packet_that_carries_the_acknowledgement(scene: Scene) -> None:
    ada = scene.user("ada")
    ada.send(b"/who\n")
    ada.net.turn()
    ada.expect("A", ack=ada.seq, data=b"* 1 in #lobby: ada\r\n")
    ada.ack()
    ada.net.advance(1)
    ada.expect_nothing()


def test_two_lines_in_one_packet_get_two_answers_in_one(scene: Scene) -> None:
    ada = scene.user("ada")
    ada.send(b"/who\nhi\n")
    ada.net.turn()
    segment = ada.expect("A", data=ANY)
    assert segment.data == b"* 1 in #lobby: ada\r\n* said to 0\r\n"


@pytest.mark.feature("P18")
def test_half_a_line_stays_in_the_receive_buffer(scene: Scene) -> None:
    ada = scene.user("ada")
    for piece in (b"/who\n/w", b"h"):
        ada.send(piece)
        ada.net.turn()
        ada.hears()
    assert ada.net.receive_used > 0
    assert ada.says("o") == ["* 1 in #lobby: ada"]
    assert ada.net.receive_used == 0


def test_a_line_may_come_byte_by_byte(scene: Scene) -> None:
    ada = scene.user("ada")
    for byte in b"/who\r":
        ada.send(bytes([byte]))
        ada.net.advance(0.05)
        assert ada.hears() == []
    assert ada.says("") == ["* 1 in #lobby: ada"]


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_line_that_is_too_long_is_the_last_one(scene: Scene, newline: bytes) -> None:
    ada, bob = scene.users("ada", "bob")
    ada.send(b"/who\n" + b"x" * (MAX_LINE + 1) + newline)
    ada.net.turns(2)
    assert ada.received.endswith(b"bob\r\n! a line has at most 1,024 bytes\r\n* goodbye\r\n")
    assert "F" in ada.take()[-1].flags
    assert bob.hears() == ["* ada has left #lobby"]


def test_whoever_says_nothing_is_not_remembered(scene: Scene) -> None:
    for _ in range(10):
        scene.user()
    assert scene.people == 0
    scene.user().says("/help")
    assert scene.people == 1


def test_when_there_are_too_many_people_they_are_told(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(people=2)
    scene.user("ada").says("/quit")
    scene.users("bob", "eve")
    late = scene.user()
    late.send(b"/nick zoe\n")
    scene.world.turns(2)
    assert late.received.endswith(b"! there are too many people here; try again later\r\n* goodbye\r\n")


# --- too many lines -----------------------------------------------------------------------


def test_a_flood_is_slowed_down_and_nothing_of_it_is_lost(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(lines_per_second=10, burst=4)
    ada, bob = scene.users("ada", "bob")
    scene.later(1)
    ada.send(b"".join(b"line %d\n" % i for i in range(20)))
    scene.world.turns(3)
    heard = bob.hears()
    assert heard == [f"#lobby <ada> line {i}" for i in range(4)]
    assert scene.world.receive_used > 0, "the rest waits unacknowledged"
    assert bob.says("I am served") == ["* said to 1"]
    for _ in range(4):
        scene.later(0.5)
        more = bob.hears()
        assert 0 < len(more) <= 5
        heard += more
    scene.later(2)
    assert heard + bob.hears() == [f"#lobby <ada> line {i}" for i in range(20)]
    assert scene.world.receive_used == 0


def test_a_flood_that_ends_in_order_is_served_to_its_end(make_scene: Callable[..., Scene]) -> None:
    """As of a script: everything at once, and then nothing more."""
    scene = make_scene(lines_per_second=10, burst=4)
    ada, bob = scene.users("ada", "bob")
    ada.fin(b"".join(b"line %d\n" % i for i in range(20)))
    scene.world.turns(3)
    for _ in range(7):
        scene.later(0.5)
        bob.hears()
    said = [line for line in bob.received.decode().splitlines() if "line" in line]
    assert said == [f"#lobby <ada> line {i}" for i in range(20)]
    assert bob.received.endswith(b"* ada has left #lobby\r\n")
    assert scene.people == 1


def test_a_flooder_who_goes_leaves_nothing_behind(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(lines_per_second=10, burst=4, hold_s=1)
    ada = scene.user()
    ada.send(b"/help\n" * 20)
    scene.world.turns(2)
    ada.rst()
    scene.later(2)
    assert scene.people == 0


# --- readers who do not read ----------------------------------------------------------------


def stuck(scene: Scene, name: str) -> User:
    """Somebody whose window is closed, with an answer under way and another one that found no room."""
    made = scene.user(name)
    for _ in range(2_000):
        made.send(b"/help\n", win=0)
        scene.world.turn()
        scene.world.reactor.advance(0.1)
        if scene.chat._post._rests:
            return made
    pytest.fail("it was answered without an end")


@pytest.fixture
def small(make_scene: Callable[..., Scene]) -> Scene:
    """A chat that takes as many lines as one likes to send."""
    return make_scene(lines_per_second=10_000, burst=10_000, patience_s=5)


def test_an_answer_that_finds_no_room_is_not_torn(small: Scene) -> None:
    """Nor are the others kept from talking; what is said meanwhile is lost for that one, who is told."""
    ada = stuck(small, "ada")
    bob = small.user("bob")
    assert bob.says("hello") == ["* said to 0"]
    for _ in range(1_000):
        before = ada.rcv_nxt
        ada.ack()
        small.world.turn()
        small.world.advance(0.01)
        if ada.rcv_nxt == before and not small.chat._post._rests:
            break
    lines = ada.received.decode().splitlines()
    assert lines[-1] == "* lines are lost: they came faster than you read"
    helps = [i for i, line in enumerate(lines) if line.startswith("* A line (at most")]
    assert len(helps) > 10
    for start, following in pairwise([*helps, len(lines) - 1]):
        assert lines[start:following] == lines[helps[0] : helps[1]]
    assert "#lobby <bob> hello" not in lines
    ada.take()
    assert bob.says("again") == ["* said to 1"]
    assert ada.hears() == ["#lobby <bob> again"]


def test_whoever_acknowledges_nothing_is_cut_off(small: Scene) -> None:
    ada = stuck(small, "ada")
    bob = small.user("bob")
    small.later(6)
    assert ada.take()[-1].flags >= {"R"}
    assert small.chat._post._rests == {}
    assert bob.says("/fetch ada") == ["~ ada is CLOSED"]


def test_whoever_reads_slowly_stays(small: Scene) -> None:
    """128 bytes every two seconds."""
    ada = stuck(small, "ada")
    before = len(ada.received)
    for _ in range(10):
        ada.ack(win=128)
        small.world.turn()
        small.later(2)
    assert len(ada.received) >= before + 900
    assert not any("R" in segment.flags for segment in ada.take())


def test_there_is_a_bound_of_answers_that_wait(small: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "MAX_RESTS", 0)
    ada = small.user("ada")
    for _ in range(2_000):
        ada.send(b"/help\n", win=0)
        small.world.turn()
        small.world.reactor.advance(0.1)
        if any("R" in segment.flags for segment in ada.take()):
            break
    else:
        pytest.fail("it was not cut off")
    assert small.chat._post._rests == {}


# --- connections that break -------------------------------------------------------------------


def test_coming_back_to_a_name(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    bob.says("/subscribe ada")
    ada.says("/join tea")
    ada.says("/subscribe bob")
    ada.says("/away")
    bob.hears()
    ada.rst()
    scene.world.turns(2)
    assert bob.hears() == ["~ ada is CLOSED"]
    assert bob.says("/msg ada hi") == ["! not sent: ada is CLOSED"]
    again = scene.user()
    (taken,) = again.says("/nick ada")
    assert (
        taken == "! ada is taken, whose connection is broken; whoever it belongs to has a key: /nick ada KEY"
    )
    assert again.says("/nick ada aaaaaaaaaaaaaaaa") == ["! that is not the key of ada"]
    assert again.says("/nick ada \u00eb") == ["! that is not the key of ada"]
    assert again.says(f"/nick ada {ada.key}")[0] == "* you are ada again, in #lobby, #tea"
    assert bob.hears() == ["~ ada is OPEN, away"]
    assert again.says("/fetch") == ["~ bob is OPEN"]
    assert again.says("still there") == ["* said to 0"]
    assert bob.says("/msg ada hi") == ["* sent to ada, who is away"]
    assert again.hears() == ["-bob- hi"]
    scene.later(120)
    assert again.says("/who tea") == ["* 1 in #tea: ada"]


def test_a_connection_that_is_not_known_to_be_broken_is_replaced(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    again = scene.user()
    assert again.says(f"/nick ADA {ada.key}")[0] == "* you are ada again, in #lobby"
    scene.world.turns(2)
    assert ada.received.endswith(b"* you go on with another connection\r\n")
    assert "F" in ada.take()[-1].flags
    assert bob.hears() == []
    assert bob.says("hello") == ["* said to 1"]
    assert again.hears() == ["#lobby <bob> hello"]


def test_a_key_is_good_for_one_name_and_one_life(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    assert bob.says(f"/nick ada {ada.key}") == ["! you are bob here; come back on a new connection"]
    other = scene.user()
    assert other.says(f"/nick bob {ada.key}") == ["! that is not the key of bob"]
    ada.says("/quit")
    new = scene.user("ada")
    assert new.key != ada.key
    assert other.says(f"/nick ada {ada.key}") == ["! that is not the key of ada"]


def test_after_a_while_a_name_is_free_again(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    ada.rst()
    scene.world.turns(2)
    scene.later(59)
    assert bob.hears() == []
    scene.later(2)
    assert bob.hears() == ["* ada has left #lobby"]
    scene.user("ada")


def test_whoever_closes_in_order_has_left(scene: Scene) -> None:
    ada, bob = scene.users("ada", "bob")
    bob.says("/subscribe ada")
    ada.fin()
    scene.world.turns(3)
    assert bob.hears() == ["* ada has left #lobby", "~ ada is CLOSED"]
    assert scene.people == 1


def test_a_line_just_before_a_reset_is_no_error(scene: Scene) -> None:
    """The fixture fails for anything that is logged."""
    ada, bob = scene.users("ada", "bob")
    ada.send(b"hello\n")
    ada.rst()
    scene.world.turns(3)
    silent = scene.user()
    silent.send(b"/qu")
    silent.rst()
    scene.world.turns(3)
    bob.hears()
    assert bob.says("/who") == ["* 2 in #lobby: ada, bob"]


def test_when_the_group_is_closed_nothing_is_left_to_do(scene: Scene) -> None:
    ada = scene.user("ada")
    ada.rst()
    scene.world.turns(2)
    assert scene.world.reactor.getDelayedCalls()
    scene.world.stack.stop()
    assert scene.world.reactor.getDelayedCalls() == []


@pytest.mark.feature("P31")
def test_local_clients_chat_by_a_unix_socket(world: World, folder: Path) -> None:
    """The same protocol over another kind of group; whoever does not read is treated alike."""
    chat = Chat(clock=world.reactor, limits={"lines_per_second": 10_000, "burst": 10_000, "patience_s": 5})
    world.stack.listen(chat, Binding(path=str(folder / "chat")))
    with socket.socket(socket.AF_UNIX) as ada, socket.socket(socket.AF_UNIX) as deaf:
        for client, name in ((ada, b"ada"), (deaf, b"deaf")):
            client.connect(str(folder / "chat"))
            client.setblocking(False)
            client.send(b"/nick %s\n" % name)
            world.turns(5)
        assert b"* deaf has joined #lobby\r\n" in ada.recv(65_536)
        ada.send(b"/msg deaf hello\n")
        world.turns(3)
        assert ada.recv(65_536) == b"* sent to deaf\r\n"
        assert deaf.recv(65_536).endswith(b"-ada- hello\r\n")
        for _ in range(2_000):
            deaf.send(b"/help\n")
            world.turns(2)
            if chat._post._rests:
                break
        assert chat._post._rests
        ada.send(b"hello?\n")
        world.turns(3)
        assert ada.recv(65_536) == b"* said to 0\r\n"
        world.reactor.advance(6)
        world.turns(3)
        ada.send(b"/fetch deaf\n")
        world.turns(3)
        assert ada.recv(65_536) == b"~ deaf is CLOSED\r\n"


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits, fault",
    [
        ({"people": 0}, "people: 0 is not allowed; give an integer from 1 to 16,777,216"),
        ({"hold_s": "long"}, "hold_s: 'long' is not allowed; give a number of seconds"),
        ({"peolpe": 5}, "limits.peolpe: there is no such limit; there are people, rooms,"),
    ],
)
def test_wrong_limits_are_refused(limits: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        Chat(limits=limits)
