"""The console as it is served: one process, knocked at from outside.

The rows are those of the security checklist: 1 (loopback), 3, 4, 8 and 15 for the
stream, 16 (paths), 17 (bodies), 18 (half requests).
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.console import PATIENCE_S, Answer, Console

from xtcp_console import headers
from xtcp_console.site import BODY_LIMIT_BYTES
from xtcp_console.stream import PER_SESSION

MIB = 1 << 20
LISTEN = "0A"  #: state in /proc/net/tcp


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    made = Console(tmp_path_factory.mktemp("console"))
    yield made
    made.stop()
    assert "Traceback" not in made.log()


def listening(console: Console, table: str) -> set[str]:
    """Addresses, as the kernel writes them, on which somebody listens at the console's port."""
    rows = [
        line.split() for line in Path(f"/proc/{console.process.pid}/net/{table}").read_text().splitlines()[1:]
    ]
    places = [row[1].split(":") for row in rows if row[3] == LISTEN]
    return {address for address, port in places if int(port, 16) == console.port}


def exchange(console: Console, request: bytes) -> bytes:
    """Everything that comes back for these bytes."""
    with console.connect() as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


# -- row 1: where it listens ---------------------------------------------------------------------


def test_it_listens_on_loopback_only(console: Console) -> None:
    assert listening(console, "tcp") == {"0100007F"}
    assert listening(console, "tcp6") == set()


def test_it_listens_on_the_other_loopback(tmp_path: Path) -> None:
    console = Console(tmp_path, "--console", "[::1]:0")
    try:
        assert listening(console, "tcp6") == {"00000000000000000000000001000000"}
        assert listening(console, "tcp") == set()
        assert console.request("GET", "/healthz").status == 200
        assert console.request("GET", "/", cookie=console.sign_in()).status != 303
    finally:
        console.stop()


# -- what every answer carries -------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path", [("GET", "/login"), ("GET", "/none"), ("GET", "/stream"), ("PUT", "/stream")]
)
def test_every_answer_is_guarded_and_nameless(console: Console, method: str, path: str) -> None:
    answer = console.request(method, path)
    assert {name: answer.headers.get(name.lower()) for name in headers.SECURITY} == dict(headers.SECURITY)
    assert answer.headers["server"] == "xtcp"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


# -- rows 3, 4, 8 and 15: the stream -------------------------------------------------------------


def test_the_stream_is_for_those_who_signed_in(console: Console) -> None:
    answer = console.request("GET", "/stream")
    assert (answer.status, answer.body) == (401, b"")
    name, _, value = console.sign_in().partition("=")
    forged = console.request("GET", "/stream", cookie=f"{name}={value[::-1]}")
    assert (forged.status, forged.body) == (401, b"")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "169.254.169.254"])
def test_the_stream_has_one_name(console: Console, host: str) -> None:
    assert console.request("GET", "/stream", cookie=console.sign_in(), host=host).status == 421


def test_the_stream_is_not_for_other_ports(console: Console) -> None:
    cookie = console.sign_in()
    assert console.request("GET", "/stream", cookie=cookie, sec_fetch_site="same-site").status == 403


def test_figures_come_every_second(console: Console) -> None:
    with console.stream(console.sign_in()) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        ticks = [json.loads(stream.next().data) for _ in range(3)]
    serials = [tick["serial"] for tick in ticks]
    assert serials == list(range(serials[0], serials[0] + 3))
    assert 1 < ticks[2]["t"] - ticks[0]["t"] < PATIENCE_S
    assert {pool["name"] for pool in ticks[0]["pools"].values()} == {"im"}


def test_signing_out_ends_the_stream_and_the_session(console: Console) -> None:
    cookie = console.sign_in()
    with console.stream(cookie) as stream, console.stream(console.sign_in()) as other:
        stream.next()
        assert sign_out(console, cookie).status == 303
        assert json.loads(stream.next("bye").data) == {"reason": "signed out"}
        assert list(stream) == []  # the answer has ended
        assert other.next().event == "tick"
    assert console.request("GET", "/stream", cookie=cookie).status == 401
    assert console.request("GET", "/", cookie=cookie).status == 303


def sign_out(console: Console, cookie: str) -> Answer:
    """As the page's button does, with its CSRF token."""
    page = console.request("GET", "/", cookie=cookie)
    token = page.body.decode().partition('name="csrf_token" value="')[2].partition('"')[0]
    return console.request(
        "POST",
        "/logout",
        f"csrf_token={token}",
        cookie=cookie,
        origin=f"http://{console.host}",
        content_type="application/x-www-form-urlencoded",
    )


def test_the_fifth_stream_of_a_session_has_to_wait(console: Console) -> None:
    cookie = console.sign_in()
    streams = [console.stream(cookie) for _ in range(PER_SESSION)]
    try:
        assert {stream.__enter__().status for stream in streams} == {200}
        fifth = console.request("GET", "/stream", cookie=cookie)
        assert (fifth.status, fifth.headers["retry-after"]) == (503, "5")
        assert console.request("GET", "/healthz").status == 200
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)


