"""docs/tutorial.md, from nothing to a push server."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from support.live import reserved_port
from support.pages import ROOT, block, blocks

from .conftest import PATIENCE_S, Actor, Reader

PAGE = "docs/tutorial.md"
TYPED = ("subscribe", "publish", "who")


@pytest.fixture
def written(reader: Reader) -> Reader:
    """Who has written all files of the page."""
    names = [path.name for path in reader.has(PAGE)]
    assert names == ["push.py", "test_push.py", "xtcp.toml", "crowd.py"]
    return reader


def test_the_installation() -> None:
    """What is typed exists; what it does has tests of its own."""
    command = block(PAGE, "sh install")
    done = subprocess.run(
        [*command.split(), "--dry-run"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert block(PAGE, "sh").startswith(". .venv/bin/activate\n")
    assert "VENV ?= .venv\n" in (ROOT / "Makefile").read_text()


def test_its_tests_pass(written: Reader) -> None:
    said = written.runs(block(PAGE, "sh test"))
    assert "PASSED (successes=3)" in said


def test_its_tests_can_fail(written: Reader) -> None:
    program = written.folder / "push.py"
    program.write_text(program.read_text().replace("- %b has left", "%b has left"))
    with pytest.raises(AssertionError, match=r"FAILED \(failures=1, successes=2\)"):
        written.runs(block(PAGE, "sh test"))


@pytest.fixture
def console_port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


def test_the_server(written: Reader, console_port: int) -> None:
    """Two clients as on the page, while the console shows them."""
    file = written.folder / "xtcp.toml"
    file.write_text(file.read_text().replace("port = 8088", f"port = {console_port}"))
    server = written.starts(block(PAGE, "sh server"))
    ada, bob = (written.connects(5222, server) for _ in range(2))
    with ada, bob:
        hers, his = Actor(ada, *TYPED), Actor(bob, *TYPED)
        before, meanwhile, after = blocks(PAGE, "text ada")
        hers.plays(before)
        his.plays(block(PAGE, "text bob"))
        hers.plays(meanwhile)
        link = written.runs(block(PAGE, "sh console")).split()[-1]
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with written.lab.call(opener.open, link, timeout=PATIENCE_S) as page:
            assert b"push" in page.read()
        bob.close()
        hers.plays(after)
    written.ends(server)


def test_the_crowd(written: Reader) -> None:
    """In a lab of its own; fewer of them, as this is no benchmark."""
    command = block(PAGE, "sh crowd").replace(" 5000", " 300")
    done = subprocess.run(
        command.split(),
        check=False,
        cwd=written.folder,
        env=written.environment,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    shown = re.escape(block(PAGE, "text crowd").replace("5,000", "300"))
    assert re.fullmatch(re.sub(r"\d+\\\.\d+", r"\\d+\\.\\d+", shown), done.stdout), done.stdout
