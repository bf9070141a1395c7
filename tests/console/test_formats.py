"""How figures read.  A browser test holds fmt.js against the same functions."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtcp_console import formats

STATIC = Path(formats.__file__).parent / "static" / "js"

EXAMPLES: list[tuple[str, Any, str]] = [
    ("integer", 0, "0"),
    ("integer", 1_048_576, "1,048,576"),
    ("integer", -1_234.4, "−1,234"),
    ("integer", -0.4, "0"),
    # Half away from zero, as browsers round; Python's own formatting would say 2 and 0.
    ("integer", 2.5, "3"),
    ("integer", -2.5, "−3"),
    ("short", 0, "0"),
    ("short", 7.25, "7.3"),
    ("short", 9.96, "10"),
    ("short", 999.4, "999"),
    ("short", 999.5, "1.0 k"),
    ("short", 31_600, "31.6 k"),
    ("short", 99_950, "100 k"),
    ("short", 999_499, "999 k"),
    ("short", 999_500, "1.0 M"),
    ("short", -1_500_000, "−1.5 M"),
    ("short", 1e12, "1.0 T"),
    ("short", 1e15, "1,000 T"),
    ("brief", 31_600, "32 k"),
    ("brief", 4_466, "4.5 k"),
    ("plural", 1, ""),
    ("plural", 0, "s"),
    ("octets", 0, "0 B"),
    ("octets", 1_023, "1,023 B"),
    ("octets", 1_023.6, "1.00 KiB"),
    ("octets", 1_536, "1.50 KiB"),
    ("octets", 10_240, "10.0 KiB"),
    ("octets", 1_047_552, "1,023 KiB"),
    ("octets", 177_628_774, "169.4 MiB"),
    ("octets", 2**50, "1,024 TiB"),
    ("byterate", 31_981_568, "30.5 MiB/s"),
    ("percent", 0.9871, "98.7 %"),
    ("percent", 1, "100.0 %"),
    ("percent0", 0.125, "13 %"),
    ("percentage", 0.84375, "84.4"),
    ("limit", 0.5, "50 %"),
    ("limit", 0.875, "87.5 %"),
    ("milliseconds", 2.74, "2.7 ms"),
    ("milliseconds", 43.2, "43 ms"),
    ("milliseconds", 999.5, "1.00 s"),
    ("milliseconds", 12_340, "12.3 s"),
    ("duration", -1, "0 s"),
    ("duration", 14.9, "14 s"),
    ("duration", 134, "2 m 14 s"),
    ("duration", 18_200, "5:03:20"),
    ("duration", 1_058_150, "12 d 05:55"),
    ("across", 0.844, "84.40%"),
    ("across", 1.5, "100.00%"),
    ("across", -1, "0.00%"),
    ("down", 0.75, "25.00%"),
    ("shade", 0, "0"),
    ("shade", 1, "1"),
    ("shade", 1_000, "4"),
    ("shade", 10**9, "7"),
    ("times", 0, "never"),
    ("times", 1, "once"),
    ("times", 1_200, "1,200 times"),
    ("returns", 0, "at the start"),
    ("returns", 1, "once again"),
    ("returns", 3, "3 times again"),
    ("because", "the device is gone", ": the device is gone"),
    ("because", None, ""),
    ("clock", 1_800_000_000, "08:00:00"),
    ("word", "withholding", "withholding"),
]


@pytest.mark.parametrize("name, value, text", EXAMPLES)
def test_reads(name: str, value: Any, text: str) -> None:
    assert formats.FORMATS[name](value).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    "name", sorted(set(formats.FORMATS) - {"meter", "growth", "forecast", "outlook", "largest"})
)
def test_the_unknown_is_no_number(name: str) -> None:
    assert re.search(r"[1-9]", formats.FORMATS[name](None)) is None


@pytest.mark.parametrize("name", ["integer", "short", "octets", "byterate", "percent", "duration"])
def test_no_number_reads_as_a_dash(name: str) -> None:
    assert formats.FORMATS[name](None) == formats.FORMATS[name](math.nan) == "–"


@given(st.floats(min_value=0, max_value=1e15), st.sampled_from(["short", "octets"]))
def test_prefixes_keep_numbers_short_and_true(value: float, name: str) -> None:
    text = formats.FORMATS[name](value)
    number, _, unit = text.partition("\u00a0")
    factor = {
        "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
        "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    }[unit]  # fmt: skip
    assert len(number) <= 5
    assert float(number.replace(",", "")) * factor == pytest.approx(value, rel=0.051, abs=0.51)


@pytest.mark.parametrize(
    "column, text", list(enumerate(["< 1 s", "1–10 s", "10–60 s", "1–10 min", "10–60 min", "> 1 h"]))
)
def test_idle_times_between_edges(column: int, text: str) -> None:
    shown = formats.idle([1, 10, 60, 600, 3_600], column)
    assert shown.replace("\u00a0", " ").replace("\u2060", "") == text


def test_a_time_of_another_day_has_its_date() -> None:
    assert formats.when(1_800_000_000, 1_800_000_060) == "08:00:00"
    assert formats.when(1_800_000_000, 1_800_090_000).replace("\u00a0", " ") == "15 Jan 08:00"


def test_the_browser_has_every_format() -> None:
    exported = set(re.findall(r"export (?:const|function) (\w+)", (STATIC / "fmt.js").read_text()))
    assert set(formats.FORMATS) <= exported


def test_scripts_import_what_there_is_and_all_of_it() -> None:
    imports = {
        script.name: set(re.findall(r"^import .* from '\./([\w.]+)';$", script.read_text(), re.MULTILINE))
        for script in STATIC.iterdir()
    }
    assert set().union(*imports.values()) | {"app.js"} == set(imports)
