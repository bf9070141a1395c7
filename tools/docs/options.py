"""docs/options.md: every key of the configuration file, with its default, what is allowed, and what it does.

Names and defaults are those of the classes; what is allowed is what their errors
say; what a key does is the comment (``#:``) above its field; whom a
change reaches that is made later is in the field's metadata.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any, Final

import attrs

from xtcp_twisted.config import REACHES, EngineConfig, GiB, GroupOptions, MiB, PressureThresholds
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.reactor_settings import ReactorSettings
from xtcp_twisted.reactor.settings import (
    ConsoleSettings,
    GroupSettings,
    LinkSettings,
    PoolSettings,
    ServiceSettings,
)

PAGE: Final = "docs/options.md"

TABLES: Final[tuple[tuple[str, str, type], ...]] = (
    ("[link]", "Where packets come from and go to.", LinkSettings),
    ("[engine]", "What all pools share; in Python, `EngineConfig(...)`.", EngineConfig),
    ("[[pool]]", "A connection pool and its receive buffer; any number of them.", PoolSettings),
    ("[engine.pressure] and [pool.pressure]", "Shares of a buffer; see architecture.md.", PressureThresholds),
    (
        "[[group]]",
        "A port, or the path of a Unix socket, and who serves it; any number of them.",
        GroupSettings,
    ),
    ("[group.options]", "What a group's connections share; in Python, `GroupOptions(...)`.", GroupOptions),
    ("[console]", "The pages that show the engine in a browser; none without this table.", ConsoleSettings),
    ("[service]", "How `twistd xtcp` runs and ends.", ServiceSettings),
    ("[reactor]", "What `--reactor=xtcp` gives to the stack; see twisted.md.", ReactorSettings),
)

HEAD: Final = """\
# Options

Every key of the configuration of `twistd xtcp`, which is TOML; [examples/xtcp.toml](../examples/xtcp.toml) is
a file to start from. `twistd xtcp --config FILE --check-config` says what is wrong with a file,
`--set KEY=VALUE` replaces a value for once. Sizes may be written as "64 MiB".

Some can be changed while connections live: a group's options by `Group.set_options`, thresholds by
`set_thresholds` of the pool or of the engine, throttling by `Pool.set_throttling`. The last column says whom
such a change reaches: all connections, also those that live; requests, those that wait and those to come; or
new connections only. What `set_nodelay`, `set_keepalive` or `set_user_timeout` gave to a connection stays.
What has no such column, or nothing in it, stays as it was from the start.

`make docs` writes this page from the classes that check the configuration.
"""

#: Cannot be given in a file.
_CODE_ONLY: Final = {"entropy"}
_TABLES: Final = {"pressure", "options"}
_PATENT: Final = re.compile(r" \(P\d+(?: to P\d+)?\)")


def page(_root: Path) -> str:
    parts = [HEAD]
    for name, what, made in TABLES:
        columns = ["key", "default", "allowed", "what it does"]
        if any(REACHES in field.metadata for field in attrs.fields(made)):
            columns.append("a change reaches")
        parts += [
            f"\n## {name}\n\n{what}\n",
            f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n",
        ]
        parts += _rows(made, len(columns))
    return "".join(parts)


def _rows(made: type, columns: int) -> list[str]:
    said = _comments(made)
    rows = []
    for field in attrs.fields(made):
        if field.name in _CODE_ONLY or field.name in _TABLES:
            continue
        reached = field.metadata.get(REACHES, "")
        cells = (f"`{field.name}`", _default(field), _allowed(field), said[field.name], reached)[:columns]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return rows


def _default(field: attrs.Attribute[Any]) -> str:
    """As the file would have it; nothing where there is none."""
    value = field.default
    if value is attrs.NOTHING:
        return "required"
    if value is None or value in ((), "") or not isinstance(value, bool | int | float | str | tuple):
        return ""
    if field.name == "mode":
        return f"`0o{value:o}`"
    if isinstance(value, int) and value >= MiB:
        return f'`"{value // GiB} GiB"`' if value % GiB == 0 else f'`"{value // MiB} MiB"`'
    if isinstance(value, int) and value >= 10_000:
        return f"`{value:_}`"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _allowed(field: attrs.Attribute[Any]) -> str:
    """What the error of a value that cannot be right tells to give instead."""
    if field.validator is None:
        return ""
    try:
        field.validator(None, field, object())
    except ConfigurationError as error:
        return str(error).partition("; give ")[2].partition(": ")[0]
    raise ValueError(f"{field.name} takes anything")


def _comments(made: type) -> dict[str, str]:
    """The ``#:`` lines above each field; a field without any shares those of the one before."""
    lines = Path(os.fspath(inspect.getsourcefile(made) or "")).read_text("utf-8").splitlines()
    tree = ast.parse("\n".join(lines))
    (body,) = (n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == made.__name__)
    said: dict[str, str] = {}
    last = ""
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above = node.lineno - 1
            while lines[above - 1].lstrip().startswith("#:"):
                above -= 1
            texts = [line.strip().removeprefix("#:").strip() for line in lines[above : node.lineno - 1]]
            last = _PATENT.sub("", " ".join(" ".join(texts).split())).replace("``", "`") or last
            said[node.target.id] = last
    return said
