"""``twist web --listen=xtcp:80``: curl, nghttp and whoever hangs up."""

from __future__ import annotations

import hashlib
import os
import ssl
from pathlib import Path

import pytest
from h2.connection import H2Connection
from h2.events import DataReceived
from support.patience import until

from .conftest import HOST, HOST_V6, Start

pytestmark = pytest.mark.feature("P33")

#: A page that takes what is posted to it, as twisted.web's folders may have them.
SUM = """
import hashlib
from twisted.web import resource

class Sum(resource.Resource):
    isLeaf = True

    def render_PUT(self, request):
        return hashlib.file_digest(request.content, "sha256").hexdigest().encode()

resource = Sum()
"""
MEGABYTES = 50


def site(folder: Path, **files: bytes) -> Path:
    """A folder of pages: what is given, and ``sum.rpy``."""
    pages = folder / "site"
    pages.mkdir()
    (pages / "sum.rpy").write_text(SUM, "utf-8")
    for name, content in files.items():
        (pages / name).write_bytes(content)
    return pages


def url(path: str, host: str = HOST) -> str:
    return f"http://[{host}]/{path}" if ":" in host else f"http://{host}/{path}"


@pytest.mark.parametrize("host", [HOST, pytest.param(HOST_V6, marks=pytest.mark.feature("P32"))])
@pytest.mark.parametrize("command", [("twist",), ("twistd", "--nodaemon", "--pidfile=")], ids=lambda c: c[0])
def test_pages_and_ranges_on_one_connection(
    start: Start, tmp_path: Path, host: str, command: tuple[str, ...]
) -> None:
    pages = site(tmp_path, page=bytes(range(256)) * 40)
    server = start(*command, "web", "--listen=xtcp:80", f"--path={pages}", capture=True)
    one = url("page", host)
    seen = server.run(
        "curl", "-sSg", "-w", "%{num_connects}:%{http_code} ", one, one, "-o", "whole", "-o", "again"
    )
    assert seen.stdout == b"1:200 0:200 "
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "again").read_bytes() == bytes(range(256)) * 40
    ranged = server.run("curl", "-sSg", "-r", "1000-1099", one)
    assert ranged.stdout == (bytes(range(256)) * 40)[1000:1100]
    missing = server.run("curl", "-sSg", "-o", "nothing", "-w", "%{http_code}", url("missing", host))
    assert missing.stdout == b"404"
    server.stop()


def test_fifty_megabytes_down_and_up(start: Start, tmp_path: Path) -> None:
    content = os.urandom(MEGABYTES << 20)
    digest = hashlib.sha256(content).hexdigest().encode()
    server = start("twist", "web", "--listen=xtcp:80", f"--path={site(tmp_path, large=content)}")
    server.run("curl", "-sS", "-o", "large", url("large"))
    assert hashlib.sha256((tmp_path / "large").read_bytes()).hexdigest().encode() == digest
    assert server.run("curl", "-sS", "-T", "large", url("sum.rpy")).stdout == digest
    server.stop()


def test_clients_that_hang_up_in_the_middle(start: Start, tmp_path: Path) -> None:
    """One resets while it is sent 50 MB, one while it sends; whoever comes then is served."""
    pages = site(tmp_path, large=bytes(MEGABYTES << 20))
    server = start("twist", "web", "--listen=xtcp:80", f"--path={pages}")
    reader = server.connect(80)
    reader.sendall(b"GET /large HTTP/1.1\r\nHost: xtcp\r\n\r\n")
    assert reader.recv(9) == b"HTTP/1.1 "
    server.reset(reader)
    writer = server.connect(80)
    writer.sendall(b"PUT /sum.rpy HTTP/1.1\r\nHost: xtcp\r\nContent-Length: 1000000\r\n\r\n" + bytes(400_000))
    server.reset(writer)
    half = server.connect(80)
    half.sendall(b"GET /large HT")
    server.reset(half)
    assert server.run("curl", "-sS", "-r", "0-9", url("large")).stdout == bytes(10)
    server.stop()


def test_a_client_that_does_not_read(start: Start, tmp_path: Path) -> None:
    """The server waits for it with no more than its share of the transmit buffer; others are served."""
    content = os.urandom(MEGABYTES << 20)
    server = start("twist", "web", "--listen=xtcp:80", f"--path={site(tmp_path, large=content)}")
    before = server.status()
    assert before is not None
    idle = server.connect(80)
    idle.sendall(b"GET /large HTTP/1.0\r\n\r\n")
    until(lambda: server.snapshot()["queued_bytes"] > 0, "nothing waits for the client")  # type: ignore[index]
    assert server.run("curl", "-sS", "-r", "0-9", url("large")).stdout == content[:10]
    server.emptied(left=1)
    waiting = server.status()
    assert waiting is not None
    assert waiting["snapshot"]["transmit_buffer"]["used"] < 8 << 20
    assert waiting["rss_bytes"] - before["rss_bytes"] < 25 << 20
    with idle.makefile("rb") as answer:
        assert answer.read().partition(b"\r\n\r\n")[2] == content
    idle.close()
    server.stop()


