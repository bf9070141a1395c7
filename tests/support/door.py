"""The console behind Flask's test client, and visitors of it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from support import views
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


def innocent(response: TestResponse) -> bool:
    return not any(secret in response.text or secret in str(response.headers) for secret in SECRETS)


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
