NAMES: tuple[str, ...]
TRANSITIONS: dict[str, dict[str, str]]
