"""The console's process: how it starts, says where it is, outlives the engine, and stops."""

from __future__ import annotations

import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.console import CONFIG, PATIENCE_S, ROOT, TWISTD, Console

from xtcp_console import tokenfile
from xtcp_twisted.errors import ResourceError
from xtcp_twisted.lab import Lab


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    made.stop()


def refused(folder: Path, *arguments: str, config: str = CONFIG) -> str:
    """What is said by one that does not start."""
    file = folder / "xtcp.toml"
    file.write_text(config.format(token_file=folder / "console-token"), "utf-8")
    done = subprocess.run(
        [*TWISTD, "-n", "--pidfile=", "xtcp", "--config", str(file), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text
    return text


def test_a_port_in_use_is_said_before_anything_is_opened(console: Console, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    text = refused(folder, "--console", console.host, "--set", "link.kind=tun")
    assert f"The console cannot start: {console.host} cannot be had: Address already in use" in text
    assert "give another port with --console" in text
    assert "XTCP cannot start" not in text


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "console-token"
    token.write_text("a" * 43)
    token.chmod(0o644)
    assert f"The console cannot start: token_file: {token}: others may open it" in refused(tmp_path)


def test_any_other_address_is_refused_before_it_starts(tmp_path: Path) -> None:
    text = refused(tmp_path, "--console", "0.0.0.0:8088")
    assert "--console: address: '0.0.0.0' is not allowed; give a loopback address" in text


def test_the_token_is_its_owners_and_nowhere_else(console: Console) -> None:
    assert stat.S_IMODE(console.token_file.stat().st_mode) == 0o600
    token = console.token_file.read_text().strip()
    console.sign_in()
    assert token not in console.log()
    assert "/login/" not in console.log()  # nor is any link, which a terminal would have been shown
    for name in ("cmdline", "environ"):
        assert token.encode() not in Path(f"/proc/{console.process.pid}/{name}").read_bytes()


def test_no_console_is_no_port(tmp_path: Path) -> None:
    """Neither a port nor a token, whatever the configuration says."""
    file, status = tmp_path / "xtcp.toml", tmp_path / "status"
    file.write_text(CONFIG.format(token_file=tmp_path / "console-token"), "utf-8")
    command = [
        *TWISTD,
        "-n",
        "--pidfile=",
        "xtcp",
        "--config",
        str(file),
        "--no-console",
    ]
    with subprocess.Popen(
        [*command, "--status-socket", str(status)], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not status.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        tables = Path(f"/proc/{process.pid}/net/tcp").read_text()
        sockets = {os.readlink(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir()}
        mine = [row for row in tables.splitlines() if f"socket:[{(row.split() + [''] * 10)[9]}]" in sockets]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) is not None
    assert mine == []
    assert not (tmp_path / "console-token").exists()


# -- the sign-in link ----------------------------------------------------------------------------


def link(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xtcp_console", "link", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        **{"cwd": ROOT, **options},
    )


def test_the_command_in_the_log_makes_a_link_that_signs_in(console: Console) -> None:
    command = console.log().partition("(for a sign-in link: ")[2].partition(")")[0]
    done = subprocess.run(command, shell=True, cwd="/", capture_output=True, text=True, check=True)
    assert done.stderr == ""
    url = done.stdout.strip()
    assert url.startswith(f"http://{console.host}/login/")
    path = url.removeprefix(f"http://{console.host}")
    assert console.request("GET", path).status == 303
    assert console.request("GET", path).status == 403  # once


def test_the_configuration_tells_it_all_but_a_port_of_zero(console: Console) -> None:
    done = link("--config", str(console.config))
    assert done.returncode == 1
    assert "the console's port is any free one; give it with --console" in done.stderr
    done = link("--config", str(console.config), "--console", console.host)
    assert done.stdout.startswith(f"http://{console.host}/login/")


def test_on_a_terminal_a_link_is_shown_beside_the_log(tmp_path: Path) -> None:
    """twistd takes standard output for its log; with a log file, the link must not get into that."""
    ours, theirs = pty.openpty()
    log, config = tmp_path / "file.log", tmp_path / "xtcp.toml"
    config.write_text(CONFIG.format(token_file=tmp_path / "console-token"), "utf-8")
    command = [*TWISTD, "-n", "--pidfile=", "--logfile", str(log), "xtcp", "--config", str(config)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    try:
        said = b""
        while not (found := re.search(rb"Sign in to the console, once: http://(\S+?)(/login/\S+)\r\n", said)):
            assert select.select([ours], [], [], PATIENCE_S)[0], said
            said += os.read(ours, 4_096)
        browser = http.client.HTTPConnection(found[1].decode(), timeout=PATIENCE_S)
        with closing(browser):
            browser.request("GET", found[2].decode())
            assert browser.getresponse().status == 303
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        os.close(theirs)
        os.close(ours)
    assert "/login/" not in log.read_text()
    assert "python -m xtcp_console link" in log.read_text()


def test_its_place_is_enough_where_nothing_is_configured(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "XTCP_CONFIG": ""}
    tokenfile.token(tmp_path / "xtcp" / "console-token")
    done = link("--console", "9000", cwd=tmp_path, env=environment)
    assert done.stdout.startswith("http://127.0.0.1:9000/login/"), done.stderr
    done = link(cwd=tmp_path, env=environment)
    assert "no configuration: give --config FILE" in done.stderr


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--config", "/no/such.toml"), "/no/such.toml: cannot be read: No such file"),
        (
            ("--token-file", "/no/such/token"),
            "there is no /no/such/token: no console has been started with it",
        ),
        (("--token-file", "/etc/passwd"), "others may open it"),
        (
            ("--token-file", "t", "--console", "0.0.0.0:1"),
            "'0.0.0.0' is not allowed; give a loopback address",
        ),
    ],
)
def test_without_a_token_there_is_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = link(*arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# -- the end -------------------------------------------------------------------------------------


def test_it_says_goodbye_to_open_pages_when_it_stops(console: Console) -> None:
    with console.stream(console.sign_in()) as stream:
        stream.next()
        console.process.send_signal(signal.SIGTERM)
        assert json.loads(stream.next("bye").data) == {"reason": "stopping"}
    assert console.process.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    assert "Traceback" not in console.log()
    with pytest.raises(ConnectionRefusedError):
        console.connect()


#: A page that never gets ready, and one that waits for the reactor.
STUCK = """
import sys, threading
from twisted.internet import reactor, threads
from twisted.web.wsgi import WSGIResource
from xtcp_console.site import Root, Site, Threads

def application(environ, start):
    print("asked", flush=True)
    if environ["PATH_INFO"] == "/stuck":
        threading.Event().wait()
    threads.blockingCallFromThread(reactor, lambda: None)
    start("200 OK", [])
    return [b"done"]

pool, site = Threads(), Site(reactor)
site.resource = Root({}, WSGIResource(reactor, pool, application))
pool.start()
port = reactor.listenTCP(0, site, interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.addSystemEventTrigger("before", "shutdown", lambda: pool.end(reactor))
reactor.run()
"""


def test_a_page_that_never_gets_ready_holds_nothing_up() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
            assert process.stdout.readline() == "asked\n"
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def test_it_may_live_on_when_the_engine_stops(tmp_path: Path) -> None:
    """The device goes away under the engine: the console says so."""
    living = "service.end_without_device=false"
    try:
        lab = Lab().__enter__()
    except ResourceError as error:
        pytest.skip(str(error))
    try:
        console = Console(tmp_path, "--set", "link.kind=tun", "--set", living, "--namespace", lab.path)
        cookie = console.sign_in()
        with console.stream(cookie) as stream:
            assert json.loads(stream.next().data)["engine"]["state"] == "running"
            lab.run(["ip", "link", "delete", "xtcp0"])
            deadline = time.monotonic() + PATIENCE_S
            while (engine := json.loads(stream.next().data)["engine"])["state"] == "running":
                assert time.monotonic() < deadline
        assert engine["state"] == "stopped"
        assert "xtcp0" in engine["reason"]
        assert console.request("GET", "/healthz").status == 200
        assert console.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in console.log()
    finally:
        lab.close()
