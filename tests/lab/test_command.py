"""``python -m xtcp_twisted.lab`` and ``python -m xtcp_twisted.demo`` from the outside."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

LAB = ("-m", "xtcp_twisted.lab")
EMPTY = (*LAB, "--no-engine", "--")
TRAPS = "trap 'exit {status}' {signal}; echo ready; while :; do sleep 0.01; done"


@pytest.mark.parametrize(
    "script, status",
    [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + signal.SIGKILL)],
)
def test_the_exit_status_is_the_programs(start: Any, script: str, status: int) -> None:
    process = start(*EMPTY, "sh", "-c", script)
    assert process.wait(60) == status


def test_a_program_that_does_not_exist(start: Any) -> None:
    process = start(*EMPTY, "no-such-program")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 127
    assert errors == "python -m xtcp_twisted.lab: no-such-program: No such file or directory\n"


def test_the_program_has_the_terminal_and_a_network_of_its_own(start: Any) -> None:
    process = start(*EMPTY, "sh", "-c", "readlink /proc/self/ns/net; cat")
    output, errors = process.communicate("from stdin", timeout=60)
    namespace, rest = output.split("\n", 1)
    assert namespace != os.readlink("/proc/self/ns/net")
    assert (rest, errors) == ("from stdin", "")


def test_without_a_program_there_is_a_shell(start: Any) -> None:
    process = start(*LAB, "--no-engine")
    process.communicate("exit 5\n", timeout=60)
    assert process.returncode == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on(start: Any, number: signal.Signals) -> None:
    process = start(*EMPTY, "sh", "-c", TRAPS.format(status=9, signal=number.name[3:]))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(60) == 9


def test_a_ctrl_c_is_the_programs(start: Any) -> None:
    process = start(*EMPTY, "sh", "-c", TRAPS.format(status=5, signal="INT"))
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 5


def test_a_running_lab_can_be_joined(start: Any) -> None:
    first = start(*EMPTY, "sh", "-c", "echo $$; cat")
    pid = first.stdout.readline().strip()
    second = start(*LAB, "join", "--lab", pid, "--", "readlink", "/proc/self/ns/net")
    output, _ = second.communicate(timeout=60)
    assert output.strip() == os.readlink(f"/proc/{pid}/ns/net")


LINE_SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    with connection, connection.makefile("rwb") as lines:
        for line in lines:
            lines.write(line.upper())
            lines.flush()
sys.stdin.read()
"""


def test_talk_carries_lines_both_ways(start: Any) -> None:
    server = start(*EMPTY, "sh", "-c", 'echo $$; exec "$@"', "sh", sys.executable, "-c", LINE_SERVER)
    pid, port = server.stdout.readline().strip(), server.stdout.readline().strip()
    client = start(*LAB, "talk", "--lab", pid, "127.0.0.1", port)
    output, errors = client.communicate("hello\nworld\n", timeout=60)
    assert (output, errors, client.returncode) == ("HELLO\nWORLD\n", "", 0)
    server.stdin.close()
    assert server.wait(60) == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--config", "nowhere.toml", "--", "true"), "there is no configuration nowhere.toml"),
        (("join", "--lab", "999999999"), "there is no process 999999999"),
        (("talk", "--lab", "{lab}", "127.0.0.1", "1"), "127.0.0.1 port 1: Connection refused"),
    ],
)
def test_what_is_wrong_is_said(start: Any, arguments: tuple[str, ...], message: str) -> None:
    first = start(*EMPTY, "sh", "-c", "echo $$; cat")
    pid = first.stdout.readline().strip()
    process = start(*LAB, *(word.format(lab=pid) for word in arguments))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 125
    assert errors.startswith(f"python -m xtcp_twisted.lab: {message}")
    assert "Traceback" not in errors


def test_help_shows_how(start: Any) -> None:
    output, _ = start(*LAB, "--help").communicate(timeout=60)
    for words in ("a shell in a new lab", "join", "talk", "--capture", "exit status"):
        assert words in output


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--clients", "many"), "invalid int value: 'many'"),
        (("--duration", "0"), "--duration: give a number of seconds above 0"),
        (("--config", "nowhere.toml"), "there is no configuration nowhere.toml"),
    ],
)
def test_the_demo_says_what_is_wrong(start: Any, arguments: tuple[str, ...], message: str) -> None:
    process = start("-m", "xtcp_twisted.demo", *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in errors
    assert output == ""
    assert "Traceback" not in errors
