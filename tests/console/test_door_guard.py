"""Requests judged by their headers (checklist, rows 4 and 5)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from xtcp_console.guard import Guard

OWN = "127.0.0.1:8088"


@pytest.fixture
def guard() -> Guard:
    return Guard(8088)


def status(
    guard: Guard,
    host: str | None = OWN,
    *,
    method: str = "GET",
    origin: str | None = None,
    site: str | None = None,
    data: bool = False,
) -> int | None:
    refusal = guard.refusal(method, host, origin, site, data=data)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize("host", ["127.0.0.1:8088", "localhost:8088", "[::1]:8088", "LocalHost:8088"])
def test_its_own_names_with_its_port_are_let_in(host: str, guard: Guard) -> None:
    assert status(guard, host) is None


FOREIGN = [
    None,
    "",
    "evil.example",
    "evil.example:8088",
    "127.0.0.1.evil.example:8088",
    "evil.example:80:8088",
    "169.254.169.254",
    "169.254.169.254:8088",
    "127.0.0.1",  # port 80
    "127.0.0.1:8089",
    "127.0.0.1:",
    "127.0.0.1:08088",
    "localhost.:8088",
    "[::1]",
    "::1:8088",
    "127.0.0.1:8088, evil.example",
    "evil.example@127.0.0.1:8088",
    " 127.0.0.1:8088",
    "0.0.0.0:8088",
    "2130706433:8088",
]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_other_hosts_are_not(host: str | None, method: str, guard: Guard) -> None:
    assert status(guard, host, method=method) == 421


def test_the_refusal_says_where_to_go(guard: Guard) -> None:
    refusal = guard.refusal("GET", "evil.example", None, None)
    assert refusal is not None
    assert "http://127.0.0.1:8088/" in refusal.detail
    assert "hosts in [console]" in refusal.detail
    assert "evil" not in refusal.detail


def test_the_port_of_the_scheme_may_be_left_out() -> None:
    assert status(Guard(80), "localhost") is None
    assert status(Guard(80), "localhost:80") is None
    assert status(Guard(443, scheme="https"), "[::1]") is None
    assert status(Guard(443, scheme="https"), "localhost:80") == 421


def test_names_of_the_configuration_are_let_in() -> None:
    guard = Guard(8088, ("console.example", "Tunnel.example:9000"))
    assert status(guard, "console.example:8088") is None
    assert status(guard, "console.example") == 421
    assert status(guard, "tunnel.example:9000") is None
    assert status(guard, "tunnel.example:8088") == 421


@pytest.mark.parametrize(
    "address,host", [("127.0.0.2", "127.0.0.2:8088"), ("::1", "[::1]:8088"), ("127.0.0.1", OWN)]
)
def test_the_address_that_it_listens_on_is_let_in(address: str, host: str) -> None:
    guard = Guard.of(SimpleNamespace(address=address, port=8088, hosts=("console.example",)))
    assert status(guard, host) is None
    assert status(guard, "console.example:8088") is None
    assert status(guard, "127.0.0.3:8088") == 421


@pytest.mark.parametrize("host", [OWN, "localhost:8088"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_the_page_itself_may_change_things(host: str, method: str, guard: Guard) -> None:
    assert status(guard, host, method=method, origin=f"http://{host}", site="same-origin") is None


ELSEWHERE = [
    "null",
    "http://evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:8089",
    "https://127.0.0.1:8088",
    "http://localhost:8088",  # also the console, but another origin
    "http://127.0.0.1:8088.evil.example",
    "http://127.0.0.1:8088/",
    "",
]


@pytest.mark.parametrize("origin", ELSEWHERE)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
def test_another_origin_may_not(origin: str, method: str, guard: Guard) -> None:
    assert status(guard, method=method, origin=origin) == 403


@pytest.mark.parametrize("site", ["same-site", "cross-site", "junk", ""])
def test_another_site_or_port_may_not(site: str, guard: Guard) -> None:
    assert status(guard, method="POST", origin=f"http://{OWN}", site=site) == 403
    assert status(guard, method="POST", site=site) == 403


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_links_from_elsewhere_are_followed_but_data_is_not_given(site: str, guard: Guard) -> None:
    assert status(guard, site=site) is None
    assert status(guard, site=site, data=True) == 403


@pytest.mark.parametrize("site", [None, "same-origin", "none"])
def test_data_is_given_to_the_page_itself(site: str | None, guard: Guard) -> None:
    assert status(guard, site=site, data=True) is None


def test_a_program_that_is_no_browser_says_neither(guard: Guard) -> None:
    assert status(guard, method="POST") is None
