"""The floors of the architecture, and the sizes of files, functions and structs.

Each rule runs on the project and then on a small tree made to break it, so that
a checker that no longer sees anything is found out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from support import architecture
from support.architecture import Tree

from xtcp_twisted.tcp import layout

ROOT = Path(__file__).resolve().parents[1]

#: Bytes per struct of the arena: the memory budget rests on them.
STRUCT_SIZES = {"record": 128, "active": 128, "half_open": 64, "time_wait": 40, "extent": 32}

Rule = Callable[[Tree], list[str]]


@pytest.fixture(scope="module")
def project() -> Tree:
    return Tree(ROOT)


@pytest.fixture
def made_up(tmp_path: Path) -> Callable[[dict[str, str]], Tree]:
    def make(files: dict[str, str]) -> Tree:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return Tree(tmp_path)

    return make


@pytest.mark.parametrize("rule", architecture.RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps(rule: Rule, project: Tree) -> None:
    assert rule(project) == []


def test_the_project_is_seen(project: Tree) -> None:
    assert {"xtcp_twisted.config", "xtcp_twisted.link.base", "xtcp_twisted.engine"} <= project.modules
    assert "xtcp_twisted.errors.ConfigurationError" in {
        imported.target for source in project.sources for imported in source.imports
    }


# --- Each rule can fail -------------------------------------------------------

UPWARD = {
    "import": "import xtcp_twisted.engine.core",
    "from": "from xtcp_twisted.engine import core",
    "from a package": "from xtcp_twisted import engine",
    "relative": "from ..engine import core",
    "in a function": "def f():\n    from xtcp_twisted.engine import Engine\n",
    "over lines": "from xtcp_twisted.engine import (\n    Engine,\n    Group,\n)",
    "one of several": "import os, xtcp_twisted.engine.core as core",
}


@pytest.mark.parametrize("statement", UPWARD.values(), ids=UPWARD)
@pytest.mark.parametrize("suffix", ["py", "pyx", "pxd", "pyi"])
def test_an_upward_import_is_found(
    statement: str, suffix: str, made_up: Callable[[dict[str, str]], Tree]
) -> None:
    tree = made_up(
        {
            "xtcp_twisted/engine/__init__.py": "",
            "xtcp_twisted/engine/core.pyx": "",
            f"xtcp_twisted/tcp/input.{suffix}": statement,
        }
    )
    (finding,) = architecture.upward_imports(tree)[:1]
    assert finding.startswith(f"xtcp_twisted/tcp/input.{suffix}:")
    assert "floor 2 imports xtcp_twisted.engine" in finding


CIMPORTS = {
    "cimport": "cimport xtcp_twisted.engine.core",
    "cimport as": "cimport xtcp_twisted.engine.core as core",
    "from cimport": "from xtcp_twisted.engine.core cimport Engine, Group as G",
    "over lines": "from xtcp_twisted.engine.core cimport (\n    Engine,  # a comment\n    Group,\n)",
    "continued": "from xtcp_twisted.engine.core \\\n    cimport Engine",
    "relative": "from ..engine.core cimport Engine",
}


@pytest.mark.parametrize("statement", CIMPORTS.values(), ids=CIMPORTS)
def test_an_upward_cimport_is_found(statement: str, made_up: Callable[[dict[str, str]], Tree]) -> None:
    tree = made_up({"xtcp_twisted/engine/core.pxd": "", "xtcp_twisted/tcp/input.pxd": statement})
    assert architecture.upward_imports(tree)


def test_words_in_strings_and_comments_are_no_imports(made_up: Callable[[dict[str, str]], Tree]) -> None:
    text = '''
        """Text that says
        from xtcp_twisted.engine.core cimport Engine
        """
        # import xtcp_twisted.engine.core
        cdef extern from "core.h":
            pass
        '''
    tree = made_up({"xtcp_twisted/engine/core.pxd": "", "xtcp_twisted/tcp/input.pyx": text})
    assert architecture.upward_imports(tree) == []


def test_twisted_below_its_floor_is_found(made_up: Callable[[dict[str, str]], Tree]) -> None:
    tree = made_up({"xtcp_twisted/link/tun.pyx": "from twisted.internet import reactor"})
    assert len(architecture.upward_imports(tree)) == 1


def test_a_module_without_a_floor_is_found(made_up: Callable[[dict[str, str]], Tree]) -> None:
    tree = made_up({"xtcp_twisted/__init__.py": "", "xtcp_twisted/extra.py": ""})
    assert architecture.homeless_modules(tree) == ["xtcp_twisted/extra.py: no floor in the table"]


def test_a_cycle_is_found(made_up: Callable[[dict[str, str]], Tree]) -> None:
    tree = made_up(
        {
            "xtcp_twisted/tcp/a.pyx": "from xtcp_twisted.tcp.b cimport f",
            "xtcp_twisted/tcp/b.pxd": "cimport xtcp_twisted.tcp.c",
            "xtcp_twisted/tcp/c.py": "def f():\n    from .a import g",
        }
    )
    assert architecture.import_cycles(tree) == [
        "xtcp_twisted.tcp.a -> xtcp_twisted.tcp.b -> xtcp_twisted.tcp.c -> xtcp_twisted.tcp.a"
    ]


def test_types_alone_make_no_cycle(made_up: Callable[[dict[str, str]], Tree]) -> None:
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import A\n"
    tree = made_up({"xtcp_twisted/tcp/a.py": "from . import b", "xtcp_twisted/tcp/b.py": types})
    assert architecture.import_cycles(tree) == []


def test_a_long_file_is_found(made_up: Callable[[dict[str, str]], Tree]) -> None:
    long = ["xtcp_twisted/a.pyx", "console/b.py", "tests/tcp/test_d.py", "console/static/css/e.css"]
    tree = made_up({"console/c.py": "#\n" * 500, **dict.fromkeys(long, "#\n" * 501)})
    assert architecture.long_files(tree) == [f"{path}: 501 lines" for path in long]


FUNCTIONS = {
    "py": "def f(\n    a,\n):\n",
    "pyx": "cdef int f(\n    int a,\n) noexcept nogil:\n",
    "pxd": "cdef inline uint32_t *f(\n        int a,\n        int b) noexcept nogil:\n",
}


@pytest.mark.parametrize("suffix", FUNCTIONS)
def test_a_long_function_is_found(suffix: str, made_up: Callable[[dict[str, str]], Tree]) -> None:
    short = FUNCTIONS[suffix] + "    a = (\n  1)\n\n    # why\n" * 14 + "    pass\n"
    tree = made_up({f"xtcp_twisted/a.{suffix}": f"class C:\n    x = 1\n\n{short}\n\nx = 1\n"})
    assert architecture.long_functions(tree) == []
    long = short + "    pass\n"
    tree = made_up({f"xtcp_twisted/a.{suffix}": f"class C:\n    x = 1\n\n{long}\n\nx = 1\n"})
    assert architecture.long_functions(tree) == [f"xtcp_twisted/a.{suffix}:4: f has 61 lines"]


def test_a_compiled_module_without_stub_is_found(made_up: Callable[[dict[str, str]], Tree]) -> None:
    tree = made_up({"xtcp_twisted/a.pyx": "", "xtcp_twisted/b.pyx": "", "xtcp_twisted/b.pyi": ""})
    assert architecture.missing_stubs(tree) == ["xtcp_twisted/a.pyx: no a.pyi"]


@pytest.mark.parametrize(
    "signature",
    [
        "cdef int f(int a)",
        "cdef inline uint32_t f(int a) nogil",
        "cdef record_t *f(int a)",
        "cdef void f(\n    int a,\n    int b\n)",
        "cpdef bint f(self)",
        "cdef unsigned long long f() nogil",
    ],
)
@pytest.mark.parametrize("suffix", ["pxd", "pyx"])
def test_a_silent_error_channel_is_found(
    signature: str, suffix: str, made_up: Callable[[dict[str, str]], Tree]
) -> None:
    body = ":\n    pass\n" if suffix == "pyx" else "\n"
    tree = made_up({f"xtcp_twisted/a.{suffix}": signature + body})
    assert architecture.undeclared_error_channels(tree) == [
        f"xtcp_twisted/a.{suffix}:1: f has neither noexcept nor except"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "cdef int f(int a) except -1 nogil",
        "cdef int f(int a) except? -1:\n    pass",
        "cdef inline int f(\n    int a) noexcept nogil:\n    return 1",
        "cdef bytes f(int a)",
        "cdef f(int a):\n    pass",
        "cdef class Pool:\n    cdef Pool f(self)",
        "cdef int a = g(1)",
        "cdef uint64_t key[2]",
        "def f(a):\n    pass",
        'cdef extern from *:\n    """\n    cdef int f(int a)\n    """\n    int f(int a) nogil',
    ],
)
def test_an_error_channel_that_is_declared_or_needs_none(
    line: str, made_up: Callable[[dict[str, str]], Tree]
) -> None:
    assert architecture.undeclared_error_channels(made_up({"xtcp_twisted/a.pyx": line + "\n"})) == []


def test_a_print_is_found(made_up: Callable[[dict[str, str]], Tree]) -> None:
    tree = made_up(
        {
            "xtcp_twisted/tcp/a.pyx": "# print(1)\nfingerprint(1)\nprint(1)\n",
            "xtcp_twisted/reactor/b.py": "print (1)\n",
            "xtcp_twisted/lab.py": "print(1)\n",
        }
    )
    assert architecture.prints(tree) == [
        "xtcp_twisted/reactor/b.py:1: print",
        "xtcp_twisted/tcp/a.pyx:3: print",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from time import monotonic",
        "from libc.time cimport time",
        "from datetime import datetime",
        "cdef int f() noexcept nogil:\n    clock_gettime(CLOCK_MONOTONIC, &ts)",
        'cdef extern from *:\n    """\n    static long now(void) { gettimeofday(&t, 0); }\n    """',
    ],
)
def test_a_clock_is_found(text: str, made_up: Callable[[dict[str, str]], Tree]) -> None:
    tree = made_up({"xtcp_twisted/engine/a.pyx": text, "xtcp_twisted/reactor/b.py": "import time"})
    assert len(architecture.clocks(tree)) == 1


# --- Structs of the arena -----------------------------------------------------


def test_the_compiler_asserts_the_size_of_each_struct() -> None:
    text = (ROOT / "xtcp_twisted/tcp/layout.pxd").read_text()
    assert STRUCT_SIZES.items() <= architecture.asserted_sizes(text).items()


@pytest.mark.feature("P34")
def test_the_structs_have_their_sizes() -> None:
    assert STRUCT_SIZES.items() <= layout.sizes().items()


def test_an_asserted_size_is_read() -> None:
    text = '_Static_assert(sizeof(struct record) == 128, "");\n_Static_assert( sizeof(extent_t)==32, "");'
    assert architecture.asserted_sizes(text) == {"record": 128, "extent": 32}
