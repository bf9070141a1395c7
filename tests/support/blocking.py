"""A client that sends until the server takes no more, whatever else keeps the server from running."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

#: How long a send waits for room, seconds.
_WAIT_S: Final = 2


def send_until_it_blocks(connection: socket.socket, payload: bytes, turn: Callable[[], object]) -> int:
    """How much the client could send: all of it, or as much as the server's window lets it.

    A send that waits may wait for a server that did not get to run; one that waits again after the server
    has, waits for its window.

    :param turn: comes back when the server has run.
    """
    connection.settimeout(_WAIT_S)
    sent, waited = 0, False
    while sent < len(payload):
        try:
            sent += connection.send(payload[sent : sent + 65_536])
            waited = False
        except TimeoutError:
            if waited:
                break
            waited = True
            turn()
    return sent
