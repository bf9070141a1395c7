"""The file that holds the console's token: whoever can read it can sign in.

Made with 256 random bits, for its owner's eyes only, and kept over restarts.  What is
not so (somebody else's file, readable to others, a symbolic link, too short to be a
secret) is refused with a sentence that says what to do about it, never mended silently:
somebody may have read it already.

Knows nothing of HTTP or sessions.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from xtcp_twisted.errors import ConfigurationError

#: Characters of the shortest token that is taken: 128 bits in hexadecimal.
SHORTEST: Final = 32
#: Bytes of a file that are looked at; a token has 43.
_LONGEST: Final = 1_024


def token(path: str | os.PathLike[str]) -> str:
    """The token in this file; the file, and the folder it lies in, are made if missing.

    :raises ConfigurationError: the file cannot be read or made, or cannot be trusted.
    """
    file = Path(path)
    try:
        try:
            return _read(file)
        except FileNotFoundError:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(file)
            return _read(file)
    except OSError as error:
        why = "it is a symbolic link" if _is_link(file) else (error.strerror or str(error))
        raise _refuse(file, f"{why}; give another path, or the rights to this one") from error


def _read(file: Path) -> str:
    # Not through a link, which somebody else may have laid, and not waiting for a pipe's writer.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _trust(file, os.fstat(descriptor))
        text = os.read(descriptor, _LONGEST + 1).decode(errors="replace").strip()
    finally:
        os.close(descriptor)
    if not re.fullmatch(rf"[!-~]{{{SHORTEST},{_LONGEST}}}", text):
        raise _refuse(
            file,
            f"it does not hold a token, which is one word of {SHORTEST} or more letters and digits;"
            " remove it, and a good one is made",
        )
    return text


def _trust(file: Path, status: os.stat_result) -> None:
    """See that nobody else can have written or read what stands in it."""
    if not stat.S_ISREG(status.st_mode):
        raise _refuse(file, "it is no regular file; give another path")
    if status.st_uid != os.geteuid():
        raise _refuse(
            file,
            f"it belongs to user {status.st_uid}, and this is user {os.geteuid()};"
            " run this as its owner, or give another path",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise _refuse(
            file,
            f"others may open it (mode {stat.S_IMODE(status.st_mode):04o});"
            " remove it, and a new one is made, for they may know this one",
        )


def _make(file: Path) -> None:
    """Put a new token there, whole or not at all; what somebody else made meanwhile stays."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # Bytes: a codec that is loaded now may lie where a process that gave up its rights cannot read.
        with open(descriptor, "wb") as opened:
            opened.write(secrets.token_urlsafe(32).encode() + b"\n")
        try:
            os.link(draft, file)
        except FileExistsError:
            pass  # two started at once: both read the first one's
    finally:
        draft.unlink()


def _is_link(file: Path) -> bool:
    try:
        return file.is_symlink()
    except OSError:
        return False


def _refuse(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"token_file: {file}: {why}")
