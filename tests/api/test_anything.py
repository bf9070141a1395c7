"""No argument whatever makes a call of Fig. 4 raise: it is answered by an int (P26)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from support.net import Net

from xtcp_twisted.api import (
    PF_INET,
    SOCK_STREAM,
    ApplicationServer,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_un,
    xtcp_cd,
    xtcp_set,
)


class Stubborn:
    """Nothing can be done with it."""

    __hash__ = None  # type: ignore[assignment]
    __slots__ = ()


def odd_values() -> list[Any]:
    released = memoryview(bytearray(8))
    released.release()
    return [
        *(None, True, -1, 0, 1, 3, 1 << 31, 1 << 32, 1 << 63, 1 << 64, -(1 << 64), 10**400),
        *(0.5, -0.5, math.nan, math.inf, 1e300, 1j),
        *("", "x", "\0", "\udc80", "x" * 300, b"", b"x", bytearray(4), memoryview(b"abcd")[::2], released),
        *(
            [],
            {},
            (),
            (1,),
            (1, 2),
            (1, 2, 3),
            (1, 10**400),
            ("a", "b"),
            set(),
            object(),
            Stubborn(),
            int,
            len,
        ),
        *(xtcp_cd(), xtcp_set(), xtcp_set([1]), sockaddr_in(), sockaddr_in6("::1", 9), sockaddr_un("/x")),
        sockaddr_in(5, "port"),  # type: ignore[arg-type]
        sockaddr_in6(None, -1),  # type: ignore[arg-type]
    ]


#: The calls with arguments that are in order, `gd` and `cd` filled in.
CALLS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "xtcp_initialize": ([1 << 20], {"name": "x", "thresholds": None}),
    "xtcp_open_group": (
        [PF_INET, SOCK_STREAM, 0, 0],
        {"address": None, "name": None, "share": False, "options": None},
    ),
    "xtcp_close_group": (["gd"], {"abort": False}),
    "xtcp_options": (["gd"], {"weight": 2, "priority": "high", "notify_connections": 1, "dscp": 1}),
    "xtcp_accept": (["gd"], {"into": None, "pd": None}),
    "xtcp_pending": (["gd", xtcp_cd(), sockaddr_in()], {}),
    "xtcp_refuse": (["gd", None], {}),
    "xtcp_connect": (["gd", sockaddr_in("198.51.100.9", 9)], {"timeout": 1}),
    "xtcp_pars": (["gd", "cd", sockaddr_in(), sockaddr_in()], {}),
    "xtcp_close": (["gd", "cd"], {"abort": False}),
    "xtcp_recv": (["gd", xtcp_cd(), bytearray(10), 5], {}),
    "xtcp_send": (["gd", "cd", 0, b"answer", 2], {}),
    "xtcp_need": (["gd", "cd", 1], {}),
    "xtcp_writable": (["gd", xtcp_cd()], {}),
    "xtcp_select": ([9, xtcp_set(), xtcp_set(), 0], {"writegds": None}),
}


def spoiled(args: list[Any], keys: dict[str, Any]) -> Any:
    """The arguments with one of them, then with two, replaced by something odd."""
    places: list[Any] = [*range(len(args)), *keys]
    odd = odd_values()
    once = [((place, value),) for place in places for value in odd]
    twice = [
        ((one, odd[i % len(odd)]), (two, odd[(i * 7 + 3) % len(odd)]))
        for i, (one, two) in enumerate(itertools.permutations(places * 3, 2))
        if one != two
    ]
    for changes in once + twice:
        changed_args, changed_keys = list(args), dict(keys)
        for place, value in changes:
            if isinstance(place, int):
                changed_args[place] = value
            else:
                changed_keys[place] = value
        yield changed_args, changed_keys


def _lasts(timeout: Any) -> bool:
    """Whether a wait for nothing would take longer than the test."""
    return timeout is None or (isinstance(timeout, int) and 10 < timeout <= 1 << 40)


@pytest.mark.feature("P26")
@pytest.mark.parametrize("name", CALLS)
def test_whatever_it_is_given(net: Net, server: ApplicationServer, name: str) -> None:
    """An application that blocks for ever is the only thing left out: select gets a timeout that ends."""
    args, keys = CALLS[name]
    keys = {key: value for key, value in keys.items() if key not in ("thresholds", "options")}
    call = getattr(server, name)
    gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 7)
    client = net.client(server.group(gd)).established()
    for changed_args, changed_keys in spoiled(args, keys):
        if server.xtcp_close(gd, 0) and server.error.startswith("gd:"):
            gd = server.xtcp_open_group(PF_INET, SOCK_STREAM, 0, 0)
        stand_ins = {"gd": gd, "cd": client.cd}
        filled = [stand_ins.get(v, v) if type(v) is str else v for v in changed_args]
        if name == "xtcp_select" and _lasts(filled[3]):
            continue
        assert isinstance(call(*filled, **changed_keys), int), (filled, changed_keys)
