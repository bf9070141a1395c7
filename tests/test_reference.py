"""The API reference is made without a warning and lacks nothing that is public.

Each error can come about: a small package with everything wrong is judged, too.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tools.reference import completeness, sources
from tools.reference.build import build
from tools.reference.model import Elsewhere
from tools.reference.public import ALL, PUBLIC
from xtcp_twisted import api
from xtcp_twisted.engine import core, pool

ROOT = Path(__file__).parents[1]
QUOTED = "has lines that are indented and no code; end the line before them with '::'"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """pydoctor's system, and the folder of the pages."""
    output = tmp_path_factory.mktemp("reference")
    return build(ROOT, output), output


def test_there_is_no_warning(reference: tuple[Any, Path]) -> None:
    system, _ = reference
    assert (system.warnings_said, system.violations) == ([], 0)


def test_nothing_is_missing(reference: tuple[Any, Path]) -> None:
    assert completeness.findings(reference[0]) == []


def test_every_public_name_has_its_entry(reference: tuple[Any, Path]) -> None:
    system, output = reference
    for module, names in PUBLIC.items():
        page = (output / f"{module}.html").read_text() if names else ""
        for name in names if names != ALL else ():
            known = system.objForFullName(f"{module}.{name}")
            assert (output / f"{module}.{name}.html").exists() or f'name="{name}"' in page, name
            assert known.docstring, name


def test_the_calls_of_the_patent_are_all_public() -> None:
    constants = {"PF_INET", "PF_INET6", "PF_UNIX", "SOCK_STREAM", "XTCP_ALL"}
    assert set(PUBLIC["xtcp_twisted.api"]) == set(api.__all__) - constants


def test_compiled_modules_have_types_and_docstrings(reference: tuple[Any, Path]) -> None:
    _, output = reference
    page = (output / "xtcp_twisted.engine.Pool.html").read_text()
    assert "Open a connection group on a port" in page
    assert "UnixGroup" in page
    group = (output / "xtcp_twisted.engine.Group.html").read_text()
    assert "Connections that have something for" in group, "a property that the stub has as an attribute"


def test_what_is_the_implementations_is_hidden(reference: tuple[Any, Path]) -> None:
    named = reference[0].objForFullName
    attrs = "xtcp_twisted.config.EngineConfig.__attrs_post_init__"
    hidden = ("xtcp_twisted.checks", "xtcp_twisted.config.THROTTLINGS", attrs)
    assert [named(name).privacyClass.name for name in hidden] == ["PRIVATE"] * 3
    shown = ("xtcp_twisted", "xtcp_twisted.reactor", "xtcp_twisted.config.EngineConfig")
    assert [named(name).privacyClass.name for name in shown] == ["PUBLIC"] * 3


# --- Each error can come about --------------------------------------------------------


def judged(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """What is printed about a package of one module, and what is found missing."""
    (folder / "xtcp_twisted").mkdir()
    (folder / "xtcp_twisted/__init__.py").write_text('"""A package."""')
    (folder / "xtcp_twisted/config.py").write_text(dedent(text))
    system = build(folder, folder / "html", names=("xtcp_twisted", "xtcp_twisted.config"))
    found = [line for line in completeness.findings(system) if ".config." in line]
    return capsys.readouterr().out, found


@pytest.mark.parametrize(
    "text, said",
    [
        ("See `xtcp_twisted.gone`.", 'Cannot find link target for "xtcp_twisted.gone"'),
        ("See `NoSuchClass`.", 'Cannot find link target for "NoSuchClass"'),
        ("See `twisted.internet.gone`.", 'Cannot find link target for "twisted.internet.gone"'),
        (":parameters x: what it is.", "Unknown field 'parameters'"),
        (":param wrong: there is none.", 'Documented parameter "wrong" does not exist'),
        ("``unbalanced", "bad docstring"),
    ],
)
def test_what_is_wrong_is_a_warning(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, _ = judged(tmp_path, f'def GroupOptions(x):\n    """{text}\n    """\n', capsys)
    assert said in printed


@pytest.mark.parametrize(
    "text", ["`ackd` and `connect` are code.", "See `IProtocolFactory`.", "See `OSError`."]
)
def test_what_is_right_is_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed, _ = judged(tmp_path, f'def GroupOptions(x):\n    """{text}  `x`."""\n', capsys)
    assert printed == ""


def test_what_is_missing_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '''
    class EngineConfig:
        """All methods know `cd`."""

        def first(self, cd, data):
            """Does something."""

        def second(self, cd, data):
            """As `third`, with a text."""

        def third(self, data):
            """Does it with `data`."""

        def fourth(self): ...

        def fifth(self):
            """It shows:

                what looks like code.

            That is all.
            """


    class GroupOptions(EngineConfig):
        def first(self, cd, data):
            """As the base class, with `data`."""


    def PressureThresholds(): ...
    '''
    _, found = judged(tmp_path, text, capsys)
    assert found == [
        f"xtcp_twisted.config.EngineConfig.fifth {QUOTED}",
        "xtcp_twisted.config.EngineConfig.first does not say what `data` is",
        "xtcp_twisted.config.EngineConfig.fourth has no docstring",
        "xtcp_twisted.config.GroupOptions has no docstring",
        "xtcp_twisted.config.PressureThresholds has no docstring",
    ]


def test_a_name_that_is_gone_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = judged(tmp_path, "", capsys)
    assert found == []
    (tmp_path / "html").rename(tmp_path / "before")
    system = build(tmp_path, tmp_path / "html", names=("xtcp_twisted", "xtcp_twisted.config"))
    assert "xtcp_twisted.config has no GroupOptions, which tools/reference/public.py lists" in (
        completeness.findings(system)
    )


# --- Sources and others' names ----------------------------------------------------------


def test_a_docstring_is_without_its_signature() -> None:
    assert sources.docstring(core.Engine.create_pool).startswith("Create a connection pool")
    assert sources.docstring(pool.Pool).startswith("A connection pool")
    assert sources.docstring(core.Engine.closed) == "Whether `close` was called."
    assert sources.docstring(None) == ""


@pytest.mark.parametrize(
    "name, address",
    [
        (
            "ConnectionDone",
            "https://docs.twisted.org/en/stable/api/twisted.internet.error.ConnectionDone.html",
        ),
        (
            "IReactorTCP.connectTCP",
            "https://docs.twisted.org/en/stable/api/twisted.internet.interfaces.IReactorTCP.html#connectTCP",
        ),
        ("twisted.internet.ssl", "https://docs.twisted.org/en/stable/api/twisted.internet.ssl.html"),
        ("subprocess.Popen", "https://docs.python.org/3/library/subprocess.html#subprocess.Popen"),
        ("ValueError", "https://docs.python.org/3/library/exceptions.html#ValueError"),
        ("zope.interface.Interface", "https://zopeinterface.readthedocs.io/en/latest/api/"),
        ("twisted.internet.ssl.Gone", None),
        ("Gone", None),
        ("send", None),
        ("xtcp_twisted.config", None),
        ("not a name", None),
    ],
)
def test_where_names_of_others_lead(name: str, address: str | None) -> None:
    assert Elsewhere().getLink(name) == address
