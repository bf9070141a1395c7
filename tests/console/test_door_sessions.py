"""Sessions end when they should, and whoever asked is told (checklist, row 9)."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from xtcp_console.sessions import ABSOLUTE_S, IDLE_S, Sessions, boot_clock

MINUTE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


@pytest.fixture
def ended(sessions: Sessions) -> list[str]:
    found: list[str] = []
    sessions.onEnd.append(found.append)
    return found


def test_the_limits_are_half_an_hour_and_half_a_day() -> None:
    assert (IDLE_S, ABSOLUTE_S) == (30 * MINUTE, 12 * 60 * MINUTE)


def test_a_session_is_found_by_its_id(sessions: Sessions) -> None:
    session = sessions.open("token", "127.0.0.1")
    assert sessions.get(session.sid) == session
    assert (session.by, session.address) == ("token", "127.0.0.1")


@pytest.mark.parametrize("sid", [None, "", "x"])
def test_no_other_id_finds_one(sid: str | None, sessions: Sessions) -> None:
    sessions.open("token", "127.0.0.1")
    assert sessions.get(sid) is None


def test_ids_have_256_bits_and_differ(sessions: Sessions) -> None:
    sids = {sessions.open("token", "").sid for _ in range(50)}
    assert len(sids) == 50
    assert {len(sid) for sid in sids} == {43}  # 32 bytes in base64


def test_the_id_is_not_shown(sessions: Sessions) -> None:
    session = sessions.open("token", "")
    assert session.sid not in repr(session)


def test_half_an_hour_without_use_ends_it(sessions: Sessions, clock: Clock, ended: list[str]) -> None:
    sid = sessions.open("token", "").sid
    clock.advance(30 * MINUTE - 1)
    assert sessions.get(sid, use=False) is not None
    clock.advance(1)
    assert sessions.get(sid) is None
    assert ended == [sid]


def test_use_begins_the_half_hour_anew(sessions: Sessions, clock: Clock) -> None:
    sid = sessions.open("token", "").sid
    for _ in range(4):
        clock.advance(29 * MINUTE)
        assert sessions.get(sid) is not None


def test_an_open_stream_is_no_use(sessions: Sessions, clock: Clock, ended: list[str]) -> None:
    sid = sessions.open("token", "").sid
    for _ in range(29):
        clock.advance(MINUTE)
        assert sessions.get(sid, use=False) is not None
    clock.advance(MINUTE)
    assert sessions.get(sid, use=False) is None
    assert ended == [sid]


def test_twelve_hours_end_it_whatever_its_use(sessions: Sessions, clock: Clock, ended: list[str]) -> None:
    sid = sessions.open("token", "").sid
    for _ in range(12 * 60 - 1):
        clock.advance(MINUTE)
        assert sessions.get(sid) is not None
    clock.advance(MINUTE)
    assert sessions.get(sid) is None
    assert ended == [sid]


def test_sign_out_ends_it_at_once_and_tells_once(sessions: Sessions, ended: list[str]) -> None:
    sid, other = sessions.open("token", "").sid, sessions.open("token", "").sid
    sessions.end(sid)
    sessions.end(sid)
    assert sessions.get(sid) is None
    assert sessions.get(other) is not None
    assert ended == [sid]


def test_there_is_room_for_so_many(clock: Clock) -> None:
    sessions = Sessions(clock, limit=3)
    ended: list[str] = []
    sessions.onEnd.append(ended.append)
    sids = []
    for _ in range(3):
        sids.append(sessions.open("token", "").sid)
        clock.advance(1)
    sessions.get(sids[0])
    clock.advance(1)
    sessions.open("token", "")
    assert len(sessions) == 3
    assert ended == [sids[1]]  # the one unused for longest


def test_those_over_make_room_first(clock: Clock) -> None:
    sessions = Sessions(clock, limit=2)
    ended: list[str] = []
    sessions.onEnd.append(ended.append)
    idle = sessions.open("token", "").sid
    clock.advance(20 * MINUTE)
    used = sessions.open("token", "").sid
    clock.advance(15 * MINUTE)
    sessions.open("token", "")
    assert ended == [idle]
    assert sessions.get(used) is not None


def test_whoever_is_told_may_ask(sessions: Sessions) -> None:
    """No lock is held: with one, this would never return."""
    found: list[object] = []
    sessions.onEnd.append(lambda sid: found.append(sessions.get(sid)))
    sessions.end(sessions.open("token", "").sid)
    assert found == [None]


def test_threads_find_what_they_opened(sessions: Sessions) -> None:
    lost: list[str] = []

    def viewer() -> None:
        for _ in range(200):
            sid = sessions.open("token", "").sid
            if sessions.get(sid) is None:
                lost.append(sid)
            sessions.end(sid)

    _in_threads(viewer, 8)
    assert lost == []
    assert len(sessions) == 0


def _in_threads(target: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=target) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_clock_counts_sleep() -> None:
    assert 0 <= boot_clock() <= boot_clock()
