"""docs/compliance.md: each rule with its status, the code that keeps it and the tests that show it."""

from __future__ import annotations

import posixpath
from collections import Counter
from pathlib import Path

from tools.docs.markers import Marked
from tools.docs.requirements import FOLDER, STATUSES, Document, Rule, load, tests_by_rule
from tools.docs.sources import defining_file

PAGE = "docs/compliance.md"

HEAD = f"""\
# What TCP this is

Every numbered requirement of RFC 9293, and the rules of its companions that concern a host, in our own words:
whether the engine keeps them, the code that does, and the tests that would fail otherwise. A deviation is
deliberate and says why.

`make docs` writes this page from [{posixpath.basename(FOLDER)}/]({posixpath.basename(FOLDER)}) and from the
markers of the tests (`@pytest.mark.requirement("RFC 9293 MUST-8")`). A test fails when the page is stale, a
rule that is met has no test or no code, or a marker names a rule that is not here.
"""


def page(root: Path) -> str:
    """The text of docs/compliance.md."""
    documents = load(root)
    tests = tests_by_rule(root)
    parts = [HEAD, _summary(documents), _deviations(documents)]
    parts += [_section(root, document, tests) for document in documents]
    return "\n".join(parts)


def _summary(documents: list[Document]) -> str:
    total = Counter(rule.status for document in documents for rule in document.rules)
    shown = [status for status in STATUSES if total[status]]
    lines = ["| | rules | " + " | ".join(shown) + " |", "|---|" + "---:|" * (len(shown) + 1)]
    for document in documents:
        counts = Counter(rule.status for rule in document.rules)
        cells = [str(counts[status] or "") for status in shown]
        title = f"[RFC {document.number}](#{_anchor(document)}) {document.title}"
        lines.append(f"| {title} | {counts.total()} | " + " | ".join(cells) + " |")
    cells = [f"**{total[status]}**" for status in shown]
    lines.append(f"| **all** | **{total.total()}** | " + " | ".join(cells) + " |")
    return "## Summary\n\n" + "\n".join(lines) + "\n"


def _deviations(documents: list[Document]) -> str:
    rules = [rule for document in documents for rule in document.rules if rule.status == "deviation"]
    lines = [f"- **{rule.id}** (section {rule.section}): *{rule.text}* {rule.why}" for rule in rules]
    return "## Deviations\n\n" + "\n".join(lines) + "\n"


def _section(root: Path, document: Document, tests: dict[str, list[Marked]]) -> str:
    lines = [f"## RFC {document.number}: {document.title}\n"]
    lines += ["| | section | rule | status | code | tests |", "|---|---|---|---|---|---|"]
    lines += [_row(root, rule, tests.get(rule.id, [])) for rule in document.rules]
    return "\n".join(lines) + "\n"


def _row(root: Path, rule: Rule, tests: list[Marked]) -> str:
    section = "" if rule.section == rule.key else rule.section
    status = rule.status + (f". {rule.why}" if rule.why else "")
    code = [f"[{name}](../{defining_file(root, name)})" for name in rule.code]
    shown = [f"[{test.shown}](../{test.path})" for test in tests]
    cells = [rule.key, section, rule.text, status, "<br>".join(code), "<br>".join(shown)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _anchor(document: Document) -> str:
    """How GitHub names the heading of a document's section."""
    kept = "".join(c for c in f"RFC {document.number}: {document.title}".lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
