"""Who comes in, how, and how they leave; in a browser, whose cookies and headers are its own."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect
from support.live import Console
from support.visitor import Visitor

Visitors = Callable[..., Visitor]

#: What the browser's console says about a refusal.
REFUSED = r"status of 4(01|03|29)"


def assert_overview(page: Page, console: Console) -> None:
    expect(page).to_have_url(console.url + "/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def enter(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_a_link_opens_once(visitors: Visitors, console: Console) -> None:
    link = console.link()
    first = visitors(console).context.new_page()
    first.goto(link)
    assert_overview(first, console)
    other = visitors(console)
    other.expect(REFUSED)
    second = other.context.new_page()
    second.goto(link)
    expect(second.get_by_role("alert")).to_be_visible()
    second.goto(console.url)
    expect(second).to_have_url(re.compile(r"/login"))


def test_a_token(visitors: Visitors, console: Console) -> None:
    page = visitors(console).open()
    expect(page).to_have_url(re.compile(r"/login"))
    enter(page, console.token)
    assert_overview(page, console)


def test_a_wrong_token(visitors: Visitors, console: Console) -> None:
    visitor = visitors(console)
    visitor.expect(REFUSED)
    page = visitor.open()
    enter(page, console.token[:-1])
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("body")).not_to_contain_text(console.token[:-1])
    enter(page, console.token)
    assert_overview(page, console)


def test_guessing_is_slowed_down_and_a_link_helps(own: Console, visitors: Visitors) -> None:
    """After five wrong tokens the right one has to wait; who can read the token file has not."""
    visitor = visitors(own)
    visitor.expect(REFUSED)
    page = visitor.open()
    for guess in range(6):
        enter(page, f"guess {guess}")
        expect(page.get_by_role("alert")).to_be_visible()
    enter(page, own.token)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page).to_have_url(re.compile("/login"))
    page.goto(own.link())
    assert_overview(page, own)


def test_a_sign_out_ends_session_and_streams(visitors: Visitors, console: Console) -> None:
    visitor = visitors(console)
    visitor.expect("status of 401")
    page, other = visitor.sign_in(), visitor.open()
    expect(other.locator("#live-text")).to_have_text("Live")
    cookies = visitor.context.cookies()
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login"))
    expect(other.locator("#signed-out")).to_be_visible()
    other.get_by_role("link", name="Sign in").click()
    expect(other).to_have_url(re.compile("/login"))
    thief = visitors(console)
    thief.context.add_cookies(cookies)
    expect(thief.open()).to_have_url(re.compile("/login"))
