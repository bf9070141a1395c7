"""``twistd xtcp`` where it cannot start: one clear text, an exit status, and never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFIG = """
[link]
name = "xtcprefused"
[engine]
addresses = ["10.77.0.2", "fd77::2"]
max_connections = 4096
arena_limit = "256 MiB"
[[pool]]
name = "im"
receive_buffer = "4 MiB"
[[group]]
name = "echo"
port = 7
protocol = "examples.echo.Echo"
"""

ANOTHER = '[[group]]\nname = "other"\nport = 7\nprotocol = "examples.chat.Chat"\n'

#: The link that needs nothing of the system, for errors that come after it.
MEMORY = ("--set", "link.kind=memory")

#: The exit status of a script that cannot be tried here.
CANNOT_TRY = 77

TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()\n"

#: In a mount namespace of its own, without the driver's node.
NO_NODE = """
import ctypes, subprocess
assert ctypes.CDLL(None, use_errno=True).unshare(0x20000) == 0
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "none", "/dev/net"], check=True)
"""

NO_CAPABILITIES = """
import ctypes
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
assert ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()) == 0
"""

NOBODY = """
import os, sys, xtcp_twisted
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
if not os.access(xtcp_twisted.__file__, os.R_OK) or not os.access(sys.executable, os.X_OK):
    sys.exit(77)
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives up rights, so it needs them first")


def refused(folder: Path, config: str, *arguments: str, before: str = "") -> str:
    """What is said when it does not start."""
    file = folder / "xtcp.toml"
    file.write_text(config, "utf-8")
    folder.chmod(0o755)
    command = [sys.executable, "-c", before + TWISTD, "--nodaemon", "--pidfile=", "xtcp"]
    done = subprocess.run(
        [*command, "--config", str(file), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = done.stdout + done.stderr
    if done.returncode == CANNOT_TRY:
        pytest.skip("other users cannot read Python or the package here")
    assert done.returncode == 1, text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    "old, new, said",
    [
        (
            "receive_buffer",
            "recieve_buffer",
            "pool[0].recieve_buffer: is not known; did you mean 'receive_buffer'?",
        ),
        ('name = "echo"', 'nmae = "echo"', "group[0].nmae: is not known; did you mean 'name'?"),
        ("port = 7", "port = 70000", "group[0].port: 70000 is not allowed; give an integer from 1 to 65,535"),
        ("examples.echo.Echo", "examples.ecko.Echo", "group[0].protocol: examples.ecko.Echo does not import"),
        ("examples.echo.Echo", "examples.echo.Ecko", "did you mean 'Echo'?"),
        ("examples.echo.Echo", "tests.reactor.broken_module.Echo", "does not import: "),
        ("[[pool]]", "[pool]", "pool: is a single table; write [[pool]] with two brackets"),
        ("[engine]", "[engine", "is not TOML"),
        ("4096", '"many"', "engine.max_connections: 'many' is not allowed"),
    ],
)
def test_a_configuration_that_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CONFIG
    assert said in refused(tmp_path, CONFIG.replace(old, new))


def test_a_port_that_another_group_has(tmp_path: Path) -> None:
    text = refused(tmp_path, CONFIG + ANOTHER)
    assert "group[1].port: 7 is taken by the group 'echo'; give another port or address" in text


def test_an_arena_that_is_too_small(tmp_path: Path) -> None:
    text = refused(tmp_path, CONFIG.replace('"256 MiB"', '"1 MiB"'), *MEMORY)
    assert re.search(r"XTCP cannot start: .*arena_limit", text)


def test_a_capture_file_that_cannot_be_written(tmp_path: Path) -> None:
    text = refused(tmp_path, CONFIG, "--capture", str(tmp_path / "none" / "file"))
    assert "cannot be written: No such file or directory" in text


def test_a_status_socket_that_cannot_be_made(tmp_path: Path) -> None:
    text = refused(tmp_path, CONFIG, *MEMORY, "--status-socket", str(tmp_path / "none" / "socket"))
    assert re.search(
        r"XTCP cannot start: the status socket \S*/none/socket cannot be made: No such file", text
    )


@needs_root
def test_a_machine_without_tun_devices(tmp_path: Path) -> None:
    text = refused(tmp_path, CONFIG, before=NO_NODE)
    assert "XTCP cannot start: " in text
    assert "/dev/net/tun" in text
    assert "modprobe tun" in text


@needs_root
@pytest.mark.parametrize("before", [NO_CAPABILITIES, NOBODY], ids=["no capabilities", "nobody"])
def test_a_process_without_privileges(tmp_path: Path, before: str) -> None:
    text = refused(tmp_path, CONFIG, before=before)
    assert re.search(r"XTCP cannot start: (TUN device xtcprefused .* takes root|/dev/net/tun may not)", text)
