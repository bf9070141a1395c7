"""The table says what was measured, and does not hide what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from benchmarks import __main__ as command
from benchmarks import table
from benchmarks.loadgen import Latency, Outcome
from benchmarks.rounds import LOADS, Plan, Sample, problems

QUIET = Latency(count=100, p50=150.0, p99=900.0)


def outcome(**more: object) -> Outcome:
    good = Outcome(
        step="echo", open=1_000, failed=0, wrong=0, broken=0, unanswered=0, seconds=1.0, note="",
        connect_us=Latency(0), answer_us=QUIET, messages=50_000, per_second=50_000.0, server_cpu_seconds=0.5,
    )  # fmt: skip
    return attrs.evolve(good, **more)


def sample(server: str, **more: object) -> Sample:
    good = Sample(
        server=server, connections=1_000, resident_before=30 << 20, resident_idle=40 << 20,
        resident_after=50 << 20, process_bytes=1_500.0, slab_bytes=8_400.0, descriptors=1_010,
        opened_per_second=9_000.0, loads=dict.fromkeys(LOADS, outcome()), problems=(),
    )  # fmt: skip
    return attrs.evolve(good, **more)


def row(samples: table.Samples, title: str, label: str) -> str:
    """The line of one server below the first title that begins so."""
    lines = [line.strip() for line in table.lines(samples, Plan())]
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    return next(" ".join(line.split()) for line in lines[start:] if line.startswith(label))


def test_medians_ranges_and_ratios():
    samples = {
        "twisted": [sample("twisted", process_bytes=n) for n in (1_000.0, 3_000.0, 2_000.0)],
        "uvloop": [sample("uvloop", process_bytes=n) for n in (500.0, 1_500.0, 3_000.0)],
    }
    title = "bytes per idle connection, server process"
    assert row(samples, title, "Twisted") == "Twisted, epoll reactor 2,000 1,000 .. 3,000"
    assert row(samples, title, "asyncio") == "asyncio on uvloop 1,500 500 .. 3,000 0.5 (0.5 .. 1.5)"


def test_half_of_both_ends_is_called_so():
    samples = {"twisted": [sample("twisted")]}
    assert "4,200" in row(
        samples, "bytes per idle connection, kernel, server's side (slab, half of", "Twisted"
    )
    assert any("half of both ends'" in line for line in table.lines(samples, Plan()))


def test_the_client_of_a_server_without_sockets_tells_the_kernel_side_of_the_others():
    samples = {
        "xtcp-group": [sample("xtcp-group", slab_bytes=n) for n in (4_000.0, 4_100.0, 4_900.0)],
        "twisted": [sample("twisted")],
    }
    title = "bytes per idle connection, kernel, server's side (slab, both ends less the client's"
    assert row(samples, title, "Twisted") == "Twisted, epoll reactor 4,300 4,300 .. 4,300"
    assert row(samples, title, "XTCP") == "XTCP, group protocol 0 0 .. 0 0 (0 .. 0)"
    assert row(samples, "bytes per idle connection, process and kernel", "XTCP").startswith(
        "XTCP, group protocol 1,500 "
    )


def test_without_the_right_to_read_slabinfo_there_is_no_kernel_figure():
    samples = {"twisted": [sample("twisted", slab_bytes=None)]}
    assert not any("kernel" in line for line in table.lines(samples, Plan()))


def test_cpu_per_message():
    assert row({"uvloop": [sample("uvloop")]}, "CPU time of the server", "asyncio") == (
        "asyncio on uvloop 10.0 10.0 .. 10.0"
    )


def test_the_summary_has_every_figure():
    medians = table.summary({"twisted": [sample("twisted")]}, Plan())["twisted"]
    assert medians["bytes_per_connection"] == 1_500 + 4_200
    assert medians["sticky_per_second"] == 50_000
    assert {f"{name}_{figure}" for name in LOADS for figure in ("p50_us", "p99_us", "server_cpu_us")} <= set(
        medians
    )


def test_a_step_that_went_wrong_is_a_problem():
    steps = {"sticky": outcome(), "random": outcome(wrong=2, broken=1, note="why")}
    assert problems(steps) == (
        "random: 0 connections failed, 1 broke, 2 answers wrong, 0 requests unanswered, first: why",
    )


def test_problems_are_in_the_table():
    samples = {"twisted": [sample("twisted"), sample("twisted", problems=("random: 1 broke",))]}
    assert list(table.lines(samples, Plan()))[-1] == "WRONG: Twisted, epoll reactor, round 2, random: 1 broke"


def test_shares_of_the_ceiling_are_taken_round_by_round():
    def measured(server: str, *microseconds: float) -> list[Sample]:
        """The server is the bottleneck: its rate is what its CPU time allows."""
        return [
            sample(
                server, loads=dict.fromkeys(LOADS, outcome(per_second=1e6 / us, server_cpu_seconds=us / 20))
            )
            for us in microseconds
        ]

    samples = {
        "xtcp-group": measured("xtcp-group", 8, 16),
        "responder": measured("responder", 6, 12),
        "twisted": measured("twisted", 24, 40),
    }
    told = [line for line in table.lines(samples, Plan()) if line.startswith("XTCP, group protocol, random")]
    assert told == [
        f"XTCP, group protocol, random: {times} times the messages per second of {whom},"
        f" {times} times for a second of the server's CPU time"
        for times, whom in (
            ("2.75 (2.50 .. 3.00)", "Twisted, epoll reactor"),
            ("0.75 (0.75 .. 0.75)", "bare responder (the ceiling)"),
        )
    ]


def test_noise_is_the_worst_moment():
    calm, noisy = outcome(other_user_seconds=0.1), outcome(other_user_seconds=0.8, seconds=2.0)
    samples = {"twisted": [sample("twisted", loads={"sticky": calm, "random": noisy})]}
    assert table.noise(samples) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--servers", "twisted,nginx"], "unknown server 'nginx'; there are "),
        (["--connections", "3"], "--connections: 3 is not allowed; give 20 or more"),
        (["--quick", "--size", "15"], "--size: 15 is not allowed; give 16 or more"),
        (["--repeat", "0"], "--repeat: 0 is not allowed; give 1 or more"),
    ],
)
def test_wrong_options(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("name", ["twisted", "asyncio"])
def test_a_whole_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "result.json"
    options = ["--quick", "--connections=60", "--seconds=0.1", "--inflight=5", "--rate=100", "--size=64"]
    assert command.main([*options, f"--servers={name}", f"--json={file}"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    written = json.loads(file.read_text())
    (only,) = written["samples"][name]
    assert printed["medians"] == written["medians"]
    assert printed["problems"] == 0
    assert only["connections"] == 60
    # A descriptor for each, and a few for the rest of the server.
    assert 60 < only["descriptors"] < 60 + 40
    assert only["resident_before"] > 0
    assert all(load["messages"] > 0 for load in only["loads"].values())
