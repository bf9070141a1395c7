"""The door of the console through Flask's test client, a test for each line of its checklist."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from support import views
from werkzeug.test import TestResponse

from xtcp_console import headers
from xtcp_console.app import create_app, read_cookie
from xtcp_console.links import Links
from xtcp_console.sessions import Sessions

PORT = 8088
ORIGIN = f"http://127.0.0.1:{PORT}"
TOKEN = "correct-horse-battery-staple-0123456789abcd"
#: What no answer to a stranger may contain.
SECRETS = ("chat", "testhost", "192.0.2.1", "4711", TOKEN)

MINUTE = 60.0


class Console:
    """An application with its parts at hand."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.links = Links(TOKEN)
        self.sessions = Sessions(lambda: self.now)
        self.model = SimpleNamespace(view=views.view())
        place = SimpleNamespace(address="127.0.0.1", port=PORT, hosts=())
        self.app: Flask = create_app(self.model, self.sessions, self.links, place)
        #: What the action below was called with.
        self.done: list[object] = []
        self._add_views()

    def _add_views(self) -> None:
        """An action of the API as later ones will be, and views that fail, as none should."""

        def act() -> tuple[str, int]:
            # Takes anything for JSON: it is the door that must refuse other content types.
            self.done.append(request.get_json(force=True))
            return "", 202

        def broken() -> str:
            raise RuntimeError("inside")

        self.app.add_url_rule("/api/v1/act", "act", act, methods=["POST"])
        self.app.add_url_rule("/broken", "broken", broken)
        self.app.add_url_rule("/api/v1/broken", "api_broken", broken)

    def visitor(self) -> Visitor:
        return Visitor(self)

    def viewer(self) -> Visitor:
        """Somebody signed in."""
        visitor = self.visitor()
        assert visitor.get(f"/login/{self.links.make()}").status_code == 303
        return visitor


class Visitor:
    """One browser: keeps its cookies and its CSRF token."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.client: FlaskClient = console.app.test_client()

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        return self.client.open(path, method=method, base_url=ORIGIN, buffered=True, **options)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.ask("GET", path, headers=fields(headers))

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> TestResponse:
        return self.ask("POST", path, data=form, headers=fields(headers))

    @property
    def sid(self) -> str | None:
        """The session id in the browser's cookie."""
        kept = self.client.get_cookie(f"xtcp_session_{PORT}", "127.0.0.1")
        return read_cookie(self.console.app, f"{kept.key}={kept.value}") if kept else None

    def csrf(self, path: str = "/") -> str:
        """The token in the forms of a page."""
        found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', self.get(path).text)
        assert found is not None
        return found[1]

    def sign_in(self, token: str = TOKEN, **form: str) -> TestResponse:
        return self.post("/login", {"token": token, "csrf_token": self.csrf("/login"), **form})


def fields(keywords: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in keywords.items()}


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.fixture
def visitor(console: Console) -> Visitor:
    return console.visitor()


@pytest.fixture
def viewer(console: Console) -> Visitor:
    return console.viewer()


# --- Row 3: nothing before sign-in --------------------------------------------

PAGES = (
    "/",
    "/?q=1",
    "/nope",
    "/theme",
    "/logout",
    "/loginx",
    "/login/a/b",
    "/staticx",
    "/static",
    "/%00",
    "//",
)
API = ("/api/v1/session", "/api/v1/overview", "/api/v1/nope", "/api/")


def innocent(response: TestResponse) -> bool:
    return not any(secret in response.text or secret in str(response.headers) for secret in SECRETS)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", PAGES)
def test_pages_lead_a_stranger_to_the_sign_in(path: str, method: str, visitor: Visitor) -> None:
    response = visitor.ask(method, path)
    assert response.status_code == 303
    assert response.location.startswith("/login")
    assert innocent(response)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", API)
def test_the_api_tells_a_stranger_to_sign_in(path: str, method: str, visitor: Visitor) -> None:
    response = visitor.ask(method, path)
    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert innocent(response)


def test_every_route_asks_who_it_is_but_those_that_let_in(console: Console) -> None:
    """Those that this file adds are closed, too, for nobody opened them."""
    opened = {
        rule.endpoint
        for rule in console.app.url_map.iter_rules()
        if not console.visitor()
        .get(re.sub(r"<[^>]*>", "x", rule.rule))
        .headers.get("Location", "")
        .startswith("/login")
        and not rule.rule.startswith("/api/")
    }
    assert opened == {"login", "link", "healthz", "static"}


