"""What a capture holds: Wireshark's verdict on every packet, and TCP segments for tests to look at."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import pytest
from scapy.utils import RawPcapNgReader

from .packets import Segment, read

#: Packets with any of these are wrong, whoever sent them.  Linux may write a checksum of zero as
#: 0xFFFF, the same number in ones' complement, which tshark does not take for it.
WRONG: Final = (
    "_ws.malformed || tcp.option.len.invalid || ip.checksum.status == 0"
    " || (tcp.checksum.status == 0 && tcp.checksum != 0xffff)"
)

_TCP: Final = 6


def program(name: str) -> str:
    """The path of a program that a test cannot do without."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {name}", pytrace=False)
        pytest.skip(f"needs {name}")
    return path


def tshark(path: Path, chosen: str) -> list[str]:
    """Wireshark's lines for the packets that a display filter chooses; checksums are verified."""
    checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    # A client's port may by chance be that of some protocol, as which payload would be malformed.
    checks += ["-d", "tcp.port==1-65535,data"]
    # A home of its own, since tshark reads and writes preferences.
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [program("tshark"), "-r", str(path), *checks, "-Y", chosen],
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": home, "TZ": "UTC"},
            capture_output=True,
            text=True,
            timeout=90,
        )
    complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    assert (done.returncode, complaints) == (0, [])
    return done.stdout.splitlines()


def segments(source: Path | BinaryIO) -> Iterator[Segment]:
    """The TCP segments of a capture, in order; a malformed one is an AssertionError."""
    # scapy's annotations know nothing of this reader's metadata.
    reader: Any = RawPcapNgReader(str(source) if isinstance(source, Path) else source)
    with reader:
        for raw, meta in reader:
            if _protocol(raw) == _TCP:
                yield read((meta.tshigh << 32 | meta.tslow) / meta.tsresol, raw)


def _protocol(raw: bytes) -> int:
    return raw[9] if raw[0] >> 4 == 4 else raw[6]
