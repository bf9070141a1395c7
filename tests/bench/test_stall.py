"""The benchmark of a server that is held up, at a small size."""

from __future__ import annotations

import pytest

from benchmarks import stall


def test_a_small_run_counts_what_was_sent_again(lab: object, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--connections", "1000", "--rate", "400", "--seconds", "3", "--stops", "0.7"]
    assert stall.main(options) == 0
    (row,) = capsys.readouterr().out.splitlines()[2:]
    seconds, requests, copies, *_, errors = (word.strip() for word in row.strip("|").split("|"))
    assert (seconds, errors) == ("0.7", "0")
    assert 0 < int(requests.replace(",", "")) <= 1_200
    assert int(copies.replace(",", "")) > 0, "nobody has asked again"


def test_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        stall.main(["--stops", "0.5,-1"])
    assert "'0.5,-1' is not allowed; give seconds up to 60" in capsys.readouterr().err
