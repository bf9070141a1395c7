"""Calls from other threads and from signal handlers: they take turns, or are refused (P26)."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.net import Net

from xtcp_twisted.api import PF_INET, SOCK_STREAM, ApplicationServer, xtcp_set
from xtcp_twisted.config import MiB
from xtcp_twisted.selecting import wait_readable

pytestmark = pytest.mark.feature("P26")

#: For what certainly happens, seconds.
PATIENCE_S = 60
#: For what must not happen, seconds.
A_WHILE_S = 0.2


def made(
    net: Net, during: Callable[[], object] = lambda: None, waiting: Callable[[], object] = lambda: None
) -> tuple[ApplicationServer, int]:
    """An application server with a group that does something within each call of `xtcp_select`.

    `during` while it deals with the engine, `waiting` while it waits; then its time is up.
    """
    over = False

    def clock() -> float:
        during()
        return net.now + (10 if over else 0)

    def wait(fd: int, timeout_s: float | None) -> None:
        nonlocal over
        waiting()
        over = True

    server = ApplicationServer(net.engine, clock=clock, wait=wait)
    assert server.xtcp_initialize(MiB) == 0
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
    assert gd > 0
    return server, gd


def test_another_thread_waits_until_a_call_is_over(net: Net) -> None:
    """The engine lets other threads run while it takes packets in."""
    answers: list[int] = []
    caller = threading.Thread(target=lambda: answers.append(server.xtcp_close_group(gd)))

    def during() -> None:
        if not caller.ident:
            caller.start()
            caller.join(A_WHILE_S)
            assert caller.is_alive() and answers == []

    server, gd = made(net, during)
    assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0
    caller.join(PATIENCE_S)
    assert answers == [0]
    server.close()


def test_another_application_server_has_the_same_turns(net: Net) -> None:
    answers: list[int] = []
    other = ApplicationServer(net.engine)
    caller = threading.Thread(target=lambda: answers.append(other.xtcp_initialize(MiB)))

    def during() -> None:
        if not caller.ident:
            caller.start()
            caller.join(A_WHILE_S)
            assert caller.is_alive() and answers == []

    server, _ = made(net, during)
    assert server.xtcp_select(0, None, None, 0) == 0
    caller.join(PATIENCE_S)
    assert answers == [0]
    for one in (server, other):
        one.close()


def test_another_thread_has_its_turn_while_select_waits(net: Net) -> None:
    """... whose group may be gone afterwards."""
    answers: list[int] = []

    def waiting() -> None:
        caller = threading.Thread(target=lambda: answers.append(server.xtcp_close_group(gd)))
        caller.start()
        caller.join(PATIENCE_S)

    server, gd = made(net, waiting=waiting)
    assert server.xtcp_select(1, xtcp_set([gd]), None, 1) == -errno.EBADF
    assert answers == [0]
    server.close()


def test_an_answer_of_another_thread_wakes_who_waits(net: Net) -> None:
    """It leaves at once, though it is `xtcp_select` that drives the engine."""
    server, gd = made(net)
    client = net.client(server.group(gd)).established()
    woken = ApplicationServer(net.engine, clock=lambda: net.now, wait=lambda fd, timeout_s: wait(fd))
    answers: list[int] = []

    def wait(fd: int) -> None:
        if not answers:
            caller = threading.Thread(
                target=lambda: answers.append(server.xtcp_send(gd, client.cd, 0, b"hello"))
            )
            caller.start()
            caller.join(PATIENCE_S)
            wait_readable(fd, PATIENCE_S)
            return
        net.collect()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        woken.xtcp_select(0, None, None, None)
    assert answers == [5]
    client.expect("PA", data=b"hello")
    client.ack()
    for one in (server, woken):
        one.close()


def test_one_select_waits_at_a_time(net: Net) -> None:
    """The second could take the packets that the first one waits for; it may look."""
    answers: list[int] = []
    errors: list[str] = []

    def waiting() -> None:
        for asked in (server, other):
            answers.extend(asked.xtcp_select(0, None, None, timeout) for timeout in (1, 0))
            errors.append(asked.error)

    server, _ = made(net, waiting=waiting)
    other = ApplicationServer(net.engine, wait=wait_readable)
    assert server.xtcp_select(0, None, None, 1) == 0
    assert answers == [-errno.EBUSY, 0] * 2
    assert all("another xtcp_select waits" in error for error in errors)
    assert other.xtcp_select(0, None, None, 0.001) == 0
    for one in (server, other):
        one.close()


def test_a_call_within_a_call_is_refused(net: Net) -> None:
    """A signal handler may interrupt a call anywhere; nothing changes, and the call goes on."""
    answers: list[int] = []

    def handler(number: int, frame: object) -> None:
        answers.append(server.xtcp_close_group(gd))

    def during() -> None:
        if not answers:
            signal.raise_signal(signal.SIGUSR1)

    server, gd = made(net, during)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert server.xtcp_select(1, xtcp_set([gd]), None, 0) == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [-errno.EBUSY]
    assert "signal handler" in server.error
    assert server.xtcp_close_group(gd) == 0
    server.close()


def test_a_handler_that_raises_ends_a_turn(net: Net) -> None:
    def during() -> None:
        raise KeyboardInterrupt

    server, gd = made(net, during)
    with pytest.raises(KeyboardInterrupt):
        server.xtcp_select(1, xtcp_set([gd]), None, 0)
    assert server.xtcp_close_group(gd) == 0
    server.close()


@pytest.mark.parametrize("what", ["the application server", "the engine"])
def test_closed_while_it_waits(net: Net, what: str) -> None:
    server, gd = made(
        net, waiting=lambda: server.close() if what == "the application server" else net.engine.close()
    )
    readgds = xtcp_set([gd])
    assert server.xtcp_select(1, readgds, None, 1) == -errno.ESHUTDOWN
    assert server.error.startswith(f"{what} is closed") and gd in readgds


def test_a_reactor_in_another_thread() -> None:
    """It drives the engine without asking, so only its own thread may call."""
    program = """
import errno
from twisted.internet import reactor, threads
from xtcp_twisted.api import PF_INET, SOCK_STREAM, ApplicationServer
from xtcp_twisted.config import EngineConfig, MiB
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.reactor.stack import XTCPStack

stack = XTCPStack(reactor, MemoryLink(), EngineConfig(addresses=("192.0.2.1",)))
stack.start()
server = ApplicationServer(stack.engine)
call = lambda: server.xtcp_initialize(MiB)

def told(answer):
    assert answer == -errno.EBUSY, answer
    assert "callFromThread" in server.error, server.error
    assert call() == 0, server.error
    print("told")

def begin():
    threads.deferToThread(call).addCallback(told).addErrback(print).addBoth(lambda _: reactor.stop())

reactor.callWhenRunning(begin)
reactor.run()
"""
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        env=os.environ | {"PYTHONPATH": path},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.stdout, done.returncode) == ("told\n", 0), done.stderr
