"""What the kernel's clients are sent: nothing malformed, and one packet for each answer."""

from __future__ import annotations

import re
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from support.capture import WRONG, program, segments, tshark
from support.packets import Segment

from tests.kernel.conftest import GROUPS, V4, V6, Served


def ask(connection: socket.socket, request: bytes, end: bytes) -> bytes:
    """Send one request, and read until the answer ends so."""
    connection.sendall(request)
    answer = b""
    while not answer.endswith(end):
        more = connection.recv(65_536)
        assert more, f"the connection ended after {answer!r}"
        answer += more
    return answer


def flows(path: Path) -> dict[tuple[str, int], list[Segment]]:
    """The segments of each connection, by the client's address."""
    found: dict[tuple[str, int], list[Segment]] = {}
    for segment in segments(path):
        client = (segment.dst, segment.dport) if segment.src in (V4, V6) else (segment.src, segment.sport)
        found.setdefault(client, []).append(segment)
    return found


def answers(flow: list[Segment]) -> int:
    """How many requests were answered; each by ONE packet that carries its acknowledgement."""
    count = 0
    for request, following in pairwise(flow):
        if request.src in (V4, V6) or not request.data:
            continue
        assert following.src in (V4, V6), f"{request} was followed by {following}"
        assert following.data, f"the acknowledgement of {request.data!r} came alone"
        assert following.ack == (request.seq + len(request.data)) % 2**32
        count += 1
    return count


@pytest.mark.feature("P15", "P24")
def test_each_answer_is_one_packet_that_carries_the_acknowledgement(served: Served) -> None:
    for host in (V4, V6):
        for group in ("echo", "plain"):
            with served.connect(group, host) as connection:
                for i in range(50):
                    assert ask(connection, b"request %d." % i, b".") == b"request %d." % i
        with served.connect("chat", host) as connection:
            assert ask(connection, b"", b"\n").startswith(b"* Welcome")
            assert ask(connection, b"/nick ada\n", b"others\r\n").startswith(b"* you are ada\r\n")
            assert ask(connection, b"hello\n", b"\n") == b"* said to 0\r\n"
            assert ask(connection, b"/quit\n", b"\n") == b"* goodbye\r\n"
    capture = served.stop()
    assert tshark(capture, WRONG) == []
    found = flows(capture)
    assert len(found) == 6
    for flow in found.values():
        assert answers(flow) == (3 if flow[0].dport == GROUPS["chat"][0] else 50)


@pytest.mark.feature("P14", "P33")
def test_curl_gets_pages_in_one_packet_each(served: Served) -> None:
    """Also the page that is answered later: its request is not acknowledged before."""
    curl = [program("curl"), "--silent", "--show-error", "--max-time", "10"]
    for host in (V4, f"[{V6}]"):
        done = served.lab.run([*curl, f"http://{host}/"], capture_output=True, text=True, check=True)
        assert re.fullmatch(r"Hello, (10\.77\.0\.1|fd77::1) port \d+\.\n", done.stdout)
        done = served.lab.run([*curl, f"http://{host}/later"], capture_output=True, text=True, check=True)
        assert done.stdout == "at last\n"
    capture = served.stop()
    assert tshark(capture, WRONG) == []
    found = flows(capture)
    assert len(found) == 4
    for flow in found.values():
        assert answers(flow) == 1


@pytest.mark.feature("P33")
def test_curl_posts_and_gets_much(served: Served, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"".join(b"line %d\n" % i for i in range(100_000)))
    for host in (V4, f"[{V6}]"):
        command = [program("curl"), "--silent", "--show-error", "--max-time", "30"]
        command += ["--data-binary", f"@{body}", f"http://{host}/upper"]
        done = served.lab.run(command, capture_output=True, check=True)
        assert done.stdout == body.read_bytes().upper()
    assert tshark(served.stop(), WRONG) == []


@pytest.mark.feature("P33")
@pytest.mark.parametrize("group", ["echo", "plain"])
def test_netcat_is_echoed(served: Served, group: str) -> None:
    """nc sends its input, then FIN, and prints what comes until the end."""
    netcat = [program("nc"), "-N", "-w", "10"]
    for host in (V4, V6):
        command = [*netcat, host, str(GROUPS[group][0])]
        done = served.lab.run(command, input="one\ntwo\n", capture_output=True, text=True, check=True)
        assert done.stdout == "one\ntwo\n"
    assert tshark(served.stop(), WRONG) == []
