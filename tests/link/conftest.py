"""What the tests of the links share: isolation from the host's network, and less privilege."""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import stat
import subprocess
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest

CLONE_NEWNS = 0x0002_0000
CLONE_NEWNET = 0x4000_0000
TUN_MAJOR_MINOR = (10, 200)
# A test in a child that takes longer than this is stuck.
CHILD_LIMIT_S = 60


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "isolated: runs as root in a child with network and mount namespaces of its own"
    )


def missing(what: str) -> None:
    """Skip on a developer's machine, fail where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}", pytrace=False)
    pytest.skip(f"needs {what}")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("isolated") is None:
        return None
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        missing("root and /dev/net/tun")
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    def test() -> None:
        isolate()
        pyfuncitem.obj(**arguments)

    run_in_child(test)
    return True


def run_in_child(job: Callable[[], Any]) -> None:
    """Run `job` in a forked child and fail as it fails."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(job, there))
    child.start()
    there.close()
    child.join(CHILD_LIMIT_S)
    if child.is_alive():
        child.kill()
        child.join()
        pytest.fail(f"the child was still running after {CHILD_LIMIT_S} s", pytrace=False)
    try:
        trouble = here.recv()
    except EOFError:
        trouble = f"the child ended with {child.exitcode}"
    if trouble:
        pytest.fail(trouble, pytrace=False)


def _report(job: Callable[[], Any], there: Connection) -> None:
    try:
        job()
    except BaseException:  # noqa: BLE001 - a skip or an exit of the child is to be told as well
        there.send(traceback.format_exc())
    else:
        there.send("")


def isolate() -> None:
    """Enter new network and mount namespaces; the TUN node is open to all, as distributions ship it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    for command in (
        "mount --make-rprivate /",
        "mount -t tmpfs -o mode=0755 tmpfs /run",
        "mount -t tmpfs -o mode=0755 tmpfs /dev/net",
        "ip link set lo up",
    ):
        subprocess.run(command.split(), check=True)
    os.mknod("/dev/net/tun", stat.S_IFCHR, os.makedev(*TUN_MAJOR_MINOR))
    os.chmod("/dev/net/tun", 0o666)


@pytest.fixture
def unprivileged() -> Callable[[Callable[[], Any]], None]:
    """Runs a function in a child that is user 65534."""

    def run(job: Callable[[], Any]) -> None:
        def drop_and_do() -> None:
            # The interpreter's own files may be closed to that user: load what comes later now.
            importlib.import_module("xtcp_twisted.link.netlink")
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            job()

        run_in_child(drop_and_do)

    return run