@pytest.mark.parametrize("path", ["/login", "/login/forged", "/healthz", "/static/nope.js"])
def test_what_is_open_says_nothing_of_the_engine(path: str, visitor: Visitor) -> None:
    assert innocent(visitor.get(path))


def test_the_sign_of_life_says_no_more_than_that(visitor: Visitor) -> None:
    response = visitor.get("/healthz")
    assert (response.status_code, response.text, response.content_type) == (
        200,
        "ok\n",
        "text/plain; charset=utf-8",
    )


def test_after_sign_in_the_page_that_was_wanted_comes(visitor: Visitor) -> None:
    response = visitor.get("/?a=1&b=2")
    assert response.location == "/login?next=/?a%3D1%26b%3D2"
    assert 'name="next" value="/?a=1&amp;b=2"' in visitor.get(response.location).text
    assert visitor.sign_in(next="/?a=1&b=2").location == "/?a=1&b=2"


AWAY = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/a\\..\\b",
    "evil.example",
    "@evil.example",
    "",
]


@pytest.mark.parametrize("where", AWAY)
def test_nobody_is_sent_elsewhere(where: str, console: Console) -> None:
    assert console.visitor().sign_in(next=where).location == "/"
    assert console.viewer().ask("GET", "/login", query_string={"next": where}).location == "/"


def test_the_api_gives_a_viewer_the_figures(viewer: Visitor, console: Console) -> None:
    response = viewer.get("/api/v1/overview")
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.data == console.model.view.tick.json


def test_the_session_tells_how_it_was_opened(viewer: Visitor) -> None:
    answer = viewer.get("/api/v1/session").json
    assert answer is not None
    assert (answer["by"], answer["address"]) == ("one-time link", "127.0.0.1")
    assert abs(answer["since"] - time.time()) < 60


# --- Row 4: the names of the console ------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "169.254.169.254", "127.0.0.1:80"]
)
@pytest.mark.parametrize(
    "path", ["/", "/login", "/login/x", "/healthz", "/static/x.js", "/api/v1/overview", "/nope"]
)
def test_another_host_is_misdirected(path: str, host: str, viewer: Visitor) -> None:
    response = viewer.get(path, Host=host)
    assert response.status_code == 421
    assert innocent(response)
    assert "evil" not in response.text


def test_a_link_is_not_used_up_under_another_host(viewer: Visitor, console: Console) -> None:
    key = console.links.make()
    assert viewer.get(f"/login/{key}", Host="evil.example").status_code == 421
    assert console.links.redeem(key)


# --- Row 5: only the console's own pages change anything ----------------------


def test_signing_out_needs_the_token_of_the_page(viewer: Visitor) -> None:
    assert viewer.post("/logout").status_code == 403
    assert viewer.get("/api/v1/session").status_code == 200


def test_a_wrong_token_will_not_do(viewer: Visitor) -> None:
    assert viewer.post("/logout", {"csrf_token": "wrong"}).status_code == 403


def test_the_token_of_another_session_will_not_do(viewer: Visitor, console: Console) -> None:
    assert viewer.post("/logout", {"csrf_token": console.viewer().csrf()}).status_code == 403


def test_the_token_from_before_sign_in_will_not_do(visitor: Visitor) -> None:
    before = visitor.csrf("/login")
    visitor.post("/login", {"token": TOKEN, "csrf_token": before})
    assert visitor.post("/logout", {"csrf_token": before}).status_code == 403


def test_two_pages_have_tokens_that_both_work(viewer: Visitor) -> None:
    first, second = viewer.csrf(), viewer.csrf()
    assert viewer.post("/theme", {"theme": "dark", "csrf_token": second}).status_code == 303
    assert viewer.post("/theme", {"theme": "dark", "csrf_token": first}).status_code == 303


def test_signing_in_needs_the_token_of_the_page(visitor: Visitor) -> None:
    response = visitor.post("/login", {"token": TOKEN})
    assert response.status_code == 403
    assert "Enter the token again" in response.text
    assert visitor.sid is None


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", f"http://localhost:{PORT}", "http://127.0.0.1:9000"]
)
@pytest.mark.parametrize("path", ["/logout", "/theme", "/login"])
def test_another_origin_changes_nothing(path: str, origin: str, viewer: Visitor) -> None:
    form = {"csrf_token": viewer.csrf(), "theme": "dark", "token": TOKEN}
    assert viewer.post(path, form, Origin=origin).status_code == 403
    assert viewer.post(path, form, Origin=ORIGIN).status_code == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/logout", "/theme", "/login"])
