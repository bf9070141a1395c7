"""The bulk benchmark: it works on every side, and its table does not hide what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from benchmarks import inner
from benchmarks.__main__ import main
from benchmarks.applications.streams import BLOCK, PERIOD, Tally, block
from benchmarks.bulk import table
from benchmarks.bulk.rounds import DIRECTIONS, Plan, Sample, Stream
from benchmarks.bulk.sides import SIDES


def stream(gigabits: float = 8.0, **more: object) -> Stream:
    good = Stream(
        seconds=1.0, bytes=int(gigabits * 1e9 / 8), total=1_200_000_000, confirmed=1_200_000_000, wrong=0,
        note="", server_cpu_seconds=0.5, client_cpu_seconds=0.9, other_user_seconds=0.1,
    )  # fmt: skip
    return attrs.evolve(good, **more)


def sample(*gigabits: float) -> list[Sample]:
    """A sample for each round, both directions at this rate."""
    return [Sample(dict.fromkeys(DIRECTIONS, stream(rate)), ()) for rate in gigabits]


class TestStream:
    def test_the_client_counts_what_came_to_the_receiver(self):
        assert stream(bytes=500_000_000, seconds=2.0).gigabits == 2.0
        assert stream(seconds=0.0).gigabits == 0.0

    def test_a_good_stream_has_no_problem(self):
        assert not stream().problem(counts=True)

    @pytest.mark.parametrize(
        "fault, words",
        [
            ({"note": "the stream stands still"}, "stands still"),
            ({"wrong": 3}, "3 pieces with wrong bytes"),
            ({"confirmed": 1_199_999_999}, "1,200,000,000 bytes sent, 1,199,999,999 received"),
            ({"confirmed": -1_200_000_000}, "-1,200,000,000 received"),
        ],
    )
    def test_faults_are_told(self, fault: dict[str, object], words: str):
        assert words in stream(**fault).problem(counts=True)

    def test_the_bare_responder_says_no_number(self):
        assert not stream(confirmed=-1).problem(counts=False)


class TestPayload:
    def test_a_tally_follows_the_stream_wherever_it_is_cut(self):
        tally, sent = Tally(), block(0) + block(BLOCK)
        for start, end in ((0, 1), (1, 1_449), (1_449, 65_000), (65_000, len(sent))):
            tally.add(sent[start:end])
        assert tally.answer() == b"%d\n" % len(sent)

    @pytest.mark.parametrize("missing", [1, PERIOD - 1, PERIOD + 1])
    def test_a_tally_misses_lost_bytes(self, missing: int):
        tally, sent = Tally(), block(0)
        tally.add(sent[:1_448])
        tally.add(sent[1_448 + missing :])
        assert tally.answer() == b"-%d\n" % (len(sent) - missing)


class TestTable:
    samples: dict[str, list[Sample]] = {  # noqa: RUF012
        "xtcp-protocol-plain": sample(3.0, 6.0, 1.0),
        "responder-plain": sample(6.0, 10.0, 4.0),
        "twisted": sample(12.0, 20.0, 8.0),
    }

    def row(self, label: str) -> str:
        return next(
            " ".join(line.split()) for line in table.lines(self.samples, {}) if line.strip().startswith(label)
        )

    def test_ratios_are_taken_round_by_round(self):
        # The machine was half as fast in the first round, and a quarter in the third.
        assert self.row("XTCP, ordinary Protocol") == (
            "XTCP, ordinary Protocol 3.00 1.00 .. 6.00 0.50 (0.25 .. 0.60) 0.25 (0.12 .. 0.30) 50% 6.00"
        )
        assert self.row("bare responder") == (
            "bare responder (the ceiling) 6.00 4.00 .. 10.00 - 0.50 (0.50 .. 0.50) 50% 12.00"
        )
        assert self.row("Twisted") == "Twisted, ordinary Protocol 12.00 8.00 .. 20.00 - - 50% 24.00"

    @pytest.mark.parametrize("rate, verdict", [(3.3, "MISSED"), (3.4, "reached")])
    def test_a_third_is_asked_for(self, rate: float, verdict: str):
        samples = {"xtcp-group-plain": sample(rate), "responder-plain": sample(10.0)}
        told = [line for line in table.remarks(samples) if "XTCP, group protocol" in line]
        assert [line.partition(":")[0] for line in told] == [verdict] * 2

    def test_what_was_skipped_is_said(self):
        assert any(
            line.strip() == "XTCP, group protocol: skipped, because"
            for line in table.lines(self.samples, {"xtcp-group-header": "because"})
        )

    def test_problems_are_said(self):
        samples = {"twisted": [Sample(dict.fromkeys(DIRECTIONS, stream()), ("up: it broke",))]}
        assert "WRONG: Twisted, ordinary Protocol (sockets), round 1, up: it broke" in list(
            table.remarks(samples)
        )

    def test_the_summary_is_what_the_table_says(self):
        told = json.loads(json.dumps(table.summary(self.samples, Plan())))
        assert told["medians"]["xtcp-protocol-plain"]["up"]["gbit_per_second"] == 3.0
        assert told["medians"]["xtcp-protocol-plain"]["down"]["to_responder"] == 0.5


def test_a_quick_run_on_every_side(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """That it works, and every byte arrives; how fast is nobody's business here."""
    file = tmp_path / "bulk.json"
    status = main(["bulk", "--quick", "--seconds", "0.1", "--json", str(file)])
    told = capsys.readouterr()
    assert status == 0, told.out + told.err
    result = json.loads(file.read_text())
    expected = {name for name, side in SIDES.items() if not side.missing}
    assert set(result["medians"]) == expected
    for name in expected:
        for direction in DIRECTIONS:
            assert result["medians"][name][direction]["gbit_per_second"] > 0
    for name in set(SIDES) - expected:
        assert result["skipped"][name]


def test_a_server_that_does_not_come_up_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("benchmarks.bulk.sides.PORTS", (65_536, 19))
    assert main(["bulk", "--quick", "--sides", "xtcp-group-plain"]) == 2
    assert "benchmarks: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--sides", "kernel,quic"], "unknown side 'quic'"),
        (["--seconds", "0"], "--seconds: 0.0 is not allowed; give 0.05 or more"),
        (["--repeat", "0"], "--repeat: 0 is not allowed"),
    ],
)
def test_wrong_options(capsys: pytest.CaptureFixture[str], words: list[str], complaint: str):
    with pytest.raises(SystemExit) as left:
        main(["bulk", *words])
    assert left.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_cost_of_a_byte_inside_the_engine(capsys: pytest.CaptureFixture[str]):
    assert inner.main(["--megabytes", "1", "--repeat", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[1] for row in rows] == ["1,500", "65,535"]
    for row in rows:
        *steps, total = map(float, row[2:])
        assert min(steps) > 0
        assert sum(steps) == pytest.approx(total, abs=0.002)
