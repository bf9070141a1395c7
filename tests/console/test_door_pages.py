"""What the console's answers carry: headers, pages without scripts, logs without secrets, errors, themes."""

from __future__ import annotations

import io
import json
import logging
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from support import views
from support.door import AWAY, ORIGIN, TOKEN, Console, Visitor, check_headers
from werkzeug.test import TestResponse

from xtcp_console import headers

# --- Rows 10 and 11: headers --------------------------------------------------

ANSWERS = ("/", "/login", "/login/forged", "/nope", "/logout", "/api/v1/session", "/api/v1/nope", "/healthz")


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("path", ANSWERS)
def test_headers_of_every_answer(path: str, signed_in: bool, console: Console) -> None:
    response = (console.viewer() if signed_in else console.visitor()).get(path)
    check_headers(response)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ANSWERS)
def test_headers_where_the_host_is_wrong(path: str, visitor: Visitor) -> None:
    response = visitor.get(path, Host="evil.example")
    check_headers(response)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.fixture
def script(console: Console, tmp_path: Any) -> str:
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    console.app.static_folder = str(tmp_path)
    with console.app.test_request_context(base_url=ORIGIN):
        return str(console.app.url_for("static", filename="a.js"))


def test_a_static_file_whose_address_names_its_contents_is_kept(script: str, visitor: Visitor) -> None:
    response = visitor.get(script)
    assert (response.status_code, response.text) == (200, "export const a = 1;\n")
    check_headers(response)
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in response.headers
    assert "Vary" not in response.headers  # it stays kept when the viewer signs in


@pytest.mark.parametrize("path", ["/static/a.js", "/static/a.js?v=0123456789abcdef", "/static/a.js?v="])
def test_under_any_other_address_it_is_asked_for_again(path: str, script: str, visitor: Visitor) -> None:
    response = visitor.get(path)
    assert response.headers["Cache-Control"] == "no-cache"
    again = visitor.get(path, If_None_Match=response.headers["ETag"])
    assert again.status_code == 304
    assert again.headers["Cache-Control"] == "no-cache"


def test_other_contents_have_another_address(script: str, tmp_path: Any) -> None:
    (tmp_path / "a.js").write_text("export const a = 2;\n")
    other = Console()
    other.app.static_folder = str(tmp_path)
    with other.app.test_request_context(base_url=ORIGIN):
        assert other.app.url_for("static", filename="a.js") != script


def test_a_static_file_that_is_not_there_is_not_kept(script: str, visitor: Visitor) -> None:
    response = visitor.get("/static/b.js?v=None")
    assert response.status_code == 404
    assert response.headers["Cache-Control"] == "no-store"
    check_headers(response)


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"])
def test_no_path_leads_out_of_the_static_files(path: str, visitor: Visitor) -> None:
    response = visitor.get(path)
    assert response.status_code in (303, 404)
    assert "create_app" not in response.text


# --- Row 12: no script, style or address in the page --------------------------


@pytest.mark.parametrize("path", ["/", "/login", "/login/forged", "/nope", "/logout"])
@pytest.mark.parametrize("signed_in", [False, True])
def test_pages_hold_no_script_no_style_and_no_foreign_address(
    path: str, signed_in: bool, console: Console
) -> None:
    text = (console.viewer() if signed_in else console.visitor()).get(path).text
    assert not re.search(r"<[^>]*\son[a-z]+\s*=", text)
    assert not re.search(r"<[^>]*\sstyle\s*=", text)
    assert "<style" not in text
    assert "javascript:" not in text.lower()
    assert not re.findall(r'(?:src|href|action|srcset|poster|data)\s*=\s*["\']?\s*(?:[a-z]+:)?//', text)
    assert all(
        'type="application/json"' in tag or "src=" in tag for tag in re.findall(r"<script[^>]*>", text)
    )


HOSTILE = [
    "<img/src/onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><svg/onload=alert(1)>',
    "<!--<script>",
    "{{7*7}}",
    "\u202egnp.exe",
]


