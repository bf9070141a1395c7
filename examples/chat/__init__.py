"""Instant messaging with presence, for people with ``nc`` (RFC 2778 has the model and its words).

    nc 10.77.0.2 5222
    /nick ada
    hello everybody
    /subscribe bob
    /help

One group protocol serves everybody, and somebody who waits for messages costs no
Python object: who is who, who watches whom and who is in which room stands in columns
of numbers (`flat`).

Read in this order: `lines` (what is seen), `commands` (what can be said), `presence` and `rooms` (what is
remembered), `protocol` and `post` (how lines come in and go out, and what each user can cost the others).
"""

from examples.chat.protocol import Chat

__all__ = ["Chat"]
