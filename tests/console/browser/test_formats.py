"""A page reads alike before and after its first update: Python and the browser write the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page
from support.live import Console

from xtcp_console.derive import derive
from xtcp_console.figures import PRESSURES
from xtcp_console.formats import FORMATS, idle

IN_BROWSER = """async ([file, name, values]) => {
    const module = await import(`/static/js/${file}.js`);
    return values.map((value) => module[name](...value));
}"""

#: Every example is a list of values, and a round trip to the browser.
several = settings(max_examples=12)

#: Close steps across every place where a text gets another unit or another digit.
STEPS = [
    (limit * share / 2_000,)
    for limit in (1, 10, 60, 100, 1000, 1024, 3600, 10_000, 86_400, 2**20, 10**6)
    for share in range(1_970, 2_004)
]
figures = st.none() | st.integers(0, 2**50) | st.floats(-1e15, 1e15) | st.floats(0, 2_000)
shares = (
    st.none() | st.floats(-1, 2) | st.floats(0, 100) | st.sampled_from([0.5, 0.75, 0.875, 0.99949, 0.9995])
)
counts = st.none() | st.integers(0, 2**50) | st.integers(0, 3)
times = st.none() | st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000)
texts = st.none() | st.text()

thresholds = st.fixed_dictionaries(
    {name: st.sampled_from([0.5, 0.75, 0.875]) for name in (*PRESSURES[1:], "hysteresis")}
)
buffers = st.fixed_dictionaries(
    {
        "size_bytes": st.integers(1, 2**40),
        "used": st.sampled_from([0.25, 0.5]) | st.floats(0, 1),
        "delta_bytes_per_s": figures,
        "next_state_s": figures,
        "pressure": st.fixed_dictionaries(
            {
                "state": st.sampled_from(PRESSURES),
                "since": st.floats(0, 2e9),
                "thresholds": thresholds,
            }
        ),
    }
)
pools = st.fixed_dictionaries(
    {"name": st.text(), "receive": buffers, "largest": texts, "largest_share": st.floats(0, 1)}
)
ticks = st.fixed_dictionaries(
    {
        "t": st.floats(0, 2e9),
        "engine": st.fixed_dictionaries(
            {
                "state": st.sampled_from(["running", "stopped"]),
                "connections": st.integers(0, 10**6),
                "max_connections": st.integers(1, 10**6),
            }
        ),
        "pools": st.dictionaries(st.integers(0, 300).map(str), pools, max_size=4),
        "transmit": st.fixed_dictionaries({"buffer": buffers}),
        "counters": st.dictionaries(
            st.sampled_from(["TCPRcvQDrop", "LinkDrops", "Stalled"]), st.integers(0, 3)
        ),
    }
)

#: Formats of plain numbers, and of ratios.
OF_NUMBERS = ["integer", "short", "brief", "octets", "byterate", "milliseconds", "duration"]
OF_RATIOS = ["percent", "percent0", "percentage", "limit", "across", "down"]
#: What each format is for; a format that is missing here fails `test_no_format_is_left_out`.
WRITTEN: dict[str, st.SearchStrategy[Any]] = {
    "word": texts | counts,
    **dict.fromkeys(OF_NUMBERS, figures),
    **dict.fromkeys(OF_RATIOS, shares),
    **dict.fromkeys(["shade", "times", "returns", "plural"], counts),
    **dict.fromkeys(["meter", "growth", "forecast", "outlook"], buffers),
    "largest": pools,
    "because": texts,
    "clock": times,
}


@pytest.fixture(scope="module")
def page(browser: Browser, console: Console) -> Iterator[Page]:
    """A page that can import the console's modules; it shows none of their work."""
    with browser.new_page() as page:
        page.goto(console.url + "/login")
        yield page


def assert_same(page: Page, file: str, python: Callable[..., Any], values: list[tuple[Any, ...]]) -> None:
    """The function of the same name in `static/js/<file>.js` gives the same for all `values`."""
    shown = page.evaluate(IN_BROWSER, [file, python.__name__, [list(value) for value in values]])
    assert shown == [python(*value) for value in values]


def test_no_format_is_left_out() -> None:
    assert WRITTEN.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_figures_read_alike(page: Page, name: str) -> None:
    @several
    @given(st.lists(WRITTEN[name].map(lambda value: (value,)), min_size=20, max_size=60))
    def alike(values: list[tuple[Any]]) -> None:
        assert_same(page, "fmt", FORMATS[name], values)

    alike()


@pytest.mark.parametrize("name", [*OF_NUMBERS, *OF_RATIOS])
def test_they_step_alike(page: Page, name: str) -> None:
    assert_same(page, "fmt", FORMATS[name], STEPS)


@several
@given(
    values=st.lists(
        st.lists(st.integers(1, 10**6), min_size=1, max_size=6, unique=True).flatmap(
            lambda edges: st.tuples(st.just(sorted(edges)), st.integers(0, len(edges)))
        ),
        min_size=10,
    )
)
@example(values=[([1, 10, 60, 600, 3600], column) for column in range(6)])
def test_idle_times_read_alike(page: Page, values: list[tuple[list[int], int]]) -> None:
    assert_same(page, "fmt", idle, values)


@several
@given(values=st.lists(ticks.map(lambda tick: (tick,)), min_size=5, max_size=20))
def test_the_same_is_concluded(page: Page, values: list[tuple[dict[str, Any]]]) -> None:
    """Which buffer is the worst, and what stands on top of the page."""
    assert_same(page, "derive", derive, values)
