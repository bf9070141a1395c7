from xtcp_twisted.link.base import Link

class Wrapper(Link):
    inner: Link
    def __init__(self, link: Link) -> None: ...
