"""Autobahn's WebSockets, as the how-to page serves them: a browser, and wsproto over kernel sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support import chromium
from support.patience import PATIENCE_S
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Request,
    TextMessage,
)

from .conftest import HOST, Application, Start
from .test_howto import blocks

pytestmark = pytest.mark.feature("P33")


def started(start: Start, folder: Path) -> Application:
    (folder / "shout.py").write_text(blocks("websockets.md", "python server")[0])
    return start("shout.py", configuration=blocks("websockets.md", "toml")[0])


class Client:
    """A WebSocket of wsproto on a socket of the kernel."""

    def __init__(self, server: Application) -> None:
        self.socket = server.connect(80)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self.says(Request(host=HOST, target="/shout"))
        assert isinstance(self.hears(), AcceptConnection)

    def says(self, event: Event) -> None:
        self.socket.sendall(self._protocol.send(event))

    def hears(self) -> Event:
        """The next event, of a message one of its parts."""
        while True:
            for event in self._protocol.events():
                return event
            self._protocol.receive_data(self.socket.recv(1 << 16) or None)

    def asks(self, event: Message) -> bytes | str:
        """A message, and the whole one that answers it."""
        self.says(event)
        parts = []
        while True:
            part = self.hears()
            assert isinstance(part, Message)
            parts.append(part.data)
            if part.message_finished:
                return type(part.data)().join(parts)


def test_messages_short_and_long(start: Start, tmp_path: Path) -> None:
    server = started(start, tmp_path)
    client, other = Client(server), Client(server)
    assert client.asks(TextMessage("hello")) == "HELLO"
    for n in range(300):
        assert other.asks(TextMessage(f"message {n}")) == f"MESSAGE {n}"
    payload = os.urandom(5_000_000)
    assert client.asks(BytesMessage(payload)) == payload.upper()
    for one in (client, other):
        one.says(CloseConnection(code=1000))
        assert isinstance(one.hears(), CloseConnection)
        one.socket.close()
    server.stop()


def test_clients_that_die(start: Start, tmp_path: Path) -> None:
    """One in the middle of a long message, one while it is answered, one before it has shaken hands."""
    server = started(start, tmp_path)
    stays = Client(server)
    torn = Client(server)
    torn.says(BytesMessage(bytes(500_000), message_finished=False))
    server.reset(torn.socket, left=1)
    torn = Client(server)
    torn.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    torn.says(BytesMessage(bytes(5_000_000)))
    assert torn.socket.recv(1)
    server.reset(torn.socket, left=1)
    hasty = server.connect(80)
    hasty.sendall(b"GET /shout HTTP/1.1\r\nUpgrade: websocket\r\n")
    server.reset(hasty, left=1)
    assert stays.asks(TextMessage("still here")) == "STILL HERE"
    stays.socket.close()
    server.stop()


def test_a_browser(start: Start, tmp_path: Path) -> None:
    """The page of the how-to, and what its script does: one message there and back, then two megabytes."""
    program = chromium.find()
    if program is None:
        (pytest.fail if os.environ.get("XTCP_REQUIRE_BROWSER") == "1" else pytest.skip)(chromium.MISSING)
    server = started(start, tmp_path)

    def visit() -> None:
        with chromium.launched(program, HOST) as browser:
            page = browser.new_page()
            page.set_default_timeout(1_000 * PATIENCE_S)
            page.goto(f"http://{HOST}/")
            expect(page.locator("#answer")).to_have_text("HELLO FROM THE BROWSER", timeout=1_000 * PATIENCE_S)
            length = page.evaluate(
                """() => new Promise((done) => {
                    const other = new WebSocket(`ws://${location.host}/shout`);
                    other.onopen = () => other.send("x".repeat(2_000_000));
                    other.onmessage = (event) => done(event.data.split("X").length - 1);
                })"""
            )
            assert length == 2_000_000

    server.lab.call(visit)
    server.stop()
