"""Endpoint strings in processes of their own, by other people's programs; kernel clients."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.console import TWISTD

from xtcp_twisted.lab import Lab

ROOT = Path(__file__).parents[2]
TWIST = (
    sys.executable,
    "-c",
    "import sys; from twisted.application.twist._twist import Twist; sys.argv[0] = 'twist'; Twist.main()",
)
TRIAL = (
    sys.executable,
    "-c",
    "import sys; from twisted.scripts.trial import run; sys.argv[0] = 'trial'; run()",
)

CONFIG = """
[link]
name = "{name}"
namespace = "{namespace}"
addresses = ["10.{net}.0.1/16", "fd{net}::1/64"]
[engine]
addresses = ["10.{net}.0.2", "fd{net}::2"]
max_connections = 4096
arena_limit = "256 MiB"
[[pool]]
name = "web"
receive_buffer = "4 MiB"
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    """With the configuration of a stack in it, and pages to serve."""
    config = CONFIG.format(name="xtcp0", namespace=lab.path, net=77)
    (tmp_path / "xtcp.toml").write_text(config, "utf-8")
    pages = tmp_path / "pages"
    pages.mkdir(mode=0o755)
    (pages / "hello.txt").write_text("hello from afar\n", "utf-8")
    return tmp_path


class Running:
    """A process that serves, from its start to its end."""

    def __init__(self, lab: Lab, folder: Path, *command: str) -> None:
        self.lab = lab
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env=environment()
            )

    def connect(self, port: int, host: str = "10.77.0.2") -> socket.socket:
        """Connect a kernel socket, as soon as somebody listens."""
        deadline = time.monotonic() + 60
        while True:
            try:
                made: socket.socket = self.lab.call(socket.create_connection, (host, port), 20)
                return made
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def ask(self, port: int, request: bytes, host: str = "10.77.0.2") -> bytes:
        with self.connect(port, host) as connection, connection.makefile("rb") as answer:
            connection.sendall(request)
            return answer.read()

    def stop(self) -> str:
        """End it as `kill` does; returns its log."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return self.log.read_text("utf-8")


GET = b"GET /hello.txt HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("host", ["10.77.0.2", "fd77::2"])
@pytest.mark.parametrize("program", [TWIST, (*TWISTD, "-n", "--pidfile=")], ids=["twist", "twistd"])
def test_twisted_web_serves_over_it(lab: Lab, folder: Path, program: tuple[str, ...], host: str) -> None:
    running = Running(lab, folder, *program, "web", "--listen", "xtcp:80:pool=web", "--path", "pages")
    answer = running.ask(80, GET, host)
    log = running.stop()
    assert answer.startswith((b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK"))
    assert answer.endswith(b"hello from afar\n")
    assert "Traceback" not in log


def test_a_daemon_opens_its_device_before_it_sheds_its_rights(lab: Lab, folder: Path) -> None:
    """`twistd --uid`: parsed before the fork, opened after it as root, served as nobody."""
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    pid = folder / "twistd.pid"
    arguments = ("--uid", "65534", "--gid", "65534", "--pidfile", str(pid), "--logfile", "-", "-n")
    running = Running(lab, folder, *TWISTD, *arguments, "web", "--listen", "xtcp:80", "--path", "pages")
    answer = running.ask(80, GET)
    status = Path(f"/proc/{running.process.pid}/status").read_text("ascii")
    log = running.stop()
    assert answer.endswith(b"hello from afar\n")
    assert "\nUid:\t65534\t65534\t65534\t65534\n" in status
    assert "Traceback" not in log


def test_a_daemon_forks_before_anything_is_opened(lab: Lab, folder: Path) -> None:
    """Without -n: the process that was started ends, another one serves."""
    pid = folder / "twistd.pid"
    arguments = ("--pidfile", str(pid), "--logfile", str(folder / "daemon.log"))
    running = Running(lab, folder, *TWISTD, *arguments, "web", "--listen", "xtcp:80", "--path", "pages")
    assert running.process.wait(60) == 0, running.log.read_text("utf-8")
    daemon = int(pid.read_text("ascii"))
    try:
        connection = lab.call(socket.create_connection, ("10.77.0.2", 80), 20)
        with connection, connection.makefile("rb") as answer:
            connection.sendall(GET)
            assert answer.read().endswith(b"hello from afar\n")
    finally:
        os.kill(daemon, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while pid.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_a_configuration_it_ends_with_the_sentence(tmp_path: Path) -> None:
    (tmp_path / "nowhere").mkdir()
    done = subprocess.run(
        [*TWISTD, "-n", "--pidfile=", "web", "--listen", "xtcp:80", "--path", "."],
        cwd=tmp_path / "nowhere",
        env=environment() | {"XTCP_CONFIG": str(tmp_path / "none.toml")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Couldn't listen on any:80: the configuration of the XTCP stack 'default' is refused" in text
    assert f"{tmp_path}/none.toml: cannot be read: No such file or directory" in text


TLS = """
import sys
from twisted.internet import reactor
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.wire import Echo

