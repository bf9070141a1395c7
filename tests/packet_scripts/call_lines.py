"""The system calls of a script's lines.

    setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0
    read(4, ..., 1000) = -1 EAGAIN (Resource temporarily unavailable)

Arguments become numbers, strings, `Symbol`s, ANY, lists for `[...]`, dicts for
`{name=value}`, and tuples for names joined by `|`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .script import ANY, Call, ScriptError, Symbol, Unsupported, Wild

_NAME = re.compile(r"(\w+)\s*\(")
_TOKEN = re.compile(
    r'\s*(?:(?P<bad>[^\s\w."()\[\]{}=,|:-])|(?P<good>\.\.\.|0x[0-9a-fA-F]+|-?\d+(?:\.\d+)?'
    r'|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|[()\[\]{}=,|:]))'
)
_RESULT = re.compile(r"=\s*(\.\.\.|-?0x[0-9a-fA-F]+|-?\d+|[A-Za-z_]\w*)\s*([A-Z][A-Z0-9]+)?\s*(\(.*\))?")
_CLOSING = {"[": "]", "{": "}"}


def read_call(text: str, defines: Mapping[str, str], line: int) -> Call:
    """The call that `text` describes; `line` is for errors."""
    match = _NAME.match(text)
    if match is None:
        raise ScriptError(f"line {line}: a system call is expected, not {text!r}")
    arguments = _Arguments(text, match.end(), defines, line)
    call = Call(match[1], arguments.read())
    rest = text[arguments.at :].strip()
    if rest:
        call.result, call.errno = _result(rest, defines, line)
    return call


def _result(text: str, defines: Mapping[str, str], line: int) -> tuple[int | Wild, str | None]:
    match = _RESULT.match(text)
    if match is None:
        raise ScriptError(f"line {line}: a result is expected, not {text!r}")
    if match[1] == "...":
        return ANY, match[2]
    try:
        return int(defines.get(match[1], match[1]), 0), match[2]
    except ValueError:
        raise Unsupported(f"symbolic result {match[1]!r} (line {line})") from None


class _Arguments:
    """A reader of what stands between the brackets of a call, from `at` on."""

    def __init__(self, text: str, at: int, defines: Mapping[str, str], line: int) -> None:
        self.text, self.at = text, at
        self.defines, self.line = defines, line
        self.token = self._next()

    def read(self) -> list[Any]:
        """All arguments; `at` is then behind the closing bracket."""
        return self._items(")")[0]

    def _next(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            raise ScriptError(f"line {self.line}: the brackets of {self.text!r} do not balance")
        if match["bad"]:
            raise Unsupported(f"system call argument {match['bad']!r} (line {self.line})")
        self.at = match.end()
        return match["good"]

    def _take(self) -> str:
        token = self.token
        self.token = self._next()
        return token

    def _items(self, closing: str) -> tuple[list[Any], dict[str, Any]]:
        """Values up to the closing bracket, and those that have names."""
        values: list[Any] = []
        named: dict[str, Any] = {}
        while self.token != closing:
            if self.token == ",":
                self._take()
                continue
            value = self._joined()
            if self.token == "=":
                self._take()
                named[str(value)] = self._joined()
            else:
                values.append(value)
        if closing != ")":
            self._take()
        return values, named

    def _joined(self) -> Any:
        value = self._value()
        if self.token != "|":
            return value
        names = [value]
        while self.token == "|":
            self._take()
            names.append(self._value())
        return tuple(names)

    def _value(self) -> Any:
        token = self._take()
        if token == "...":
            return ANY
        if token in _CLOSING:
            values, named = self._items(_CLOSING[token])
            return named or values
        if token.startswith('"'):
            return token[1:-1]
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", token):
            return int(token, 0 if "x" in token else 10)
        if re.fullmatch(r"-?\d+\.\d+", token):
            return float(token)
        if not token.isidentifier():
            raise Unsupported(f"system call argument {token!r} (line {self.line})")
        defined = self.defines.get(token, token)
        if self.token == "(":
            self._nested()
        return int(defined) if defined.isdecimal() else Symbol(defined)

    def _nested(self) -> None:
        """Passes over brackets behind a name, as in `msg_name(...)=...`."""
        self._take()
        self._items(")")
        self._take()
