"""Who is signed in: the cookie, time-outs, the throttle, links (lines of the checklist of the door)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.door import MINUTE, PORT, TOKEN, Console, Visitor, check_headers, innocent

from xtcp_console.app import read_cookie
from xtcp_console.links import Links

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
