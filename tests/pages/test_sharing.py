"""docs/howto/sharing.md: two people, one of whom is known."""

from __future__ import annotations

import socket

import pytest

from .conftest import PATIENCE_S, Reader

PAGE = "docs/howto/sharing.md"
STRANGER = ("10.77.0.9", 0)


@pytest.fixture
def written(reader: Reader) -> Reader:
    assert [path.name for path in reader.has(PAGE)] == ["xtcp.toml", "members.py", "door.py"]
    return reader


@pytest.mark.feature("P06")
def test_the_shared_port(written: Reader) -> None:
    """Whoever comes from an address that is not known has a board of his own."""
    server = written.starts("python door.py")
    with written.connects(5222, server) as regular:
        assert regular.recv(100) == b"1 are here\n"
        with written.lab.call(
            socket.create_connection, ("10.77.0.2", 5222), PATIENCE_S, STRANGER
        ) as stranger:
            assert stranger.recv(100) == b"1 are here\n"
            with written.connects(5222, server) as another:
                assert another.recv(100) == b"2 are here\n"
    written.ends(server)


@pytest.mark.feature("P08")
def test_the_decider(written: Reader) -> None:
    server = written.starts("python members.py")
    with written.connects(5223, server) as regular:
        regular.sendall(b"hello")
        assert regular.recv(100) == b"hello"
        with pytest.raises(ConnectionRefusedError):
            written.lab.call(socket.create_connection, ("10.77.0.2", 5223), PATIENCE_S, STRANGER)
    written.ends(server)
