"""The benchmark of growth at a small size; that turns are bounded is held by tests/engine/test_growth.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.growth import command, inside, report
from benchmarks.growth.kernel import Point


def test_a_small_run_writes_tables_and_plots(tmp_path: Path, lab: object, capsys: pytest.CaptureFixture[str]):
    options = ["--connections", "600,1200", "--groups", "10,40", "--kernel", "50,200", "--sizes", "64,1024"]
    assert benchmarks.main(["growth", *options, "--seconds", "0.1", "--results", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "growth-part.json").read_text())
    steps = {(row["step"], row["connections"], row["groups"]) for row in document["steps"]}
    assert {("drain", 600, 1), ("stop at once", 1_200, 1), ("groups closed", 1_000, 40)} <= steps
    assert all(0 <= row["longest"] <= row["total"] or row["turns"] > 1 for row in document["steps"])
    loads = [(point["connections"], point["size"]) for point in document["messages"]]
    assert loads == [(50, 64), (50, 1_024), (200, 64), (200, 1_024)]
    assert all(point["per_second"] > 0 and point["cpu_us"] > 0 for point in document["messages"])
    text = capsys.readouterr().out
    assert "| drain |" in (tmp_path / "growth-part.md").read_text()
    assert "The longest turn or call, ms" in text
    assert (tmp_path / "growth-part.svg").stat().st_size > 10_000


def test_a_table_leaves_out_what_was_not_measured():
    rows = [inside.Row("drain", 1_000, 1, 0.25, 0.125, 7)]
    assert [table.title for table in report.tables(rows, [])] == [
        "All of it, ms of CPU time",
        "The longest turn or call, ms",
    ]
    points = [Point(1_000, 64, 9.0, 2.5, 3_000_000, 1_000_000)]
    (table,) = report.tables([], points)
    assert table.rows == (("1,000", "64", "9", "2.50", "2,000"),)


def test_what_is_short_keeps_its_figures():
    rows = [
        inside.Row("len(group)", 1_000, 1, 1.25e-6, 1.25e-6, 1),
        inside.Row("drain", 1_000, 1, 1.25, 0.5, 9),
    ]
    assert [table.rows for table in report.tables(rows, [])] == [
        (("len(group)", "0.0013"), ("drain", "1,250.00")),
        (("len(group)", "0.0013"), ("drain", "500.00")),
    ]


@pytest.mark.parametrize(
    "words, name", [([], "growth"), (["--seconds", "1"], "growth"), (["--groups", "10"], "growth-part")]
)
def test_only_a_whole_run_takes_the_place_of_the_last(words: list[str], name: str):
    assert command.name(command.parse(words)) == name


@pytest.mark.parametrize(
    "words, said",
    [
        (["--connections", "100"], "--connections: 100 is not allowed; give 512 or more"),
        (["--groups", "10,5"], "'10,5' is not allowed; give rising numbers"),
        (["--sizes", "x"], "invalid"),
        (["--seconds", "0"], "--seconds: 0 is not allowed"),
    ],
)
def test_wrong_options(words: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        benchmarks.main(["growth", *words])
    assert said in capsys.readouterr().err
