"""The console: what a running engine does, live in a browser.

Installed as ``xtcp_console``.  It needs the extra ``console``
(``pip install 'xtcp_twisted[console]'``); `xtcp_twisted` itself never imports it
before a configuration asks for it.

In the reactor thread the `model` samples the engine once a second and publishes
an immutable `figures.View` by assigning one attribute; the Flask pages (`app`)
read it on threads of their own, the event stream (`stream`) sends it on.
Threads never touch the engine.
"""

from __future__ import annotations

from xtcp_twisted.errors import ConfigurationError


def without_extra(missing: ModuleNotFoundError) -> ConfigurationError:
    """What to raise where something that the console imports is not installed."""
    return ConfigurationError(
        f"the console needs the extra 'console' ({missing.name} is not installed):"
        " pip install 'xtcp_twisted[console]', or do without it"
    )
