"""The Flask application: put together from the door, the pages and the error answers.

Knows Flask; nothing of engines and of who serves it.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, request

from xtcp_console import headers, page, problems
from xtcp_console.guard import Guard, Place
from xtcp_console.links import Links
from xtcp_console.pages import HasView, Pages
from xtcp_console.sessions import Sessions
from xtcp_console.signin import Door

#: Bytes of the largest request; the console's forms are a few lines.
LARGEST_REQUEST: Final = 64 * 1_024


def create_app(model: HasView, sessions: Sessions, links: Links, settings: Place) -> Flask:
    """An application that shows this model to those who sign in.

    :param model: its `view` is read from the threads that serve requests.
    :param sessions: shared with the event stream.
    :param links: holds the token.
    :param settings: where it listens, and under which names.
    """
    app = Flask(__name__)
    app.config.update(
        # Sessions end with the process, so their cookies may, too.
        SECRET_KEY=secrets.token_bytes(32),
        # Cookies ignore ports: without it, two consoles would sign each other's viewers out.
        SESSION_COOKIE_NAME=f"xtcp_session_{settings.port}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=sessions.absolute_s,
        WTF_CSRF_TIME_LIMIT=None,  # a CSRF token lasts as long as its session
        MAX_CONTENT_LENGTH=LARGEST_REQUEST,
        MAX_FORM_MEMORY_SIZE=LARGEST_REQUEST,
    )
    problems.install(app)
    Door(app, Guard.of(settings), sessions, links)
    page.install(app)
    Pages(app, model)
    _install_headers(app)
    return app


def read_cookie(app: Flask, header: str | None) -> str | None:
    """The session id in a ``Cookie`` header, if this application signed it.

    Any thread may call this, outside of any request.
    """
    opened = app.session_interface.open_session(app, app.request_class({"HTTP_COOKIE": header or ""}))
    sid = opened.get("sid") if opened is not None else None
    return sid if isinstance(sid, str) else None


def _install_headers(app: Flask) -> None:
    @lru_cache(maxsize=128)
    def fingerprint(filename: str) -> str | None:
        file = Path(str(app.static_folder), filename)
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else None

    @app.url_defaults
    def name_contents(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and (mark := fingerprint(values["filename"])):
            values["v"] = mark

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(headers.SECURITY)
        response.headers["Cache-Control"] = headers.NO_STORE
        if request.endpoint == "static" and response.status_code in (200, 206, 304):
            named = request.args.get("v") == fingerprint((request.view_args or {})["filename"])
            response.headers["Cache-Control"] = headers.FOR_EVER if named else headers.REVALIDATE
        return response
