"""The work queue: its server is killed at the worst moments, and no job is lost and none is queued twice."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from examples.workqueue_client import unacknowledged
from xtcp_twisted.lab import Lab
from xtcp_twisted.lab.server import Server, ServerDied

pytestmark = pytest.mark.feature("P14", "P33")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/workqueue.toml"
PLACE = ("10.77.0.2", 4100)
JOBS = [f"job-{i} work number {i}\n".encode() for i in range(2_000)]

Eventually = Callable[[Callable[[], bool]], None]


class Queue:
    """The server of the example's configuration, with a database of this test, that can be killed."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        config = folder / "queue.toml"
        text = EXAMPLE.read_text("utf-8").replace("jobs.sqlite3", str(folder / "jobs.sqlite3"))
        config.write_text(
            text.replace("examples.workqueue", "tests.kernel.applications").replace(
                "WorkQueue", "MortalQueue"
            ),
            "utf-8",
        )
        self.server = Server(lab, config, imports=[ROOT])
        self.server.start()

    def kill_at(self, moment: str) -> None:
        """At that moment of the next batch."""
        (self.folder / moment).touch()

    def is_dead(self) -> bool:
        try:
            self.server.check()
        except ServerDied as died:
            return "by signal 9" in str(died)
        return False

    def jobs(self) -> list[tuple[str, bytes]]:
        with closing(sqlite3.connect(self.folder / "jobs.sqlite3")) as database:
            return database.execute("SELECT id, work FROM job ORDER BY rowid").fetchall()

    def connect(self) -> socket.socket:
        return self.lab.call(socket.create_connection, PLACE, 30)


@pytest.fixture
def queue(lab: Lab, tmp_path: Path) -> Queue:
    return Queue(lab, tmp_path)


@pytest.mark.parametrize(
    "moment, stored", [("received", False), ("inserted", False), ("committed", True), ("answered", True)]
)
def test_the_client_can_tell_what_may_be_lost(
    queue: Queue, eventually: Eventually, moment: str, stored: bool
) -> None:
    """Its kernel still holds what was not acknowledged, now and when the new server has reset it."""
    first, second = b"job-1 work\n", b"job-2 more\n"
    with queue.connect() as client:
        client.sendall(first)
        assert client.recv(100) == b"job-1 stored\n"
        assert unacknowledged(client) == 0
        queue.kill_at(moment)
        client.sendall(second)
        eventually(queue.is_dead)
        assert unacknowledged(client) == len(second)
        assert queue.jobs() == [("job-1", b"work")] + [("job-2", b"more")] * stored
        queue.server.start()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        assert unacknowledged(client) == len(second), "it is known after the reset, too"
    with queue.connect() as client:
        client.sendall(second)
        assert client.recv(100) == (b"job-2 known\n" if stored else b"job-2 stored\n")
    assert queue.jobs() == [("job-1", b"work"), ("job-2", b"more")]


@pytest.mark.parametrize("moments", [["received", "answered"], ["inserted", "committed"], ["committed"]])
def test_nothing_is_lost_and_nothing_is_queued_twice(
    queue: Queue, eventually: Eventually, moments: list[str]
) -> None:
    client = queue.lab.popen(
        [sys.executable, "-m", "examples.workqueue_client", PLACE[0], str(PLACE[1])],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert client.stdin is not None
    share = len(JOBS) // (len(moments) + 1)
    client.stdin.write(b"".join(JOBS[:share]))
    client.stdin.flush()
    for i, moment in enumerate(moments, 1):
        queue.kill_at(moment)
        client.stdin.write(b"".join(JOBS[i * share : (i + 1) * share]))
        client.stdin.flush()
        eventually(queue.is_dead)
        queue.server.start()
    out, errors = client.communicate(b"".join(JOBS[(len(moments) + 1) * share :]), timeout=60)
    assert client.returncode == 0
    names = [line.split()[0].decode() for line in JOBS]
    assert out.decode().split() == names
    assert queue.jobs() == [
        (name, line.split(b" ", 1)[1][:-1]) for name, line in zip(names, JOBS, strict=True)
    ]
    assert errors.count(b"to be sent again") >= len(moments)


def test_a_job_that_is_none_costs_its_connection_and_is_not_acknowledged(queue: Queue) -> None:
    with queue.connect() as good, queue.connect() as bad:
        bad.sendall(b"job-1 work\nnonsense\n")
        with pytest.raises(ConnectionResetError):
            bad.recv(100)
        assert unacknowledged(bad) > 0
        good.sendall(b"job-2 work\n")
        assert good.recv(100) == b"job-2 stored\n"
    assert queue.jobs() == [("job-2", b"work")]


def test_an_error_of_the_database_acknowledges_nothing(queue: Queue) -> None:
    with queue.connect() as client:
        client.sendall(b"job-1 work\n")
        assert client.recv(100) == b"job-1 stored\n"
        with closing(sqlite3.connect(queue.folder / "jobs.sqlite3")) as database:
            database.execute("DROP TABLE job")
        client.sendall(b"job-2 work\n")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        assert unacknowledged(client) == len(b"job-2 work\n")
