"""The overview's figures are the engine's, and they change by themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

from playwright.sync_api import Locator, Page, expect
from support.live import CLIENTS, HOARD, HOARD_BYTES, MARKUP, REQUESTS_PER_S, Console
from support.visitor import Visitor

Eventually = Callable[[Callable[[], bool]], None]


def figure(page: Page, path: str) -> Locator:
    """Where the page shows the figure at `path` of the tick."""
    return page.locator(f'[data-bind^="text:{path}:"]').first


def told(page: Page, console: Console) -> dict[str, Any]:
    """The tick that the console has now."""
    tick: dict[str, Any] = page.request.get(console.url + "/api/v1/overview").json()
    return tick


@contextmanager
def hoarders(console: Console, count: int) -> Iterator[None]:
    """So many clients each fill their window in the pool that nobody empties."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(console.connect(HOARD))
            try:
                while True:
                    client.send(bytes(4096))
            except BlockingIOError:
                continue
        yield


def test_they_change_by_themselves(page: Page) -> None:
    expect(page.locator("#live-text")).to_have_text("Live")
    uptime = figure(page, "engine.uptime_s")
    before = uptime.inner_text()
    expect(uptime).not_to_have_text(before)


def test_connections_follow_the_clients(page: Page, console: Console) -> None:
    """And the page is the same document all the while."""
    page.evaluate("document.body.dataset.mark = 'still here'")
    connections = figure(page, "engine.connections")
    expect(connections).to_have_text(str(CLIENTS))
    with console.clients(25, rate=0):
        expect(connections).to_have_text(str(CLIENTS + 25))
    expect(connections).to_have_text(str(CLIENTS))
    assert page.evaluate("document.body.dataset.mark") == "still here"


def test_requests_follow_the_clients(page: Page, console: Console, eventually: Eventually) -> None:
    """The fleet asks so many times a second; so does the engine count, and so says the page."""
    (row,) = (group["row"] for group in console.pool("talk")["groups"] if group["name"] == "echo")
    # No other group of this engine is asked for anything.
    shown = [figure(page, path) for path in ("rates.requests_per_s", f"groups.{row}.requests_per_s")]

    def about(wanted: float) -> Callable[[], bool]:
        return lambda: all(abs(float(each.inner_text()) - wanted) < 0.1 * wanted for each in shown)

    eventually(about(REQUESTS_PER_S))
    began, before = monotonic(), console.status()["snapshot"]["counters"]["DataSegsIn"]
    with console.clients(20, rate=300):
        eventually(about(REQUESTS_PER_S + 300))
    counted = (console.status()["snapshot"]["counters"]["DataSegsIn"] - before) / (monotonic() - began)
    assert REQUESTS_PER_S < counted < REQUESTS_PER_S + 300
    share = figure(page, "rates.acks_piggybacked").inner_text()
    assert float(share.split("\xa0")[0]) > 95


def test_the_api_agrees_with_the_status_socket(page: Page, console: Console, eventually: Eventually) -> None:
    """What only grows lies between two answers of the socket; what stands still is the same."""
    expect(figure(page, "engine.connections")).to_have_text(str(CLIENTS))
    before = console.status()
    eventually(lambda: told(page, console)["t"] > before["time"])
    tick = told(page, console)
    after = console.status()
    first, last = before["snapshot"], after["snapshot"]
    assert tick["t"] < after["time"]
    assert tick["engine"]["pid"] == after["pid"]
    assert tick["engine"]["connections"] == last["connections"] == CLIENTS
    assert tick["engine"]["max_connections"] == last["max_connections"]
    assert tick["transmit"]["buffer"]["size_bytes"] == last["transmit_buffer"]["size"]
    assert tick["counters"].keys() <= last["counters"].keys()
    for name, count in tick["counters"].items():
        assert first["counters"][name] <= count <= last["counters"][name], name
    for pool in last["pools"]:
        shown = tick["pools"][str(pool["row"])]
        assert (shown["name"], shown["receive"]["size_bytes"]) == (
            pool["name"],
            pool["receive_buffer"]["size"],
        )
        for group in pool["groups"]:
            beside = tick["groups"][str(group["row"])]
            for key in ("name", "gd", "port", "connections", "priority", "ack_policy"):
                assert beside[key] == group[key], key


def test_a_gauge_follows_a_pool_that_fills(page: Page, console: Console, eventually: Eventually) -> None:
    path = f"pools.{console.pool('hoard')['row']}.receive.used"
    gauge = page.get_by_role("meter", name="Receive buffer of pool hoard")
    fill = gauge.locator("rect.fill")

    def used() -> float:
        """What the engine itself says."""
        share: float = console.pool("hoard")["receive_buffer"]["used"] / HOARD_BYTES
        return share

    expect(figure(page, path)).to_have_text("0.0\xa0%")
    with hoarders(console, 40):
        eventually(lambda: used() > 0.5 and figure(page, path).inner_text() == f"{100 * used():.1f}\xa0%")
        expect(fill).to_have_attribute("width", f"{100 * used():.2f}%")
        expect(gauge).to_have_attribute("aria-valuetext", re.compile("frozen"))
        expect(page.get_by_role("region", name="Current condition")).to_contain_text("Pool hoard")
        expect(page.locator(".events li").first).to_contain_text("Pool hoard")
        expect(page.get_by_role("status")).to_contain_text("hoard is frozen")
    expect(figure(page, path)).to_have_text("0.0\xa0%")
    expect(fill).to_have_attribute("width", "0.00%")
    expect(gauge).to_have_attribute("aria-valuetext", re.compile("open"))
    expect(page.get_by_role("region", name="Current condition")).to_be_hidden()


def test_a_pause_lasts_until_it_is_over(page: Page, console: Console, eventually: Eventually) -> None:
    connections = figure(page, "engine.connections")
    expect(connections).to_have_text(str(CLIENTS))
    page.locator("#pause").click()
    expect(page.locator("#live-text")).to_contain_text("Paused at")

    with console.clients(10, rate=0):
        eventually(lambda: told(page, console)["engine"]["connections"] == CLIENTS + 10)
        expect(connections).to_have_text(str(CLIENTS))
        page.locator("#pause").click()
        expect(connections).to_have_text(str(CLIENTS + 10))
        expect(page.locator("#live-text")).to_have_text("Live")


def test_a_name_with_markup_is_a_text(page: Page) -> None:
    """Whatever a group is called; a dialog, or a request for the image, would fail the test, too."""
    expect(page.get_by_text(MARKUP).first).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_a_fifth_tab_reads_without_a_stream(visitors: Callable[..., Visitor], console: Console) -> None:
    """A session may have four streams; the fifth page stands still until there is room."""
    somebody = visitors(console)
    somebody.expect("status of 503")
    tabs = [somebody.sign_in(), *(somebody.open() for _ in range(3))]
    for tab in tabs:
        expect(tab.locator("#live-text")).to_have_text("Live")
    fifth = somebody.context.new_page()
    with fifth.expect_response(re.compile(r"/stream\?")) as refused:
        fifth.goto(console.url)
    assert refused.value.status == 503
    expect(figure(fifth, "engine.connections")).to_have_text(str(CLIENTS))
    tabs[0].close()
    expect(fifth.locator("#live-text")).to_have_text("Live")
