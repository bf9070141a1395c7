"""``make million`` at 10,000 connections: everything is counted, nothing is timed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs
import pytest

from benchmarks.loadgen import LoadGeneratorError
from benchmarks.million import host, needs
from benchmarks.million.plan import Plan
from xtcp_twisted.errors import PrivilegeError, ResourceError

ROOT = Path(__file__).parents[2]
CONNECTIONS = 10_000
SETTINGS = ("fs/file-max", "net/ipv4/tcp_mem", "net/ipv4/tcp_max_orphans", "net/ipv4/tcp_child_ehash_entries")
#: Figures of one load, in the JSON.
LOADS = ("few", "every")


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.million", "--results", str(folder), *options]


def host_settings() -> dict[str, str]:
    return {name: path.read_text() for name in SETTINGS if (path := Path("/proc/sys", name)).exists()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path, bool]:
    """One run: what it printed, its folder, whether the host's settings are what they were."""
    folder = tmp_path_factory.mktemp("million")
    before = host_settings()
    options = ("--connections", str(CONNECTIONS), "--rate", "1000", "--seconds", "1", "--probe", "0.2")
    done = subprocess.run(
        command(folder, *options, "--allow-host-sysctls"),
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return done, folder, host_settings() == before


@pytest.fixture(scope="module")
def result(run: tuple[subprocess.CompletedProcess[str], Path, bool]) -> dict[str, Any]:
    done, folder, _ = run
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / f"million-{CONNECTIONS}.json").read_text())
    return found


