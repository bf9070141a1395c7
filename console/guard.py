"""Which requests may come in at all: judged by their headers, before anybody looks at who asks.

A page in the same browser may belong to anybody, so three things are asked of a
request:

* ``Host`` is one of the console's own names with its port: a foreign name that was
  made to resolve to this machine (DNS rebinding) is refused.
* ``Origin``, where a request changes something, is the console itself, port
  included; "null" is nobody.
* ``Sec-Fetch-Site``, where a request changes something or asks for data, is not
  another site and not another port of this host (cookies ignore ports, so to them
  these are the same).

A request that says neither ``Origin`` nor ``Sec-Fetch-Site`` comes from no browser;
cookie and CSRF token still stand between it and anything.

Pure functions over header values, used by Flask and by the event stream.  Knows
nothing of sessions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

#: Methods that change nothing (RFC 9110, section 9.2.1) and that the console answers.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

#: The machine's own names for itself, as a Host header writes them.
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OWN_SITE: Final = (None, "same-origin", "none")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in.

    :ivar status: of the answer.
    :ivar title: what it is, in a few words.
    :ivar detail: sentences that say what to do.
    """

    status: int
    title: str
    detail: str


class Place(Protocol):
    """Where a console listens; `xtcp_twisted.reactor.settings.ConsoleSettings` once it does."""

    @property
    def address(self) -> str:
        """The loopback address."""

    @property
    def port(self) -> int:
        """The port, never 0."""

    @property
    def hosts(self) -> Iterable[str]:
        """Names besides the loopback ones under which it may be opened: "name" or "name:port"."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Judges requests to one console.

    :ivar port: that the console listens on.
    :ivar hosts: names besides the loopback ones, with a port ("console.example:443") or
        without ("console.example": with the console's own).
    :ivar scheme: "http" or "https".
    """

    port: int
    hosts: Iterable[str] = ()
    scheme: str = "http"
    _allowed: frozenset[str] = dataclasses.field(init=False, repr=False)

    @classmethod
    def of(cls, place: Place) -> Guard:
        """The guard of the console that listens there."""
        own = f"[{place.address}]" if ":" in place.address else place.address
        return cls(place.port, (own, *place.hosts))

    def __post_init__(self) -> None:
        names = (_with_port(name, self.port) for name in (*LOOPBACK_NAMES, *self.hosts))
        object.__setattr__(self, "_allowed", frozenset(names))

    def refusal(
        self, method: str, host: str | None, origin: str | None, fetch_site: str | None, *, data: bool = False
    ) -> Refusal | None:
        """Why this request may not come in; None when it may.

        :param method: the HTTP method.
        :param host: the ``Host`` header, None when there is none; so are `origin` and
            `fetch_site` (``Sec-Fetch-Site``).
        :param data: whether a script asks for this, not the address bar or a link.
        """
        if not self.host_allowed(host):
            return Refusal(
                421,
                "Wrong address",
                f"The console does not answer under the name in this address. Open"
                f" {self.scheme}://127.0.0.1:{self.port}/ instead, or add the name to hosts in [console].",
            )
        safe = method in SAFE_METHODS
        if not safe and not self._origin_allowed(str(host), origin):
            return _FOREIGN
        if (data or not safe) and fetch_site not in _OWN_SITE:
            return _FOREIGN
        return None

    def host_allowed(self, host: str | None) -> bool:
        """Whether a ``Host`` header names this console, port included."""
        if not host:
            return False
        return _with_port(host, _DEFAULT_PORTS[self.scheme]) in self._allowed

    def _origin_allowed(self, host: str, origin: str | None) -> bool:
        """Whether a form or script of the very page that `host` stands for sent this."""
        return origin is None or origin.lower() == f"{self.scheme}://{host.lower()}"


_FOREIGN: Final = Refusal(
    403,
    "Sent from elsewhere",
    "This request came from a page that is not the console's, so nothing was done."
    " Open the console itself and repeat it there.",
)


def _with_port(name: str, port: int) -> str:
    """The name in lower case, with `port` unless it has one; the colons of ``[::1]`` are none."""
    name = name.lower()
    return name if ":" in name.rpartition("]")[2] else f"{name}:{port}"
