"""A fleet of kernel clients against kernel servers, good and bad ones, inside a lab."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.lab import Lab, fleet
from xtcp_twisted.lab.destinations import CLIENTS_PER_TARGET, destinations
from xtcp_twisted.lab.fleet import Figures, Fleet, Target

SERVER = """
import asyncio, socket

class Server(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): {answer}

async def main():
    listening = [await asyncio.get_running_loop().create_server(Server, host, 7, backlog=1024)
                 for host in ("127.0.0.1", "::1")]
    print("listening", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in listening))

asyncio.run(main())
"""
GOOD = "self.transport.write(data)"
RESET = (
    "s = self.transport.get_extra_info('socket');"
    " s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1' + bytes(7)); self.transport.close()"
)

BOTH = [Target("echo", "127.0.0.1", 7), Target("echo", "::1", 7)]


@contextmanager
def served(lab: Lab, answer: str) -> Iterator[None]:
    server = lab.popen([sys.executable, "-c", SERVER.format(answer=answer)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    with server.stdout as output:
        assert output.readline()
        yield


def until(fleet: Fleet, reached: Callable[[Figures], bool]) -> Figures:
    """Let the fleet go on until its figures are as wanted; the test's time limit ends a vain wait."""
    while not reached(figures := fleet.figures()):
        fleet.update(0.6)
    return figures


def test_every_client_is_connected_asks_and_is_answered(lab: Lab) -> None:
    with served(lab, GOOD), Fleet(lab, BOTH, clients=50, rate=500) as clients:
        figures = until(clients, lambda f: f.answers > 200)
        assert clients.ready()
        assert (figures.opened, figures.connections) == (50, 50)
        figures = clients.finish()
        assert clients.done()
    assert figures.answers == figures.requests > 200
    assert figures.connections == 50
    assert not figures.errors
    assert sum(figures.latencies.counts.values()) == figures.answers


def test_without_a_rate_each_client_asks_once(lab: Lab) -> None:
    with served(lab, GOOD), Fleet(lab, BOTH, clients=20, rate=0) as clients:
        until(clients, lambda f: f.answers == 20)
        figures = clients.finish()
    assert (figures.requests, figures.answers) == (20, 20)


def test_clients_are_divided_among_processes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "CLIENTS_PER_WORKER", 7)
    with served(lab, GOOD), Fleet(lab, BOTH, clients=20, rate=100) as clients:
        assert len(clients.processes) == 3
        until(clients, lambda f: f.answers >= 60)
        figures = clients.finish()
    assert figures.opened == 20
    assert figures.answers == figures.requests
    assert not figures.errors


def test_figures_count_from_the_mark(lab: Lab) -> None:
    with served(lab, GOOD), Fleet(lab, BOTH, clients=10, rate=200) as clients:
        before = until(clients, lambda f: f.answers > 50).answers
        clients.mark()
        assert clients.figures().per_second == 0
        figures = until(clients, lambda f: f.answers > before + 100)
        assert figures.per_second > 0
        assert sum(figures.latencies.counts.values()) == figures.answers - before


@pytest.mark.parametrize(
    "answer, kinds",
    [
        ("self.transport.write(data[:-1] + bytes([data[-1] ^ 1]))", {"wrong answer"}),
        ("self.transport.write(data + b'!')", {"wrong answer"}),
        ("self.transport.close()", {"closed by the server"}),
        (RESET, {"receive: ECONNRESET"}),
        ("pass", {"no answer"}),
    ],
)
def test_a_bad_server_is_found_out(lab: Lab, answer: str, kinds: set[str]) -> None:
    with served(lab, answer), Fleet(lab, BOTH, clients=10, rate=10, patience_s=1.0) as clients:
        figures = until(clients, lambda f: sum(f.errors.values()) == 10)
        assert set(figures.errors) == kinds
        assert (figures.opened, figures.answers, figures.connections) == (10, 0, 0)
        assert figures.examples


def test_a_server_that_stops_is_found_out(lab: Lab) -> None:
    server = lab.popen([sys.executable, "-c", SERVER.format(answer=GOOD)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    with server.stdout as output, Fleet(lab, BOTH, clients=10, rate=10) as clients:
        assert output.readline()
        until(clients, lambda f: f.answers >= 10 or bool(f.errors))
        server.kill()
        figures = until(clients, lambda f: sum(f.errors.values()) == 10)
    assert figures.connections == 0


def test_nobody_listens(lab: Lab) -> None:
    with Fleet(lab, BOTH, clients=10, rate=10) as clients:
        figures = until(clients, lambda f: sum(f.errors.values()) == 10)
        assert figures.errors == {"connect: ECONNREFUSED": 10}
        assert clients.ready()
        assert figures.opened == 0


def test_a_handshake_that_hangs_is_an_error(lab: Lab) -> None:
    lab.link()  # takes every SYN and says nothing
    with Fleet(lab, [Target("echo", "10.77.0.2", 7)], clients=5, rate=5, patience_s=0.5) as clients:
        figures = until(clients, lambda f: bool(f.errors))
        assert set(figures.errors) == {"connect: no answer"}


def test_a_worker_that_dies_is_an_error(lab: Lab) -> None:
    with served(lab, GOOD), Fleet(lab, BOTH, clients=10, rate=10) as clients:
        until(clients, lambda f: f.answers >= 10)
        (process,) = clients.processes
        process.send_signal(signal.SIGKILL)
        figures = until(clients, lambda f: bool(f.errors))
        assert figures.errors == {"worker died": 1}
        assert figures.connections == 0
        assert clients.done()


@pytest.mark.parametrize(
    "targets, numbers, message",
    [
        (BOTH, {"clients": 0, "rate": 1}, "clients: 0 is not allowed"),
        (BOTH, {"clients": 1, "rate": -1}, "rate: -1 is not allowed"),
        ([], {"clients": 1, "rate": 1}, "targets"),
        ([Target("smalltalk", "::1", 7)], {"clients": 1, "rate": 1}, "'smalltalk' is not known; give one of"),
    ],
)
def test_bad_plans_are_refused(
    lab: Lab, targets: list[Target], numbers: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Fleet(lab, targets, **numbers)


# --- Destinations -------------------------------------------------------------

CONFIG = """
[engine]
addresses = ["10.77.0.2", "10.77.1.0/24", "fd77::2"]
[[group]]
name = "chat"
port = 5222
[[group]]
name = "echo"
port = 7
[[group]]
name = "other"
port = 80
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "xtcp.toml"
    path.write_text(CONFIG)
    return path


def test_few_clients_go_to_one_address_of_each_family(config: Path) -> None:
    assert destinations(config, 1000) == [
        Target("chat", "10.77.0.2", 5222),
        Target("echo", "10.77.0.2", 7),
        Target("chat", "fd77::2", 5222),
        Target("echo", "fd77::2", 7),
    ]


def test_many_clients_go_to_many_addresses(config: Path) -> None:
    targets = destinations(config, 1_000_000)
    assert len(targets) * CLIENTS_PER_TARGET >= 1_000_000
    assert len(set(targets)) == len(targets) == 50
    assert Target("chat", "10.77.1.1", 5222) in targets


def test_too_many_clients_are_refused(config: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"engine\.addresses a larger prefix"):
        destinations(config, 100_000_000)


def test_a_configuration_that_nobody_can_talk_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "xtcp.toml"
    path.write_text(CONFIG.replace('"chat"', '"web"').replace('"echo"', '"dns"'))
    with pytest.raises(ConfigurationError, match="'echo' or 'chat'"):
        destinations(path, 10)
