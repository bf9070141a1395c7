"""Validators of configuration fields: their error names the field and says what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from xtcp_twisted.errors import ConfigurationError


def check(allowed: str, test: Callable[[Any], bool]) -> Any:
    """An attrs validator whose error names the field and says what is allowed."""

    def validate(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        try:
            good = test(value)
        except TypeError:
            good = False
        if not good:
            raise ConfigurationError(f"{attribute.name}: {value!r} is not allowed; give {allowed}")

    return validate


def is_number(value: Any, low: float, high: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and low <= value <= high


def is_integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and is_number(value, low, high)


def integer(low: int, high: int, *, zero: str = "") -> Any:
    extra = f", or 0 {zero}" if zero else ""
    return check(
        f"an integer from {low:,} to {high:,}{extra}",
        lambda v: is_integer(v, low, high) or (bool(zero) and is_integer(v, 0, 0)),
    )


def seconds(low: float, high: float, *, zero: str = "") -> Any:
    extra = f", or 0 {zero}" if zero else ""
    return check(
        f"a number of seconds from {low:g} to {high:,}{extra}",
        lambda v: is_number(v, low, high) or (bool(zero) and is_number(v, 0, 0)),
    )


def one_of(*names: str) -> Any:
    return check("one of " + ", ".join(repr(n) for n in names), lambda v: v in names)


#: A share of something, as a fraction.
SHARE = check("a share above 0, at most 1", lambda v: is_number(v, 0, 1) and v > 0)

#: A switch.
FLAG = check("true or false", lambda v: isinstance(v, bool))
