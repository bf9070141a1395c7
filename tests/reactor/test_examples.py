"""The examples: a chat whose every line costs one packet, and echo both ways."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import Factory

from examples.chat import MAX_LINE, Chat
from examples.echo import Echo
from examples.plain_echo import PlainEcho
from tests.reactor.conftest import Logged
from tests.reactor.world import ANY, Peer, World


class User(Peer):
    """Somebody with a terminal."""

    def says(self, text: str) -> list[str]:
        """Send a line; the lines that came back in the same turn."""
        self.send(text.encode() + b"\n")
        self.net.turn()
        return self.hears()

    def hears(self) -> list[str]:
        """Lines that have come since; acknowledged."""
        lines = [line for s in self.take() for line in s.data.decode().splitlines()]
        self.ack()
        self.net.turn()
        return lines


@pytest.fixture
def room(world: World) -> Any:
    """Opens connections to a chat; each user has heard the greeting."""
    port = world.listen(Chat(), 5222)

    def user(nick: str = "") -> User:
        world._next_sport += 1
        made = User(
            world, group=None, port=5222, ip="198.51.100.7", server="192.0.2.1", sport=world._next_sport
        ).opened()
        assert made.hears() == ["* Welcome. Take a name with /nick NAME; /help shows the rest."]
        if nick:
            assert made.says(f"/nick {nick}") == [f"* you are {nick}"]
        return made

    user.port = port  # type: ignore[attr-defined]
    return user


def test_everybody_hears_what_is_said(room: Any) -> None:
    ada, bob = room("ada"), room("bob")
    assert ada.hears() == ["* bob is here"]
    assert ada.says("hello") == ["* said to 1"]
    assert bob.hears() == ["<ada> hello"]


def test_a_line_gets_one_packet_that_carries_the_acknowledgement(room: Any) -> None:
    ada = room("ada")
    ada.send(b"/who\n")
    ada.net.turn()
    ada.expect("A", ack=ada.seq, data=b"* 1 of 1 have a name: ada\r\n")
    ada.ack()
    ada.net.advance(1)
    ada.expect_nothing()


def test_two_lines_in_one_packet_get_two_answers_in_one(room: Any) -> None:
    ada = room("ada")
    ada.send(b"/who\nhi\n")
    ada.net.turn()
    segment = ada.expect("A", data=ANY)
    assert segment.data == b"* 1 of 1 have a name: ada\r\n* said to 0\r\n"


def test_half_a_line_stays_in_the_receive_buffer(room: Any) -> None:
    ada = room("ada")
    for piece in (b"/w", b"h"):
        ada.send(piece)
        ada.net.turn()
        ada.take()
    assert ada.net.receive_used > 0
    assert ada.says("o") == ["* 1 of 1 have a name: ada"]
    assert ada.net.receive_used == 0


def test_a_line_may_come_byte_by_byte(room: Any) -> None:
    ada = room("ada")
    for byte in b"/help":
        ada.send(bytes([byte]))
        ada.net.advance(0.05)
        ada.take()
    (answer,) = ada.says("")
    assert answer.startswith("* TEXT says it to everybody")


def test_a_whole_line_and_a_half(room: Any) -> None:
    ada = room("ada")
    ada.send(b"/who\n/wh")
    ada.net.turn()
    assert len(ada.hears()) == 1
    assert len(ada.says("o")) == 1


def test_messages_in_private(room: Any) -> None:
    ada, bob, eve = room("ada"), room("bob"), room("eve")
    for user in (ada, bob, eve):
        user.hears()
    assert ada.says("/msg bob psst") == ["* sent to bob"]
    assert bob.hears() == ["-ada- psst"]
    assert eve.hears() == []
    assert ada.says("/msg carol hi") == ["! nobody is called carol; /who shows who is here"]
    assert ada.says("/msg") == ["! nobody is called that; /who shows who is here"]


def test_names(room: Any) -> None:
    ada, bob = room("ada"), room()
    assert bob.says("hello") == ["! take a name first: /nick NAME"]
    assert bob.says("/msg ada hello") == ["! take a name first: /nick NAME"]
    assert bob.says("/nick ada") == ["! ada is taken"]
    assert bob.says("/nick a b") == ["! a name has 1 to 20 letters, digits or underscores"]
    assert bob.says("/nick bob") == ["* you are bob"]
    assert bob.says("/nick rob") == ["* you are rob"]
    assert ada.hears() == ["* bob is here", "* bob is now rob"]
    assert ada.says("/nick ada") == ["* you are ada"]


def test_what_it_does_not_understand(room: Any) -> None:
    ada = room("ada")
    assert ada.says("/dance") == ["! /dance is not known; /help shows what is"]
    assert ada.says("") == ["! an empty line says nothing"]
    assert len(ada.says("\udcff\udcfe".encode("utf-8", "surrogateescape").decode("latin-1"))) == 1


def test_quit_says_goodbye(room: Any) -> None:
    ada, bob = room("ada"), room("bob")
    ada.hears()
    assert bob.says("/quit") == ["* goodbye"]
    ada.net.turns(2)
    assert ada.hears() == ["* bob has left"]
    assert ada.says("/who") == ["* 1 of 1 have a name: ada"]


def test_somebody_who_is_cut_off_has_left(room: Any) -> None:
    ada, bob = room("ada"), room("bob")
    ada.hears()
    bob.rst()
    ada.net.turns(2)
    assert ada.hears() == ["* bob has left"]


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_a_line_that_is_too_long_is_cut_off_politely(room: Any, newline: bytes) -> None:
    ada = room("ada")
    ada.send(b"x" * (MAX_LINE + 1) + newline)
    ada.net.turns(2)
    assert b"! a line may have 1024 bytes\r\n* goodbye\r\n" in ada.received
    assert "F" in ada.take()[-1].flags


def test_a_line_of_the_greatest_length_is_taken(room: Any) -> None:
    ada = room("ada")
    assert ada.says("x" * MAX_LINE) == ["* said to 0"]


def test_an_error_in_the_chat_costs_one_user(
    room: Any, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = room("ada"), room("bob")
    ada.hears()

    monkeypatch.setitem(room.port.factory._commands, "who", lambda cd, text: 1 // 0)
    bob.send(b"/who\n")
    ada.send(b"hello\n")
    ada.net.turns(3)
    assert b"* bob has left\r\n" in ada.received
    assert bob.take()[-1].flags >= {"R"}
    assert len(logged.take(ZeroDivisionError)) == 1


# -- echo ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [Echo, PlainEcho])
def test_echo(world: World, server: type) -> None:
    port = world.listen(Factory.forProtocol(PlainEcho) if server is PlainEcho else Echo())
    client = world.client(port).opened()
    world.turn()
    client.send(b"hello")
    world.turn()
    client.expect("A", ack=6, data=b"hello")
    client.ack()
    client.fin()
    world.turns(3)
    assert "F" in client.take()[-1].flags


def test_echo_stops_reading_from_who_does_not_read(world: World) -> None:
    """What it cannot send it does not take in either, and nothing is lost when reading goes on."""
    echo = Echo()
    client = world.client(world.listen(echo), window=2_000).opened()
    sent = b""
    edge = 62_000  # what the engine's window allows to send
    while client.seq + 1_400 <= edge:
        piece = b"%03d." % (len(sent) // 1_400) * 350
        client.send(piece, win=0)
        sent += piece
        world.turn()
        edge = max([edge] + [s.ack - client.iss + (s.window << 7) for s in client.take()])
    assert echo._rest
    assert len(sent) > 100_000  # it filled the transmit buffer's share and the receive buffer's
    for _ in range(200):
        client.ack()
        world.advance(0.01)
        acked = max([s.ack - client.iss for s in client.take()], default=client.seq)
        if acked < client.seq:  # the tail found no room: a real client sends it again
            client.send(sent[acked - 1 :][:1_400], seq=acked)
    assert client.received == sent
    assert not echo._rest
