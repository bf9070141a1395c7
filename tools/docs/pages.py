"""Every generated page, by its path in the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.docs import compliance, features, options, states

PAGES: Final[dict[str, Callable[[Path], str]]] = {
    compliance.PAGE: compliance.page,
    features.PAGE: features.page,
    options.PAGE: options.page,
    states.PAGE: states.page,
    states.PICTURE: states.picture,
}
