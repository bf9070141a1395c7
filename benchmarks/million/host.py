"""Settings of the whole host that a run may need, touched only with consent and put back.

What can be set inside the lab's own namespace is set there by the lab.  These are the
rest; where a machine's own values suffice, as they do on one with 16 GiB or more,
nothing is asked for.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.million import restore
from benchmarks.million.plan import Plan
from xtcp_twisted.errors import PrivilegeError

ROOT: Final = Path("/proc/sys")
#: Files that others may open meanwhile.
SPARE_FILES: Final = 50_000
#: Pages of 4 KiB that a client's socket takes while it has something to send or to read.
PAGES_EACH: Final = 2
#: Parts of a second in which a request and its answer lie in clients' sockets, amply.
STANDING: Final = 1.0


@attrs.frozen
class Setting:
    """A setting that has to be higher than it is."""

    name: str
    #: The file's text now, and as it should be.
    now: str
    wanted: str
    #: What it bounds, and what happens if it stays.
    why: str

    def __str__(self) -> str:
        return f"{self.name} = {' '.join(self.now.split())}, should be {self.wanted}: {self.why}"

    def path(self, root: Path = ROOT) -> Path:
        """Its file."""
        return root / self.name.replace(".", "/")


def wanted(plan: Plan, root: Path = ROOT) -> list[Setting]:
    """The settings of this host that a run of `plan` would have higher; none on most machines."""
    found = []
    files = root / "fs/file-max"
    open_now = int((root / "fs/file-nr").read_text().split()[0])
    need = open_now + plan.connections + SPARE_FILES
    if int(files.read_text()) < need:
        found.append(
            Setting(
                "fs.file-max", files.read_text(), str(need),
                "open files of the whole machine, and each client is one; without it connections beyond it"
                " fail, unless the clients run with CAP_SYS_ADMIN",
            )
        )  # fmt: skip
    memory = root / "net/ipv4/tcp_mem"
    pages = int(PAGES_EACH * (plan.storm + plan.rate * STANDING))
    if memory.exists() and int(memory.read_text().split()[1]) < pages:
        found.append(
            Setting(
                "net.ipv4.tcp_mem", memory.read_text(), f"{pages} {pages} {2 * pages}",
                "pages for what TCP sockets hold; without it the kernel drops data of the storm or of a"
                " stall, which costs time",
            )
        )  # fmt: skip
    return found


@contextlib.contextmanager
def raised(settings: Sequence[Setting], root: Path = ROOT) -> Iterator[None]:
    """Raise `settings` while the block runs; what they were comes back whatever ends it, a SIGKILL too.

    :raises PrivilegeError: one may not be written.
    """
    if not settings:
        yield
        return
    before = {str(setting.path(root)): setting.now for setting in settings}
    keeper = subprocess.Popen(
        [sys.executable, "-I", "-S", restore.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        print(json.dumps(before), file=keeper.stdin, flush=True)
        keeper.stdout.readline()
        for setting in settings:
            try:
                setting.path(root).write_text(setting.wanted)
            except OSError as error:
                raise PrivilegeError(
                    f"{setting.name} cannot be raised: {error.strerror}; run this as root, or without"
                    " --allow-host-sysctls"
                ) from None
        yield
    finally:
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()
