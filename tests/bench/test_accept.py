"""The benchmarks of what a connection and a message cost, which only have to work here.

`tests/test_budget.py` holds what they may cost.
"""

from __future__ import annotations

import gc
import json

import pytest

from benchmarks import accept, messages


def test_the_table(capsys: pytest.CaptureFixture[str]):
    assert accept.main(["--connections", "600"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:27].split() for line in lines[1:]] == [
        ["ordinary", "protocol", "frozen"],
        ["ordinary", "protocol", "default"],
        ["group", "protocol", "frozen"],
    ]


def test_one_of_them(capsys: pytest.CaptureFixture[str]):
    gc.unfreeze()  # whatever a test before has left
    assert accept.main(["--connections", "600", "--only", "ordinary protocol", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["connections"] == 600
    assert found["collections"][2] == 0
    assert found["cpu_us_per_connection"] > 0
    assert gc.get_freeze_count() == 0


def test_too_few(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        accept.main(["--connections", "1"])
    assert "--connections: 1 is not allowed; give 2 to" in capsys.readouterr().err


def test_the_cost_of_a_message_inside_the_process(capsys: pytest.CaptureFixture[str]):
    assert messages.main(["--connections", "300", "--inflight", "20", "--repeat", "1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["group", "ordinary"]
    assert all(int(row[-1].replace(",", "")) > 0 for row in rows)
