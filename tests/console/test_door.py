"""The door of the console through Flask's test client, a test for each line of its checklist."""

from __future__ import annotations

import re
import time

import pytest
from support.door import AWAY, ORIGIN, PORT, TOKEN, Console, Visitor, fields, innocent

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
