"""Bulk streams on kernel TCP: ``twistd --reactor=epoll --python streams.tac``."""

from twisted.application import internet, service
from twisted.internet.protocol import Factory

from benchmarks.applications.streams import Discard, Generate
from benchmarks.bulk.sides import PORTS

application = service.Application("streams")
for protocol, port in zip((Discard, Generate), PORTS, strict=True):
    internet.TCPServer(port, Factory.forProtocol(protocol)).setServiceParent(application)
