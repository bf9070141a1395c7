"""What a user gets: the sdist, the wheel made from it, and the wheel installed.

The tree is copied first, so neither what lies in the working directory nor an
earlier build can lend the distribution anything.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from support.console import CONFIG, Console

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for suffix in ("pyx", "pxd", "pyi")
    for path in ROOT.glob(f"xtcp_twisted/**/*.{suffix}")
)
#: What the console sends as it is, or makes pages of.
ASSETS = sorted(
    path.relative_to(ROOT / "console").as_posix()
    for folder in ("static", "templates")
    for path in (ROOT / "console" / folder).rglob("*")
    if path.is_file()
)
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
LEFTOVERS = ("*.so", "*.egg-info", "*.py[co]", "*.c", "dropin.cache")


#: Without what leads Python to the repository.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XTCP_"))}


def attempt(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command away from the repository."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command away from the repository and return what it printed."""
    done = attempt(*command, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


# --- setup.cfg against the tree: fast -----------------------------------------


@pytest.fixture(scope="module")
def packages() -> set[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return set(setup["options"]["packages"].split())


def test_every_package_is_listed(packages: set[str]) -> None:
    found = {"twisted.plugins"}
    for folder, name in (("xtcp_twisted", "xtcp_twisted"), ("console", "xtcp_console")):
        for path in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join((name, *path.parent.relative_to(ROOT / folder).parts)))
    assert packages == found


def test_twisted_stays_open_to_others() -> None:
    """An __init__.py of ours in `twisted` or `twisted.plugins` would hide Twisted's own."""
    assert (ROOT / "twisted/plugins/xtcp_plugin.py").exists()
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


# --- The distributions --------------------------------------------------------


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and the wheel that was built from it."""
    base = tmp_path_factory.mktemp("packaging")
    hidden = [path.name for path in ROOT.iterdir() if path.name.startswith(".")]
    ignored = shutil.ignore_patterns(*LEFTOVERS, *hidden, "build", "dist", "__pycache__")
    shutil.copytree(ROOT, base / "source", ignore=ignored)
    run(sys.executable, "-m", "build", "--outdir", base / "dist", base / "source", cwd=base)
    return base / "dist"


@pytest.fixture(scope="module")
def wheel_names(dist: Path) -> set[str]:
    return set(zipfile.ZipFile(only(dist, "*.whl")).namelist())


@pytest.fixture(scope="module")
def metadata(dist: Path) -> Message:
    with zipfile.ZipFile(only(dist, "*.whl")) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(wheel.read(name).decode())


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_sdist_carries_the_sources(dist: Path) -> None:
    with tarfile.open(only(dist, "*.tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {*SOURCES, "LICENSE", "setup.py", "pyproject.toml", "xtcp_twisted/py.typed"} <= names
    assert [name for name in names if name.startswith("build") or name.endswith((".c", ".so"))] == []


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_wheel_carries_modules_and_their_declarations(wheel_names: set[str]) -> None:
    for source in SOURCES:
        if source.endswith(".pyx"):
            stem = source.removesuffix("pyx")
            assert [name for name in wheel_names if name.startswith(stem) and name.endswith(".so")], source
        else:
            assert source in wheel_names
    assert "xtcp_twisted/py.typed" in wheel_names
    assert "twisted/plugins/xtcp_plugin.py" in wheel_names


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_wheel_carries_nothing_else(wheel_names: set[str], packages: set[str]) -> None:
    modules = {name for name in wheel_names if ".dist-info" not in name} - {
        f"xtcp_console/{asset}" for asset in ASSETS
    }
    assert {Path(name).parent.as_posix().replace("/", ".") for name in modules} == packages
    assert [name for name in wheel_names if name.endswith((".c", ".pyx"))] == []


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_wheel_carries_the_consoles_own_files(wheel_names: set[str]) -> None:
    """All of them and no others: nothing in there was made elsewhere."""
    carried = {
        name.removeprefix("xtcp_console/")
        for name in wheel_names
        if name.startswith(("xtcp_console/static/", "xtcp_console/templates/"))
    }
    assert sorted(carried) == ASSETS
    assert {Path(asset).suffix for asset in ASSETS} == {".html", *TYPES}


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_metadata(metadata: Message, wheel_names: set[str]) -> None:
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Author"] == "xtcp_twisted maintainers"
    assert metadata["Requires-Python"] == ">=3.11"
    extras = {"console", "tls", "metrics", "test", "reference", "screenshots", "lint", "bench"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_names)


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that holds nothing but the wheel."""
    base = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", base / "venv", cwd=base)
    run(base / "venv/bin/python", "-m", "pip", "install", "--quiet", only(dist, "*.whl"), cwd=base)
    return base / "venv/bin"


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_installed_wheel_serves_twistd(installed: Path, tmp_path: Path) -> None:
    help_text = run(installed / "twistd", "xtcp", "--help", cwd=tmp_path)
    assert "Usage: twistd [options] xtcp [options]" in help_text


STRINGS = """
from twisted.application import strports
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.wire import Echo

class Ask(Protocol):
    def connectionMade(self):
        self.transport.write(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 7\\r\\nhello")
    def dataReceived(self, data):
        print(data.decode())
        reactor.stop()

strports.service("haproxy:xtcp:7:pool=im", Factory.forProtocol(Echo)).startService()
clientFromString(reactor, "xtcp:10.77.0.2:7:timeout=20").connect(Factory.forProtocol(Ask)).addErrback(
    lambda failure: (failure.printTraceback(), reactor.stop()))
reactor.run()
"""


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_installed_wheel_has_endpoint_strings(installed: Path, tmp_path: Path) -> None:
    """An engine on a link that leads nowhere talks to itself."""
    config = CONFIG.format(token_file=tmp_path / "token")
    (tmp_path / "xtcp.toml").write_text(config, "utf-8")
    assert run(installed / "python", "-c", STRINGS, cwd=tmp_path) == "hello\n"


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_installed_wheel_imports(installed: Path, tmp_path: Path) -> None:
    program = "import xtcp_twisted.engine, xtcp_twisted.link.base; print(xtcp_twisted.engine.__file__)"
    printed = run(installed / "python", "-c", program, cwd=tmp_path)
    assert Path(printed.strip()).is_relative_to(installed.parent)


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_without_its_extra_the_console_is_refused_in_a_sentence(installed: Path, tmp_path: Path) -> None:
    config = tmp_path / "xtcp.toml"
    config.write_text(CONFIG.format(token_file=tmp_path / "token"), "utf-8")
    command = (installed / "twistd", "xtcp", "--config", config, "--check-config")
    sentence = (
        r"the console needs the extra 'console' \(\w+ is not installed\):"
        r" pip install 'xtcp_twisted\[console\]', or do without it\n"
    )
    refused = attempt(*command, cwd=tmp_path)
    assert refused.returncode == 1
    assert re.fullmatch(sentence, refused.stdout)
    token = tmp_path / "token"
    token.touch()
    link = attempt(installed / "python", "-m", "xtcp_console", "link", "--token-file", token, cwd=tmp_path)
    assert link.returncode == 1
    assert re.fullmatch("python -m xtcp_console: " + sentence, link.stdout)
    assert run(*command, "--no-console", cwd=tmp_path) == f"{config}: no errors\n"


# --- The console from the wheel -----------------------------------------------


@pytest.fixture(scope="module")
def console(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Served by an environment that holds the wheel and its extra."""
    base = tmp_path_factory.mktemp("console")
    run(sys.executable, "-m", "venv", base / "venv", cwd=base)
    wheel = f"{only(dist, '*.whl')}[console]"
    run(base / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=base)
    made = Console(base, twistd=[base / "venv/bin/twistd"], cwd=base, env=ENVIRONMENT)
    yield made
    made.stop()


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_installed_console_lets_viewers_in(console: Console) -> None:
    page = console.request("GET", "/login")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<form" in page.body
    overview = console.request("GET", "/", cookie=console.sign_in())
    assert overview.status == 200


@pytest.mark.packaging
@pytest.mark.timeout(600)
def test_the_installed_console_serves_its_files(console: Console) -> None:
    for asset in ASSETS:
        if asset.startswith("static/"):
            answer = console.request("GET", f"/{asset}")
            assert (answer.status, answer.headers["content-type"]) == (200, TYPES[Path(asset).suffix]), asset
            assert answer.body == (ROOT / "console" / asset).read_bytes()
