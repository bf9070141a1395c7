"""From the text of a script to its events.

A script is read in three passes: conditional lines (`#ifdef`) and comments are
blanked, so that line numbers stay; then statement after statement is cut off
the text; then `packet_lines` and `call_lines` read what those are about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .call_lines import read_call
from .packet_lines import read_packet
from .script import Action, Code, Command, Event, Inbound, Outbound, Script, ScriptError, When

#: Names that the scripts' own tools define for them.
DEFINES: Final = {
    "MSS": "1460",
    "TFO_COOKIE": "3021b9d889017eeb",
    "TFO_COOKIE_ZERO": "b7c12350a90dc8f5",
    "CMSG_LEVEL_IP": "SOL_IP",
    "CMSG_TYPE_RECVERR": "IP_RECVERR",
}
#: The `#ifdef` of suites that state the RFCs' behaviour beside one kernel's.
MACROS: Final = frozenset({"STANDARD"})

_CONDITION = re.compile(r"#\s*(ifdef|ifndef|else|endif)\b\s*(\w+)?")
_NUMBER = r"\d*\.\d+|\d+(?:\.(?!\.))?"
_TIME = re.compile(
    rf"(?P<any>\*)|(?P<plus>\+?)\s*(?P<start>{_NUMBER})"
    rf"(?:\s*(?P<to>~|\.\.\.)\s*\+?(?P<end>{_NUMBER}))?"
)
#: Text that no comment starts in, and comments.
_COMMENT = re.compile(
    r"""(?P<keep>`[^`]*`|"[^"\n]*"|%\{.*?\}%)|//[^\n]*|/\*.*?\*/|^[ \t]*\#[^\n]*""",
    re.DOTALL | re.MULTILINE,
)


def read_file(path: str) -> Script:
    """Read the script at `path`.

    :raises ScriptError: it is none.
    :raises Unsupported: it uses what this interpreter does not have.
    """
    return read_text(Path(path).read_text(errors="replace"), path)


def read_text(text: str, path: str = "") -> Script:
    """As `read_file`, from its text."""
    return _Reader(without_comments(without_conditions(text, MACROS)), path).read()


def without_conditions(text: str, macros: frozenset[str]) -> str:
    """Blank the lines that `#ifdef`, `#ifndef` and `#else` exclude, and these lines themselves."""
    if not re.search(r"^#\s*ifn?def", text, re.MULTILINE):
        return text
    kept: list[str] = []
    conditions: list[bool] = []
    for line in text.split("\n"):
        match = _CONDITION.match(line)
        if match is None:
            kept.append(line if all(conditions) else "")
            continue
        kept.append("")
        word, name = match.groups()
        if word in {"ifdef", "ifndef"}:
            conditions.append((name in macros) == (word == "ifdef"))
        elif not conditions:
            raise ScriptError(f"#{word} without #ifdef")
        elif word == "else":
            conditions[-1] = not conditions[-1]
        else:
            conditions.pop()
    return "\n".join(kept)


def without_comments(text: str) -> str:
    """Blank `//`, `/* */` and lines that start with #, outside of strings, commands and code."""
    return _COMMENT.sub(lambda found: found["keep"] or "\n" * found.group().count("\n"), text)


class _Reader:
    """Cuts statement after statement off the text."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.at = 0
        self.options: dict[str, str] = {}
        self.defines = dict(DEFINES)
        self.script = Script(path, self.options)

    def read(self) -> Script:
        while self._skip_blanks():
            if self.text.startswith("--", self.at):
                self._options(self._until_end_of_line())
            elif self.text[self.at] == "`":
                self._untimed_command()
            else:
                self._event()
        return self.script

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _skip_blanks(self) -> bool:
        """To the next statement; False at the end."""
        match = re.compile(r"\S").search(self.text, self.at)
        self.at = match.start() if match else len(self.text)
        return match is not None

    def _past(self, opening: str, closing: str) -> str:
        """What stands between two marks, the first of which is here."""
        start = self.at + len(opening)
        end = self.text.find(closing, start)
        if end < 0:
            raise ScriptError(f"line {self.line}: {opening} without {closing}")
        self.at = end + len(closing)
        return self.text[start:end]

    def _until_end_of_line(self) -> str:
        end = self.text.find("\n", self.at)
        start, self.at = self.at, end if end >= 0 else len(self.text)
        return self.text[start : self.at].strip()

    def _options(self, line: str) -> None:
        for option in re.findall(r"--(\S+)", line):
            name, _, value = option.partition("=")
            if name == "define":
                macro, _, value = value.partition("=")
                self.defines[macro] = value
            else:
                self.options[name] = value

    def _untimed_command(self) -> None:
        line, text = self.line, self._past("`", "`")
        if self.script.events:
            self.script.events.append(Event(When(), Command(text), line, text))
        else:
            self.script.preparation.append(text)

    def _event(self) -> None:
        line = self.line
        match = _TIME.match(self.text, self.at)
        if match is None:
            raise ScriptError(f"line {line}: a time is expected, not {self._here()!r}")
        self.at = match.end()
        self._skip_blanks()
        start = self.at
        action = self._action(line)
        self.script.events.append(
            Event(_when(match.groupdict()), action, line, self.text[start : self.at].strip())
        )

    def _here(self) -> str:
        return self.text[self.at : self.at + 40].split("\n")[0]

    def _action(self, line: int) -> Action:
        first = self.text[self.at : self.at + 1]
        if first == "`":
            return Command(self._past("`", "`"))
        if self.text.startswith("%{", self.at):
            return Code(self._past("%{", "}%"))
        if first in {"<", ">"}:
            packet = read_packet(self._until_end_of_line()[1:].strip(), self.defines, line)
            return Inbound(packet) if first == "<" else Outbound(packet)
        if first.isalpha() or first == "_":
            return read_call(self._statement(), self.defines, line)
        raise ScriptError(f"line {line}: what is {self._here()!r}?")

    def _statement(self) -> str:
        """A system call: up to the end of the line in which its brackets balance."""
        start, depth, quoted = self.at, 0, False
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                quoted = not quoted
            elif character == "\n" and depth <= 0:
                break
            elif not quoted:
                depth += (character in "([{") - (character in ")]}")
            self.at += 1
        return self.text[start : self.at].strip()


def _when(found: Mapping[str, str | None]) -> When:
    """The time that the groups of `_TIME` stand for."""
    if found["any"]:
        return When(anytime=True)
    start = float(found["start"] or 0)
    last = float(found["end"]) if found["end"] else None
    ranged = found["to"] == "~"
    return When(
        start,
        relative=bool(found["plus"]),
        end=last if ranged else None,
        until=None if ranged else last,
    )
