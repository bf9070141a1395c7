"""Without the rights: what is missing and what to type; with a user namespace: the same lab."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives up rights, so it needs them first")

#: The exit status of a script that cannot be tried here.
CANNOT_TRY = 77

#: Put a /dev/net/tun of a given mode (in an empty /dev/net: "none") where this process alone sees it.
PREPARE = """
import ctypes, os, subprocess, sys, threading
from xtcp_twisted.errors import XTCPError
from xtcp_twisted.lab import Lab, keeper

mode, folder, *arguments = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, PR_SET_DUMPABLE = 0x20000, 4
assert libc.unshare(CLONE_NEWNS) == 0
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
if mode == "none":
    subprocess.run(["mount", "-t", "tmpfs", "none", "/dev/net"], check=True)
else:
    node = os.path.join(folder, "tun")
    os.mknod(node, 0o20000, os.makedev(10, 200))
    os.chmod(node, int(mode, 8))
    subprocess.run(["mount", "--bind", node, "/dev/net/tun"], check=True)
"""

BECOME_NOBODY = """
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
# What setresuid took: /proc/self is the user's own again.
libc.prctl(PR_SET_DUMPABLE, 1)
"""

#: Root's files stay readable, but no capability is left save CAP_SETFCAP (31), without which
#: the kernel lets nobody map root into a user namespace.
DROP_CAPABILITIES = """
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
kept = 1 << 31
assert libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)) == 0
"""

OPEN = """
if "--threads" in arguments:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
if "--programs" in arguments:
    if not os.access(keeper.__file__, os.R_OK) or not os.access(sys.executable, os.X_OK):
        sys.exit(77)
try:
    with Lab() as lab:
        lab.link()
        print(lab.run(["cat", "/proc/net/dev"], capture_output=True, text=True).stdout)
except XTCPError as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(2)
"""

LAB_COMMAND = "from xtcp_twisted.lab.__main__ import main\n"
DEMO_COMMAND = "from xtcp_twisted.demo import main\n"
RUN = "sys.exit(main(arguments))\n"


@pytest.fixture
def attempt(start: Any, tmp_path: Any) -> Any:
    def attempt(script: str, mode: str, *arguments: str) -> tuple[int, str, str]:
        process = start("-c", PREPARE + script, mode, str(tmp_path), *arguments)
        output, errors = process.communicate(timeout=60)
        if process.returncode == CANNOT_TRY:
            pytest.skip("other users cannot read Python or the package here")
        if process.returncode and "making a user namespace" in errors:
            pytest.skip(errors)
        return process.returncode, output, errors

    return attempt


def test_a_closed_tun_node_is_named_with_what_to_type(attempt: Any) -> None:
    status, _, errors = attempt(BECOME_NOBODY + OPEN, "600")
    assert status == 2
    assert errors.startswith("PrivilegeError uid 65534 may not open /dev/net/tun (crw-------)")
    assert re.search(r"\n    sudo \S*python\S* -c", errors)
    assert "sudo chmod 666 /dev/net/tun" in errors


def test_a_missing_tun_node_is_named_with_what_to_type(attempt: Any) -> None:
    status, _, errors = attempt(BECOME_NOBODY + OPEN, "none")
    assert status == 2
    assert errors.startswith("LinkError there is no /dev/net/tun")
    assert "sudo modprobe tun" in errors


def test_nobody_gets_a_lab_where_the_tun_node_is_open(attempt: Any) -> None:
    status, output, errors = attempt(BECOME_NOBODY + OPEN, "666", "--programs")
    assert (status, errors) == (0, "")
    assert "xtcp0" in output


def test_root_without_capabilities_gets_a_lab(attempt: Any) -> None:
    status, output, errors = attempt(DROP_CAPABILITIES + OPEN, "600")
    assert (status, errors) == (0, "")
    assert "xtcp0" in output


def test_a_process_with_threads_is_told_to_start_in_a_user_namespace(attempt: Any) -> None:
    status, _, errors = attempt(BECOME_NOBODY + OPEN, "666", "--threads")
    assert status == 2
    assert re.search(r"\n    unshare --user --map-root-user \S*python\S* -c", errors)


@pytest.mark.parametrize(
    "command, name, status, arguments",
    [
        (LAB_COMMAND, "xtcp_twisted.lab", 125, ("--no-engine", "--", "true")),
        (DEMO_COMMAND, "xtcp_twisted.demo", 2, ()),
    ],
)
def test_the_commands_say_it_without_a_traceback(
    attempt: Any, command: str, name: str, status: int, arguments: tuple[str, ...]
) -> None:
    returned, output, errors = attempt(command + BECOME_NOBODY + RUN, "600", *arguments)
    assert (returned, output) == (status, "")
    assert errors.startswith(f"python -m {name}: uid 65534 may not open /dev/net/tun")
    assert "Traceback" not in errors
