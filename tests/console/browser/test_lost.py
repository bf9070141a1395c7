"""An engine that is stopped, hangs, loses its device or starts again: the page says so and recovers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.live import CONFIG, Console, running
from support.visitor import Visitor

Visitors = Callable[..., Visitor]

#: What the browser itself says about a server that is not there.
NOT_THERE = r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE"


def assert_lost(page: Page) -> None:
    """It says so within seconds, and the values look old."""
    expect(page.locator("#live-text")).to_contain_text("No data for")
    expect(page.locator("html")).to_have_class(re.compile(r"\bstale\b"))
    expect(page.locator(".key-figures")).to_have_css("filter", re.compile("grayscale"))
    alert = page.locator("#lost")
    expect(alert).to_be_visible()
    expect(alert).to_have_attribute("role", "alert")
    expect(alert).to_contain_text(re.compile(r"\d\d:\d\d:\d\d"))


def assert_live(page: Page) -> None:
    expect(page.locator("#live-text")).to_have_text("Live")
    expect(page.locator("html")).not_to_have_class(re.compile(r"\bstale\b"))
    expect(page.locator(".key-figures")).to_have_css("filter", "none")
    expect(page.locator("#lost")).to_be_hidden()


def test_a_process_that_is_stopped_and_started_again(own: Console, visitors: Visitors) -> None:
    """The new process knows no session: the page leads to the sign-in, and from there on it is live."""
    visitor = visitors(own)
    visitor.expect(NOT_THERE, "status of 401")
    page = visitor.sign_in()
    assert_live(page)
    own.stop()
    assert_lost(page)
    own.start()
    page.wait_for_url("**/login?next=/", timeout=60_000)
    page.goto(own.link())
    assert_live(page)


def test_a_process_that_hangs(own: Console, visitors: Visitors) -> None:
    """The connection stands, but nothing comes; when it goes on, so does the page."""
    page = visitors(own).sign_in()
    assert_live(page)
    os.kill(own.pid, signal.SIGSTOP)
    try:
        assert_lost(page)
    finally:
        os.kill(own.pid, signal.SIGCONT)
    assert_live(page)


@pytest.fixture
def patient(browser: Browser) -> Iterator[Console]:
    """A console whose process does not end with its engine; asked for before `visitors`."""
    with running(f"{CONFIG}[service]\nend_without_device = false\n") as made:
        yield made


def test_an_engine_that_loses_its_device(patient: Console, visitors: Visitors) -> None:
    """The process lives and its console says why the engine does not."""
    page = visitors(patient).sign_in()
    assert_live(page)
    patient.lab.run(["ip", "link", "delete", "xtcp0"], check=True)
    expect(page.get_by_text(re.compile("engine has stopped", re.IGNORECASE)).first).to_be_visible()
