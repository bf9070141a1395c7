"""The configuration file: what it makes, and a sentence for everything that is wrong."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IProtocolFactory

from tests.reactor import servers
from xtcp_twisted.config import GiB, MiB, PressureThresholds
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.loading import SettingsError, find, load, size, structure
from xtcp_twisted.reactor.settings import Settings

GOOD: dict[str, Any] = {
    "link": {"name": "xt7", "addresses": ["10.77.0.1/16"], "mtu": 9000},
    "engine": {"addresses": ["10.77.0.2", "fd77::/64"], "transmit_buffer": "32 MiB", "arena_limit": "1 GiB"},
    "pool": [{"name": "im", "receive_buffer": "16 MiB"}],
    "group": [
        {
            "name": "chat",
            "port": 5222,
            "pool": "im",
            "protocol": "tests.reactor.servers.Group",
            "arguments": {"room": "attic"},
            "options": {"ack_policy": "application", "keepalive_s": 300},
        },
        {"name": "plain", "port": 7, "protocol": "tests.reactor.servers.Plain"},
    ],
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """GOOD with one value put in; ``group.1.port`` is a key."""
    tables = deepcopy(GOOD)
    *path, last = key.split(".")
    place: Any = tables
    for step in path:
        place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return tables


def problems(tables: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        structure(tables)
    return refused.value.problems


def test_a_good_configuration_becomes_settings() -> None:
    settings = structure(GOOD)
    assert settings.link.name == "xt7"
    assert settings.link.addresses == ("10.77.0.1/16",)
    assert settings.engine.addresses == ("10.77.0.2", "fd77::/64")
    assert (settings.engine.transmit_buffer, settings.engine.arena_limit) == (32 * MiB, GiB)
    assert settings.pool[0].receive_buffer == 16 * MiB
    assert settings.group[0].options.ack_policy == "application"
    assert settings.group[0].options.keepalive_s == 300
    assert settings.group[1].pool is None


def test_pressure_thresholds_of_the_transmit_buffer_and_of_a_pool() -> None:
    tables = changed("engine.pressure", {"frozen": 0.4})
    tables["pool"][0]["pressure"] = {"discarding": 0.95, "hysteresis": 0.1}
    settings = structure(tables)
    assert settings.engine.pressure == PressureThresholds(frozen=0.4)
    assert settings.pool[0].pressure == PressureThresholds(discarding=0.95, hysteresis=0.1)


@pytest.mark.feature("P28", "P29")
@pytest.mark.parametrize("throttling", ["both", "withhold", "discard"])
def test_how_a_pool_throttles(throttling: str) -> None:
    assert structure(GOOD).pool[0].throttling == "both"
    assert structure(changed("pool.0.throttling", throttling)).pool[0].throttling == throttling


def test_build_makes_a_group_protocol_once_with_its_arguments() -> None:
    server = structure(GOOD).group[0].build()
    assert isinstance(server, servers.Group)
    assert server.room == "attic"


def test_build_makes_a_factory_of_an_ordinary_protocol() -> None:
    tables = changed("group.1.arguments", {"greeting": "ahoy"})
    factory = structure(tables).group[1].build()
    assert IProtocolFactory.providedBy(factory)
    made = factory.buildProtocol(None)
    assert isinstance(made, servers.Plain)
    assert made.greeting == "ahoy"
    assert made.factory is factory


def test_build_calls_a_factory_with_its_arguments() -> None:
    tables = changed("group.1", {"name": "f", "port": 9, "factory": "tests.reactor.servers.makeFactory"})
    tables["group"][1]["arguments"] = {"depth": 3}
    factory = structure(tables).group[1].build()
    assert factory.arguments == {"depth": 3}


def test_build_refuses_a_factory_that_makes_something_else() -> None:
    tables = changed("group.1", {"name": "f", "port": 9, "factory": "tests.reactor.servers.makeNothing"})
    with pytest.raises(ConfigurationError, match="made a NoneType, which is neither"):
        structure(tables).group[1].build()


@pytest.mark.parametrize(
    "key, value, sentence",
    [
        (
            "group.0.options.ack_delay_ms",
            600,
            "group[0].options.ack_delay_ms: 600 is not allowed; give an integer from 1 to 499",
        ),
        (
            "group.1.options.priority",
            "urgent",
            "group[1].options.priority: 'urgent' is not allowed; give one of 'high', 'normal', 'low'",
        ),
        (
            "group.1.options.nagle",
            "on",
            "group[1].options.nagle: 'on' is not allowed; give true or false",
        ),
        ("group.1.port", "7", "group[1].port: '7' is not allowed; give an integer from 1 to 65,535"),
        ("group.1.port", True, "group[1].port: True is not allowed; give an integer from 1 to 65,535"),
        (
            "engine.max_connections",
            "many",
            "engine.max_connections: 'many' is not allowed; give an integer from 16 to 134,217,728",
        ),
        (
            "pool.0.receive_buffer",
            "64 MB",
            (
                "pool[0].receive_buffer: '64 MB' is not allowed; give bytes, or a number with KiB, MiB or"
                " GiB, such as '64 MiB'"
            ),
        ),
        (
            "pool.0.receive_buffer",
            100,
            "pool[0].receive_buffer: 100 is not allowed; give a size of at least 64 KiB",
        ),
        (
            "engine.pressure.frozen",
            50,
            "engine.pressure.frozen: 50 is not allowed; give a share above 0, at most 1",
        ),
        (
            "pool.0.pressure",
            {"hysteresis": 0.6},
            "pool[0].pressure.hysteresis: 0.6 is not allowed; give less than frozen, 0.5",
        ),
        (
            "pool.0.throttling",
            "none",
            "pool[0].throttling: 'none' is not allowed; give one of 'both', 'withhold', 'discard'",
        ),
        ("pool.0.pressure", 0.5, "pool[0].pressure: 0.5 is not allowed; give a table"),
        (
            "engine.ephemeral_ports",
            [50_000],
            "engine.ephemeral_ports: (50000,) is not allowed; give two ports from 1 to 65,535, the lower one",
        ),
        ("engine.ephemeral_ports", 5, "engine.ephemeral_ports: 5 is not allowed; give two ports"),
        ("engine.ephemeral_ports", [True, 9], "engine.ephemeral_ports: (True, 9) is not allowed; give two"),
        (
            "engine.mtu",
            False,
            "engine.mtu: False is not allowed; give an integer from 576 to 65,535, or 0 for the link's MTU",
        ),
        (
            "group.0.options.mss",
            False,
            "group[0].options.mss: False is not allowed; give an integer from 216 to 65,495, or 0 for the",
        ),
        (
            "group.0.options.user_timeout_s",
            "long",
            (
                "group[0].options.user_timeout_s: 'long' is not allowed;"
                " give a number of seconds from 1 to 1,000,000, or 0 for no limit"
            ),
        ),
        ("engine.adresses", ["10.0.0.1"], "engine.adresses: is not known; did you mean 'addresses'?"),
        (
            "group.0.options.ack_polcy",
            "x",
            "group[0].options.ack_polcy: is not known; did you mean 'ack_policy'?",
        ),
        ("engine.entropy", "dice", "engine.entropy: is not known; known are: addresses, max_connections,"),
        ("pools", [], "pools: is not known; did you mean 'pool'?"),
        (
            "group.0.pool",
            "imm",
            "group[0].pool: no pool is called 'imm'; there are: 'im'; did you mean 'im'?",
        ),
        (
            "group.0.address",
            "10.78.0.2",
            "group[0].address: 10.78.0.2 is not the engine's; give an address of engine.addresses",
        ),
        (
            "group.0.address",
            "10.77.0",
            "group[0].address: '10.77.0' is not allowed; give an address of the engine,",
        ),
        ("group.1.port", 5222, "group[1].port: 5222 is taken by the group 'chat'; give another port"),
        ("group.1.name", "chat", "group[1].name: 'chat' is taken by group[0]; give another"),
        ("group.1.name", "a b", "group[1].name: 'a b' is not allowed; give a name without spaces"),
        (
            "link.addresses",
            ["10.77.0.1"],
            "link.addresses: ('10.77.0.1',) is not allowed; give addresses of the",
        ),
        (
            "link.addresses",
            ["10.77.0.2/16"],
            "link.addresses[0]: '10.77.0.2/16' is the host's, but the engine",
        ),
        ("link.addresses", [5], "link.addresses: [5] is not allowed; give a list of texts"),
        ("link.kind", "tap", "link.kind: 'tap' is not allowed; give one of 'tun', 'memory'"),
        ("link.name", "eth/0", "link.name: 'eth/0' is not allowed; give a device name of 1 to 15 characters"),
        ("link", 5, "link: 5 is not allowed; give a table"),
        (
            "engine.addresses",
            ["10.77.0.2", "here"],
            "engine.addresses[1]: 'here' is not allowed; give an IPv4",
        ),
        ("engine.addresses", [], "engine.addresses: () is not allowed; give at least one address or prefix"),
        ("group", {"name": "x"}, "group: is a single table; write [[group]] with two brackets"),
        ("group", [], "group: give at least one [[group]]"),
        ("group.0", {"port": 1, "protocol": "tests.reactor.servers.Plain"}, "group[0].name: is missing"),
        ("group.0", {"name": "x", "port": 1}, "group[0]: give either factory or protocol, the dotted name"),
        ("group.0.factory", "a.b", "group[0]: give either factory or protocol, the dotted name"),
        (
            "group.0.protocol",
            "tests.reactor.servers.Grup",
            (
                "group[0].protocol: tests.reactor.servers.Grup does not import:"
                " module 'tests.reactor.servers' has no attribute 'Grup'; did you mean 'Group'?"
            ),
        ),
        ("group.0.protocol", "nowhere.to.be", "group[0].protocol: nowhere.to.be does not import: "),
        (
            "group.0.protocol",
            "tests.reactor.broken_module.X",
            "group[0].protocol: tests.reactor.broken_module.X does not import: RuntimeError: the database is",
        ),
        (
            "group.0.protocol",
            "tests.reactor.servers.NOT_CALLABLE",
            "group[0].protocol: tests.reactor.servers.NOT_CALLABLE is not callable",
        ),
        (
            "group.0.protocol",
            "tests.reactor.servers.makeFactory",
            "group[0].protocol: tests.reactor.servers.makeFactory is neither a Protocol nor a group",
        ),
        (
            "group.0.arguments",
            {"rom": 1},
            "group[0].arguments: tests.reactor.servers.Group does not take them: got an unexpected keyword",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_key(key: str, value: Any, sentence: str) -> None:
    (problem,) = problems(changed(key, value))
    assert problem.startswith(sentence)


def test_every_error_is_reported_at_once() -> None:
    tables = changed("group.0.options.ack_delay_ms", 600)
    tables["link"]["mtuu"] = 5
    tables["pool"][0]["receive_buffer"] = "big"
    assert [text.partition(":")[0] for text in problems(tables)] == [
        "link.mtuu",
        "pool[0].receive_buffer",
        "group[0].options.ack_delay_ms",
    ]


def test_a_file_without_pools_has_nowhere_to_open_groups() -> None:
    assert problems(changed("pool", [])) == [
        "pool: give at least one [[pool]]",
        "group[0].pool: no pool is called 'im'; there are: none",
    ]


def test_a_missing_engine_table_is_named() -> None:
    tables = deepcopy(GOOD)
    del tables["engine"]
    assert problems(tables) == ["engine: is missing"]


@pytest.mark.feature("P06")
def test_two_groups_may_share_a_port_if_both_say_so() -> None:
    tables = changed("group.1.port", 5222)
    for group in tables["group"]:
        group["share"] = True
    assert [group.port for group in structure(tables).group] == [5222, 5222]


@pytest.mark.feature("P06")
@pytest.mark.parametrize(
    "one, other",
    [("", "10.77.0.2"), ("10.77.0.2", ""), ("0.0.0.0", "10.77.0.2"), ("::", ""), ("10.77.0.2", "10.77.0.2")],
)
def test_one_of_the_two_that_does_not_share_collides(one: str, other: str) -> None:
    tables = changed("group.1.port", 5222)
    tables["engine"]["addresses"] = ["10.77.0.2", "2001:db8::2"]
    tables["group"][0]["address"], tables["group"][1]["address"] = one, other
    tables["group"][0]["share"] = True
    [problem] = problems(tables)
    assert problem.startswith("group[1].port: 5222 is taken by the group 'chat'; give another port")
    tables["group"][1]["share"] = True
    assert len(structure(tables).group) == 2


def test_the_same_port_of_two_families_is_no_collision() -> None:
    tables = changed("group.1.port", 5222)
    tables["group"][0]["address"], tables["group"][1]["address"] = "0.0.0.0", "::"
    assert len(structure(tables).group) == 2


def test_the_same_port_of_two_addresses_is_no_collision() -> None:
    tables = changed("group.1.port", 5222)
    tables["engine"]["addresses"] = ["10.77.0.2", "10.77.0.3"]
    tables["group"][0]["address"], tables["group"][1]["address"] = "10.77.0.2", "10.77.0.3"
    assert len(structure(tables).group) == 2


@pytest.mark.parametrize(
    "given, expected",
    [(5, 5), ("5", 5), ("64 KiB", 65_536), ("1.5 MiB", 1_572_864), ("2GiB", 2 * GiB), (" 7 b ", 7)],
)
def test_sizes(given: Any, expected: int) -> None:
    assert size(given) == expected


@pytest.mark.parametrize("given", ["64 MB", "-5", "", "MiB", None, 1.5, True, [1]])
def test_bad_sizes(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="give bytes, or a number with KiB"):
        size(given)


# -- files --------------------------------------------------------------------------------

TOML = """
[engine]
addresses = "10.77.0.2"

