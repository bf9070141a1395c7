"""Links: where the engine's IP packets come from and go to.

`TunLink` is the kernel's network by a TUN device, `MemoryLink` two lists of
packets.  `CaptureLink` and `ImpairedLink` go around either: the one writes what
passes to a file, the other makes a bad network of it.
"""

from xtcp_twisted.link.base import Link
from xtcp_twisted.link.capture import CaptureLink
from xtcp_twisted.link.impair import ImpairedLink
from xtcp_twisted.link.memory import MemoryLink
from xtcp_twisted.link.tun import TunLink

__all__ = ["CaptureLink", "ImpairedLink", "Link", "MemoryLink", "TunLink"]
