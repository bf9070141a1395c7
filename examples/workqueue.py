"""A work queue whose acknowledgements are commits: what TCP has acknowledged is in the database.

A job is a line, ``ID WORK``; the client chooses the id and never uses it for other work.  Under
the ``application`` policy the acknowledgement of a line leaves when it is done with, and that is
after the commit.  When the server dies before, the client's kernel still holds the line (SIOCOUTQ,
tcp(7)), and `workqueue_client` sends it again; a job that was committed already is known by its
id and not queued twice.

All lines of a turn are one transaction, in the reactor's thread: none of them can be answered
before it is on the disk, and what comes meanwhile waits in the receive buffer for the next one,
which is the larger for it.  Whatever else this process serves waits as well; who cannot have that
commits in a thread and answers by a Deferred (`xtcp_twisted.reactor.requests`).

twistd -n xtcp --config examples/workqueue.toml
python -m examples.workqueue_client 10.77.0.2 4100 < jobs.txt
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from typing import Final

from twisted.python.failure import Failure

from xtcp_twisted.errors import StaleConnection
from xtcp_twisted.reactor.frames import LineGroupProtocol

#: An id, and what there is to do.
_JOB: Final = re.compile(rb"([\w.-]{1,64}) (.+)", re.ASCII)
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, work BLOB NOT NULL, done INTEGER)"

#: A connection, the id of a job, and its work.
Job = tuple[int, str, bytes]


class WorkQueue(LineGroupProtocol):
    """Puts jobs into a SQLite database, each once; who works on them reads it from there.

    :param database: its file.
    """

    delimiter = b"\n"

    def __init__(self, database: str) -> None:
        self._file = database

    def groupOpened(self) -> None:
        """Open the database, as whoever the server runs as."""
        self._database = sqlite3.connect(self._file)
        # The commit is on the disk when it returns, also for a machine that loses its power.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        with self._database:
            self._database.execute(_SCHEMA)

    def groupClosed(self, reason: Failure) -> None:
        """Close it."""
        super().groupClosed(reason)
        self._database.close()

    def linesReceived(self, lines: list[tuple[int, bytes]]) -> None:
        """Commit, then answer; an error of the database costs all of them, and acknowledges nothing."""
        found = [(cd, _JOB.fullmatch(line)) for cd, line in lines]
        strange = {cd for cd, job in found if job is None}
        jobs = [(cd, job[1].decode(), job[2]) for cd, job in found if job is not None and cd not in strange]
        for (cd, name, _), fresh in zip(jobs, self.store(jobs), strict=True):
            self.sendLine(cd, f"{name} {'stored' if fresh else 'known'}".encode())
        for cd in strange:
            with suppress(StaleConnection):
                self.group.abort(cd)

    def store(self, jobs: list[Job]) -> list[bool]:
        """Commit jobs; whether each is new.

        :raise sqlite3.Error: none of them is stored.
        """
        with self._database, closing(self._database.cursor()) as cursor:
            return [self.insert(cursor, name, work) for _, name, work in jobs]

    def insert(self, cursor: sqlite3.Cursor, name: str, work: bytes) -> bool:
        """Insert one job, if it is new."""
        cursor.execute("INSERT OR IGNORE INTO job (id, work) VALUES (?, ?)", (name, work))
        return cursor.rowcount == 1
