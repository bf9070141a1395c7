"""The lab comes, keeps to itself, and goes without a trace, whoever kills it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from xtcp_twisted.errors import LinkError, LocalError
from xtcp_twisted.lab import CLIENT_ADDRESSES, ENGINE_V4, ENGINE_V6, Lab, keeper
from xtcp_twisted.lab.namespace import CHILD_HASH

#: Seconds after which something that should happen is taken for never happening.
NEVER = 20.0


def host_state() -> tuple[list[str], list[str]]:
    """The devices and the named namespaces of this process's own network."""
    names = Path("/run/netns")
    return sorted(os.listdir("/sys/class/net")), sorted(os.listdir(names)) if names.exists() else []


@contextmanager
def all_end(pids: list[int]) -> Iterator[None]:
    """Processes that run before and are gone after, at once or soon."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    yield
    left = [pid for pid, fd in zip(pids, pidfds, strict=True) if not select.select([fd], [], [], NEVER)[0]]
    for pidfd in pidfds:
        os.close(pidfd)
    assert not left


# --- It keeps to itself -------------------------------------------------------


def test_a_lab_is_a_network_of_its_own(lab: Lab) -> None:
    own = keeper.namespace_of("self")
    assert lab.call(os.readlink, "/proc/thread-self/ns/net") != own
    assert keeper.namespace_of("self") == own
    assert lab.call(socket.if_nameindex) == [(1, "lo")]


def test_an_open_lab_changes_nothing_of_the_host() -> None:
    before = host_state(), Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    with Lab() as lab:
        assert lab.link().fileno() >= 0
        assert (host_state(), Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()) == before
        inside = lab.call(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text)
        assert inside.split() == ["1024", "65535"]
    assert host_state() == before[0]


@pytest.mark.skipif(
    not CHILD_HASH.exists(), reason="this kernel's namespaces have no socket tables of their own"
)
@pytest.mark.parametrize("sockets, slots", [(100_000, 0), (100_001, 1 << 18), (1_000_000, 1 << 21)])
def test_very_many_sockets_have_a_table_of_their_own(sockets: int, slots: int) -> None:
    before = CHILD_HASH.read_text()
    with Lab(sockets=sockets) as lab:
        shown = int(lab.call(Path("/proc/sys/net/ipv4/tcp_ehash_entries").read_text))
        # A table that is shared with the host is shown as a negative number.
        assert (shown if shown > 0 else 0) == slots
    assert CHILD_HASH.read_text() == before


def test_a_socket_made_inside_stays_inside(lab: Lab) -> None:
    with lab.call(socket.create_server, ("127.0.0.1", 0)) as server:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(server.getsockname())
        with (
            lab.call(socket.create_connection, server.getsockname()) as client,
            server.accept()[0] as accepted,
        ):
            accepted.sendall(b"inside")
            assert client.recv(100) == b"inside"


def test_call_raises_what_the_function_raises(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError):
        lab.call(divmod, 1, 0)


def test_loopback_is_up_in_both_families(lab: Lab) -> None:
    for host in ("127.0.0.1", "::1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with lab.call(socket.create_server, (host, 0), family=family) as server:
            lab.call(socket.create_connection, server.getsockname()[:2], NEVER).close()


@pytest.mark.parametrize("host", [ENGINE_V4, ENGINE_V6, "10.77.200.9", "fd77::77"])
def test_packets_to_the_engines_prefixes_come_out_of_the_link(lab: Lab, host: str) -> None:
    link = lab.link()
    assert lab.device not in host_state()[0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with lab.call(socket.socket, family, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        client.connect_ex((host, 7))
        assert select.select([link.fileno()], [], [], NEVER)[0]
        packet = os.read(link.fileno(), 2000)
    addresses = packet[8:40] if family == socket.AF_INET6 else packet[12:20]
    half = len(addresses) // 2
    assert socket.inet_ntop(family, addresses[half:]) == host
    source = socket.inet_ntop(family, addresses[:half])
    assert source in [address.split("/")[0] for address in CLIENT_ADDRESSES]


def test_the_device_is_silent_until_a_client_speaks(lab: Lab) -> None:
    assert not select.select([lab.link().fileno()], [], [], 0.3)[0]


def test_two_labs_have_the_same_device_name_and_do_not_meet(lab: Lab) -> None:
    lab.link()
    with Lab() as other:
        assert other.link().fileno() >= 0
        assert other.path != lab.path


def test_a_second_link_finds_the_device_busy(lab: Lab) -> None:
    lab.link()
    with pytest.raises(LinkError, match="busy"):
        lab.link()


# --- Programs -----------------------------------------------------------------


def test_run_gives_output_and_status(lab: Lab) -> None:
    done = lab.run(["sh", "-c", "cat; exit 3"], input="said", capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("said", 3)


def test_run_can_check_the_status(lab: Lab) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        lab.run(["false"], check=True)


def test_run_kills_after_its_time(lab: Lab) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run(["sleep", "1000"], timeout=0.1)


def test_programs_run_inside_or_outside(lab: Lab) -> None:
    inside = lab.popen(["sleep", "1000"])
    outside = lab.popen(["sleep", "1000"], inside=False)
    assert keeper.namespace_of(inside.pid) == os.readlink(lab.path)
    assert keeper.namespace_of(outside.pid) == keeper.namespace_of("self")


def test_a_closed_lab_says_so() -> None:
    with pytest.raises(LocalError, match="with Lab"):
        Lab().call(os.getpid)


def test_an_open_lab_cannot_be_opened_again(lab: Lab) -> None:
    with pytest.raises(LocalError, match="open already"):
        lab.__enter__()


# --- It goes ------------------------------------------------------------------

STUBBORN = "trap '' TERM; sleep 1000 & echo $!; setsid sleep 1001 & echo $!; wait"


def stubborn(lab: Lab) -> list[int]:
    """Processes that do not listen to SIGTERM, one of them outside, and the keeper, which is last."""
    shell = lab.popen(["sh", "-c", STUBBORN], stdout=subprocess.PIPE)
    assert shell.stdout is not None
    with shell.stdout as output:
        pids = [shell.pid, int(output.readline()), int(output.readline())]
    outside = lab.popen(["sleep", "1002"], inside=False)
    return [*pids, outside.pid, lab.keeper_pid]


def test_close_ends_every_process_and_removes_the_scratch_directory() -> None:
    before = os.listdir("/proc/self/fd")
    lab = Lab(grace_s=0.1)
    with ExitStack() as after:
        with lab:
            after.enter_context(all_end(stubborn(lab)))
            (lab.directory / "log").write_text("scratch")
        assert not lab.directory.exists()
    assert os.listdir("/proc/self/fd") == before


def test_a_program_may_end_by_itself_in_its_time() -> None:
    with Lab() as lab:
        polite = lab.popen(["sh", "-c", "trap 'exit 7' TERM; echo; while :; do sleep 0.01; done"], stdout=-1)
        assert polite.stdout is not None
        with polite.stdout as output:
            output.readline()
    assert polite.returncode == 7


def test_close_does_without_its_keeper() -> None:
    with ExitStack() as after, Lab(grace_s=0.1) as lab:
        pids = stubborn(lab)
        after.enter_context(all_end(pids))
        os.kill(pids[-1], signal.SIGKILL)
    assert not lab.directory.exists()


KILLED = """
import json, signal, sys
sys.path.insert(0, {tests!r})
from test_lab import Lab, os, stubborn
with Lab() as lab:
    lab.link()
    os.kill(lab.keeper_pid, signal.{keeper})
    print(json.dumps([os.readlink(lab.path), str(lab.directory), stubborn(lab)]), flush=True)
    signal.pause()
