"""The token that opens the console, and the one-time sign-in links made with it.

A link's key is a nonce and a time, signed with the token: whoever may read the token
file can make one, without talking to the running console.  `Links.redeem` takes a key
once, for ten minutes, and only if it was made after the console started; so nothing has
to be remembered for longer than that, and nothing over a restart.

Knows nothing of HTTP or files; `tokenfile` keeps the token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

#: Seconds that a link is good for.
LIFETIME_S: Final = 10 * 60
#: Used keys remembered at one time; only a holder of the token can make that many.
LIMIT: Final = 1_000


class _Signer(TimestampSigner):
    """Signs with the time of the given clock."""

    def __init__(self, secret_key: bytes, *, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(secret_key, **options)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class Links:
    """Checks the token, makes links and redeems them.

    :param token: what opens the console.
    :param clock: Unix time, seconds.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.time) -> None:
        self._token = token.encode()
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}  # nonce -> when its link expires
        self._serializer = URLSafeTimedSerializer(
            self._token,
            salt="xtcp-console sign-in link",
            signer=_Signer,
            signer_kwargs={"clock": clock, "key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def opens(self, token: str) -> bool:
        """Whether this text is the token; takes as long whichever part of it is wrong."""
        return hmac.compare_digest(token.strip().encode(), self._token)

    def make(self) -> str:
        """A new key; the link is ``/login/<key>``."""
        return str(self._serializer.dumps([secrets.token_urlsafe(16), self._clock()]))

    def redeem(self, key: str) -> bool:
        """Take a key: true once for each, while it is good."""
        try:
            nonce, made = self._serializer.loads(key, max_age=LIFETIME_S)
        except BadData:
            return False
        now = self._clock()
        with self._lock:
            self._used = {used: expires for used, expires in self._used.items() if expires >= now}
            if made < self._started or nonce in self._used or len(self._used) >= LIMIT:
                return False
            # The signature counts whole seconds: remember for one more than the link lives.
            self._used[nonce] = made + LIFETIME_S + 1
        return True
