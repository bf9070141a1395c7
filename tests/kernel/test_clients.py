"""Kernel clients that do what clients do: much at once, half-closes, resets, not reading."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from support.blocking import send_until_it_blocks
from support.capture import WRONG, tshark

from tests.kernel.conftest import PATIENCE_S, V4, V6, Served

pytestmark = pytest.mark.feature("P33")

LINGER_RESET = struct.pack("ii", 1, 0)

Eventually = Callable[[Callable[[], bool]], None]


def read_all(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the stream ends."""
    parts = []
    while size and (part := connection.recv(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@pytest.mark.feature("P32")
@pytest.mark.parametrize("host", [V4, V6])
@pytest.mark.parametrize("group", ["echo", "plain"])
def test_ten_megabytes_both_ways_at_once(served: Served, group: str, host: str) -> None:
    payload = os.urandom(10_000_000)
    with served.connect(group, host) as connection:
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        answer = read_all(connection, len(payload))
        sender.join()
    assert answer == payload
    assert tshark(served.stop(), WRONG) == []


@pytest.mark.feature("P32")
@pytest.mark.requirement("RFC 9293 3.6 half")
@pytest.mark.parametrize("host", [V4, V6])
def test_half_close_still_gets_everything(served: Served, host: str) -> None:
    """The client has said all it will; the answers come all the same, then the end."""
    payload = os.urandom(400_000)
    with served.connect("echo", host) as connection:
        sender = threading.Thread(target=connection.sendall, args=(payload,))
        sender.start()
        answer = read_all(connection, 100_000)
        sender.join()
        connection.shutdown(socket.SHUT_WR)
        answer += read_all(connection, len(payload))
        assert answer == payload
        assert connection.recv(1) == b""
    assert tshark(served.stop(), WRONG) == []


@pytest.mark.parametrize("host", [V4, V6])
@pytest.mark.parametrize("group", ["echo", "plain"])
def test_a_reset_costs_one_connection(served: Served, group: str, host: str, eventually: Eventually) -> None:
    with served.connect(group, host) as stays:
        rude = served.connect(group, host)
        rude.sendall(b"x")
        assert rude.recv(1) == b"x"
        assert served.snapshot()["connections"] == 2
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        rude.close()
        eventually(lambda: served.snapshot()["connections"] == 1)
        stays.sendall(b"still here")
        assert stays.recv(100) == b"still here"
    capture = served.stop()
    assert len(tshark(capture, "tcp.flags.reset == 1")) == 1
    assert tshark(capture, WRONG) == []
    assert "Traceback" not in served.log()


@pytest.mark.parametrize("host", [V4, V6])
@pytest.mark.parametrize("group", ["echo", "plain"])
def test_a_client_that_does_not_read_stops_being_read(served: Served, group: str, host: str) -> None:
    """The server takes no more than its buffers hold; when the client reads at last, nothing is missing."""
    with served.connect(group, host, SO_RCVBUF=8_192, SO_SNDBUF=16_384) as connection:
        payload = os.urandom(8_192) * 2_500
        sent = send_until_it_blocks(connection, payload, served.snapshot)
        assert 100_000 < sent < len(payload)
        connection.settimeout(60)
        assert read_all(connection, sent) == payload[:sent]
        connection.sendall(b"again")
        assert read_all(connection, 5) == b"again"
    assert tshark(served.stop(), WRONG) == []


def test_two_hundred_clients_at_once(served: Served) -> None:
    """Twenty requests each, all connections open together; none costs a descriptor."""
    before = served.server.status(PATIENCE_S)
    assert before is not None
    rounds = 20
    clients = [served.connect(("echo", "plain")[i % 2], (V4, V6)[i // 2 % 2]) for i in range(200)]
    left = dict.fromkeys(clients, rounds)
    partial = dict.fromkeys(clients, b"")
    with selectors.DefaultSelector() as selector:
        for i, client in enumerate(clients):
            selector.register(client, selectors.EVENT_READ, b"%04d" % i * 64)
            client.sendall(b"%04d" % i * 64)
        while any(left.values()):
            ready = selector.select(PATIENCE_S)
            assert ready, f"no answer for {sum(map(bool, left.values()))} clients"
            for key, _ in ready:
                client = key.fileobj
                assert isinstance(client, socket.socket)
                partial[client] += client.recv(1_024)
                if len(partial[client]) < len(key.data):
                    continue
                assert partial[client] == key.data
                partial[client] = b""
                left[client] -= 1
                if left[client]:
                    client.sendall(key.data)
    after = served.server.status(PATIENCE_S)
    assert after is not None
    assert after["descriptors"] == before["descriptors"] < 40
    assert after["snapshot"]["connections"] == 200
    for client in clients:
        client.close()
    assert tshark(served.stop(), WRONG) == []
