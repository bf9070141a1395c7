"""The extension modules; everything else about the package is in setup.cfg.

``XTCP_DEBUG=1`` in the environment makes the debug build: assertions, bounds
checks, chunk poisoning and leak counters (see CONTRIBUTING.md).  The C code sees
it as the macro ``XTCP_DEBUG``, 0 or 1.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("XTCP_DEBUG", "") not in ("", "0")
#: Generated C, objects and modules of the two builds never meet.
BUILD = "build/debug" if DEBUG else "build/release"
JOBS = min(2, os.cpu_count() or 1)

COMPILE_ARGS = [
    # The arena's pages are records now and chunks later.
    "-fno-strict-aliasing",
    *(["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O2"]),
]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "initializedcheck": DEBUG,
    # Off in both: it needs the GIL, which links do not have while packets move.
    "nonecheck": False,
    "cdivision": not DEBUG,
    # Off in both: with it on, a negative index would wrap instead of being caught.
    "wraparound": False,
    "embedsignature": True,
}


class InPlaceBuild(build_ext):
    """A build beside the sources that compiles only what changed.

    An editable install hands over a new temporary folder each time, so
    everything would be compiled anew.
    """

    def run(self) -> None:
        wheel_lib = self.build_lib
        if self.inplace:
            self.build_lib, self.build_temp = f"{BUILD}/lib", f"{BUILD}/temp"
        super().run()
        self.build_lib = wheel_lib

    def copy_extensions_to_source(self) -> None:
        # Else a younger module of the other build would stay.
        self.force = True
        super().copy_extensions_to_source()


def extension(source: Path) -> Extension:
    return Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        define_macros=[("XTCP_DEBUG", str(int(DEBUG)))],
        extra_compile_args=COMPILE_ARGS,
        depends=["setup.py"],
    )


setup(
    ext_modules=cythonize(  # type: ignore[no-untyped-call]
        [extension(source) for source in sorted(Path("xtcp_twisted").rglob("*.pyx"))],
        build_dir=f"{BUILD}/cython",
        nthreads=JOBS,
        emit_linenums=DEBUG,
        compiler_directives=DIRECTIVES,
    ),
    cmdclass={"build_ext": InPlaceBuild},
    options={"build": {"build_base": BUILD}, "build_ext": {"parallel": str(JOBS)}},
)
