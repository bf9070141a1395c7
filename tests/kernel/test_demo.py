"""``make run``'s program as its user sees it: real clients, a real device, nothing left behind."""

from __future__ import annotations

import http.client
import json
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

import xtcp_twisted
from xtcp_twisted.errors import ResourceError
from xtcp_twisted.lab import Lab, keeper

ROOT = Path(__file__).parents[2]
IMPORTS = os.pathsep.join(
    filter(None, [str(Path(xtcp_twisted.__file__).parents[1]), os.environ.get("PYTHONPATH")])
)
#: How long a killed demonstration may take to take everything with it, seconds.
PATIENCE_S = 60.0

HEADER = re.compile(r"connections\s+msg/s\s+p50\s+p99\s+receive\s+transmit\s+answers\s+memory\s+errors")
ROW = re.compile(
    r" +(?P<connections>[\d,]+) +(?P<rate>[\d,]+) +(?P<p50>[\d.]+|-) +(?P<p99>[\d.]+|-)"
    r" +(?P<receive>\d+ [KM]?i?B) +(?P<transmit>\d+ [KM]?i?B) +(?P<share>[\d.]+%|-)"
    r" +(?P<memory>[\d.]+ MiB) +(?P<errors>\d+)"
)


class Run:
    """A demonstration in a session and a scratch directory of its own."""

    def __init__(
        self, scratch: Path, *arguments: str, stderr: int = subprocess.PIPE, console: str = "off"
    ) -> None:
        self.scratch = scratch
        self.namespace = ""
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "xtcp_twisted.demo", "--console", console, *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": IMPORTS, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def read_until(self, pattern: str, stream: IO[str] | None = None) -> str:
        """What the demonstration says, up to the line in which `pattern` is."""
        stream = stream or self.process.stderr
        assert stream is not None
        said = ""
        while not re.search(pattern, said):
            line = stream.readline()
            assert line, f"it ended before it said {pattern!r}:\n{said}"
            said += line
        return said

    def result(self) -> dict[str, Any]:
        """The one line of standard output."""
        assert self.process.stdout is not None
        line, newline, rest = self.process.stdout.read().partition("\n")
        assert (newline, rest) == ("\n", "")
        result: dict[str, Any] = json.loads(line)
        return result

    def everything(self) -> list[int]:
        """The processes of this run: those that were told of its scratch directory, or are in its lab."""
        told = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.scratch) in (entry / "cmdline").read_text():
                    told.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
        keepers = [pid for pid in told if Path(f"/proc/{pid}/comm").read_text().strip() == keeper.NAME]
        inside = [member for pid in keepers for member in keeper.members(keeper.namespace_of(pid) or "")]
        return sorted({self.process.pid, *told, *inside})

    def end(self) -> None:
        """Stop it if it still runs; its keeper does the rest."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a demonstration; the test is skipped where the rights for a lab are missing."""
    try:
        Lab().__enter__().close()
    except ResourceError as error:
        pytest.skip(str(error))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    runs: list[Run] = []

    def begin(*arguments: str, **options: Any) -> Run:
        runs.append(Run(scratch, *arguments, **options))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()


@pytest.fixture
def watched() -> Iterator[Callable[[list[int]], list[int]]]:
    """Descriptors that tell when processes end."""
    descriptors: list[int] = []

    def watch(pids: list[int]) -> list[int]:
        descriptors.extend(made := [os.pidfd_open(pid) for pid in pids])
        return made

    yield watch
    for descriptor in descriptors:
        os.close(descriptor)


def assert_gone(run: Run, pidfds: list[int]) -> None:
    """Every process of the run has ended, and its scratch directory is empty."""
    deadline = time.monotonic() + PATIENCE_S
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]
    assert list(run.scratch.iterdir()) == []


def test_a_short_run_ends_by_itself_with_its_result(start: Start) -> None:
    run = start("--clients", "200", "--duration", "3", "--rate", "400")
    said = run.read_until(r"\ntwistd xtcp runs|^twistd xtcp runs")
    said += run.read_until(HEADER.pattern)
    said += run.read_until(ROW.pattern)
    assert "200 of 200 kernel TCP clients connected" in said
    result = run.result()
    assert run.process.wait(PATIENCE_S) == 0
    assert (result["clients"], result["opened"], result["connections"]) == (200, 200, 200)
    assert (result["errors"], result["errors_by_kind"], result["error_examples"]) == (0, {}, [])
    assert result["requests"] == result["answers"] >= 200 + 3 * 400 // 2
    assert 300 < result["msgs_per_s"] < 500
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] <= result["latency_ms"]["p999"]
    assert result["server_descriptors"] < 40
    assert 0 < result["server_rss_bytes"] < 300 * 2**20
    # A request costs the server one packet: its answer carries the acknowledgement.
    assert result["acks_on_answers"] > 0.95 * result["answers"]
    assert result["acks_alone"] < 0.05 * result["answers"]
    assert result["retransmitted"] == 0
    assert list(run.scratch.iterdir()) == []


