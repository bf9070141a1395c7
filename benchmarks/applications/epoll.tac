"""The ordinary echo on kernel TCP: ``twistd --reactor=epoll --python epoll.tac``."""

import socket

from twisted.application import internet, service
from twisted.internet import reactor
from twisted.internet.endpoints import AdoptedStreamServerEndpoint

from benchmarks.applications.echo import EchoFactory
from benchmarks.servers import PORT

listener = socket.create_server(("", PORT), backlog=65_535)
listener.setblocking(False)
# Connections inherit it, which spares each of them a call.
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
application = service.Application("echo")
endpoint = AdoptedStreamServerEndpoint(reactor, listener.detach(), socket.AF_INET)
internet.StreamServerEndpointService(endpoint, EchoFactory()).setServiceParent(application)
