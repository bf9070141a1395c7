"""What blocks of code assert about a connection: the kernel's TCP_INFO, as far as the engine tells it.

    %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%

Nothing of a block is run.  Its statements are read as syntax trees: assignments
and assertions are worked out over numbers, by arithmetic and comparison alone.
What needs more, or a name that nothing here has a value for, stays unchecked.

Linux counts windows in segments; other kernels in bytes, and their scripts do
not say so.  Windows are therefore only known to scripts that speak of Linux.
And they are the engine's own: how fast a window grows is each TCP's choice, as
the size of its buffers is.  Elastic, a window that differs is only noted; what
it lets out is compared packet by packet.
"""

from __future__ import annotations

import ast
import operator
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from xtcp_twisted.engine.snapshot import ConnectionInfo

from .script import Mismatch

Number = int | float
Values = Mapping[str, Number]

#: An `ssthresh` that has never been set, from here on.
_INFINITE: Final = (1 << 30) - 1
#: Values that are the engine's own.
_OWN: Final = {"tcpi_snd_cwnd", "tcpi_snd_ssthresh"}
#: RFC 9293's states by Linux' numbers, and what Linux calls them.
_STATES: Final = {
    "ESTABLISHED": (1, "ESTABLISHED"),
    "SYN_SENT": (2, "SYN_SENT"),
    "SYN_RECEIVED": (3, "SYN_RECV"),
    "FIN_WAIT_1": (4, "FIN_WAIT1"),
    "FIN_WAIT_2": (5, "FIN_WAIT2"),
    "TIME_WAIT": (6, "TIME_WAIT"),
    "CLOSED": (7, "CLOSE"),
    "CLOSE_WAIT": (8, "CLOSE_WAIT"),
    "LAST_ACK": (9, "LAST_ACK"),
    "LISTEN": (10, "LISTEN"),
    "CLOSING": (11, "CLOSING"),
}
CONSTANTS: Final[Values] = {
    "TCP_INFINITE_SSTHRESH": 0x7FFF_FFFF,
    **{f"TCPI_{name}": number for name, (number, _) in _STATES.items()},
    **{f"TCP_{name}": number for number, name in _STATES.values()},
}
_OPERATORS: Final[Mapping[type[ast.AST], Callable[..., Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class _Unknown(Exception):
    """A value that nothing here can tell."""


def values_of(info: ConnectionInfo, *, windows: bool) -> dict[str, Number]:
    """TCP_INFO of a connection.

    :param windows: in segments, as Linux counts them; else they are left out.
    """
    segment = info.mss - (12 if info.timestamps else 0)
    values: dict[str, Number] = {
        "tcpi_state": _STATES[info.state][0],
        "tcpi_snd_mss": segment,
        "tcpi_rto": info.rto_ms * 1_000,
        "tcpi_rtt": info.srtt_us,
        "tcpi_rttvar": info.rttvar_us,
    }
    if windows:
        infinite = info.ssthresh >= _INFINITE
        values["tcpi_snd_cwnd"] = info.cwnd // segment
        values["tcpi_snd_ssthresh"] = 0x7FFF_FFFF if infinite else info.ssthresh // segment
        flight = (info.snd_nxt - info.snd_una) % 2**32
        if flight % segment == 0:
            values["tcpi_unacked"] = flight // segment
    return values


class Assertions:
    """The assertions of one script; names that its blocks assign live from block to block.

    :ivar checked: assertions that were worked out; `unchecked`: statements that were not.
    :ivar differing: assertions about the engine's own values that are false.
    """

    def __init__(self, *, elastic: bool) -> None:
        self.checked = 0
        self.unchecked = 0
        self.differing: list[str] = []
        self._elastic = elastic
        self._names: dict[str, Number] = {}

    def check(self, code: str, values: Values, line: int) -> None:
        """Work out one block.

        :param values: what the engine tells at this moment.
        :raises Mismatch: an assertion is false.
        """
        known = {**CONSTANTS, **self._names, **values}
        for statement in _statements(code):
            try:
                self._statement(statement, known, line)
            except _Unknown:
                self.unchecked += 1

    def _statement(self, statement: ast.stmt | None, known: dict[str, Number], line: int) -> None:
        if isinstance(statement, ast.Expr):
            return  # a print
        if isinstance(statement, ast.Assert):
            self._assertion(statement.test, known, line)
            return
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], _value(statement.value, known)
        elif isinstance(statement, ast.AugAssign):
            target = statement.target
            value = _operator(statement.op)(_value(target, known), _value(statement.value, known))
        else:
            raise _Unknown
        if not isinstance(target, ast.Name):
            raise _Unknown
        self._names[target.id] = known[target.id] = value

    def _assertion(self, test: ast.expr, known: Values, line: int) -> None:
        good = _value(test, known)
        self.checked += 1
        if good:
            return
        names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)} - CONSTANTS.keys()
        values = ", ".join(f"{name} = {known[name]}" for name in sorted(names))
        text = f"assertion: {ast.unparse(test)}, with {values or 'no value'}"
        if not self._elastic or not names & _OWN:
            raise Mismatch(text, line)
        self.differing.append(f"{text} (line {line})")


def _statements(code: str) -> Iterator[ast.stmt | None]:
    """The statements of a block; one None for text that is not Python."""
    try:
        yield from ast.parse(textwrap.dedent(code).strip()).body
    except (SyntaxError, ValueError, RecursionError):
        yield None


def _operator(node: ast.AST) -> Callable[..., Any]:
    if type(node) not in _OPERATORS:
        raise _Unknown
    return _OPERATORS[type(node)]


def _value(node: ast.expr, known: Values) -> Any:
    """What an expression comes to.

    :raises _Unknown: it is more than arithmetic and comparison of numbers that are known.
    """
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.BinOp(left=left, op=operation, right=right):
            return _calculated(operation, _value(left, known), _value(right, known))
        case ast.UnaryOp(op=operation, operand=operand):
            return _calculated(operation, _value(operand, known))
        case ast.BoolOp(op=operation, values=values):
            return (all if isinstance(operation, ast.And) else any)(_value(v, known) for v in values)
        case ast.Compare(left=left, ops=operations, comparators=comparators):
            numbers = [_value(each, known) for each in (left, *comparators)]
            pairs = zip(operations, numbers, numbers[1:], strict=False)
            return all(_calculated(operation, one, other) for operation, one, other in pairs)
    raise _Unknown


def _calculated(operation: ast.AST, *numbers: Number) -> Any:
    try:
        return _operator(operation)(*numbers)
    except (ArithmeticError, TypeError):
        raise _Unknown from None
