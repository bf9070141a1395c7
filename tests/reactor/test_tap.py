"""The command line: parsed before the fork, refused in sentences, complete in its help."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.application.service import IService, IServiceMaker
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


def test_help_names_every_option() -> None:
    text = str(Options())
    for option in ("config", "tun", "namespace", "capture", "status-socket", "check-config", "set"):
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
