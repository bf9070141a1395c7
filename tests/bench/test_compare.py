"""The comparison as a command: short runs with real servers, judged by counts and never by times."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import folder
from benchmarks.accounts import small_pages
from benchmarks.rounds import LOADS
from benchmarks.servers import SERVERS, Server, default_servers

SHORT = ["--quick", "--connections=200,40", "--seconds=0.1", "--inflight=5", "--rate=200", "--size=64"]


def run(folder: Path, *options: str) -> dict[str, Any]:
    """Run the command; gives what it wrote."""
    assert command.main([*SHORT, *options, f"--results={folder}"]) == 0
    return json.loads((folder / "compare-part.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Every server once, with every kind of load."""
    made = tmp_path_factory.mktemp("results")
    return made, run(made, f"--loads={','.join(LOADS)}")


def test_every_server_is_measured_completely(whole: tuple[Path, dict[str, Any]]):
    _, result = whole
    assert set(result["samples"]) == set(default_servers())
    assert result["problems"] == 0
    for samples in result["samples"].values():
        (sample,) = samples
        assert list(sample["loads"]) == ["40", "200"]
        assert set(sample["loads"]["40"]) == set(LOADS) - {"churn"}
        assert set(sample["loads"]["200"]) == set(LOADS)


def test_every_answer_is_counted_and_right(whole: tuple[Path, dict[str, Any]]):
    for (sample,) in whole[1]["samples"].values():
        for size, loads in sample["loads"].items():
            for load in loads.values():
                assert load["open"] == int(size)
                assert load["messages"] == load["answer_us"]["count"] > 0
                assert load["wrong"] == load["broken"] == load["failed"] == load["unanswered"] == 0
                assert load["server_cpu_seconds"] > 0
                assert load["client_cpu_seconds"] > 0


def test_descriptors_are_those_of_kernel_sockets(whole: tuple[Path, dict[str, Any]]):
    for name, (sample,) in whole[1]["samples"].items():
        assert sample["memory"]["connections"] == 200
        if SERVERS[name].kernel_tcp:
            # A descriptor for each, and a few for the rest of the server.
            assert 200 < sample["descriptors"] < 200 + 40
        else:
            assert sample["descriptors"] < 40
        assert sample["resident_before"] > 0


def test_the_page_shows_what_was_measured(whole: tuple[Path, dict[str, Any]]):
    made, result = whole
    page = (made / "compare-part.md").read_text()
    for name in default_servers():
        rows = re.findall(rf"^\| {re.escape(SERVERS[name].label)} \|.*$", page, re.MULTILINE)
        assert len(rows) == 2 * (len(LOADS) - 1) + 1 + 1
        assert f"{result['medians'][name]['random_200_per_second']:,.0f}" in page
    assert "![The same as plots](compare-part.svg)" in page
    assert (made / "compare-part.svg").read_text().rstrip().endswith("</svg>")
    assert sorted(path.name for path in made.iterdir()) == [
        "compare-part.json",
        "compare-part.md",
        "compare-part.svg",
    ]


def test_the_last_line_printed_is_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    written = run(tmp_path, "--servers=epoll", "--loads=random")
    told = capsys.readouterr()
    printed = json.loads(told.out.splitlines()[-1])
    assert printed["medians"] == written["medians"]
    assert printed["command"].startswith("python -m benchmarks --quick")
    assert re.search(r"This takes about \d+ min \d+ s\.", told.err)


def test_servers_take_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path, "--servers=epoll,responder", "--loads=random", "--repeat=2")
    turns = re.findall(r"round \d of \d: .*", capsys.readouterr().err)
    labels = [SERVERS[name].label for name in ("epoll", "responder")]
    assert turns == [f"round {turn} of 2: {label}" for turn in (1, 2) for label in labels]


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--servers", "twisted,nginx"], "unknown server 'nginx'; there are "),
        (["--servers", "twisted,twisted"], "a server is given twice: twisted, twisted"),
        (["--loads", "random,flood"], "unknown load 'flood'; there are random, "),
        (["--connections", "100,3"], "--connections: 3 is not allowed; give 20 or more"),
        (["--connections", "many"], "--connections: 'many' is not allowed; give numbers, such as"),
        (["--quick", "--size", "15"], "--size: 15 is not allowed; give 16 or more"),
        (["--repeat", "0"], "--repeat: 0 is not allowed; give 1 or more"),
    ],
)
def test_wrong_options(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_server_that_does_not_come_up_is_told_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(
        SERVERS, "epoll", Server("epoll", "broken", ("two", "words"), program="echo_responder")
    )
    assert command.main([*SHORT, "--servers=epoll", f"--results={tmp_path}"]) == 2
    assert "usage: echo_responder DEVICE" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_picture_does_not_replace_the_last(tmp_path: Path):
    def draw(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("no more ink")

    (tmp_path / "it.svg").write_text("whole")
    with pytest.raises(RuntimeError, match="no more ink"):
        folder.write(tmp_path, "it", {}, [], draw)
    assert (tmp_path / "it.svg").read_text() == "whole"


def test_processes_can_be_started_without_huge_pages():
    def allowed() -> str:
        status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True)
        return next(line for line in status.stdout.splitlines() if line.startswith("THP_enabled:"))

    with small_pages():
        assert allowed() == "THP_enabled:\t0"
    assert allowed() == "THP_enabled:\t1"
