"""The extension modules; everything else about the package is in setup.cfg.

``XTCP_DEBUG=1`` in the environment makes the debug build: assertions, bounds
checks, chunk poisoning and leak counters (see CONTRIBUTING.md).
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("XTCP_DEBUG", "") not in ("", "0")

extensions = [
    Extension(
        path[: -len(".pyx")].replace("/", "."),
        [path],
        define_macros=[("XTCP_DEBUG", "1" if DEBUG else "0")],
        extra_compile_args=["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O2"],
    )
    for path in sorted(glob("xtcp_twisted/**/*.pyx", recursive=True))
]

setup(
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        force=DEBUG,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": not DEBUG,
            "embedsignature": True,
        },
    )
)
