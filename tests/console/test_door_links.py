"""One-time links: once, for ten minutes, of this start, and only with the token."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from itsdangerous import URLSafeTimedSerializer

from xtcp_console import links as module
from xtcp_console.links import LIFETIME_S, Links

TOKEN = "correct-horse-battery-staple-0123456789abcd"


class Clock:
    def __init__(self, now: float = 1_800_000_000.5) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def links(clock: Clock) -> Links:
    return Links(TOKEN, clock)


def test_a_link_lives_ten_minutes() -> None:
    assert LIFETIME_S == 600


def test_a_link_opens_once(links: Links) -> None:
    key = links.make()
    assert [links.redeem(key) for _ in range(3)] == [True, False, False]


def test_a_link_fits_into_a_path(links: Links) -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{40,200}", links.make()) for _ in range(50))


def test_a_link_does_not_show_the_token(links: Links) -> None:
    assert TOKEN not in links.make()


def test_each_link_is_another(links: Links) -> None:
    keys = {links.make() for _ in range(50)}
    assert len(keys) == 50
    assert all(links.redeem(key) for key in keys)


def test_a_link_made_elsewhere_with_the_token_opens(links: Links, clock: Clock) -> None:
    assert links.redeem(Links(TOKEN, clock).make())


def test_a_link_of_another_token_does_not(links: Links, clock: Clock) -> None:
    assert not links.redeem(Links(TOKEN[::-1], clock).make())


def test_a_signature_for_something_else_does_not() -> None:
    """Whatever else the token may come to sign."""
    signer = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    other = URLSafeTimedSerializer(TOKEN, signer_kwargs=signer)
    same = URLSafeTimedSerializer(TOKEN, salt="xtcp-console sign-in link", signer_kwargs=signer)
    links = Links(TOKEN)
    contents = ["nonce", time.time()]
    assert not links.redeem(str(other.dumps(contents)))
    assert links.redeem(str(same.dumps(contents)))


@pytest.mark.parametrize("key", ["", "x", "a.b.c", "é", "\x00", "." * 5_000])
def test_junk_does_not(key: str, links: Links) -> None:
    assert not links.redeem(key)


def test_a_changed_link_does_not(links: Links) -> None:
    key = links.make()
    for at in range(0, len(key), 7):
        other = "A" if key[at] != "A" else "B"
        assert not links.redeem(key[:at] + other + key[at + 1 :])
    assert links.redeem(key)


def test_a_link_opens_to_the_end_of_its_ten_minutes(links: Links, clock: Clock) -> None:
    key = links.make()
    clock.now += LIFETIME_S
    assert links.redeem(key)


def test_and_not_after(links: Links, clock: Clock) -> None:
    key = links.make()
    clock.now += LIFETIME_S + 1
    assert not links.redeem(key)


def test_a_link_from_before_the_start_does_not_open(clock: Clock) -> None:
    """The used ones of then are forgotten."""
    key = Links(TOKEN, clock).make()
    clock.now += 0.001
    assert not Links(TOKEN, clock).redeem(key)


def test_a_link_of_the_future_does_not_open(links: Links, clock: Clock) -> None:
    assert not links.redeem(Links(TOKEN, Clock(clock.now + 60)).make())


def test_used_links_are_remembered_until_they_expire(links: Links, clock: Clock) -> None:
    key = links.make()
    assert links.redeem(key)
    for _ in range(LIFETIME_S + 2):
        assert not links.redeem(key)
        clock.now += 1


def test_and_forgotten_then(links: Links, clock: Clock) -> None:
    for _ in range(20):
        assert links.redeem(links.make())
        clock.now += LIFETIME_S
    assert len(links._used) <= 2


def test_so_many_are_remembered(links: Links, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    keys = [links.make() for _ in range(4)]
    assert [links.redeem(key) for key in keys] == [True, True, True, False]
    clock.now += LIFETIME_S + 2
    assert links.redeem(links.make())


def test_threads_redeem_a_link_once(links: Links) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(50):
            key = links.make()
            assert sum(pool.map(links.redeem, [key] * 8)) == 1


@pytest.mark.parametrize("text", [TOKEN, f" {TOKEN}\n"])
def test_the_token_opens(text: str, links: Links) -> None:
    assert links.opens(text)


@pytest.mark.parametrize("text", ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"])
def test_another_text_does_not(text: str, links: Links) -> None:
    assert not links.opens(text)


def test_the_token_is_compared_in_constant_time(links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert not links.opens(TOKEN)
    assert compared == [(TOKEN.encode(), TOKEN.encode())]