# -- row 16: paths -------------------------------------------------------------------------------

SECRETS = (b"Traceback", b"def ", b"import ", b"root:", b"[options]")

PATHS = [
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
    "/static//etc/passwd",
    "/static/..%5capp.py",
    "//etc/passwd",
    "/../../../../etc/passwd",
    "/templates/login.html",
    "/app.py",
    "/static/",
    "/static/%00",
    "/%00",
    "/login/%00%ff",
    "/static/console.css%00.html",
    "/%ff%fe",
    "/" + "a" * 5_000,
    "/login/" + "a" * 5_000,
    "http://evil.example/",
    "*",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_no_path_leads_out(console: Console, path: str) -> None:
    cookie = console.sign_in()
    for cookies in ("", f"Cookie: {cookie}\r\n"):
        request = f"GET {path} HTTP/1.1\r\nHost: {console.host}\r\n{cookies}Connection: close\r\n\r\n"
        answer = exchange(console, request.encode())
        assert answer.startswith((b"HTTP/1.1 3", b"HTTP/1.1 4")), answer[:200]
        assert [secret for secret in SECRETS if secret in answer] == []
        assert b"Twisted" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 600 + b"\r\n",
    ],
    ids=["no path", "bad name", "bad length", "two lengths", "600 headers"],
)
def test_what_is_no_request_is_said_so(console: Console, request_: bytes) -> None:
    answer = exchange(console, request_)
    assert answer.startswith(b"HTTP/1.1 400 ")
    for name, value in headers.SECURITY.items():
        assert f"\r\n{name}: {value}\r\n".encode() in answer
    assert console.request("GET", "/healthz").status == 200


def test_a_line_without_end_is_cut_off(console: Console) -> None:
    assert exchange(console, b"GET /" + b"a" * 20_000) == b""
    assert console.request("GET", "/healthz").status == 200


# -- row 17: bodies ------------------------------------------------------------------------------


def test_a_large_form_is_refused(console: Console) -> None:
    answer = console.request(
        "POST", "/login", "token=" + "a" * 100_000, content_type="application/x-www-form-urlencoded"
    )
    assert (answer.status, answer.body) == (413, b"The request is too large.\n")
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-security-policy"] == headers.CONTENT_SECURITY_POLICY
    assert answer.headers["server"] == "xtcp"


def test_a_large_form_is_refused_by_its_length_alone(console: Console) -> None:
    """Before any of it has come."""
    head = f"POST /login HTTP/1.1\r\nHost: {console.host}\r\nContent-Length: {BODY_LIMIT_BYTES + 1}\r\n\r\n"
    assert exchange(console, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_a_form_of_the_limit_is_looked_at(console: Console) -> None:
    body = "token=" + "a" * (BODY_LIMIT_BYTES - 6)
    answer = console.request("POST", "/login", body, content_type="application/x-www-form-urlencoded")
    assert answer.status == 403  # there is no CSRF token in it


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", f"Content-Length: {1 << 40}"])
def test_an_endless_body_is_cut_off(console: Console, framing: str) -> None:
    """Nobody buffers it: the process does not grow, whatever comes before the connection is closed."""
    piece = b"a" * 65_536
    if "chunked" in framing:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    before = console.rss()
    with console.connect() as connection:
        connection.sendall(f"POST /login HTTP/1.1\r\nHost: {console.host}\r\n{framing}\r\n\r\n".encode())
        sent = send_until_closed(connection, piece)
    assert sent > 4 * BODY_LIMIT_BYTES
    assert console.rss() - before < 8 * MIB


def send_until_closed(connection: socket.socket, piece: bytes) -> int:
    """Send this again and again; how many bytes were taken before the connection was closed."""
    end = time.monotonic() + PATIENCE_S
    sent = 0
    while time.monotonic() < end:
        try:
            sent += connection.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            return sent
    pytest.fail(f"{sent} bytes were taken, and it goes on")


def test_an_endless_body_is_told_why(console: Console) -> None:
    with console.connect() as connection:
        connection.sendall(
            f"POST /login HTTP/1.1\r\nHost: {console.host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(3):
            connection.sendall(b"8000\r\n" + b"a" * 0x8000 + b"\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.read()) == (413, b"The request is too large.\n")
        assert connection.recv(1) == b""


# -- row 18: half requests -----------------------------------------------------------------------


def test_half_requests_hold_nobody_up(console: Console) -> None:
    half = f"GET / HTTP/1.1\r\nHost: {console.host}\r\n".encode()
    connections: list[socket.socket] = []
    try:
        for _ in range(200):
            connections.append(console.connect())
            connections[-1].sendall(half)
        assert console.request("GET", "/login").status == 200
        # It waited for none of them: all are still in the middle of their request.
        for connection in connections:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
    finally:
        for connection in connections:
            connection.close()
