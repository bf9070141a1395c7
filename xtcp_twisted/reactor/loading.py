"""From the text of a configuration file to `Settings`, or to all that is wrong with it.

The tables are structured by cattrs, which collects every error with its place;
here each becomes one sentence that starts with the key::

    group[1].options.ack_delay_ms: 600 is not allowed; give an integer from 1 to 499

Values are not converted ("5" is no number), but sizes may be given with a unit.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from xtcp_twisted.config import EngineConfig, GiB, GroupOptions, KiB, MiB, PressureThresholds
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.reactor_settings import ReactorSettings
from xtcp_twisted.reactor.settings import (
    ConsoleSettings,
    GroupSettings,
    LinkSettings,
    PoolSettings,
    ServiceSettings,
    Settings,
    near,
)

#: Where a configuration is looked for when none is named, after ``$XTCP_CONFIG``.
PLACES: Final = ("xtcp.toml", "/etc/xtcp/xtcp.toml")

_UNITS: Final = {"": 1, "b": 1, "kib": KiB, "mib": MiB, "gib": GiB}
_LISTS: Final = {"pool": PoolSettings, "group": GroupSettings}


class SettingsError(ConfigurationError):
    """All that is wrong with a configuration; the text has a line for each.

    :ivar problems: the lines.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def size(value: Any) -> int:
    """A number of bytes, or a text such as "64 MiB".

    :raises ConfigurationError: it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value.strip()) if isinstance(value, str) else None
    if found is None or found[2].lower() not in _UNITS:
        raise ConfigurationError(
            f"{value!r} is not allowed; give bytes, or a number with KiB, MiB or GiB, such as '64 MiB'"
        )
    return int(float(found[1]) * _UNITS[found[2].lower()])


def find(environment: dict[str, str] | None = None) -> str:
    """The configuration file that is used when none is named.

    :raises ConfigurationError: there is none; the text says where it may be.
    """
    named = (os.environ if environment is None else environment).get("XTCP_CONFIG")
    if named:
        return named
    for place in PLACES:
        if Path(place).exists():
            return place
    raise ConfigurationError(
        "no configuration: give --config FILE, set XTCP_CONFIG, or make " + " or ".join(PLACES)
    )


def load(path: str, changes: Iterable[str] = (), *, groups: bool = True) -> Settings:
    """Read and check a configuration file.

    :param path: of the file.
    :param changes: ``"key=value"`` texts that replace values of the file, such as
        ``engine.max_connections=200000`` or ``group.chat.port=5223``.
    :param groups: False passes over ``[[group]]`` tables and imports none of their applications.
    :raises SettingsError: with everything that is wrong.
    """
    try:
        tables = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingsError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path}: is not UTF-8: {error.reason} at byte {error.start}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path}: is not TOML: {error}"]) from None
    for change in changes:
        _change(tables, change)
    return structure(tables, groups=groups)


def structure(tables: dict[str, Any], *, groups: bool = True) -> Settings:
    """Settings of the tables of a file.

    :param groups: as of `load`.
    :raises SettingsError: with everything that is wrong.
    """
    if not groups:
        tables = {key: table for key, table in tables.items() if key != "group"}
    try:
        settings: Settings = _converter.structure(tables, Settings)
    except (ClassValidationError, ConfigurationError) as error:
        raise SettingsError(_sentences(error, "")) from None
    problems = list(settings.problems(groups=groups))
    if problems:
        raise SettingsError(problems)
    return settings


def _change(tables: dict[str, Any], change: str) -> None:
    """Put one ``key=value`` into the tables."""
    key, equals, text = change.partition("=")
    *path, last = key.strip().split(".")
    if not (equals and last):
        raise SettingsError(
            [f"{change!r} is not allowed; give KEY=VALUE, such as engine.max_connections=200000"]
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a text need not be quoted twice on a command line
    place: Any = tables
    for i, step in enumerate(path):
        if i == 1 and path[0] in _LISTS and isinstance(place, list):
            named = [row for row in place if isinstance(row, dict) and row.get("name") == step]
            if not named:
                raise SettingsError([f"{key}: no {path[0]} is called {step!r}"])
            place = named[0]
        else:
            place = place.setdefault(step, [] if i == 0 and step in _LISTS else {})
        if not isinstance(place, dict | list):
            raise SettingsError([f"{key}: {step!r} is a value, not a table"])
    if isinstance(place, list):
        raise SettingsError([f"{key}: say which {path[0]}, such as {path[0]}.NAME.{last}"])
    place[last] = value


# -- errors ---------------------------------------------------------------------------


def _sentences(error: BaseException, path: str, *, noted: bool = False) -> Iterator[str]:
    """One sentence for each error below `error`."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        placed, bare = error.group_exceptions()
        for inner, note in placed:
            step = f"[{note.index}]" if isinstance(note, IterableValidationNote) else f".{note.name}"
            yield from _sentences(inner, path + step, noted=True)
        for inner in bare:
            yield from _sentences(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl) if field.name != "entropy"]
        for key in sorted(error.extra_fields):
            hint = near(key, known) or "; known are: " + ", ".join(known)
            yield f"{path}.{key}: is not known{hint}".lstrip(".")
    elif isinstance(error, KeyError):
        yield f"{path}: is missing".lstrip(".")
    elif noted or str(error).startswith("give "):
        yield f"{path}: {error}".lstrip(".")
    else:
        yield f"{path}.{error}".lstrip(".")  # the text starts with the key


# -- the converter -----------------------------------------------------------------------


def _asIs(value: Any, _: Any) -> Any:
    """No conversion: the validators of the classes say what is allowed."""
    return value


def _texts(value: Any, _: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigurationError(f"{value!r} is not allowed; give a list of texts")


def _makeConverter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (int, float, str, bool, int | None, bool | None, str | None, str | int | None):
        converter.register_structure_hook(kind, _asIs)
    converter.register_structure_hook_func(lambda kind: kind in (dict[str, Any], tuple[int, int]), _asIs)
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _texts)

    def table(cls: type, **overrides: Any) -> None:
        made: Callable[..., Any] = make_dict_structure_fn(
            cls, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **overrides
        )

        def hook(value: Any, _: Any) -> Any:
            if not isinstance(value, dict):
                raise ConfigurationError(f"{value!r} is not allowed; give a table")
            return made(value, cls)

        converter.register_structure_hook(cls, hook)

    sized = override(struct_hook=lambda value, _: size(value))
    table(LinkSettings)
    table(PressureThresholds)
    table(EngineConfig, entropy=override(omit=True), transmit_buffer=sized, arena_limit=sized)
    table(PoolSettings, receive_buffer=sized)
    table(GroupOptions)
    table(GroupSettings)
    table(ConsoleSettings)
    table(ServiceSettings)
    table(ReactorSettings)
    lists = {}
    for key, cls in _LISTS.items():
        inner = converter.get_structure_hook(tuple[cls, ...])  # type: ignore[valid-type]

        def rows(value: Any, kind: Any, key: str = key, inner: Any = inner) -> Any:
            if not isinstance(value, list):
                raise ConfigurationError(f"is a single table; write [[{key}]] with two brackets")
            return inner(value, kind)

        lists[key] = override(struct_hook=rows)
    table(Settings, **lists)
    return converter


_converter: Final = _makeConverter()
