"""Applications that raise: their connection is lost, the reactor and everybody else lives."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.kernel.conftest import Served
from xtcp_twisted.lab import Lab


def ended(connection: socket.socket) -> bool:
    """Whether the server ends the connection, in whichever way."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("group", ["fails", "groupfails"])
def test_an_exception_costs_its_connection(served: Served, group: str) -> None:
    with served.connect(group) as bad, served.connect(group) as good:
        good.sendall(b"first")
        assert good.recv(100) == b"first"
        bad.sendall(b"fail, please")
        assert ended(bad)
        good.sendall(b"second")
        assert good.recv(100) == b"second"
    with served.connect("echo") as other:
        other.sendall(b"third")
        assert other.recv(100) == b"third"
    served.stop()
    assert served.log().count("ZeroDivisionError: as the client wished") == 1


def test_a_group_that_always_fails_does_not_harm_the_others(served: Served) -> None:
    with served.connect("echo") as good:
        for _ in range(20):
            with served.connect("batchfails") as bad:
                bad.sendall(b"x")
                assert ended(bad)
        good.sendall(b"here")
        assert good.recv(100) == b"here"
        assert served.snapshot()["connections"] == 1
    served.stop()
    assert served.log().count("raise ZeroDivisionError(len(messages))") == 20


def test_a_device_that_is_taken_away_may_end_the_engine_and_not_the_process(lab: Lab, tmp_path: Path) -> None:
    served = Served(lab, tmp_path, service="end_without_device = false")
    with served.connect("echo") as connection:
        connection.sendall(b"here")
        assert connection.recv(100) == b"here"
        served.lab.run(["ip", "link", "del", "xtcp0"], check=True)
    with socket.socket(socket.AF_UNIX) as status:
        status.settimeout(60)
        status.connect(str(served.lab.directory / "status"))
        # It answers until the engine has seen the loss, then says nothing; it lives in both cases.
        while status.recv(65_536):
            pass
    served.stop()
    assert "XTCP has stopped: " in served.log()
    assert "Traceback" not in served.log()
