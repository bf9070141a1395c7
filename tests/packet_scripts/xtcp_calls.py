"""What only this engine does, as calls of a script: sockets have no words for it.

xtcp_pending(3) = n                  how many connection requests wait
xtcp_accept(3) = 4                   accept the oldest: its SYN-ACK leaves
xtcp_refuse(3) = 0                   refuse it
xtcp_credit(3, n) = 0                post accept credits
xtcp_recv(4, offset, most) = n       take data, which begins at that place of the stream
xtcp_need(4, n) = 0                  offer again when so many bytes are there
xtcp_send(4, ..., n, ackd) = n       send, and acknowledge `ackd` bytes of what was taken
xtcp_broadcast(3, ..., n) = m        the same bytes to all connections
"""

from __future__ import annotations

from .flow import application_bytes
from .script import Call
from .system_calls import Operation, SystemCalls


class XTCPCalls(SystemCalls):
    """And the calls that only this engine has."""

    def _call_xtcp_pending(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        return lambda: self.sockets.pending(descriptor.socket)

    def _call_xtcp_accept(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        return lambda: self._opened(call, self.sockets.accept_request(descriptor.socket))

    def _call_xtcp_refuse(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)

        def refuse() -> int:
            self.sockets.refuse_request(descriptor.socket)
            return 0

        return refuse

    def _call_xtcp_credit(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)

        def credit() -> int:
            self.sockets.credit(descriptor.socket, call.arguments[1])
            return 0

        return credit

    def _call_xtcp_recv(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        _, offset, most = call.arguments

        def receive() -> int:
            data = self.sockets.recv(descriptor.socket, most)
            self._check_bytes(call, descriptor, data, offset)
            return len(data)

        return receive

    def _call_xtcp_need(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)

        def need() -> int:
            self.sockets.need(descriptor.socket, call.arguments[1])
            return 0

        return need

    def _call_xtcp_send(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)
        _, _, length, ackd = call.arguments

        def send() -> int:
            data = application_bytes(descriptor.written, length)
            taken = self.sockets.send(descriptor.socket, data, ackd)
            descriptor.written += taken
            return taken

        return send

    def _call_xtcp_broadcast(self, call: Call) -> Operation:
        descriptor = self._descriptor(call)

        def broadcast() -> int:
            connections = [d for d in self.descriptors.values() if d.socket.cd is not None]
            (written,) = {d.written for d in connections}
            reached = self.sockets.broadcast(descriptor.socket, application_bytes(written, call.arguments[2]))
            for connection in connections:
                connection.written += call.arguments[2]
            return reached

        return broadcast
