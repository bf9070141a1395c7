"""``python -m xtcp_console link``: a sign-in link for the console, made from its token file.

It talks to nobody: whoever may read the file may sign in.  So it works while the login
waits after wrong tokens, too.

Knows the configuration and the token file; nothing of running consoles.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import attrs

from xtcp_console import without_extra
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.loading import find, load
from xtcp_twisted.reactor.settings import ConsoleSettings

PROG = "python -m xtcp_console"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the process with a message when it is wrong."""
    parser = argparse.ArgumentParser(prog=PROG, description="Tools for the console of `twistd xtcp`.")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser(
        "link",
        help="print a sign-in link",
        description="Print a link that signs in once. Whoever can read the console's token file can make"
        " one; it is good for some minutes, and only for a console that was started before.",
    )
    made.add_argument(
        "--config", metavar="FILE", help="of the server (without any option: looked for as there)"
    )
    made.add_argument(
        "--console", metavar="[ADDRESS:]PORT", help="of the console, if not the configuration's"
    )
    made.add_argument("--token-file", metavar="FILE", help="of the console, if not the configuration's")
    return parser.parse_args(argv)


def settings(given: argparse.Namespace) -> ConsoleSettings:
    """The console that the options and the configuration mean.

    :raises ConfigurationError: there is no configuration, or it is wrong.
    """
    found = _configured(given) or ConsoleSettings()
    if given.console is not None:
        found = found.moved(given.console)
    return attrs.evolve(found, token_file=given.token_file or found.token_file)


def _configured(given: argparse.Namespace) -> ConsoleSettings | None:
    """The console of the configuration; None if there is none, and none is needed."""
    path = given.config
    if path is None and given.token_file is None:
        try:
            path = find()
        except ConfigurationError:
            if given.console is None:
                raise
    return None if path is None else load(path).console


def link(console: ConsoleSettings) -> str:
    """A link that signs in once.

    :raises ConfigurationError: it cannot be made; the text says why.
    :raises OSError: the folder of the token may not be looked into.
    """
    if not console.token_path.exists():
        raise ConfigurationError(
            f"there is no {console.token_path}: no console has been started with it; give another one"
            " with --token-file, or the server's configuration with --config"
        )
    if not console.port:
        raise ConfigurationError(
            "the console's port is any free one; give it with --console, as its log says"
        )
    try:
        from xtcp_console import invitation
    except ModuleNotFoundError as missing:
        raise without_extra(missing) from None
    return invitation.link(console)


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    try:
        made = link(settings(parse(argv)))
    except ConfigurationError as error:
        sys.stderr.write(f"{PROG}: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{PROG}: {error.filename}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
