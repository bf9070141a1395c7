"""Throughput over loss x round trip: the committed table, and what it must show."""

from __future__ import annotations

import math
import re

import pytest
from netsim import throughput
from netsim.throughput import LOSSES, ROUND_TRIPS, SNAPSHOT

Table = dict[tuple[float, float], float]


def numbers(table: str) -> list[float]:
    """The figures of a table in their order, captions and all."""
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", table)]


@pytest.fixture(scope="module")
def cells() -> dict[str, Table]:
    return throughput.measure()


def test_it_follows_the_committed_table(cells: dict[str, Table]) -> None:
    """Each cell to a tenth; after a change that was meant, ``python tests/netsim/throughput.py --write``."""
    measured = numbers(throughput.render(cells))
    committed = numbers(SNAPSHOT.read_text())
    assert measured == pytest.approx(committed, rel=0.1, abs=2)


def test_more_loss_or_delay_never_helps(cells: dict[str, Table]) -> None:
    for table in cells.values():
        for rtt in ROUND_TRIPS:
            column = [table[loss, rtt] for loss in LOSSES]
            assert column == sorted(column, reverse=True)
        for loss in LOSSES:
            row = [table[loss, rtt] for rtt in ROUND_TRIPS]
            assert row == sorted(row, reverse=True)


@pytest.mark.parametrize("rtt", ROUND_TRIPS)
@pytest.mark.parametrize("loss", [0.01, 0.03])
def test_reno_is_near_the_known_law(cells: dict[str, Table], loss: float, rtt: float) -> None:
    """Mathis et al. 1997: rate = MSS / RTT * sqrt(3/2) / sqrt(p), within a factor of two."""
    law = 1_448 / rtt * math.sqrt(1.5 / loss) / 1_000
    assert law / 2 < cells["SACK, Reno"][loss, rtt] < 2 * law


def test_sack_is_worth_it_where_much_is_lost(cells: dict[str, Table]) -> None:
    sack, without = cells["SACK, Reno"], cells["NewReno without SACK"]
    assert sum(sack[0.03, rtt] for rtt in ROUND_TRIPS) > 1.2 * sum(without[0.03, rtt] for rtt in ROUND_TRIPS)


def test_cubic_gains_on_long_paths(cells: dict[str, Table]) -> None:
    assert cells["SACK, CUBIC"][0.01, 0.2] > cells["SACK, Reno"][0.01, 0.2]


@pytest.mark.requirement("RFC 9438 4.3")
def test_cubic_is_never_below_reno(cells: dict[str, Table]) -> None:
    """On short paths its own function would be."""
    for cell, reno in cells["SACK, Reno"].items():
        assert cells["SACK, CUBIC"][cell] >= 0.98 * reno
