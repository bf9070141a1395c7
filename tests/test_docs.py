"""Generated pages are fresh, and the lists of requirements and features are right about code and tests."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tools.docs import features, options, pages, requirements, states
from tools.docs.markers import Marked, MarkerError, marked
from tools.docs.sources import defining_file
from xtcp_twisted.config import EngineConfig, GroupOptions
from xtcp_twisted.reactor.loading import structure

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", pages.PAGES)
def test_a_page_is_fresh(name: str) -> None:
    assert (ROOT / name).read_text() == pages.PAGES[name](ROOT), "stale: run `make docs`"


def test_the_defaults_of_the_options_can_be_typed() -> None:
    """As the page has them, in a file: they change nothing."""
    tables: dict[str, dict[str, object]] = {}
    for line in (ROOT / options.PAGE).read_text().splitlines():
        if line.startswith("## "):
            table = tables.setdefault(line.removeprefix("## "), {})
        if row := re.match(r"\| `(\w+)` \| `(.+?)` \|", line):
            table[row[1]] = tomllib.loads(f"value = {row[2]}")["value"]
    engine = {"addresses": ["192.0.2.1"], **tables["[engine]"]}
    engine["pressure"] = tables["[engine.pressure] and [pool.pressure]"]
    group = {"name": "g", "port": 7, "protocol": "tests.reactor.servers.Plain", **tables["[[group]]"]}
    group["options"] = tables["[group.options]"]
    pool = {"name": "p", **tables["[[pool]]"]}
    rest = {name.strip("[]"): tables[name] for name in ("[link]", "[console]", "[service]")}
    made = structure({"engine": engine, "pool": [pool], "group": [group], **rest})
    assert made.engine == EngineConfig(addresses=("192.0.2.1",))
    assert made.group[0].options == GroupOptions()


def test_the_list_of_requirements_is_right() -> None:
    assert requirements.findings(ROOT) == []


def test_every_numbered_requirement_has_its_row() -> None:
    """RFC 9293, Appendix B, whose numbering has no gap."""
    numbered = requirements.load(ROOT)[0]
    assert numbered.number == 9293
    counts = {"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1}
    wanted = {f"{kind}-{n}" for kind, count in counts.items() for n in range(1, count + 1)}
    assert wanted <= {rule.key for rule in numbered.rules}


def test_the_list_of_features_is_right() -> None:
    assert features.findings(ROOT) == []


@pytest.mark.parametrize("marker", [requirements.MARKER, features.MARKER])
def test_pytest_sees_the_same_markers(marker: str, request: pytest.FixtureRequest) -> None:
    """Of what this run has collected; in a run of the whole suite that is all."""
    read = marked(ROOT, marker)
    for item in request.session.items:
        name = item.nodeid.split("[")[0].partition("::")[2].replace("::", ".")
        path = str(item.path.relative_to(ROOT))
        seen = {argument for mark in item.iter_markers(marker) for argument in mark.args}
        found = {row for row, places in read.items() if any(place.covers(path, name) for place in places)}
        one_of_several = "[" in item.nodeid
        assert seen == found or (one_of_several and seen < found), item.nodeid


# --- Each finding can come about: requirements --------------------------------

MET = """\
title = "A protocol"

[MUST-1]
section = "3"
text = "Do it."
status = "met"
code = ["tcp.input.do_it"]
"""
CODE = "cdef int do_it(stack_t *s) noexcept nogil:\n    return 0\n"
TEST = """\
import pytest

