NAMES: tuple[str, ...]
GROUP_NAMES: tuple[str, ...]
