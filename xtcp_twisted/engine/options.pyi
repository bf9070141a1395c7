from typing import Any

from xtcp_twisted.config import GroupOptions

def changed_options(options: GroupOptions, changes: dict[str, Any]) -> GroupOptions: ...
