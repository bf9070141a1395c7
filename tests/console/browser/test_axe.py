"""Nothing for axe-core to report: WCAG 2.2 AA and its best practices, in both themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from support.live import Console
from support.visitor import DESKTOP, PHONE, Visitor

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
#: Colours have to stand still when they are measured.
STILL = {"reduced_motion": "reduce"}

every_size = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


def assert_clean(page: Page) -> None:
    """No rule is broken in either theme; a failure names the rules and the elements."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        response = Axe().run(page, options={"runOnly": RULES}).response
        broken = [(v["id"], [node["target"] for node in v["nodes"]]) for v in response["violations"]]
        assert (scheme, broken) == (scheme, [])
        assert response["passes"], "axe-core has looked at nothing"


@every_size
def test_overview(enter: Callable[..., Visitor], size: dict[str, Any]) -> None:
    page = enter(**size | STILL).open()
    expect(page.locator("#live-text")).to_have_text("Live")
    assert_clean(page)


@every_size
def test_sign_in(visitors: Callable[..., Visitor], console: Console, size: dict[str, Any]) -> None:
    assert_clean(visitors(console, **size | STILL).open("/login"))


def test_refused_sign_in(own: Console, visitors: Callable[..., Visitor]) -> None:
    visitor = visitors(own, **STILL)
    visitor.expect("status of 401")
    page = visitor.open()
    page.get_by_label("Token").fill("a guess")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert_clean(page)


def test_lost(own: Console, visitors: Callable[..., Visitor]) -> None:
    """Grey values are still readable."""
    visitor = visitors(own, **STILL)
    visitor.expect("ERR_")
    page = visitor.sign_in()
    expect(page.locator("#live-text")).to_have_text("Live")
    own.stop()
    expect(page.locator("html")).to_have_class(re.compile(r"\bstale\b"))
    assert_clean(page)