class Ask(Protocol):
    def connectionMade(self):
        self.transport.write(b"hello")
    def dataReceived(self, data):
        print(data.decode(), type(self.transport).__name__)
        self.transport.loseConnection()
    def connectionLost(self, reason):
        print(reason.type.__name__)
        reactor.stop()

serverFromString(reactor, f"xtcp:443:tls={sys.argv[1]}/site").listen(Factory.forProtocol(Echo))
text = f"tls:one.example:443:endpoint=xtcp\\\\:10.77.0.2\\\\:443:trustRoots={sys.argv[1]}/trust"
clientFromString(reactor, text).connect(Factory.forProtocol(Ask)).addErrback(
    lambda failure: (failure.printTraceback(), reactor.stop()))
reactor.run()
"""


def test_a_client_of_tls_goes_through_it(folder: Path) -> None:
    """Twisted's own `tls:` around ours, the class of whose transport tells."""
    authority = trustme.CA()
    for name in ("site", "trust"):
        (folder / name).mkdir()
    authority.cert_pem.write_to_path(folder / "trust/authority.pem")
    leaf = authority.issue_cert("one.example")
    leaf.private_key_and_cert_chain_pem.write_to_path(folder / "site/one.pem")
    done = subprocess.run(
        [sys.executable, "-c", TLS, str(folder)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "hello BufferingTLSTransport\nConnectionDone\n", done.stderr


TESTS = """
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols.wire import Echo
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import TestCase


class Asks(LineReceiver):
    def connectionMade(self):
        self.answered = Deferred()
        self.sendLine(b"hello")

    def lineReceived(self, line):
        self.answered.callback(line)
        self.transport.loseConnection()


class Talk(TestCase):
    async def talk(self):
        port = await serverFromString(reactor, "xtcp:0").listen(Factory.forProtocol(Echo))
        self.addCleanup(port.stopListening)
        where = f"xtcp:10.77.0.2:{port.getHost().port}"
        asked = await clientFromString(reactor, where).connect(Factory.forProtocol(Asks))
        self.assertEqual(await asked.answered, b"hello")

    def test_once(self):
        return Deferred.fromCoroutine(self.talk())

    def test_again(self):
        return Deferred.fromCoroutine(self.talk())
"""


def test_trial_is_left_clean(folder: Path) -> None:
    """Its janitor finds nothing, between tests or after them; the device goes with the process."""
    (folder / "test_talk.py").write_text(TESTS, "utf-8")
    done = subprocess.run(
        [*TRIAL, "--temp-directory", str(folder / "trial"), "test_talk"],
        cwd=folder,
        env=environment()
        | {
            "PYTHONPATH": f"{folder}{os.pathsep}{environment()['PYTHONPATH']}",
            "XTCP_CONFIG": str(folder / "xtcp.toml"),  # trial leaves the folder that it is started in
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED (successes=2)" in done.stdout


def test_two_stacks_serve_in_one_process(lab: Lab, folder: Path) -> None:
    """Each has a device, an engine and a name of its own."""
    blue = CONFIG.format(name="xtcp1", namespace=lab.path, net=78)
    (folder / "xtcp-blue.toml").write_text(blue, "utf-8")
    listen = ("--listen", "xtcp:80", "--listen", "xtcp:80:stack=blue")
    running = Running(lab, folder, *TWISTD, "-n", "--pidfile=", "web", *listen, "--path", "pages")
    answers = [running.ask(80, GET, host) for host in ("10.77.0.2", "10.78.0.2", "fd78::2")]
    log = running.stop()
    assert all(answer.endswith(b"hello from afar\n") for answer in answers)
    assert "Traceback" not in log
