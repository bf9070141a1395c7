"""The how-to pages that need no application of others; those are run in tests/applications."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT, block, write_files

from .conftest import PATIENCE_S, Actor, Reader

PORTING = "docs/howto/porting.md"
TESTING = "docs/howto/testing.md"

PROGRAMS = [
    ("docs/howto/acknowledgement.md", "policies"),
    ("docs/howto/acknowledgement.md", "dies"),
    ("docs/howto/flow-control.md", "requests"),
    ("docs/howto/flow-control.md", "producer"),
    ("docs/howto/flow-control.md", "writable"),
]


@pytest.mark.parametrize("page, name", PROGRAMS)
def test_a_program_prints_what_the_page_says(page: str, name: str) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block(page, f"python {name}"), f"{page}: {name}", "exec"), {"__name__": "__main__"})
    assert printed.getvalue() == block(page, f"text {name}")


def test_no_program_is_left_out() -> None:
    for page in {page for page, _ in PROGRAMS}:
        named = [name for where, name in PROGRAMS if where == page]
        assert (ROOT / page).read_text().count("```python") == len(named)


@pytest.mark.parametrize("step", ["before", "endpoint", "reactor", "group"])
def test_each_step_of_porting(reader: Reader, step: str) -> None:
    """The same conversation, with the kernel's TCP and three times with the engine's."""
    reader.has(PORTING)
    server = reader.starts(block(PORTING, f"sh {step}"))
    host = "127.0.0.1" if step == "before" else "10.77.0.2"
    with reader.connects(5222, server, host) as client:
        client.settimeout(PATIENCE_S)
        Actor(client, "/", "hello").plays(block(PORTING, "text wall"))
        assert client.recv(100) == b""
    reader.ends(server)


@pytest.mark.parametrize("runner, count", [("pytest", 5), ("trial", 2)])
def test_the_tests_of_the_page(tmp_path: Path, runner: str, count: int) -> None:
    names = [path.name for path in write_files(TESTING, tmp_path)]
    ours = [name for name in names if (name == "test_trial.py") == (runner == "trial")]
    # From a folder of the user's, where the project's own settings of pytest do not hold.
    command = ["pytest", "-q", "-p", "no:cacheprovider"] if runner == "pytest" else ["twisted.trial"]
    done = subprocess.run(
        [sys.executable, "-m", *command, *(ours if runner == "pytest" else ["test_trial"])],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout
    assert (f"{count} passed" if runner == "pytest" else f"successes={count}") in done.stdout


def test_a_test_of_the_page_fails_with_its_protocol(tmp_path: Path) -> None:
    write_files(TESTING, tmp_path)
    file = tmp_path / "test_upper.py"
    file.write_text(file.read_text().replace("data.upper()", "data.upper", 1))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file.name],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert "self.group.send(cd, data.upper)" in done.stdout
