"""The headers of every answer of the console, whoever gives it.

`app` adds them to Flask's answers, `stream` and `site` to their own, so that no
answer goes without: not a 404, not a static file, not an error of the server.

The content security policy allows own files and nothing else, and Trusted Types
keep text from becoming markup in a script, too.  ``Referrer-Policy`` is not
``no-referrer``: with that, browsers send ``Origin: null`` with the sign-in form,
which `guard` has to refuse.

Knows nothing of Flask or Twisted.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

#: What every answer carries.
SECURITY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
)

#: ``Cache-Control`` of all but static files: figures stay in no cache.
NO_STORE: Final = "no-store"
#: Of a static file whose URL names its contents.
FOR_EVER: Final = "public, max-age=31536000, immutable"
#: Of a static file under its plain name: asked for again, answered 304 while it is the same.
REVALIDATE: Final = "no-cache"
