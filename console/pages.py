"""What a signed-in viewer gets: the pages and the API, read from the model's last `View`.

Runs on threads of its own; reads `model.view` once per request and touches nothing
else of the model.

Knows Flask and `figures`; nothing of engines.
"""

from __future__ import annotations

from typing import Final, Protocol

from flask import Flask, Response, abort, g, make_response, redirect, render_template, request

from xtcp_console import page
from xtcp_console.figures import View
from xtcp_console.forms import THEMES, ThemeForm, local_path
from xtcp_console.problems import problem

THEME_COOKIE: Final = "xtcp_theme"
_YEAR_S: Final = 365 * 24 * 3_600
#: Seconds until there are figures, in the first one of the engine's life.
_WAIT_S: Final = 1


class HasView(Protocol):
    """What the pages want of the model."""

    @property
    def view(self) -> View | None: ...


class Pages:
    """The pages of one application."""

    def __init__(self, app: Flask, model: HasView) -> None:
        self._model = model
        app.add_url_rule("/", "overview", self._overview)
        app.add_url_rule("/theme", "theme", self._theme, methods=["POST"])
        app.add_url_rule("/healthz", "healthz", self._healthz)
        app.add_url_rule("/api/v1/session", "session", self._session)
        app.add_url_rule("/api/v1/overview", "overview_figures", self._overview_figures)
        app.context_processor(lambda: {"theme": _theme_wanted(), "user": g.get("user")})

    def _overview(self) -> Response:
        view = self._model.view
        if view is None:
            response = make_response(render_template("wait.html", seconds=_WAIT_S), 503)
            response.headers["Retry-After"] = str(_WAIT_S)
            return response
        return make_response(render_template("overview.html", **page.context(view)))

    def _theme(self) -> Response:
        form = ThemeForm()
        if not form.validate():
            abort(400)
        response = make_response(redirect(local_path(form.next.data), 303))
        response.set_cookie(
            THEME_COOKIE, form.theme.data, max_age=_YEAR_S, httponly=True, samesite="Strict", path="/"
        )
        return response

    def _healthz(self) -> Response:
        """Says that the process serves, and nothing of the engine."""
        return Response("ok\n", mimetype="text/plain")

    def _session(self) -> Response:
        return make_response({"by": g.user.by, "since": g.user.since, "address": g.user.address})

    def _overview_figures(self) -> Response:
        view = self._model.view
        if view is None:
            response = problem(503)
            response.headers["Retry-After"] = str(_WAIT_S)
            return response
        return Response(view.tick.json, mimetype="application/json")


def _theme_wanted() -> str:
    wanted = request.cookies.get(THEME_COOKIE, "auto")
    return wanted if wanted in THEMES else "auto"