def test_the_printed_link_opens_the_console_once(start: Start) -> None:
    run = start("--clients", "20", console=":0")
    said = run.read_until(ROW.pattern)
    found = re.search(r"^  Console: http://(127\.0\.0\.1:\d+)(/login/\S+)$", said, re.MULTILINE)
    assert found

    def status(path: str) -> int:
        with closing(http.client.HTTPConnection(found[1], timeout=PATIENCE_S)) as browser:
            browser.request("GET", path)
            return browser.getresponse().status

    assert [status(found[2]), status(found[2])] == [303, 403]
    (command,) = [line for line in said.splitlines() if " -m xtcp_console link " in line]
    another = subprocess.run(
        shlex.split(command),
        check=True,
        env=os.environ | {"PYTHONPATH": IMPORTS},
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert status(another.removeprefix(f"http://{found[1]}")) == 303
    run.process.send_signal(signal.SIGINT)
    assert run.result()["errors"] == 0
    assert run.process.wait(PATIENCE_S) == 0
    assert list(run.scratch.iterdir()) == []  # the token went, too


def test_a_port_of_the_console_that_is_taken_is_said_before_anything_starts(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        run = start(console=place)
        said = run.read_until(r"\n")
    assert said == (
        f"python -m xtcp_twisted.demo: the console cannot listen on {place}: Address already in use;"
        " give another port with --console PORT (make run CONSOLE=PORT), or go without it: --console off\n"
    )
    assert run.process.wait(PATIENCE_S) == 2
    assert list(run.scratch.iterdir()) == []


def test_the_printed_command_talks_to_the_chat(start: Start) -> None:
    run = start("--clients", "40")
    said = run.read_until(r"clients connected")
    command = next(line for line in said.splitlines() if " talk " in line)
    talk = subprocess.run(
        [*shlex.split(command), "--lab", str(keeper_of(run))],
        check=False,
        input="/nick ada\nhello everybody\n/who\n/quit\n",
        env=os.environ | {"PYTHONPATH": IMPORTS},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (talk.returncode, talk.stderr) == (0, "")
    lines = talk.stdout.splitlines()
    assert lines[0].startswith("* Welcome")
    assert lines[-1] == "* goodbye"
    assert "* you are ada" in lines
    assert any(re.fullmatch(r"\* said to \d+", line) for line in lines)
    assert any(re.fullmatch(r"\* \d+ in #lobby: ada, .*", line) for line in lines)
    run.process.send_signal(signal.SIGINT)
    assert run.result()["errors"] == 0


def keeper_of(run: Run) -> int:
    """The keeper of the run's lab."""
    (pid,) = (p for p in run.everything() if Path(f"/proc/{p}/comm").read_text().strip() == keeper.NAME)
    return pid


def test_a_ctrl_c_ends_a_run_without_end(start: Start, watched: Callable[[list[int]], list[int]]) -> None:
    run = start("--clients", "50")
    run.read_until(ROW.pattern)
    pidfds = watched(run.everything())
    assert len(pidfds) == 4  # itself, the keeper, the server, the clients
    os.killpg(run.process.pid, signal.SIGINT)
    result = run.result()
    assert run.process.wait(PATIENCE_S) == 0
    assert (result["connections"], result["errors"]) == (50, 0)
    assert_gone(run, pidfds)


def test_a_ctrl_c_before_all_are_connected(start: Start) -> None:
    run = start("--clients", "5000")
    run.read_until(r"of 5,000 kernel TCP clients are connected")
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.result()["errors"] == 0
    assert run.process.wait(PATIENCE_S) == 0
    assert list(run.scratch.iterdir()) == []


def test_a_kill_leaves_nothing(start: Start, watched: Callable[[list[int]], list[int]]) -> None:
    run = start("--clients", "50")
    run.read_until(ROW.pattern)
    pidfds = watched(run.everything())
    run.process.kill()
    assert_gone(run, pidfds)


def test_a_server_that_dies_is_reported(start: Start, watched: Callable[[list[int]], list[int]]) -> None:
    run = start("--clients", "50")
    said = run.read_until(ROW.pattern)
    pidfds = watched(run.everything())
    found = re.search(r"\(pid (\d+),", said)
    assert found
    os.kill(int(found[1]), signal.SIGKILL)
    run.read_until(r"^python -m xtcp_twisted.demo: the server ended by signal 9; its log ends:\n")
    assert run.process.wait(PATIENCE_S) == 1
    assert_gone(run, pidfds)


def test_a_configuration_that_is_refused_is_shown(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text((ROOT / "examples" / "xtcp.toml").read_text().replace("port = 7", "port = 70000"))
    run = start("--config", str(config))
    said = run.read_until(r"70000")
    assert said == (
        "python -m xtcp_twisted.demo: the configuration is refused:\n"
        "  group[1].port: 70000 is not allowed; give an integer from 1 to 65,535\n"
    )
    assert run.process.wait(PATIENCE_S) == 2


def test_on_a_terminal_one_row_is_written_over(start: Start) -> None:
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (24, 80))
        run = start("--clients", "50", "--duration", "3", stderr=theirs)
        with open(ours, closefd=False, newline="") as terminal:
            said = run.read_until(HEADER.pattern, terminal)
            assert all(len(line) < 80 for line in re.split(r"[\r\n]+", said) if "talk" not in line)
            result = run.result()
            rows = ""
            while select.select([ours], [], [], 0)[0]:
                rows += os.read(ours, 65_536).decode()
        figures = rows.rstrip("\r\n").split("\r")
        assert result["connections"] == 50
        assert len(figures) >= 2
        assert "\n" not in "".join(figures)
        for row in figures:
            assert len(row) < 80
            assert ROW.fullmatch(row.rstrip())
    finally:
        os.close(theirs)
        os.close(ours)
