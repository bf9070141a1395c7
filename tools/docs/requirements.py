"""The rules of the RFCs, in our own words, and what is wrong with the list.

Each file ``docs/requirements/rfcNNNN.toml`` is one RFC: its title, then a table
per rule.  A rule's key is the RFC's own number for it where there is one, else
its section, with a letter or a word behind it if a section has several::

    title = "Transmission Control Protocol"

    [MUST-8]
    section = "3.4.1"
    text = "Initial sequence numbers follow a clock."
    status = "met"
    code = ["tcp.tuples.initial_sequence"]

`status` is ``met``, ``deviation`` or ``not applicable``; all but the first say
`why`, and ``met`` may.  `code` names functions of the package.
Tests name the rule: ``@pytest.mark.requirement("RFC 9293 MUST-8")``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.docs.markers import Marked, marked
from tools.docs.sources import unknown

FOLDER = "docs/requirements"
MARKER = "requirement"
STATUSES = ("met", "deviation", "not applicable")
#: The RFC that all others amend comes first.
FIRST = 9293


@dataclass(frozen=True)
class Rule:
    """One rule.

    :ivar id: as markers write it: ``RFC 9293 MUST-8``.
    :ivar why: reason for the status, or a remark.
    """

    id: str
    key: str
    section: str
    text: str
    status: str
    code: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Document:
    """One RFC and its rules, in the order of its file."""

    number: int
    title: str
    rules: tuple[Rule, ...]


def load(root: Path) -> list[Document]:
    """All documents, RFC 9293 first, then by number.

    :raise ValueError: for a file or a rule that does not have the form above.
    """
    documents = [_document(path) for path in (root / FOLDER).glob("rfc*.toml")]
    return sorted(documents, key=lambda document: (document.number != FIRST, document.number))


def _document(path: Path) -> Document:
    number = int(path.stem.removeprefix("rfc"))
    with path.open("rb") as file:
        tables = tomllib.load(file)
    title = tables.pop("title")
    rules = tuple(_rule(f"RFC {number} {key}", key, table, path.name) for key, table in tables.items())
    return Document(number, title, rules)


def _rule(rule_id: str, key: str, table: dict[str, object], shown: str) -> Rule:
    unknown = set(table) - {"section", "text", "status", "code", "why"}
    if unknown or not {"text", "status"} <= set(table) or table["status"] not in STATUSES:
        raise ValueError(f"{shown}: {key}: needs text and a status of {', '.join(STATUSES)}; {unknown or ''}")
    section = re.match(r"(\d+|[A-Z](?=[. ]|$))(\.\d+)*", key)
    code = table.get("code", [])
    assert isinstance(code, list)
    return Rule(
        rule_id,
        key,
        str(table.get("section", section[0] if section else "")),
        str(table["text"]),
        str(table["status"]),
        tuple(code),
        str(table.get("why", "")),
    )


def tests_by_rule(root: Path) -> dict[str, list[Marked]]:
    """The tests of each rule, by its id."""
    return marked(root, MARKER)


def findings(root: Path) -> list[str]:
    """What is wrong with the list, as sentences; none when all is well."""
    rules = {rule.id: rule for document in load(root) for rule in document.rules}
    tests = tests_by_rule(root)
    strangers = [
        f"{place.path}: {place.name or 'pytestmark'} names {stranger!r}, which is not in {FOLDER}"
        for stranger in sorted(set(tests) - set(rules))
        for place in tests[stranger]
    ]
    return strangers + [
        finding for rule in rules.values() for finding in _of_rule(root, rule, rule.id in tests)
    ]


def _of_rule(root: Path, rule: Rule, tested: bool) -> Iterator[str]:
    if rule.status == "met" and not tested:
        yield f"{rule.id} is said to be met, and no test carries its marker"
    if rule.status == "met" and not rule.code:
        yield f"{rule.id} is said to be met, and no function is named"
    if rule.status != "met" and not rule.why:
        yield f"{rule.id} is {rule.status}, and nothing says why"
    if rule.status == "not applicable" and tested:
        yield f"{rule.id} is {rule.status}, and a test carries its marker"
    if not rule.section:
        yield f"{rule.id} names no section"
    for what in unknown(root, rule.code):
        yield f"{rule.id} names {what}"
