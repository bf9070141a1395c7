"""The ordinary echo on kernel TCP: ``twistd --reactor=epoll --python epoll.tac``."""

from twisted.application import internet, service

from benchmarks.applications.echo import EchoFactory
from benchmarks.servers import PORT

application = service.Application("echo")
internet.TCPServer(PORT, EchoFactory(), backlog=65_535).setServiceParent(application)
