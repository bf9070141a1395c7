"""Answers for what went wrong: a plain page, or RFC 9457 JSON for the API.

Each says what is the matter and what to do about it, and nothing of the inside: no
traceback, no version.

Knows Flask; nothing of sessions and figures.
"""

from __future__ import annotations

from typing import Final

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

#: Status -> what it is, and what to do.
SENTENCES: Final = {
    400: (
        "Not understood",
        "The console could not read this request. Load the page again and repeat.",
    ),
    401: ("Sign in first", "Nobody is signed in with this request. Open /login in a browser."),
    403: ("Not allowed", "This request was refused. Load the page again and repeat."),
    404: ("Not found", "There is nothing under this address. The overview leads to everything there is."),
    405: ("Not this way", "This address is there, but does not take a request of this kind."),
    413: ("Too large", "This request is larger than anything the console takes. Send less."),
    415: ("Wrong content type", "Actions take JSON only. Send it with Content-Type: application/json."),
    429: ("Too many tries", "Wait a minute and try again."),
    500: (
        "Something broke",
        "The console made a mistake and has written it to its log. The engine is not affected. Try again.",
    ),
    503: ("Not ready yet", "There is nothing to show yet. Try again in a moment."),
}


def install(app: Flask) -> None:
    """Answer every error of this application so."""
    app.register_error_handler(HTTPException, _answer)


def problem(status: int, title: str | None = None, detail: str | None = None) -> Response:
    """An error's answer; title and detail are those of the status where none are given."""
    usual = SENTENCES.get(status, SENTENCES[400 if status < 500 else 500])
    title, detail = title or usual[0], detail or usual[1]
    if for_api():
        response = jsonify(type="about:blank", title=title, status=status, detail=detail)
        response.content_type = "application/problem+json"
    else:
        response = make_response(render_template("error.html", status=status, title=title, detail=detail))
    response.status_code = status
    return response


def for_api() -> bool:
    """Whether a program asked, not a viewer."""
    return request.path.startswith("/api/")


def _answer(error: HTTPException) -> Response:
    response = problem(error.code or 500)
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response
