"""Nothing for axe-core to report: WCAG 2.2 AA and its best practices."""

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


def assert_clean(page: Page) -> None:
    """No rule is broken; a failure names the rules and the elements."""
    response = Axe().run(page, options={"runOnly": RULES}).response
    assert [(v["id"], [node["target"] for node in v["nodes"]]) for v in response["violations"]] == []
    assert response["passes"], "axe-core has looked at nothing"


every_look = pytest.mark.parametrize(
    "look",
    [
        size | {"color_scheme": scheme, "reduced_motion": "reduce"}
        for size in (DESKTOP, PHONE)
        for scheme in ("light", "dark")
    ],
    ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark"],
)


@every_look
def test_overview(enter: Callable[..., Visitor], look: dict[str, Any]) -> None:
    page = enter(**look).open()
    expect(page.locator("#live-text")).to_have_text("Live")
    assert_clean(page)


@every_look
def test_sign_in(visitors: Callable[..., Visitor], console: Console, look: dict[str, Any]) -> None:
    assert_clean(visitors(console, **look).open("/login"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_refused_sign_in(own: Console, visitors: Callable[..., Visitor], scheme: str) -> None:
    visitor = visitors(own, color_scheme=scheme)
    visitor.expect("status of 4")
    page = visitor.open()
    page.get_by_label("Token").fill("a guess")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert_clean(page)


def test_lost(own: Console, visitors: Callable[..., Visitor]) -> None:
    """Grey values are still readable."""
    visitor = visitors(own, reduced_motion="reduce")
    visitor.expect("ERR_")
    page = visitor.sign_in()
    expect(page.locator("#live-text")).to_have_text("Live")
    own.stop()
    expect(page.locator("html")).to_have_class(re.compile(r"\bstale\b"), timeout=8_000)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert_clean(page)
