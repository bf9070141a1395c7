"""The door of a served console, from outside: what depends on the wire, the process and its files.

The rows are those of the security checklist: 3, 4, 6, 13 and 14.
"""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.console import ROOT, Answer, Console


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    made = Console(tmp_path_factory.mktemp("console"))
    yield made
    made.stop()
    assert "Traceback" not in made.log()


class Browser:
    """Keeps its cookie, and sends forms as a browser does."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.cookie = ""

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        answer = self.console.request(method, path, body, cookie=self.cookie, **headers)
        self.cookie = answer.headers.get("set-cookie", self.cookie).partition(";")[0]
        return answer

    def submit(self, path: str, page: str, **form: str) -> Answer:
        """Fill in the form of a page and send it."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.request("GET", page).body.decode())
        assert found is not None
        return self.request(
            "POST",
            path,
            urlencode({"csrf_token": found[1], **form}),
            origin=f"http://{self.console.host}",
            sec_fetch_site="same-origin",
            content_type="application/x-www-form-urlencoded",
        )


@pytest.fixture
def browser(console: Console) -> Browser:
    return Browser(console)


def token(console: Console) -> str:
    return console.token_file.read_text().strip()


def exchange(console: Console, *lines: str) -> bytes:
    """The answer to a request that no library would make."""
    with console.connect() as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


# --- Rows 3 and 6 -------------------------------------------------------------


def test_a_stranger_gets_nothing_and_the_token_opens(browser: Browser, console: Console) -> None:
    for path in ("/", "/nope", "/theme"):
        assert browser.request("GET", path).status == 303
    assert browser.request("GET", "/api/v1/overview").status == 401
    answer = browser.submit("/login", "/login?next=/%3Fa%3D1", token=token(console), next="/?a=1")
    assert (answer.status, answer.headers["location"]) == (303, "/?a=1")
    attributes = answer.headers["set-cookie"].split("; ")
    assert attributes[0].startswith(f"xtcp_session_{console.port}=")
    assert set(attributes[1:]) == {"HttpOnly", "Path=/", "SameSite=Strict"}
    assert browser.request("GET", "/api/v1/session").status == 200
    assert browser.submit("/logout", "/").status == 303
    assert browser.request("GET", "/api/v1/session").status == 401


# --- Row 4 --------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ("GET {path} HTTP/1.0",),
        ("GET {path} HTTP/1.1", "Host:"),
        ("GET {path} HTTP/1.1", "Host: 127.0.0.1"),
        ("GET {path} HTTP/1.1", "Host: evil.example:{port}"),
        ("GET {path} HTTP/1.1", "Host: 127.0.0.1:{port}", "Host: evil.example"),
        ("GET {path} HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: 127.0.0.1:{port}"),
        ("GET {path} HTTP/1.1", "Host: evil.example", "Forwarded: host=127.0.0.1:{port}"),
    ],
    ids=["none", "empty", "no port", "foreign", "two", "forwarded", "forwarded by RFC 7239"],
)
@pytest.mark.parametrize("path", ["/", "/login", "/static/icon.svg", "/healthz", "/stream"])
def test_a_host_that_is_not_the_console_is_misdirected(
    path: str, lines: tuple[str, ...], console: Console
) -> None:
    filled = [line.format(path=path, port=console.port) for line in lines]
    answer = exchange(console, *filled, f"Cookie: {console.sign_in()}")
    assert answer.startswith((b"HTTP/1.1 421 ", b"HTTP/1.0 421 "))


# --- Row 13 -------------------------------------------------------------------


def test_a_lock_out_is_lifted_by_a_link_made_on_the_machine(tmp_path: Path) -> None:
    console = Console(tmp_path)
    try:
        browser = Browser(console)
        assert [browser.submit("/login", "/login", token="wrong").status for _ in range(5)] == [401] * 5
        refused = browser.submit("/login", "/login", token=token(console))
        assert refused.status == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert browser.request("GET", "/").status == 303
        made = run_link(console)
        assert made.startswith(f"http://{console.host}/login/")
        assert browser.request("GET", made.removeprefix(f"http://{console.host}")).status == 303
        assert browser.request("GET", "/api/v1/session").status == 200
    finally:
        console.stop()


def run_link(console: Console) -> str:
    """What ``python -m xtcp_console link`` prints."""
    command = [sys.executable, "-m", "xtcp_console", "link"]
    options = ["--config", str(console.config), "--console", console.host]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# --- Row 14 -------------------------------------------------------------------


def test_the_token_file_is_for_its_owner_alone(console: Console) -> None:
    status = console.token_file.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert len(token(console)) == 43  # 256 bits in base64


def test_no_secret_is_in_the_log_the_arguments_or_a_redirect(console: Console, browser: Browser) -> None:
    path = console.link()
    key = path.rpartition("/")[2]
    assert browser.request("GET", path).headers["location"] == "/"
    assert browser.request("GET", path).status == 403
    assert browser.request("GET", f"/%0ainjected/{key}").status == 404
    assert browser.submit("/login", "/", token=token(console)).status == 303
    arguments = Path(f"/proc/{console.process.pid}/cmdline").read_text()
    environment = Path(f"/proc/{console.process.pid}/environ").read_text()
    for secret in (token(console), key, browser.cookie.partition("=")[2]):
        assert secret not in console.log()
        assert secret not in arguments
        assert secret not in environment
