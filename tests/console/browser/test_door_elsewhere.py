"""Pages of others in the same browser: what they lead to, and what they cannot do.

Only a browser can tell: which cookies go along, and what it says in ``Origin`` and
``Sec-Fetch-Site``, is its decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from support.live import Console

#: A maker of pages of somebody else.
Visit = Callable[[str], Page]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


class Neighbour(BaseHTTPRequestHandler):
    """Another service of this host: to cookies the same site as the console, as they ignore ports."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def neighbour() -> Iterator[str]:
    """Its address."""
    with HTTPServer(("127.0.0.1", 0), Neighbour) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["another site", "another port"])
def visit(request: pytest.FixtureRequest, context: BrowserContext, neighbour: str) -> Visit:
    def visit(body: str) -> Page:
        page = context.new_page()
        if request.param == "another site":
            url = "http://elsewhere.example/"  # nobody has to serve it
            page.route(url, lambda route: route.fulfill(content_type="text/html"))
        else:
            url = neighbour
        page.goto(url)
        page.set_content(body)
        return page

    return visit


def test_a_link_that_is_followed_from_there_signs_in(visit: Visit, console: Console) -> None:
    page = visit(f'<a href="{console.link()}">the console</a>')
    page.get_by_role("link").click()
    expect(page).to_have_url(console.url + "/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@pytest.mark.parametrize("path", ["/logout", "/theme", "/login"])
def test_a_form_there_does_nothing(
    path: str, visit: Visit, context: BrowserContext, console: Console
) -> None:
    """Not even with the right CSRF token."""
    own = context.new_page()
    own.goto(console.link())
    csrf = own.locator('[name="csrf_token"]').first.get_attribute("value")
    form = f'<input name="csrf_token" value="{csrf}"><input name="theme" value="dark"><button>Win</button>'
    page = visit(f'<form method="post" action="{console.url}{path}">{form}</form>')
    with page.expect_response(console.url + path) as answered:
        page.get_by_role("button").click()
    assert answered.value.status == 403
    assert "set-cookie" not in answered.value.headers
    still = own.goto(console.url + "/api/v1/session")
    assert still is not None
    assert still.status == 200


@pytest.mark.parametrize("path", ["/api/v1/overview", "/stream", "/", "/static/js/app.js"])
def test_a_script_of_the_neighbour_reads_nothing(
    path: str, neighbour: str, context: BrowserContext, console: Console
) -> None:
    """The cookie goes along with its requests, and the answer arrives: the browser withholds it."""
    context.new_page().goto(console.link())
    page = context.new_page()
    page.goto(neighbour)
    failures: list[str | None] = []
    page.on("requestfailed", lambda request: failures.append(request.failure))
    for mode in ("no-cors", "cors"):
        fetch = f"url => fetch(url, {{mode: '{mode}', credentials: 'include'}}).then(() => true, () => false)"
        assert page.evaluate(fetch, console.url + path) is False
    assert failures == ["net::ERR_BLOCKED_BY_RESPONSE.NotSameOrigin", "net::ERR_FAILED"]
