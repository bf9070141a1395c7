"""Debian's Chromium, driven by Playwright, and told to speak to this machine only.

Knows which program to start and how; does not know the console.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

#: What to do where there is none.
MISSING = (
    "there is no browser: install Debian's packages (apt-get install chromium fonts-inter),"
    " or name a Chromium in XTCP_BROWSER"
)

#: Nothing but the pages under test may make it open a connection, and no name means a host.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-first-run",
)


def find() -> str | None:
    """The browser's program: what XTCP_BROWSER names, else ``chromium``; None if it is not there."""
    return shutil.which(os.environ.get("XTCP_BROWSER") or "chromium")


@contextmanager
def launched(program: str, host: str = "127.0.0.1") -> Iterator[Browser]:
    """A running browser without a window.

    :param host: the one address that it may speak to.
    """
    flags = [flag.replace("127.0.0.1", host) for flag in FLAGS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()
