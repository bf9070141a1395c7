"""The C programs of the benchmarks, compiled when they are first needed."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BUILD: Final = Path(__file__).parent.parent / "build" / "benchmarks"
PROGRAMS: Final = Path(__file__).with_name("programs")
FLAGS: Final = ("-std=c11", "-O2", "-Wall", "-Wextra")
#: As fast as the machine can, for what others are measured by: the ceiling should not be ours.
FAST: Final = ("-O3", "-march=native")


class BuildError(Exception):
    """A program could not be compiled; the text says why."""


def program(name: str, sources: Sequence[Path], *flags: str, libraries: Sequence[str] = ()) -> Path:
    """Compile `sources` if they, or the headers beside them, have changed; the path of the program.

    :param flags: for the compiler, beside the usual ones.
    :param libraries: what it is linked with, without ``lib``.
    :raises BuildError: the C compiler (``$CC``, else gcc) is missing or fails.
    """
    compiler = os.environ.get("CC", "gcc")
    folders = sorted({source.parent for source in sources})
    options = (*FLAGS, *flags, *(f"-I{folder}" for folder in folders))
    digest = hashlib.sha256(" ".join((compiler, *options)).encode())
    for file in (*sources, *(header for folder in folders for header in sorted(folder.glob("*.h")))):
        digest.update(file.read_bytes())
    made = BUILD / f"{name}-{digest.hexdigest()[:16]}"
    if made.exists():
        return made
    BUILD.mkdir(parents=True, exist_ok=True)
    unfinished = made.with_suffix(f".{os.getpid()}")
    command = [compiler, *options, "-o", str(unfinished), *map(str, sources)]
    command += [f"-l{library}" for library in libraries]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(
            f"the benchmark's {name} needs a C compiler, and there is no {compiler!r}; install gcc or set CC"
        ) from None
    if done.returncode:
        raise BuildError(f"{compiler} could not compile the benchmark's {name}:\n{done.stderr}")
    unfinished.replace(made)
    return made
