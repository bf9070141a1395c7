"""Themes, sizes, keys, and a browser without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from support.live import CLIENTS, Console
from support.visitor import PHONE, Visitor

Enter = Callable[..., Visitor]

#: What can be clicked or typed into.
CONTROLS = "a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']"


def is_dark(page: Page) -> bool:
    """Whether the page's ground is darker than middle grey."""
    colour: str = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    return red + green + blue < 3 * 128


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider


# --- Themes -----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_systems_theme(enter: Enter, scheme: str) -> None:
    assert is_dark(enter(color_scheme=scheme).open()) == (scheme == "dark")


def test_a_chosen_theme_stays(enter: Enter) -> None:
    """The button goes round: the system's, light, dark; other tabs and reloads have the choice, too."""
    visitor = enter(color_scheme="dark")
    page = visitor.open()
    with page.expect_response("**/theme"):
        page.locator("#theme button").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert not is_dark(page)
    page.reload()
    assert not is_dark(page)
    assert not is_dark(visitor.open())
    page.locator("#theme button").click()
    assert is_dark(page)
    page.locator("#theme button").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "auto")


def test_a_chosen_theme_without_javascript(enter: Enter) -> None:
    visitor = enter(color_scheme="light", java_script_enabled=False)
    page = visitor.open()
    page.locator("#theme button").click()
    page.locator("#theme button").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert visitor.open().locator("html").get_attribute("data-theme") == "dark"


# --- Sizes ------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280, 1920])
def test_nothing_is_wider_than_the_window(enter: Enter, width: int) -> None:
    page = enter(viewport={"width": width, "height": 800}).open()
    expect(page.locator("#live-text")).to_have_text("Live")
    assert overflow(page) <= 0


def test_twice_the_text_size_fits(enter: Enter) -> None:
    """WCAG 1.4.4; who doubles the text on a desktop gets the layout of half the width."""
    page = enter(viewport={"width": 1280, "height": 800}).open()
    page.locator("html").evaluate("html => { html.style.fontSize = '200%'; }")
    assert overflow(page) <= 0


def test_the_sign_in_fits_a_phone(visitors: Callable[..., Visitor], console: Console) -> None:
    page = visitors(console, **PHONE | {"viewport": {"width": 320, "height": 640}}).open("/login")
    expect(page.get_by_label("Token")).to_be_in_viewport()
    assert overflow(page) <= 0


def test_the_bar_of_a_phone_is_below(enter: Enter) -> None:
    """Within reach of a thumb, and it stays there when the page scrolls."""
    page = enter(**PHONE).open()
    for _ in range(2):
        bar = page.get_by_role("navigation").bounding_box()
        assert bar
        assert bar["y"] + bar["height"] == pytest.approx(PHONE["viewport"]["height"], abs=1)
        assert bar["width"] == pytest.approx(PHONE["viewport"]["width"], abs=1)
        page.locator("footer, #main > :last-child").last.scroll_into_view_if_needed()


def test_a_finger_meets_what_it_aims_at(enter: Enter) -> None:
    """WCAG 2.5.8: 24 CSS pixels for every target that is no link within a sentence."""
    page = enter(**PHONE).open()
    small = [
        (control.evaluate("e => e.outerHTML.slice(0, 80)"), box["width"], box["height"])
        for control in page.locator(CONTROLS).all()
        if control.is_visible() and control.evaluate("e => !e.closest('p, td, th, li.event')")
        if (box := control.bounding_box()) and min(box["width"], box["height"]) < 24
    ]
    assert small == []


# --- Keys -------------------------------------------------------------------------


def test_the_first_key_skips_to_the_content(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_arrows_read_the_chart(page: Page) -> None:
    chart = page.locator("[data-chart=occupancy]")
    chart.locator(".plot").focus()
    page.keyboard.press("ArrowLeft")
    readout = chart.locator(".readout")
    expect(readout).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    newest = readout.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(readout).not_to_have_text(newest)
    page.keyboard.press("Escape")
    expect(readout).not_to_have_text(re.compile(r"\d\d:\d\d:\d\d"))


def test_shortcuts(page: Page) -> None:
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_the_focus_is_always_seen(page: Page) -> None:
    """Tab goes round all controls, and each shows a ring (WCAG 2.4.7)."""
    seen: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        element, ring = page.evaluate(
            """() => {
                const element = document.activeElement, style = getComputedStyle(element);
                const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
                return [element.outerHTML.slice(0, 100), ring || style.boxShadow !== 'none'];
            }"""
        )
        if element.startswith("<body"):
            break
        assert ring, element
        seen.add(element)
    assert len(seen) >= 8


# --- Without JavaScript -----------------------------------------------------------


@pytest.fixture
def plain(enter: Enter) -> Page:
    """The overview in a browser that runs no scripts."""
    return enter(java_script_enabled=False).open()


def test_figures_are_read_without_javascript(plain: Page) -> None:
    expect(plain.locator('[data-bind^="text:engine.connections:"]').first).to_have_text(str(CLIENTS))
    fill = plain.get_by_role("meter").first.locator("rect.fill")
    expect(fill).to_have_attribute("width", re.compile(r"^\d+\.\d\d%$"))


def test_the_chart_is_drawn_without_javascript(plain: Page) -> None:
    lines = plain.locator("[data-chart=occupancy] path[data-line]")
    expect(lines).to_have_count(3)  # two pools and the transmit buffer
    for line in lines.all():
        expect(line).to_have_attribute("d", re.compile(r"^M[\d.]+,[\d.]+ [\d., ]+$"))


def test_the_ribbon_is_drawn_without_javascript(plain: Page) -> None:
    expect(plain.locator(".ribbon rect.stretch").first).to_have_attribute("width", re.compile(r"%$"))


def test_figures_get_newer_without_javascript(plain: Page, console: Console) -> None:
    """The page asks to be loaded again by itself."""
    expect(plain.locator("noscript meta[http-equiv=refresh]")).to_have_attribute(
        "content", re.compile(r"^\d+")
    )
