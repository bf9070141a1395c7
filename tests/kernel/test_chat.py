"""The chat with kernel clients and with ``nc``, through a configuration file."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.capture import WRONG, tshark

from tests.kernel.conftest import GROUPS, PATIENCE_S, V4, V6, Served

pytestmark = pytest.mark.feature("P36", "P33")

#: What somebody is told who could not be sent all that was said.
LOST = "* lines are lost: they came faster than you read"
LINGER_RESET = struct.pack("ii", 1, 0)


class Visitor:
    """Somebody with a socket of the kernel, who reads line by line."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines = connection.makefile("r", encoding="utf-8", newline="\r\n")
        assert self.hears().startswith("* Welcome")

    def hears(self) -> str:
        return self._lines.readline().removesuffix("\r\n")

    def says(self, line: str) -> str:
        """Say it; the first line of the answer, or what others said meanwhile."""
        self.connection.sendall(line.encode() + b"\n")
        return self.hears()

    def takes(self, name: str) -> str:
        """Take a name; its key."""
        assert self.says(f"/nick {name}") == f"* you are {name}"
        key = re.search(rf"/nick {name} (\w+)", self.hears())
        assert key
        assert self.hears().startswith("* you are in #lobby")
        return key[1]

    def resets(self) -> None:
        """The connection breaks."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.closes()

    def closes(self) -> None:
        self._lines.close()
        self.connection.close()


@pytest.fixture
def visitor(served: Served) -> Iterator[Callable[..., Visitor]]:
    """Opens connections, which are closed after the test."""
    with ExitStack() as open_:

        def visit(group: str = "chat", host: str = V4, **options: int) -> Visitor:
            made = Visitor(served.connect(group, host, **options))
            open_.callback(made.closes)
            return made

        yield visit


def test_people_of_both_families_talk(served: Served, visitor: Callable[..., Visitor]) -> None:
    ada, bob = visitor(), visitor(host=V6)
    ada.takes("ada")
    bob.takes("zo\u00eb")
    assert ada.hears() == "* zo\u00eb has joined #lobby"
    assert bob.says("/subscribe ada") == "* you subscribe to ada"
    assert bob.hears() == "~ ada is OPEN"
    assert ada.says("/away caf\u00e9") == "* ada is OPEN, away: caf\u00e9"
    assert bob.hears() == "~ ada is OPEN, away: caf\u00e9"
    assert bob.says("/msg ada \u2615?") == "* sent to ada, who is away: caf\u00e9"
    assert ada.hears() == "-zo\u00eb- \u2615?"
    assert bob.says("/join tea") == "* you are in #tea with 0 others"
    assert ada.says("/join tea") == "* you are in #tea with 1 other"
    assert bob.hears() == "* ada has joined #tea"
    assert bob.says("milk?") == "* said to 1"
    assert ada.hears() == "#tea <zo\u00eb> milk?"
    assert bob.says("/quit") == "* goodbye"
    assert bob.hears() == ""
    assert tshark(served.stop(), WRONG) == []
    assert "Traceback" not in served.log()


@pytest.mark.parametrize("host", [V4, V6])
def test_netcat_is_all_one_needs(served: Served, visitor: Callable[..., Visitor], host: str) -> None:
    ada = visitor()
    ada.takes("ada")
    script = "/nick nc_user\nhello from a terminal\n/who\n/msg ada psst\n/fetch ada\n/quit\n"
    done = served.lab.run(
        ["nc", host, str(GROUPS["chat"][0])],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("* Welcome")
    assert lines[1] == "* you are nc_user"
    assert lines[4:] == [
        "* said to 1",
        "* 2 in #lobby: ada, nc_user",
        "* sent to ada",
        "~ ada is OPEN",
        "* goodbye",
    ]
    assert [ada.hears() for _ in range(4)] == [
        "* nc_user has joined #lobby",
        "#lobby <nc_user> hello from a terminal",
        "-nc_user- psst",
        "* nc_user has left #lobby",
    ]


def test_a_crash_costs_one_user_who_comes_back(served: Served, visitor: Callable[..., Visitor]) -> None:
    ada, bob = visitor("brittle"), visitor("brittle")
    ada.takes("ada")
    key = bob.takes("bob")
    ada.hears()
    ada.says("/subscribe bob")
    assert ada.hears() == "~ bob is OPEN"
    with pytest.raises(ConnectionResetError):
        bob.says("/crash")
    assert ada.hears() == "~ bob is CLOSED"
    assert ada.says("hello") == "* said to 0"
    again = visitor("brittle")
    assert again.says(f"/nick bob {key}") == "* you are bob again, in #lobby"
    assert ada.hears() == "~ bob is OPEN"
    again.hears()
    assert ada.says("welcome back") == "* said to 1"
    assert again.hears() == "#lobby <ada> welcome back"
    assert served.log().count("builtins.ZeroDivisionError: the command is broken on purpose") == 1


def test_a_broken_connection_is_taken_up(visitor: Callable[..., Visitor]) -> None:
    ada, bob = visitor(), visitor()
    ada.takes("ada")
    key = bob.takes("bob")
    ada.hears()
    assert ada.says("/subscribe bob") == "* you subscribe to bob"
    ada.hears()
    bob.resets()
    assert ada.hears() == "~ bob is CLOSED"
    again = visitor()
    assert again.says("/nick bob").startswith("! bob is taken, whose connection is broken")
    assert again.says(f"/nick bob {key}") == "* you are bob again, in #lobby"
    assert ada.hears() == "~ bob is OPEN"


def test_a_flood_arrives_whole_and_disturbs_nobody(visitor: Callable[..., Visitor]) -> None:
    """A hundred lines at once from somebody who may say forty, and then ten a second."""
    ada, bob = visitor(), visitor()
    ada.takes("ada")
    bob.takes("bob")
    ada.hears()
    bob.connection.sendall(b"".join(b"line %d\n" % i for i in range(100)))
    assert ada.hears() == "#lobby <bob> line 0"
    ada.connection.sendall(b"/who\n")
    heard = ["#lobby <bob> line 0"]
    while len(heard) < 101:
        heard.append(ada.hears())
    heard.remove("* 2 in #lobby: ada, bob")
    assert heard == [f"#lobby <bob> line {i}" for i in range(100)]


@pytest.mark.parametrize("reads_meanwhile", [0, 100])
def test_somebody_who_does_not_read_costs_the_others_nothing(
    served: Served, visitor: Callable[..., Visitor], reads_meanwhile: int
) -> None:
    """Whatever was said to be sent is heard later, in order; what found no room is known on both sides.

    Room may come free although nobody reads: a kernel takes what fits into a small window when the
    persist timer offers it.  So each answer decides what the silent one is to hear, not the clock.
    """
    deaf, ada, bob = visitor("busy", SO_RCVBUF=4_096), visitor("busy"), visitor("busy")
    deaf.takes("deaf")
    ada.takes("ada")
    bob.takes("bob")
    assert ada.hears() == "* bob has joined #lobby"
    sent = ["* ada has joined #lobby", "* bob has joined #lobby"]

    def until(last: str, says: str, is_heard_as: str, *, answer: str, by_bob: str = "") -> None:
        """Ada says it until the answer begins with `last`; any other answer is that it was sent."""
        for _ in range(10_000):
            heard = ada.says(says)
            assert not by_bob or bob.hears() == by_bob
            if heard.startswith(last):
                return
            assert heard == answer
            sent.append(is_heard_as)
        raise AssertionError(f"10,000 lines are kept for somebody who does not read, and no {last!r}")

    line = "x" * 1_000
    said = f"#lobby <ada> {line}"
    until("* said to 1", line, said, answer="* said to 2", by_bob=said)
    before_the_first_loss = len(sent)
    heard = [deaf.hears() for _ in range(reads_meanwhile)]
    until(
        "! not sent: there is no room to send to deaf",
        f"/msg deaf {line}",
        f"-ada- {line}",
        answer="* sent to deaf",
    )
    while len(heard) - heard.count(LOST) < len(sent) or heard[-1] != LOST:
        heard.append(deaf.hears())
    assert [line for line in heard if line != LOST] == sent
    assert heard.index(LOST) >= before_the_first_loss > 100
    assert ada.says("/msg deaf hello") == "* sent to deaf"
    while (last := deaf.hears()) == LOST:  # both losses may have been told apart
        pass
    assert last == "-ada- hello"


def test_four_hundred_clients_in_rooms(served: Served) -> None:
    """Everybody hears what was said in the own room, once, and nobody costs the server a descriptor."""
    before = served.server.status(PATIENCE_S)
    assert before is not None
    clients = [Visitor(served.connect("chat", (V4, V6)[i % 2])) for i in range(400)]
    for i, client in enumerate(clients):
        client.connection.sendall(f"/nick n{i}\n/leave lobby\n/join room{i % 40}\n".encode())
    for client in clients:
        while not client.hears().startswith("* you are in #room"):
            pass
    for i in range(40):
        clients[i].connection.sendall(f"only for room{i}\n".encode())
    for i, client in enumerate(clients):
        wanted = "* said to 9" if i < 40 else f"#room{i % 40} <n{i % 40}> only for room{i % 40}"
        while (line := client.hears()) != wanted:
            assert re.fullmatch(r"\* n\d+ has joined #room\d+", line), line
    after = served.server.status(PATIENCE_S)
    assert after is not None
    assert after["descriptors"] == before["descriptors"]
    for client in clients:
        client.closes()
    assert "Traceback" not in served.log()