def test_another_site_or_port_changes_nothing(path: str, site: str, viewer: Visitor) -> None:
    form = {"csrf_token": viewer.csrf(), "theme": "dark", "token": TOKEN}
    assert viewer.post(path, form, Sec_Fetch_Site=site).status_code == 403
    assert viewer.post(path, form, Sec_Fetch_Site="same-origin").status_code == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_gets_no_data(site: str, viewer: Visitor) -> None:
    response = viewer.get("/api/v1/overview", Sec_Fetch_Site=site)
    assert response.status_code == 403
    assert innocent(response)


def act(viewer: Visitor, content_type: str, body: str = '{"a": 1}', **headers: str) -> int:
    headers = {"X_CSRF_Token": viewer.csrf(), **headers}
    return viewer.ask(
        "POST", "/api/v1/act", data=body, content_type=content_type, headers=fields(headers)
    ).status_code


def test_an_action_takes_json_and_a_token(viewer: Visitor, console: Console) -> None:
    assert act(viewer, "application/json") == 202
    assert console.done == [{"a": 1}]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_an_action_takes_nothing_else(content_type: str, viewer: Visitor, console: Console) -> None:
    assert act(viewer, content_type) == 415
    assert console.done == []


def test_an_action_needs_the_token(viewer: Visitor, console: Console) -> None:
    assert act(viewer, "application/json", X_CSRF_Token="") == 403
    assert act(viewer, "application/json", X_CSRF_Token="wrong") == 403
    assert act(viewer, "application/json", X_CSRF_Token=console.viewer().csrf()) == 403
    assert console.done == []


def test_an_action_is_not_for_other_sites(viewer: Visitor, console: Console) -> None:
    assert act(viewer, "application/json", Origin="null") == 403
    assert act(viewer, "application/json", Sec_Fetch_Site="same-site") == 403
    assert console.done == []


def test_bad_json_is_said_to_be_bad(viewer: Visitor, console: Console) -> None:
    assert act(viewer, "application/json", "{") == 400
    assert console.done == []