# -- TLS and HTTP/2 ----------------------------------------------------------------------------


def test_http2_over_tls(start: Start, tmp_path: Path, certificates: Path) -> None:
    content = os.urandom(3_000_000)
    pages = site(tmp_path, page=b"secret", large=content)
    server = start("twist", "web", f"--listen=xtcp:443:tls={certificates}", f"--path={pages}")
    curl = ("curl", "-sS", "--cacert", "ca.pem", "--connect-to", f"xtcp.example:443:{HOST}:443")
    base = "https://xtcp.example"
    seen = server.run(*curl, "--http2", "-w", " %{http_version}", f"{base}/page")
    assert seen.stdout == b"secret 2"
    seen = server.run(*curl, "--http1.1", "-w", " %{http_version}", f"{base}/page")
    assert seen.stdout == b"secret 1.1"
    for version in ("--http1.1", "--http2"):
        server.run(*curl, version, "-o", "down", f"{base}/large")
        assert (tmp_path / "down").read_bytes() == content
    seen = server.run(*curl, "--http2", "-T", "down", f"{base}/sum.rpy")
    assert seen.stdout == hashlib.sha256(content).hexdigest().encode()
    server.stop()


def test_streams_of_one_connection_of_http2(start: Start, tmp_path: Path, certificates: Path) -> None:
    """nghttp asks for the same large page twenty times at once."""
    pages = site(tmp_path, large=os.urandom(400_000))
    server = start("twist", "web", f"--listen=xtcp:443:tls={certificates}", f"--path={pages}")
    seen = server.run("nghttp", "--no-verify-peer", "-ns", "-m", "20", f"https://{HOST}/large", text=True)
    rows = [line for line in seen.stdout.splitlines() if line.endswith("/large")]
    assert len(rows) == 20
    assert all(" 200 " in row for row in rows)
    server.stop()


def test_a_client_of_http2_that_dies(start: Start, tmp_path: Path, certificates: Path) -> None:
    """While it is sent three large pages at once."""
    pages = site(tmp_path, large=bytes(MEGABYTES << 20))
    server = start("twist", "web", f"--listen=xtcp:443:tls={certificates}", f"--path={pages}")
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.set_alpn_protocols(["h2"])
    rude = context.wrap_socket(server.connect(443), server_hostname=HOST)
    assert rude.selected_alpn_protocol() == "h2"
    speaker = H2Connection()
    speaker.initiate_connection()
    speaker.increment_flow_control_window(1 << 30)
    for stream in (1, 3, 5):
        fields = {":method": "GET", ":path": "/large", ":scheme": "https", ":authority": HOST}
        speaker.send_headers(stream, list(fields.items()), end_stream=True)
        speaker.increment_flow_control_window(1 << 30, stream)
    rude.sendall(speaker.data_to_send())
    heard = 0
    while heard < 1_000_000:
        for event in speaker.receive_data(rude.recv(1 << 16)):
            if isinstance(event, DataReceived):
                heard += len(event.data)
    server.reset(rude)
    seen = server.run("nghttp", "--no-verify-peer", "-H:method: HEAD", f"https://{HOST}/large", text=True)
    assert not seen.stdout
    server.stop()


def test_who_does_not_speak_tls(start: Start, tmp_path: Path, certificates: Path) -> None:
    """Plain words, and a reset in the middle of a handshake, end that connection only."""
    pages = site(tmp_path, page=b"secret")
    server = start("twist", "web", f"--listen=xtcp:443:tls={certificates}", f"--path={pages}")
    plain = server.connect(443)
    plain.sendall(b"GET /page HTTP/1.0\r\n\r\n")
    answer = b""
    while part := plain.recv(1000):
        answer += part
    assert b"secret" not in answer
    plain.close()
    hello = server.connect(443)
    hello.sendall(bytes.fromhex("16030100ff"))
    server.reset(hello)
    seen = server.run(
        "curl",
        "-sS",
        "--cacert",
        "ca.pem",
        "--connect-to",
        f"xtcp.example:443:{HOST}:443",
        "https://xtcp.example/page",
    )
    assert seen.stdout == b"secret"
    server.stop()