[[pool]]
name = "im"

[[group]]
name = "plain"
port = 7
protocol = "tests.reactor.servers.Plain"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "xtcp.toml"
    file.write_text(TOML, "utf-8")
    return str(file)


def test_a_file_is_read(path: str) -> None:
    settings = load(path)
    assert isinstance(settings, Settings)
    assert settings.engine.addresses == ("10.77.0.2",)


def test_changes_replace_values(path: str) -> None:
    settings = load(
        path,
        [
            "engine.max_connections=200_000",
            "pool.im.receive_buffer=1 MiB",
            'group.plain.options.ack_policy="immediate"',
            "link.kind=memory",
        ],
    )
    assert settings.engine.max_connections == 200_000
    assert settings.pool[0].receive_buffer == MiB
    assert settings.group[0].options.ack_policy == "immediate"
    assert settings.link.kind == "memory"


@pytest.mark.parametrize(
    "change, sentence",
    [
        ("engine", "'engine' is not allowed; give KEY=VALUE"),
        ("group.web.port=80", "group.web.port: no group is called 'web'"),
        ("group.port=80", "group.port: say which group, such as group.NAME.port"),
        ("engine.addresses.first=1", "engine.addresses.first: 'addresses' is a value, not a table"),
        ("engine.max_conections=5", "engine.max_conections: is not known; did you mean 'max_connections'?"),
    ],
)
def test_bad_changes(path: str, change: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(path, [change])
    assert refused.value.problems[0].startswith(sentence)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        load(str(tmp_path / "none.toml"))


def test_not_toml(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[engine\n", "utf-8")
    with pytest.raises(SettingsError, match=r"bad.toml: is not TOML: .*line 1"):
        load(str(file))


def test_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(b"# \xff\n")
    with pytest.raises(SettingsError, match="is not UTF-8: .* at byte 2"):
        load(str(file))


def test_find_takes_the_environment_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xtcp.toml").touch()
    assert find({"XTCP_CONFIG": "/x/y.toml"}) == "/x/y.toml"
    assert find({}) == "xtcp.toml"


def test_find_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xtcp_twisted.reactor.loading.PLACES", ("xtcp.toml", "no/where.toml"))
    with pytest.raises(
        ConfigurationError, match=r"--config FILE, set XTCP_CONFIG, or make xtcp.toml or no/where"
    ):
        find({})