"""


# A stopped keeper learns of its parent's death together with what it was told before.
@pytest.mark.parametrize("keeper_gets", ["SIGCONT", "SIGSTOP"])
def test_nothing_is_left_after_a_sigkill(keeper_gets: str, start: Any) -> None:
    before = host_state()
    parent = start("-c", KILLED.format(tests=str(Path(__file__).parent), keeper=keeper_gets))
    namespace, directory, pids = json.loads(parent.stdout.readline())
    outside = pids[3]
    assert sorted(keeper.members(namespace)) == sorted({*pids} - {outside})
    with all_end(pids):
        parent.kill()
        parent.wait()
        os.kill(pids[-1], signal.SIGCONT)
    assert not Path(directory).exists()
    assert list(keeper.members(namespace)) == []
    assert host_state() == before


def test_an_exception_closes_the_lab() -> None:
    lab = Lab()
    with pytest.raises(ZeroDivisionError), lab:
        lab.call(divmod, 1, 0)
    assert not lab.directory.exists()
    with pytest.raises(LocalError):
        lab.call(divmod, 1, 1)


def test_importing_the_lab_does_not_import_netlink() -> None:
    """Fleets start a process for every few thousand clients; pyroute2 would cost each 0.2 s and 20 MB."""
    code = "import sys, xtcp_twisted.lab.fleet_worker; sys.exit('pyroute2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
