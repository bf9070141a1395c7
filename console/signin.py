"""The door of the console: who may come in, and how.

Nothing is answered without a session but the sign-in itself, static files and the
process's sign of life; what was forgotten in a list is closed, not open.  One signs in
with the token or with a one-time link; wrong tokens are throttled for everybody
together, as on loopback all addresses are one's own, and a link gets in all the same.

The cookie is Flask's own signed one and holds the session's id and the CSRF secret.
Both are new after sign-in, so nobody can prepare them for somebody else.

Knows Flask, `sessions`, `links` and `guard`; nothing of figures.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import Any, Final

from flask import Flask, Response, g, make_response, redirect, render_template, request, url_for
from flask import session as cookie
from flask_limiter import Limiter, RateLimitExceeded
from flask_wtf.csrf import CSRFError, CSRFProtect

from xtcp_console.forms import LoginForm, local_path
from xtcp_console.guard import SAFE_METHODS, Guard
from xtcp_console.links import Links
from xtcp_console.problems import for_api, problem
from xtcp_console.sessions import Means, Sessions

#: What is the same for everybody, so that nobody's cookie is looked at.
COMMON: Final = frozenset({"healthz", "static"})
#: What else is answered without a session.
OPEN: Final = frozenset({"link", "login"})
#: What asks whether a session lasts, and so must not make it last.
UNUSED: Final = frozenset({"session"})
#: In the query of a page that loads itself again, which is no use of a session either.
RELOADED: Final = "reloaded"

#: Wrong tokens after which all have to wait.
TRIES: Final = "5 per minute"

ANOTHER_LINK: Final = "python -m xtcp_console link"


class Door:
    """Lets requests of one application in, or not."""

    def __init__(self, app: Flask, guard: Guard, sessions: Sessions, links: Links) -> None:
        self._guard = guard
        self._sessions = sessions
        self._links = links
        self._limiter = Limiter(lambda: "sign-in", storage_uri="memory://", strategy="moving-window")
        app.before_request(self._check_sender)
        app.before_request(self._check_session)
        app.before_request(self._check_content)
        CSRFProtect(app)
        self._limiter.init_app(app)
        throttled = self._limiter.limit(
            TRIES, methods=["POST"], deduct_when=lambda _: bool(g.get("wrong_token", False))
        )
        app.add_url_rule("/login", "login", throttled(self._login), methods=["GET", "POST"])
        app.add_url_rule("/login/<key>", "link", self._link)
        app.add_url_rule("/logout", "logout", self._logout, methods=["POST"])
        app.register_error_handler(CSRFError, self._csrf_failed)
        app.register_error_handler(RateLimitExceeded, self._too_many)

    # --- Before each request --------------------------------------------------

    def _check_sender(self) -> Response | None:
        headers = request.headers
        refusal = self._guard.refusal(
            request.method,
            headers.get("Host"),
            headers.get("Origin"),
            headers.get("Sec-Fetch-Site"),
            data=for_api(),
        )
        return None if refusal is None else problem(refusal.status, refusal.title, refusal.detail)

    def _check_session(self) -> Response | None:
        if request.endpoint in COMMON:
            return None
        by_itself = request.endpoint in UNUSED or RELOADED in request.args
        g.user = self._sessions.get(cookie.get("sid"), use=not by_itself)
        if g.user is not None or request.endpoint in OPEN:
            return None
        if for_api():
            return problem(401)
        path = request.full_path.removesuffix("?") if request.method == "GET" else None
        return _go(url_for("login", next=path if path != "/" else None))

    def _check_content(self) -> Response | None:
        """Actions take JSON only: no form of a foreign page can send that without being asked first."""
        if for_api() and request.method not in SAFE_METHODS and not request.is_json:
            return problem(415)
        return None

    # --- Signing in and out ---------------------------------------------------

    def _login(self) -> Response:
        if request.method != "POST":
            return _form(200) if g.user is None else _go(local_path(request.args.get("next")))
        form = LoginForm()
        if not form.validate():
            return _form(400, "Give the token.")
        if not self._links.opens(form.token.data):
            g.wrong_token = True
            return _form(401, "That token is not right.")
        self._let_in("token")
        return _go(local_path(form.next.data))

    def _link(self, key: str) -> Response:
        if request.method != "GET" or "Sec-Purpose" in request.headers:
            # A browser that only looks ahead must not use the link up.
            return problem(503, "Open this link", "The link is only good for opening it.")
        if not self._links.redeem(key):
            return _form(403, "This link was used before, is too old (ten minutes), or was never valid.")
        self._let_in("one-time link")
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            # Followed from another site, the redirect would go without the new cookie, which is
            # SameSite=Strict: a page of our own in between sends it.
            return make_response(render_template("continue.html", target=url_for("overview")))
        return _go(url_for("overview"))

    def _logout(self) -> Response:
        self._sessions.end(g.user.sid)
        cookie.clear()
        return _go(url_for("login"))

    def _let_in(self, by: Means) -> None:
        self._sessions.end(cookie.get("sid"))
        cookie["sid"] = self._sessions.open(by, request.remote_addr or "").sid
        # Flask-WTF makes it when a page first asks: two pages at once would make two.
        cookie["csrf_token"] = secrets.token_hex(20)

    # --- What goes wrong ------------------------------------------------------

    def _csrf_failed(self, _: CSRFError) -> Response:
        if request.endpoint == "login":
            return _form(403, "The page was out of date. Enter the token again.")
        return problem(403, "Out of date", "The page that this came from is out of date. Load it again.")

    def _too_many(self, _: RateLimitExceeded) -> Response:
        limit = self._limiter.current_limit
        wait_s = math.ceil(limit.window.reset_time - time.time()) if limit else 60
        response = _form(429, f"Too many wrong tokens. Wait {wait_s} s, or open a one-time link.")
        response.headers["Retry-After"] = str(max(1, wait_s))
        return response


def _form(status: int, error: str | None = None) -> Response:
    target = local_path(request.values.get("next"))
    page: Any = render_template("login.html", error=error, next=target, another_link=ANOTHER_LINK)
    return make_response(page, status)


def _go(where: str) -> Response:
    response = redirect(where, 303)
    assert isinstance(response, Response)
    return response
