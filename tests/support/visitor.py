"""Somebody with a browser who looks at the console, and hears every complaint.

Knows Playwright's contexts and pages, and how one signs in; knows no other page.
"""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request

from support.live import Console

#: How a browser is set up, as Playwright's `new_context` takes it.
DESKTOP: dict[str, Any] = {
    "viewport": {"width": 1440, "height": 900},
    "timezone_id": "UTC",
    "locale": "en-GB",
}
PHONE: dict[str, Any] = DESKTOP | {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}

_REPORT_VIOLATIONS = """addEventListener('securitypolicyviolation', event =>
    console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI}`))"""


class Visitor:
    """One browser context: cookies of its own, and what went wrong on its pages.

    What counts as wrong: errors and warnings on the browser's console, uncaught
    exceptions, violations of the content security policy, dialogs, and any request
    to another origin.
    """

    def __init__(self, context: BrowserContext, console: Console) -> None:
        self.context = context
        self.console = console
        self._complaints: list[str] = []
        self._expected: list[str] = []
        context.set_default_timeout(10_000)
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("console", self._said)
        context.on("weberror", lambda error: self._complaints.append(f"error: {error.error}"))
        context.on("dialog", self._asked)
        context.on("request", self._requested)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"{message.type}: {message.text}")

    def _asked(self, dialog: Dialog) -> None:
        self._complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.console.url + "/", "data:")):
            self._complaints.append(f"request: {request.url}")

    def expect(self, *patterns: str) -> None:
        """Do not mind complaints that match; the test itself brings them about."""
        self._expected.extend(patterns)

    @property
    def complaints(self) -> list[str]:
        """What went wrong unexpectedly."""
        return [text for text in self._complaints if not any(re.search(p, text) for p in self._expected)]

    def open(self, path: str = "/") -> Page:
        """A new tab."""
        page = self.context.new_page()
        page.goto(self.console.url + path)
        return page

    def sign_in(self) -> Page:
        """A new tab after a sign-in by one-time link."""
        page = self.context.new_page()
        page.goto(self.console.link())
        return page
