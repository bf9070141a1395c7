"""A running console in a browser, while kernel clients talk to the engine beside it.

One ``twistd xtcp`` with a fleet of clients and one browser serve all tests of this
folder; a test that stops the engine gets one of its `own`.  A page under test may
complain of nothing: see `support.visitor`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support import chromium
from support.live import CLIENTS, REQUESTS_PER_S, Console, running
from support.visitor import DESKTOP, Visitor

from xtcp_twisted.errors import ResourceError
from xtcp_twisted.lab.namespace import require_privileges

# A page under test is sure to come to what is expected; on a busy machine that may take a while.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser; without one the test is skipped, or fails where XTCP_REQUIRE_BROWSER says so."""
    program = chromium.find()
    if program is None:
        (pytest.fail if os.environ.get("XTCP_REQUIRE_BROWSER") == "1" else pytest.skip)(chromium.MISSING)
    try:
        # Now, because only a process with one thread can get the rights for a lab by itself.
        require_privileges()
    except ResourceError as error:
        pytest.skip(str(error))
    with chromium.launched(program) as launched:
        yield launched


@pytest.fixture(scope="package")
def console(browser: Browser) -> Iterator[Console]:
    """The console that most tests look at; kernel clients talk all the while."""
    with running() as made, made.clients(CLIENTS, REQUESTS_PER_S):
        yield made


@pytest.fixture
def own(browser: Browser) -> Iterator[Console]:
    """A console that a test has for itself; asked for before `visitors`, it outlives their visits."""
    with running() as made:
        yield made


@pytest.fixture
def visitors(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """A maker of visitors to a console; keyword arguments are those of Playwright's `new_context`."""
    made: list[Visitor] = []

    def make(console: Console, **options: Any) -> Visitor:
        context = browser.new_context(**DESKTOP | options)
        made.append(Visitor(context, console))
        return made[-1]

    yield make
    for visitor in made:
        visitor.context.close()
    assert [visitor.complaints for visitor in made if visitor.complaints] == []


@pytest.fixture(scope="package")
def session(browser: Browser, console: Console) -> Any:
    """The cookies of one sign-in, for the tests that are not about signing in."""
    context = browser.new_context()
    context.new_page().goto(console.link())
    cookies = context.storage_state()
    context.close()
    return cookies


@pytest.fixture
def enter(visitors: Callable[..., Visitor], console: Console, session: Any) -> Callable[..., Visitor]:
    """A maker of visitors who are signed in; keyword arguments as for `visitors`."""

    def make(**options: Any) -> Visitor:
        return visitors(console, storage_state=session, **options)

    return make


@pytest.fixture
def page(enter: Callable[..., Visitor]) -> Page:
    """The overview on a desktop."""
    return enter().open()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait for what another process does, a round trip to it at a time; fails after 60 s."""

    def wait(true: Callable[[], bool]) -> None:
        end = monotonic() + 60
        while not true():
            assert monotonic() < end

    return wait
