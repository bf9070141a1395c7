"""The lab: a private piece of network with real kernel clients for the engine::

    kernel TCP clients -- 10.77.0.1, fd77::1 -- [TUN device] -- engine: 10.77.0.2, ...

Everything happens in a network namespace without a name, so nothing reaches the
host's network and nothing stays: the namespace ends with its processes and
descriptors, and a keeper process (`keeper`) ends those, also after a SIGKILL of
the process that made the lab.

Knows namespaces, processes and addresses; does not know what an engine is.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from xtcp_twisted.errors import LocalError
from xtcp_twisted.lab import keeper
from xtcp_twisted.lab.namespace import Namespace, require_privileges

if TYPE_CHECKING:
    from xtcp_twisted.link.tun import TunLink

P = ParamSpec("P")
R = TypeVar("R")

#: The clients' side: addresses of the device, with the prefixes that are routed to it.
CLIENT_ADDRESSES: Final = ("10.77.0.1/16", "fd77::1/64")
#: The engine's side: one address of each family for people, one prefix for fleets.
#: (The whole /16 would make the clients' own address one of the engine's.)
ENGINE_V4: Final = "10.77.0.2"
ENGINE_V6: Final = "fd77::2"
ENGINE_ADDRESSES: Final = (ENGINE_V4, "10.77.1.0/24", ENGINE_V6, "fd77::1:0/112")

#: BBR paces with timers of its own, which would be measured with the engine.
CONGESTION_CONTROLS: Final = ("cubic", "reno")

#: So many TCP sockets share the host's table without finding each other in the way.
HOST_SOCKETS: Final = 100_000

_SYSCTLS: Final = (
    ("net/ipv4/ip_local_port_range", "1024 65535"),
    # Addresses of a TUN device are usable at once, and it stays silent until a client speaks.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/ipv6/conf/default/addr_gen_mode", "1"),
)


class Lab:
    """A private network namespace, and what runs in it; a context manager.

    :param device: name of the TUN device that `link` makes.
    :param addresses: the clients' side of it, as ``address/prefix length``.
    :param mtu: its MTU, bytes.
    :param sockets: TCP sockets that will be open there at a time, if they are very many: kernels look
        them up in a table of their own then (see ``lab.namespace``).
    :param grace_s: how long processes may take to end after SIGTERM when the lab closes, seconds.
    :ivar path: the namespace as a path that other processes can open, while the lab lives.
    :ivar directory: a scratch directory (logs, sockets) that goes away with the lab.
    :raises PrivilegeError: on entering, when a right is missing; the text says what to type.
    :raises LinkError: on entering, when there is no ``/dev/net/tun``.

    On entering, a process without root's rights becomes root of a user namespace
    of its own for good (see `namespace.require_privileges`).
    """

    def __init__(
        self,
        *,
        device: str = "xtcp0",
        addresses: Sequence[str] = CLIENT_ADDRESSES,
        mtu: int = 1500,
        sockets: int = 0,
        grace_s: float = 3.0,
    ) -> None:
        self.device = device
        self.addresses = tuple(addresses)
        self.mtu = mtu
        self.sockets = sockets
        self.grace_s = grace_s
        self.path = ""
        self.directory = Path()
        self._namespace: Namespace | None = None
        self._links: list[TunLink] = []
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        if self._namespace is not None:
            raise LocalError("this lab is open already; make another one")
        require_privileges()
        # Two slots or more for each.
        slots = 1 << self.sockets.bit_length() + 1 if self.sockets > HOST_SOCKETS else 0
        self._namespace = Namespace(tcp_hash_slots=slots)
        self.directory = Path(tempfile.mkdtemp(prefix="xtcp-lab-"))
        self._control, theirs = socket.socketpair()
        try:
            self._namespace.call(_prepare)
            with theirs:
                self._start_keeper(theirs)
        except BaseException:
            self._control.close()
            shutil.rmtree(self.directory, ignore_errors=True)
            self._namespace.close()
            self._namespace = None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_keeper(self, theirs: socket.socket) -> None:
        arguments = [str(theirs.fileno()), str(os.getpid()), str(self.directory)]
        self._keeper: subprocess.Popen[bytes] = self.call(
            subprocess.Popen,
            [sys.executable, "-I", "-S", keeper.__file__, *arguments],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            # Out of reach of a Ctrl-C or a signal to the caller's process group.
            start_new_session=True,
        )
        # Else a keeper that dies at once would be waited for in vain.
        theirs.close()
        if self._control.recv(1) != keeper.READY:
            raise OSError(f"the lab's keeper process ended with status {self._keeper.wait()}")
        self.path = f"/proc/{self._keeper.pid}/ns/net"

    @property
    def keeper_pid(self) -> int:
        """A process in the namespace, for ``nsenter --target`` and the like."""
        return self._keeper.pid

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` in a thread inside the lab; its result, or what it raises.

        A socket made there stays in the lab and may be used from everywhere:
        ``lab.call(socket.create_connection, (ENGINE_V4, 7))``.
        """
        if self._namespace is None:
            raise LocalError("this lab is not open; use it as a context manager: with Lab() as lab")
        return self._namespace.call(function, *args, **kwargs)

    def popen(self, argv: Sequence[str], *, inside: bool = True, **options: Any) -> subprocess.Popen[Any]:
        """Start a process that ends with the lab at the latest.

        :param argv: program and arguments.
        :param inside: False leaves it in the host's network (a server whose TUN device alone
            is in the lab), but it ends with the lab all the same.
        :param options: as for `subprocess.Popen`.
        :raises OSError: it cannot be started.
        """

        def start() -> subprocess.Popen[Any]:
            return subprocess.Popen(list(argv), **options)

        process = self.call(start) if inside else start()
        self._processes = [p for p in self._processes if p.poll() is None]
        self._processes.append(process)
        self._guard(process)
        return process

    def _guard(self, process: subprocess.Popen[Any]) -> None:
        pidfd = os.pidfd_open(process.pid)
        try:
            socket.send_fds(self._control, [keeper.GUARD], [pidfd])
        finally:
            os.close(pidfd)

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - its name in subprocess.run
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program inside the lab and wait for it, as `subprocess.run` does.

        :param argv: program and arguments.
        :param input: what it reads from its standard input.
        :param timeout: seconds after which it is killed.
        :param options: as for `popen`.
        :raises subprocess.TimeoutExpired: after `timeout`.
        :raises subprocess.CalledProcessError: with `check`, if its exit status is not 0.
        """
        if options.pop("capture_output", False):
            options.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if input is not None:
            options["stdin"] = subprocess.PIPE
        with self.popen(argv, **options) as process:
            try:
                output, errors = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args, output, errors)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def link(self, *, offload: bool = False) -> TunLink:
        """A TUN device in the lab, for an engine in this process; closed with the lab.

        :param offload: as of `TunLink`.
        :raises LinkError: the device cannot be made (its name is taken).
        """
        # Here, because most users of a lab have no engine in their own process.
        from xtcp_twisted.link.tun import TunLink

        if self._namespace is None:
            raise LocalError("this lab is not open; use it as a context manager: with Lab() as lab")
        link = TunLink(
            self.device,
            addresses=self.addresses,
            mtu=self.mtu,
            namespace=self._namespace.fd,
            offload=offload,
        )
        self._links.append(link)
        return link

    def close(self) -> None:
        """End the lab's processes, close its links and let the namespace go."""
        if self._namespace is None:
            return
        namespace = self.call(keeper.namespace_of, "thread-self")
        self._terminate()
        for link in self._links:
            link.close()
        self._control.close()
        if self._keeper.wait() != 0 and namespace is not None:
            # Somebody killed the keeper: its work is ours then.
            keeper.sweep(namespace)
            shutil.rmtree(self.directory, ignore_errors=True)
        for process in self._processes:
            process.wait()
        self._namespace.close()
        self._namespace = None
        self._links, self._processes = [], []

    def _terminate(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.grace_s
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                break


def _prepare() -> None:
    """Set up the namespace of the calling thread: sysctls, loopback."""
    # Here, because it takes 0.2 s, and client processes that import this package do without.
    from pyroute2 import IPRoute

    for name, value in _SYSCTLS:
        path = Path("/proc/sys", name)
        if path.exists():
            path.write_text(value)
    for name in CONGESTION_CONTROLS:
        try:
            Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(name)
        except OSError:
            continue  # not there, or not open to namespaces on this host
        break
    with IPRoute() as routes:
        routes.link("set", index=routes.link_lookup(ifname="lo")[0], state="up")
