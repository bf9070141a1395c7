"""How a viewer gets in: the one-time link, and the command that makes another.

Knows where a console listens and its token's file; nothing of running consoles.
"""

from __future__ import annotations

import shlex
import sys

from xtcp_console import tokenfile
from xtcp_console.links import Links
from xtcp_twisted.reactor.settings import ConsoleSettings


def link(console: ConsoleSettings) -> str:
    """A link that signs in once.

    :param console: with the port that it really has.
    :raises ConfigurationError: its token's file cannot be read or trusted.
    """
    return f"http://{console.place}/login/{Links(tokenfile.token(console.token_path)).make()}"


def command(console: ConsoleSettings) -> str:
    """What to type for a link, in any folder and without the configuration."""
    arguments = ["--console", console.place, "--token-file", str(console.token_path.absolute())]
    return shlex.join([sys.executable, "-m", "xtcp_console", "link", *arguments])