class TestRun:
    def test_every_connection_is_established_and_all_sides_say_so(self, result: dict[str, Any]) -> None:
        idle = result["idle"]
        assert (idle["clients"], idle["kernel"], idle["engine"]) == (CONNECTIONS,) * 3
        assert result["ceiling"]["held"] == CONNECTIONS

    def test_there_is_no_error_and_no_reset(self, result: dict[str, Any]) -> None:
        assert result["errors"] == {}
        assert (result["kernel"]["EstabResets"], result["kernel"]["AttemptFails"]) == (0, 0)
        assert result["counters_loaded"]["OutRsts"] == result["counters_loaded"]["EstabResets"] == 0

    def test_the_loads_are_answered(self, result: dict[str, Any]) -> None:
        stops = [stop[kind] for stop in result["stops"] for kind in ("closed_loop", "open_loop")]
        for load in (*stops, *(result[name] for name in LOADS), result["ceiling"]["few"]):
            assert load["messages"] > 0
            assert load["answer_us"]["count"] == load["messages"]
        assert result["few"]["open"] == result["every"]["open"] == CONNECTIONS

    def test_the_storm_comes_back(self, result: dict[str, Any]) -> None:
        drop, back = result["storm"]["drop"], result["storm"]["back"]
        assert (drop["open"], back["open"]) == (CONNECTIONS * 9 // 10, CONNECTIONS)
        assert back["connect_us"]["count"] == back["answer_us"]["count"] == CONNECTIONS // 10

    def test_the_end_is_half_in_order_half_by_reset(self, result: dict[str, Any]) -> None:
        fin, reset = result["endings"]["fin"], result["endings"]["reset"]
        assert (fin["open"], reset["open"], result["left"]) == (CONNECTIONS // 2, 0, 0)
        # The storm's, and the last half's.
        assert result["counters"]["EstabResets"] == CONNECTIONS // 10 + CONNECTIONS // 2
        assert result["counters"]["Ended"] == CONNECTIONS * 11 // 10

    def test_few_descriptors(self, result: dict[str, Any]) -> None:
        assert max(result["idle"]["descriptors"], result["descriptors_after"]) <= 16

    def test_the_json_is_complete(self, result: dict[str, Any]) -> None:
        assert [stop["connections"] for stop in result["stops"]] == [1_000, 3_000, CONNECTIONS]
        assert all(stop["resident"] > 0 and stop["per_second"] > 0 for stop in result["stops"])
        assert {name for used in result["cpu"].values() for name in used} == {
            "server, user", "server, system", "client processes, user", "client processes, system",
            "everything else",
        }  # fmt: skip
        assert result["plan"]["workers"] * result["plan"]["capacity"] == CONNECTIONS
        targets = result["targets"]
        for name in ("established", "descriptors", "errors", "resets", "back", "left"):
            assert targets[name]["met"], targets[name]
        # Times are found, too, but it is not for a test to judge them.
        assert {"accept_ratio", "server_cores_few", "server_cores_every", "p99_few"} < set(targets)

    def test_the_page_is_drawn(
        self, result: dict[str, Any], run: tuple[subprocess.CompletedProcess[str], Path, bool]
    ) -> None:
        drawn = ElementTree.parse(run[1] / f"million-{CONNECTIONS}.svg").getroot()
        texts = {"".join(element.itertext()) for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
        assert {
            "Memory of the server", "Throughput, 100 requests on the way",
            "Latency at 1,000 messages per second", "Connections accepted", "Processors busy", "The run",
        } <= texts  # fmt: skip
        assert "# 10,000 connections" in (run[1] / f"million-{CONNECTIONS}.md").read_text()

    def test_the_table_has_a_verdict_for_each_target(
        self, result: dict[str, Any], run: tuple[subprocess.CompletedProcess[str], Path, bool]
    ) -> None:
        verdicts = [line for line in run[0].stdout.splitlines() if line.endswith((" met", " MISSED"))]
        assert len(verdicts) == len(result["targets"])

    def test_progress_is_plain_lines_without_a_terminal(
        self, run: tuple[subprocess.CompletedProcess[str], Path, bool]
    ) -> None:
        assert "open to 10,000" in run[0].stderr
        assert "\r" not in run[0].stderr

    def test_nothing_of_the_host_is_changed(
        self, run: tuple[subprocess.CompletedProcess[str], Path, bool]
    ) -> None:
        assert run[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    before = host_settings()
    # A lab's folder goes last, after all that ran in it.  Its path is short: a Unix socket is there.
    with tempfile.TemporaryDirectory() as labs:
        # A shell's job in the background ignores SIGINT, and so does whatever it starts.
        words = ["env", "--default-signal=INT"]
        words += command(tmp_path, "--connections", "3000", "--seconds", "60", "--allow-host-sysctls")
        with subprocess.Popen(
            words, cwd=ROOT, env=os.environ | {"TMPDIR": labs}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            for line in process.stderr:
                if "traffic from few" in line and "bare" not in line:
                    break
            assert list(Path(labs).glob("xtcp-lab-*"))
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert "interrupted; everything it had started has ended" in errors
        assert list(Path(labs).iterdir()) == []
    assert host_settings() == before
    assert list(tmp_path.iterdir()) == []


class TestNeeds:
    def test_one_processor_is_too_few(self) -> None:
        with pytest.raises(ResourceError, match="take 2 processors, one each, and this process may use 1"):
            needs.check(Plan(), cores=1)

    def test_too_little_memory(self) -> None:
        with pytest.raises(ResourceError, match=r"take about 5\.3 GiB .* give CONNECTIONS=329000 or fewer"):
            needs.check(Plan(), cores=2, available=2 << 30)

    def test_too_few_descriptors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("benchmarks.million.plan.descriptor_limit", lambda: 1_024)
        with pytest.raises(LoadGeneratorError, match="'ulimit -Hn 4007', or give a smaller CONNECTIONS"):
            needs.check(Plan(), cores=2, available=1 << 40)

    @pytest.mark.parametrize(
        "options, reason",
        [
            (["--connections", "10"], "--connections: 10 is not allowed; give 1000 to 4,000,000"),
            (["--rate", "0"], "--rate: 0.0 is not allowed"),
            (["--connections", "2000", "--storm", "3000"], "--storm: there are only 2000 clients"),
        ],
    )
    def test_wrong_options(self, tmp_path: Path, options: list[str], reason: str) -> None:
        done = subprocess.run(
            command(tmp_path, *options), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert reason in done.stderr


class TestPlan:
    def test_a_million_takes_processes_of_at_most_20_000_descriptors(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("benchmarks.million.plan.descriptor_limit", lambda: 1 << 20)
        plan = Plan()
        assert (plan.workers, plan.capacity, plan.talking, plan.storm) == (51, 19_608, 39_216, 100_000)

    def test_who_talks_before_the_second_process_has_connections(self) -> None:
        plan = Plan(connections=10_000)
        assert [plan.talking_of(number) for number in (1, 2_500, 2_501, 10_000)] == [1, 1, 2, 2]


class TestHost:
    """On files of its own: what the host has is not for tests to change."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name, text in (
            ("fs/file-max", "100000\n"),
            ("fs/file-nr", "1000\t0\t100000\n"),
            ("net/ipv4/tcp_mem", "1000\t2000\t3000\n"),
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    @contextmanager
    def unchanged(self, root: Path) -> Iterator[None]:
        before = {path: path.read_text() for path in root.rglob("*") if path.is_file()}
        yield
        assert {path: path.read_text() for path in before} == before

    def test_what_a_small_machine_lacks(self, root: Path) -> None:
        found = host.wanted(Plan(), root)
        assert [(setting.name, setting.wanted) for setting in found] == [
            ("fs.file-max", "1051000"),
            ("net.ipv4.tcp_mem", "260000 260000 520000"),
        ]
        assert str(found[1]).startswith("net.ipv4.tcp_mem = 1000 2000 3000, should be 260000 260000 520000: ")

    def test_what_suffices_is_left_alone(self, root: Path) -> None:
        assert host.wanted(Plan(connections=2_000, rate=100.0), root) == []

    def test_values_are_raised_and_come_back(self, root: Path) -> None:
        with self.unchanged(root), host.raised(host.wanted(Plan(), root), root):
            assert (root / "fs/file-max").read_text() == "1051000"

    def test_they_come_back_after_a_failure(self, root: Path) -> None:
        with self.unchanged(root), pytest.raises(RuntimeError), host.raised(host.wanted(Plan(), root), root):
            raise RuntimeError

    def test_they_come_back_when_one_may_not_be_written(self, root: Path) -> None:
        settings = host.wanted(Plan(), root)
        settings[1] = attrs.evolve(settings[1], name="net.ipv4")  # a folder
        refused = pytest.raises(PrivilegeError, match="without --allow-host-sysctls")
        with self.unchanged(root), refused, host.raised(settings, root):
            pass

    def test_they_come_back_after_a_sigkill(self, root: Path) -> None:
        program = (
            "import os, pathlib, signal, sys\n"
            "from benchmarks.million import host\n"
            "from benchmarks.million.plan import Plan\n"
            "root = pathlib.Path(sys.argv[1])\n"
            "with host.raised(host.wanted(Plan(), root), root):\n"
            "    print((root / 'fs/file-max').read_text(), flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        with self.unchanged(root):
            # Its errors end when the last process that could write some has: the one that puts values back.
            done = subprocess.run(
                [sys.executable, "-c", program, str(root)], cwd=ROOT, capture_output=True, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, b"1051000\n", b"")