@pytest.mark.requirement("RFC 1 MUST-1")
def test_it() -> None: ...
"""

Make = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Make:
    def make(rules: str = MET, code: str = CODE, test: str = TEST) -> Path:
        files = {
            "docs/requirements/rfc1.toml": rules,
            "xtcp_twisted/tcp/input.pyx": code,
            "tests/test_it.py": test,
        }
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return tmp_path

    return make


def test_a_right_list_has_no_findings(project: Make) -> None:
    assert requirements.findings(project()) == []


@pytest.mark.parametrize(
    "change, said",
    [
        ({"test": "def test_it() -> None: ..."}, "no test carries its marker"),
        ({"test": TEST.replace("MUST-1", "MUST-2")}, "names 'RFC 1 MUST-2', which is not in"),
        ({"code": CODE.replace("do_it", "do_that")}, "names tcp.input.do_it, which is not in the package"),
        ({"rules": MET.replace('["tcp.input.do_it"]', "[]")}, "no function is named"),
        ({"rules": MET.replace("met", "deviation")}, "nothing says why"),
        ({"rules": MET.replace("met", "not applicable") + 'why = "No."'}, "and a test carries its marker"),
        ({"rules": MET.replace('section = "3"', "")}, "names no section"),
    ],
)
def test_what_is_wrong_is_found(project: Make, change: dict[str, str], said: str) -> None:
    found = requirements.findings(project(**change))
    assert any(said in finding for finding in found), found


def test_where_a_function_has_gone_is_said(project: Make) -> None:
    root = project(code="")
    (root / "xtcp_twisted/tcp/elsewhere.pyx").write_text(CODE)
    [finding] = requirements.findings(root)
    assert "tcp.elsewhere.do_it is called like it" in finding


@pytest.mark.parametrize(
    "rules", [MET.replace("met", "mostly met"), MET.replace("text", "words"), MET + 'tests = ["x"]']
)
def test_a_row_of_another_form_is_refused(project: Make, rules: str) -> None:
    with pytest.raises(ValueError, match="MUST-1"):
        requirements.load(project(rules))


# --- Each finding can come about: features ------------------------------------


def matrix(**change: dict[str, object]) -> str:
    """A list of features that is right, but for `change`: by row, its keys."""
    text = '[A]\ntitle = "All"\n'
    for number in range(1, features.ROWS + 1):
        row: dict[str, object] = {"title": "It", "text": "It works.", "code": ["tcp.input.do_it"]}
        if number == 1:
            row["claims"] = list(range(1, features.CLAIMS + 1))
        row |= change.get(f"P{number:02}", {})
        text += f"[A.{row.pop('id', f'P{number:02}')}]\n"
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items())
    return text


PROVEN = "import pytest\n\n" + "".join(
    f'@pytest.mark.feature("P{number:02}")\ndef test_{number}() -> None: ...\n'
    for number in range(1, features.ROWS + 1)
)


@pytest.fixture
def featured(project: Make) -> Make:
    def make(rows: str = "", test: str = PROVEN, code: str = CODE) -> Path:
        root = project(code=code, test=test)
        (root / features.DATA).write_text(rows or matrix())
        return root

    return make


def test_a_right_matrix_has_no_findings(featured: Make) -> None:
    assert features.findings(featured()) == []


@pytest.mark.parametrize(
    "change, said",
    [
        ({"rows": matrix(P07={"code": []})}, "P07 names no code"),
        ({"test": PROVEN.replace('"P07"', '"P08"')}, "P07 has no test"),
        (
            {"test": PROVEN.replace('"P07"', '"P07", "P39"')},
            "test_7 names 'P39', which is not in",
        ),
        (
            {"code": "cdef int do_that(stack_t *s) noexcept nogil:\n"},
            "P01 names tcp.input.do_it, which is not",
        ),
        ({"rows": matrix(P07={"id": "P70"})}, "they should be P01 to P38, in order"),
        ({"rows": matrix(P01={"claims": list(range(2, 45))})}, "claim 1 belongs to no row"),
        ({"rows": matrix(P07={"claims": [45]})}, "P07 names claim 45; there are 44"),
        ({"rows": matrix(P07={"figures": ["5e"]})}, "P07 names Fig. 5e, which is not there"),
    ],
)
def test_what_is_wrong_with_the_matrix_is_found(featured: Make, change: dict[str, str], said: str) -> None:
    found = features.findings(featured(**change))
    assert any(said in finding for finding in found), found


@pytest.mark.parametrize("rows", [matrix(P07={"tests": ["x"]}), matrix().replace("title", "name")])
def test_a_row_of_the_matrix_of_another_form_is_refused(featured: Make, rows: str) -> None:
    with pytest.raises(ValueError, match="it needs title and text"):
        features.load(featured(rows=rows.replace("[A]\nname", "[A]\ntitle")))


def test_a_row_shows_its_code_and_its_tests(featured: Make) -> None:
    """Files in the table, functions and tests in its section."""
    change = {"title": "A thing", "figures": ["6a"], "claims": [7, 22], "measured": "`make bench` does."}
    text = features.page(featured(rows=matrix(P07=change)))
    file, test = "[tcp/input.pyx](../xtcp_twisted/tcp/input.pyx)", "[test_it.py](../tests/test_it.py)"
    assert f"| P07 | [A thing](#p07-a-thing) | {file} | {test} (1) |\n" in text
    assert (
        dedent(f"""
        ## P07: A thing

        It works. *Claims 7, 22; Fig. 6a.*

        `make bench` does.

        - [`tcp.input.do_it`](../xtcp_twisted/tcp/input.pyx)
        - {test}: `test_7`
        """)
        in text
    )


def test_a_whole_module_that_is_marked_has_no_number(featured: Make) -> None:
    whole = 'pytestmark = pytest.mark.feature("P07")'
    text = features.page(featured(test=PROVEN.replace("pytest\n", f"pytest\n{whole}\n", 1)))
    assert text.count("[test_it.py](../tests/test_it.py) |\n") == 1


# --- Markers and sources ------------------------------------------------------


def test_where_a_marker_may_stand(project: Make) -> None:
    root = project(
        test="""\
        import pytest

        pytestmark = [pytest.mark.requirement("module"), pytest.mark.feature("P01")]

        @pytest.mark.requirement("class")
        class TestAll:
            @pytest.mark.requirement("one", "two")
            def test_method(self): ...

        @pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.requirement("case"))])
        async def test_cases(x): ...
        """
    )
    file = "tests/test_it.py"
    assert marked(root, "requirement") == {
        "module": [Marked(file, "")],
        "class": [Marked(file, "TestAll")],
        "one": [Marked(file, "TestAll.test_method")],
        "two": [Marked(file, "TestAll.test_method")],
        "case": [Marked(file, "test_cases")],
    }
    assert marked(root, "feature") == {"P01": [Marked(file, "")]}


@pytest.mark.parametrize(
    "text",
    [
        '@pytest.mark.requirement("x")\ndef helper(): ...',
        "@pytest.mark.requirement\ndef test_it(): ...",
        "@pytest.mark.requirement()\ndef test_it(): ...",
        "@pytest.mark.requirement(NAME)\ndef test_it(): ...",
    ],
)
def test_a_marker_that_says_nothing_is_an_error(project: Make, text: str) -> None:
    with pytest.raises(MarkerError):
        marked(project(test=text), "requirement")


@pytest.mark.parametrize(
    "name, file",
    [
        ("tcp.input.segment_arrives", "xtcp_twisted/tcp/input.pyx"),
        ("config.GroupOptions.sack", "xtcp_twisted/config.py"),
        ("tcp.states.TRANSITIONS", "xtcp_twisted/tcp/states.pyx"),
        ("examples.plain_echo.PlainEcho", "examples/plain_echo.py"),
        ("tcp.input.nothing", None),
        ("nowhere.at_all", None),
    ],
)
def test_a_name_is_found_where_it_is_defined(name: str, file: str | None) -> None:
    assert defining_file(ROOT, name) == file


def test_an_edge_that_nobody_has_routed_is_drawn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before = states.picture(ROOT)
    monkeypatch.setitem(states.TRANSITIONS, "SYN_SENT", {"CLOSE_WAIT": "magic, snd FIN & RST"})
    drawn = states.picture(ROOT)
    assert drawn.count('class="edge"') == before.count('class="edge"') - 1
    assert ">magic</text>" in drawn
    assert ">snd FIN &amp; RST</text>" in drawn


def test_every_routed_edge_is_there() -> None:
    assert set(states.ROUTES) == {(state, after) for state, after, _ in states.edges()}
