"""What Twisted finds of this package; kept light, since it is run at every look-up."""

from twisted.application.service import ServiceMaker

xtcpService = ServiceMaker(
    "XTCP",
    "xtcp_twisted.tap",
    "Serve very many TCP connections from user space, through a TUN device.",
    "xtcp",
)
