"""``[console]``: where it may listen, where its token is, and what the command line makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reactor.test_settings import GOOD, problems
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.loading import structure
from xtcp_twisted.reactor.settings import ConsoleSettings


def console(**table: Any) -> ConsoleSettings:
    made = structure({**GOOD, "console": table}).console
    assert made is not None
    return made


def test_without_the_table_there_is_none() -> None:
    assert structure(GOOD).console is None


def test_an_empty_table_is_a_console_on_loopback() -> None:
    made = console()
    assert (made.enabled, made.address, made.port, made.hosts) == (True, "127.0.0.1", 8088, ())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_addresses(address: str) -> None:
    assert console(address=address).address == address


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "localhost", "", "::1%lo", 2_130_706_433])
def test_any_other_address_is_refused_with_what_to_do(address: Any) -> None:
    (problem,) = problems({**GOOD, "console": {"address": address}})
    assert problem.startswith(f"console.address: {address!r} is not allowed; give a loopback address")
    assert "no TLS" in problem
    assert "ssh -L 8088:127.0.0.1:8088 HOST" in problem


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        ("port", 70_000, "console.port: 70000 is not allowed; give an integer from 0 to 65,535"),
        ("port", "8088", "console.port: '8088' is not allowed; give an integer"),
        ("enabled", "no", "console.enabled: 'no' is not allowed; give true or false"),
        ("token_file", "", "console.token_file: '' is not allowed; give a text"),
        ("hosts", ["http://a"], "console.hosts: ('http://a',) is not allowed; give names such as"),
        ("hosts", ["*"], "console.hosts: ('*',) is not allowed; give names such as"),
        ("prot", 1, "console.prot: is not known; did you mean 'port'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(key: str, value: Any, sentence: str) -> None:
    (problem,) = problems({**GOOD, "console": {key: value}})
    assert problem.startswith(sentence)


def test_names_for_a_tunnel() -> None:
    assert console(hosts=["console.example", "a-b:9000"]).hosts == ("console.example", "a-b:9000")


def test_the_token_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert console().token_path == Path("/home/ada/.local/state/xtcp/console-token")
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/ada")
    assert console().token_path == Path("/var/lib/ada/xtcp/console-token")
    assert console(token_file="/run/token").token_path == Path("/run/token")


@pytest.mark.parametrize(
    "place, expected",
    [
        ("9000", ("127.0.0.1", 9000)),
        ("127.0.0.2:9000", ("127.0.0.2", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("::1:9000", ("::1", 9000)),
        (":0", ("127.0.0.1", 0)),
    ],
)
def test_it_moves(place: str, expected: tuple[str, int]) -> None:
    moved = ConsoleSettings(enabled=False, token_file="t").moved(place)
    assert (moved.address, moved.port) == expected
    assert (moved.enabled, moved.token_file) == (True, "t")


@pytest.mark.parametrize(
    "place, sentence",
    [
        ("", "'' is not allowed; give ADDRESS:PORT or PORT"),
        ("127.0.0.1", "'127.0.0.1' is not allowed; give ADDRESS:PORT or PORT"),
        ("0.0.0.0:80", "address: '0.0.0.0' is not allowed; give a loopback address"),
        ("99999", "port: 99999 is not allowed"),
    ],
)
def test_it_moves_nowhere_else(place: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        ConsoleSettings().moved(place)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("address, place", [("127.0.0.1", "127.0.0.1:8088"), ("::1", "[::1]:8088")])
def test_its_place_in_a_url(address: str, place: str) -> None:
    assert ConsoleSettings(address=address).place == place
