"""The command line: parsed before the fork, refused in sentences, complete in its help."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.application.service import IService, IServiceMaker, MultiService
from twisted.plugin import getPlugins
from twisted.python import usage

from xtcp_twisted.tap import Options, makeService

TOML = """
[engine]
addresses = ["10.77.0.2"]
[[pool]]
name = "im"
[[group]]
name = "plain"
port = 7
protocol = "tests.reactor.servers.Plain"
"""

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "xtcp.toml"
    file.write_text(TOML, "utf-8")
    return str(file)


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def test_options_override_the_configuration(path: str) -> None:
    link = parse("-c", path, "--tun", "xt9", "--namespace", "blue", "--capture", "all.pcapng").settings.link
    assert (link.name, link.namespace, link.capture) == ("xt9", "blue", "all.pcapng")
    assert not link.offload
    assert parse("-c", path, "--offload").settings.link.offload


def test_set_changes_one_value(path: str) -> None:
    options = parse("-c", path, "--set", "engine.max_connections=99", "-s", "group.plain.port=8")
    assert options.settings.engine.max_connections == 99
    assert options.settings.group[0].port == 8


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--set", "engine.max_connections=9"), "engine.max_connections: 9 is not allowed; give an integer"),
        (("--tun", "a/b"), "link.name: 'a/b' is not allowed; give a device name"),
        (("--config", "/no/such.toml"), "/no/such.toml: cannot be read: No such file"),
        (
            ("--set", "group.plain.protocol=nothing.at.all"),
            "group[0].protocol: nothing.at.all does not import",
        ),
    ],
)
def test_errors_are_usage_errors(path: str, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(usage.UsageError) as refused:
        parse("-c", path, *arguments)
    assert sentence in str(refused.value)


def test_applications_are_found_in_the_current_folder(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nearby_application.py").write_text("from tests.reactor.servers import Plain\n", "utf-8")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(tmp_path)
    (group,) = parse("-c", path, "-s", "group.plain.protocol=nearby_application.Plain").settings.group
    assert group.build().buildProtocol(None).greeting == "hello"


def test_without_a_configuration_it_says_where_one_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XTCP_CONFIG", raising=False)
    monkeypatch.setattr("xtcp_twisted.reactor.loading.PLACES", ("xtcp.toml",))
    with pytest.raises(usage.UsageError, match="give --config FILE"):
        parse()


def test_check_config_exits_with_success(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse("-c", path, "--check-config")
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"{path}: no errors\n"


def test_check_config_exits_with_the_errors(path: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse("-c", path, "--check-config", "--set", "link.mtu=5")
    assert "link.mtu: 5 is not allowed" in str(exit_.value.code)


# -- the console ---------------------------------------------------------------------------------

CONSOLE = '[console]\nport = 9000\ntoken_file = "t"\n'


@pytest.fixture
def with_console(path: str) -> str:
    Path(path).write_text(TOML + CONSOLE, "utf-8")
    return path


def test_without_the_table_there_is_no_console(path: str) -> None:
    assert parse("-c", path).settings.console is None


def test_the_console_is_the_configurations(with_console: str) -> None:
    console = parse("-c", with_console).settings.console
    assert console is not None
    assert (console.place, console.token_file) == ("127.0.0.1:9000", "t")


@pytest.mark.parametrize(
    "option, place",
    [("9001", "127.0.0.1:9001"), ("127.0.0.2:9002", "127.0.0.2:9002"), ("[::1]:0", "[::1]:0")],
)
def test_the_option_moves_it(with_console: str, option: str, place: str) -> None:
    console = parse("-c", with_console, "--console", option).settings.console
    assert console is not None
    assert (console.place, console.token_file) == (place, "t")


@pytest.mark.parametrize("table", ["", "[console]\nenabled = false\n"])
def test_the_option_switches_it_on(path: str, table: str) -> None:
    Path(path).write_text(TOML + table, "utf-8")
    assert parse("-c", path).settings.console is None
    console = parse("-c", path, "--console", "9001").settings.console
    assert console is not None
    assert console.enabled


def test_the_option_switches_it_off(with_console: str) -> None:
    assert parse("-c", with_console, "--no-console").settings.console is None


def test_it_cannot_be_both(path: str) -> None:
    with pytest.raises(usage.UsageError, match="give either --console or --no-console"):
        parse("-c", path, "--no-console", "--console", "9001")


def test_beyond_this_machine_is_refused(path: str) -> None:
    with pytest.raises(
        usage.UsageError, match="--console: address: '0.0.0.0' is not allowed; give a loopback"
    ):
        parse("-c", path, "--console", "0.0.0.0:80")


@pytest.mark.parametrize("missing", ["flask", "flask_limiter", "flask_wtf"])
def test_without_its_libraries_the_sentence_names_the_extra(
    with_console: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "xtcp_console":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    sentence = f"({missing} is not installed): pip install 'xtcp_twisted[console]', or do without it"
    with pytest.raises(usage.UsageError) as refused:
        parse("-c", with_console)
    assert sentence in str(refused.value)
    with pytest.raises(SystemExit) as exit_:
        parse("-c", with_console, "--check-config")
    assert sentence in str(exit_.value.code)
    assert parse("-c", with_console, "--no-console").settings.console is None


def test_both_services_are_made(with_console: str) -> None:
    made = makeService(parse("-c", with_console))
    assert isinstance(made, MultiService)
    assert [service.name for service in made] == ["console", "xtcp"]
    made = makeService(parse("-c", with_console, "--no-console"))
    assert isinstance(made, MultiService)
    assert [service.name for service in made] == ["xtcp"]


# -- help ----------------------------------------------------------------------------------------


def test_help_names_every_option() -> None:
    text = str(Options())
    for option in (
        "config",
        "tun",
        "namespace",
        "capture",
        "status-socket",
        "console",
        "no-console",
        "check-config",
        "set",
    ):
        assert f"--{option}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_completion_for_the_shell() -> None:
    options = Options()
    options._shellCompFile = out = io.BytesIO()
    with pytest.raises(SystemExit):
        options.parseOptions(["--_shell-completion", "zsh:1", "--"][:2])
    assert b"status-socket" in out.getvalue()


def test_the_service_opens_nothing_before_it_is_started(path: str) -> None:
    service = makeService(parse("-c", path, "--tun", "xtcpnever"))
    assert IService.providedBy(service)
    assert not Path("/sys/class/net/xtcpnever").exists()


def test_the_plugin_is_found() -> None:
    assert [maker.tapname for maker in getPlugins(IServiceMaker) if maker.tapname == "xtcp"] == ["xtcp"]


def test_the_plugin_is_light() -> None:
    """It runs at every look-up of any plugin, so it must not bring the engine or settings."""
    program = (
        "import sys, runpy; runpy.run_path('twisted/plugins/xtcp_plugin.py');"
        "print([m for m in sys.modules if m.startswith(('xtcp_twisted', 'cattrs'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_example_configuration_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = parse("-c", "examples/xtcp.toml").settings
    assert [(group.name, group.port) for group in settings.group] == [
        ("chat", 5222),
        ("echo", 7),
        ("web", 80),
    ]
    assert settings.console is not None
    assert settings.console.place == "127.0.0.1:8088"