class Markup(HTMLParser):
    """What a page is made of: its elements with their attributes' names, its text, its seed of JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.text = ""
        self.seed = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1] == ("script", "type", "id"):
            self.seed += data
        else:
            self.text += data


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_the_configuration_are_text(name: str, viewer: Visitor, console: Console) -> None:
    harmless = Markup(viewer.get("/").text)
    console.model.view = views.view(group_name=name, pool_name=name)
    page = Markup(viewer.get("/").text)
    assert page.elements == harmless.elements
    assert name in page.text
    assert "<" not in page.seed
    assert json.loads(page.seed)["tick"]["groups"]["0"]["name"] == name
    assert json.loads(viewer.get("/api/v1/overview").text)["pools"]["0"]["name"] == name


# --- Row 14: secrets stay out of the log --------------------------------------


def test_the_log_holds_no_secret(console: Console, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = console.links.make()
    visitor = console.visitor()
    visitor.sign_in("almost-the-token")
    visitor.post("/login", {"token": TOKEN})
    visitor.sign_in()
    visitor.get(f"/login/{key}")
    visitor.get(f"/login/{key}")
    sid = str(visitor.sid)
    visitor.post("/logout", {"csrf_token": visitor.csrf()})
    assert not [secret for secret in (TOKEN, "almost-the-token", key, sid) if secret in caplog.text]


# --- Errors -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/nope", "/api/v1/nope"])
def test_what_is_not_there_is_said_not_to_be(path: str, viewer: Visitor) -> None:
    check_problem(viewer.get(path), 404, "Not found")


@pytest.mark.parametrize("path", ["/", "/api/v1/session"])
def test_what_cannot_be_done_there_is_said_not_to_be(path: str, viewer: Visitor) -> None:
    csrf = {"X-CSRF-Token": viewer.csrf()}
    response = viewer.ask("DELETE", path, json={}, headers=csrf)
    check_problem(response, 405, "Not this way")


def test_a_form_that_makes_no_sense_is_refused(viewer: Visitor) -> None:
    response = viewer.post("/theme", {"theme": "pink", "csrf_token": viewer.csrf()})
    check_problem(response, 400, "Not understood")


@pytest.mark.parametrize("path", ["/theme", "/api/v1/act"])
def test_a_body_that_is_too_large_is_refused(path: str, viewer: Visitor) -> None:
    headers = {"X-CSRF-Token": viewer.csrf()}
    kind = "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
    response = viewer.ask(
        "POST",
        path,
        input_stream=io.BytesIO(b"x=" * 40_000),
        content_type=kind,
        headers={**headers, "Content-Length": "80000"},
    )
    check_problem(response, 413, "Too large")


@pytest.mark.parametrize("path", ["/broken", "/api/v1/broken"])
def test_a_mistake_of_the_console_shows_nothing_of_the_inside(path: str, viewer: Visitor) -> None:
    response = viewer.get(path)
    check_problem(response, 500, "Something broke")
    for inside in ("Traceback", "RuntimeError", "inside", ".py"):
        assert inside not in response.text


def check_problem(response: TestResponse, status: int, title: str) -> None:
    """A plain page, or RFC 9457 JSON for the API; with what to do, and without versions."""
    assert response.status_code == status
    check_headers(response)
    if response.request.path.startswith("/api/"):
        assert response.content_type == "application/problem+json"
        problem = response.json
        assert problem is not None
        assert (problem["status"], problem["title"], problem["type"]) == (status, title, "about:blank")
        assert problem["detail"].endswith(".")
    else:
        assert response.content_type == "text/html; charset=utf-8"
        assert f"<h1>{title}</h1>" in response.text
        assert '<a href="/">' in response.text
    assert not re.search(r"\b(werkzeug|flask|python)\b", response.text, re.IGNORECASE)


# --- Before there are figures, and the theme ----------------------------------


def test_the_first_moment_asks_for_patience(viewer: Visitor, console: Console) -> None:
    console.model.view = None
    page = viewer.get("/")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert "The first figures are being taken" in page.text
    assert '<meta http-equiv="refresh" content="1">' in page.text
    check_headers(page)
    figures = viewer.get("/api/v1/overview")
    assert (figures.status_code, figures.headers["Retry-After"]) == (503, "1")
    assert figures.content_type == "application/problem+json"


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_a_theme_is_chosen_without_a_script(theme: str, viewer: Visitor) -> None:
    response = viewer.post("/theme", {"theme": theme, "csrf_token": viewer.csrf(), "next": "/?x=1"})
    assert (response.status_code, response.location) == (303, "/?x=1")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"xtcp_theme={theme};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert f'<html lang="en" data-theme="{theme}">' in viewer.get("/").text
    assert f'<html lang="en" data-theme="{theme}">' in viewer.get("/nope").text


@pytest.mark.parametrize("theme", ["pink", "", '"><script>'])
def test_a_theme_that_is_none_is_not_taken_from_a_cookie(theme: str, visitor: Visitor) -> None:
    visitor.client.set_cookie("xtcp_theme", theme, domain="127.0.0.1")
    assert '<html lang="en" data-theme="auto">' in visitor.get("/login").text


def test_the_theme_needs_the_token_of_the_page(viewer: Visitor) -> None:
    response = viewer.post("/theme", {"theme": "dark"})
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("where", AWAY)
def test_the_theme_sends_nobody_elsewhere(where: str, viewer: Visitor) -> None:
    response = viewer.post("/theme", {"theme": "dark", "csrf_token": viewer.csrf(), "next": where})
    assert response.location == "/"


def test_the_headers_are_those_that_others_use(visitor: Visitor) -> None:
    """`site` and `stream` take them from the same place."""
    answer = visitor.get("/login").headers
    assert {name: answer[name] for name in headers.SECURITY} == dict(headers.SECURITY)