@pytest.mark.parametrize("path", ["/logout", "/theme", "/api/v1/act"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_action_is_no_get(method: str, path: str, viewer: Visitor) -> None:
    response = viewer.ask(method, path)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


# --- Row 6: the cookie --------------------------------------------------------


@pytest.mark.parametrize("means", ["token", "link"])
def test_the_cookie_is_for_this_console_and_no_script(means: str, visitor: Visitor, console: Console) -> None:
    response = visitor.sign_in() if means == "token" else visitor.get(f"/login/{console.links.make()}")
    name, _, rest = response.headers["Set-Cookie"].partition("=")
    assert name == f"xtcp_session_{PORT}"
    assert {part.strip() for part in rest.split(";")[1:]} == {"HttpOnly", "Path=/", "SameSite=Strict"}


def test_the_cookie_does_not_hold_the_token(visitor: Visitor) -> None:
    assert TOKEN not in visitor.sign_in().headers["Set-Cookie"]


@pytest.mark.parametrize("means", ["token", "link"])
def test_the_id_is_new_after_sign_in_and_the_old_one_ends(means: str, console: Console) -> None:
    browser = console.viewer()
    before = browser.sid
    ended: list[str] = []
    console.sessions.onEnd.append(ended.append)
    if means == "token":
        csrf = browser.csrf()
        assert browser.post("/login", {"token": TOKEN, "csrf_token": csrf}).status_code == 303
    else:
        assert browser.get(f"/login/{console.links.make()}").status_code == 303
    assert browser.sid not in (None, before)
    assert ended == [before]


def test_a_cookie_that_was_there_before_is_not_kept(visitor: Visitor) -> None:
    visitor.client.set_cookie(f"xtcp_session_{PORT}", "fixed", domain="127.0.0.1")
    visitor.sign_in()
    kept = visitor.client.get_cookie(f"xtcp_session_{PORT}", "127.0.0.1")
    assert kept is not None
    assert "fixed" not in kept.value


def test_a_cookie_prepared_by_somebody_who_may_sign_in_does_not_follow_the_viewer(console: Console) -> None:
    """Fixation: the attacker knows the id and the CSRF secret in the cookie; neither lasts."""
    attacker, victim = console.viewer(), console.visitor()
    prepared = attacker.client.get_cookie(f"xtcp_session_{PORT}", "127.0.0.1")
    csrf = attacker.csrf()
    assert prepared is not None
    victim.client.set_cookie(prepared.key, prepared.value, domain="127.0.0.1")
    victim.get(f"/login/{console.links.make()}")
    assert victim.sid != attacker.sid
    assert victim.post("/logout", {"csrf_token": csrf}).status_code == 403


def test_a_cookie_of_another_console_opens_nothing(console: Console) -> None:
    other = Console().viewer()
    kept = other.client.get_cookie(f"xtcp_session_{PORT}", "127.0.0.1")
    assert kept is not None
    assert read_cookie(console.app, f"{kept.key}={kept.value}") is None


def test_the_stream_reads_the_same_cookie(viewer: Visitor, console: Console) -> None:
    kept = viewer.client.get_cookie(f"xtcp_session_{PORT}", "127.0.0.1")
    assert kept is not None
    text = f"a=b; {kept.key}={kept.value}; c=d"
    assert console.sessions.get(read_cookie(console.app, text)) is not None


@pytest.mark.parametrize("text", [None, "", "x", f"xtcp_session_{PORT}=x.y.z", "a=b; c", "=;=;", "\xff"])
def test_other_cookies_are_none(text: str | None, console: Console) -> None:
    assert read_cookie(console.app, text) is None


def test_a_visitor_not_signed_in_has_no_id_in_the_cookie(visitor: Visitor) -> None:
    visitor.get("/login")
    assert visitor.sid is None


# --- Row 8: signing out -------------------------------------------------------


def test_signing_out_ends_the_session_at_once(viewer: Visitor, console: Console) -> None:
    before = viewer.client.get_cookie(f"xtcp_session_{PORT}", "127.0.0.1")
    sid, csrf = viewer.sid, viewer.csrf()
    ended: list[str] = []
    console.sessions.onEnd.append(ended.append)
    response = viewer.post("/logout", {"csrf_token": csrf})
    assert (response.status_code, response.location) == (303, "/login")
    assert ended == [sid]
    assert viewer.sid is None
    # The old cookie, should somebody have kept it, opens nothing.
    assert before is not None
    viewer.client.set_cookie(before.key, before.value, domain="127.0.0.1")
    assert viewer.get("/").status_code == 303
    assert viewer.get("/api/v1/overview").status_code == 401


# --- Row 9: time-outs ---------------------------------------------------------


def test_half_an_hour_without_a_request_signs_out(viewer: Visitor, console: Console) -> None:
    console.now += 30 * MINUTE - 1
    assert viewer.get("/").status_code == 200
    console.now += 30 * MINUTE - 1
    assert viewer.get("/").status_code == 200
    console.now += 30 * MINUTE
    assert viewer.get("/").status_code == 303


@pytest.mark.parametrize("path", ["/api/v1/session", "/?reloaded=1", "/static/x.js", "/healthz"])
def test_what_a_page_asks_by_itself_is_no_use(path: str, viewer: Visitor, console: Console) -> None:
    for _ in range(6):
        console.now += 5 * MINUTE - 1
        assert viewer.get(path).status_code in (200, 404)
    console.now += MINUTE
    assert viewer.get("/").status_code == 303


def test_twelve_hours_sign_out_in_any_case(viewer: Visitor, console: Console) -> None:
    for _ in range(12 * 4 - 1):
        console.now += 15 * MINUTE
        assert viewer.get("/").status_code == 200
    console.now += 15 * MINUTE
    assert viewer.get("/").status_code == 303


# --- Rows 10 and 11: headers --------------------------------------------------

ANSWERS = ("/", "/login", "/login/forged", "/nope", "/logout", "/api/v1/session", "/api/v1/nope", "/healthz")


def policy(response: TestResponse) -> dict[str, str]:
    parts = [part.split(None, 1) for part in response.headers["Content-Security-Policy"].split(";")]
    return {part[0]: part[1] for part in parts}


def check_headers(response: TestResponse) -> None:
    directives = policy(response)
    assert directives["default-src"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
    assert (directives["require-trusted-types-for"], directives["trusted-types"]) == ("'script'", "'none'")
    assert "unsafe" not in str(response.headers)
    assert set(directives.values()) == {"'none'", "'self'", "'script'"}  # so no foreign source
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in response.headers["Permissions-Policy"]
    assert not [name for name, _ in response.headers if name.startswith("Access-Control-")]
    assert "Server" not in response.headers
    assert "X-Powered-By" not in response.headers
    for product in ("werkzeug", "flask", "python/", "twisted"):
        assert product not in str(response.headers).lower()


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


# --- Row 13: the throttle -----------------------------------------------------


def test_a_wrong_token_does_not_let_in(visitor: Visitor) -> None:
    response = visitor.sign_in("wrong")
    assert response.status_code == 401
    assert "That token is not right" in response.text
    assert "Set-Cookie" not in response.headers
    assert visitor.sid is None
    assert visitor.get("/").status_code == 303


def test_it_is_the_links_that_know_the_token(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """They compare in constant time."""
    monkeypatch.setattr(console.links, "opens", lambda token: token == "another")
    assert console.visitor().sign_in().status_code == 401
    assert console.visitor().sign_in("another").status_code == 303


def locked_out(console: Console) -> Visitor:
    visitor = console.visitor()
    assert [visitor.sign_in("wrong").status_code for _ in range(5)] == [401] * 5
    return visitor


def test_after_five_wrong_ones_all_have_to_wait(console: Console) -> None:
    response = locked_out(console).sign_in("wrong")
    assert response.status_code == 429
    assert 50 < int(response.headers["Retry-After"]) <= 60
    assert f"Wait {response.headers['Retry-After']} s" in response.text
    assert console.visitor().sign_in("wrong").status_code == 429  # another browser, too


def test_the_right_one_waits_as_well(console: Console) -> None:
    visitor = locked_out(console)
    response = visitor.sign_in()
    assert response.status_code == 429
    assert visitor.sid is None
    assert len(console.sessions) == 0


def test_a_link_opens_all_the_same(console: Console) -> None:
    visitor = locked_out(console)
    assert visitor.get(f"/login/{Links(TOKEN).make()}").status_code == 303
    assert visitor.get("/").status_code == 200


def test_who_is_signed_in_stays_so(viewer: Visitor, console: Console) -> None:
    locked_out(console)
    assert viewer.get("/").status_code == 200


def test_the_form_is_shown_all_the_same(console: Console) -> None:
    assert locked_out(console).get("/login").status_code == 200


def test_a_minute_later_the_right_one_opens(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = locked_out(console)
    assert visitor.sign_in().status_code == 429
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 61)
    assert visitor.sign_in().status_code == 303


def test_only_wrong_tokens_count(console: Console) -> None:
    visitor = console.visitor()
    for _ in range(8):
        assert console.visitor().sign_in().status_code == 303
        assert visitor.sign_in("").status_code == 400
        assert visitor.post("/login", {"token": "wrong"}).status_code == 403
        assert visitor.post("/login", {"token": "wrong"}, Origin="http://evil.example").status_code == 403
        assert visitor.get("/login").status_code == 200
        assert visitor.get("/login/forged").status_code == 403
    assert visitor.sign_in().status_code == 303


# --- Links --------------------------------------------------------------------


def test_a_link_signs_in_and_leads_to_the_overview(visitor: Visitor, console: Console) -> None:
    response = visitor.get(f"/login/{console.links.make()}")
    assert (response.status_code, response.location) == (303, "/")
    assert visitor.get("/").status_code == 200


@pytest.mark.parametrize("kind", ["used", "forged", "of another token"])
def test_a_bad_link_says_how_to_get_another(kind: str, visitor: Visitor, console: Console) -> None:
    key = {"forged": "forged", "of another token": Links(TOKEN[::-1]).make()}.get(
        kind
    ) or console.links.make()
    if kind == "used":
        assert console.links.redeem(key)
    response = visitor.get(f"/login/{key}")
    assert response.status_code == 403
    assert "python -m xtcp_console link" in response.text
    assert visitor.sid is None


def test_a_bad_link_does_not_sign_out(viewer: Visitor) -> None:
    before = viewer.sid
    assert viewer.get("/login/forged").status_code == 403
    assert viewer.sid == before
    assert viewer.get("/").status_code == 200


@pytest.mark.parametrize("looks", [{"method": "HEAD"}, {"headers": {"Sec-Purpose": "prefetch;prerender"}}])
def test_looking_ahead_does_not_use_a_link_up(
    looks: dict[str, Any], visitor: Visitor, console: Console
) -> None:
    path = f"/login/{console.links.make()}"
    assert visitor.ask(**{"method": "GET", "path": path, **looks}).status_code == 503
    assert visitor.sid is None
    assert visitor.get(path).status_code == 303


def test_from_another_site_a_page_in_between_brings_the_cookie(visitor: Visitor, console: Console) -> None:
    response = visitor.get(f"/login/{console.links.make()}", Sec_Fetch_Site="cross-site")
    assert response.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/">' in response.text
    assert 'href="/">Continue' in response.text
    assert innocent(response)
    check_headers(response)
    assert visitor.get("/").status_code == 200


def test_who_is_signed_in_needs_no_form(viewer: Visitor) -> None:
    assert viewer.get("/login").location == "/"
    assert viewer.get("/login?next=/nope").location == "/nope"


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
