"""Find, make and configure a TUN device: everything about it but its packets.

A device is attached to through ``/dev/net/tun`` (`ioctl` TUNSETIFF, see
linux/if_tun.h); one that had to be made gets its addresses, MTU and queue
length by netlink.  All of it happens in the device's network namespace, by a
thread that enters it and ends there; the descriptor works from everywhere.

Every refusal of the kernel becomes an error that says what was wrong and what
to type.  Knows nothing of packets or engines.  pyroute2 is imported only when
netlink is needed, since attaching to a device that is there needs none.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import pwd
import re
import shlex
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import attrs

from xtcp_twisted.errors import ConfigurationError, LinkError, PrivilegeError

Result = TypeVar("Result")
Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface

TUN_NODE: Final = "/dev/net/tun"
NAMESPACES: Final = "/var/run/netns"

# linux/if_tun.h
TUNSETIFF: Final = 0x4004_54CA
TUNSETPERSIST: Final = 0x4004_54CB
TUNSETOWNER: Final = 0x4004_54CC
TUNSETOFFLOAD: Final = 0x4004_54D0
TUNSETVNETHDRSZ: Final = 0x4004_54D8
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
IFF_VNET_HDR: Final = 0x4000
TUN_F_CSUM: Final = 0x01
TUN_F_TSO4: Final = 0x02
TUN_F_TSO6: Final = 0x04
TUN_F_TSO_ECN: Final = 0x08
OFFLOADS: Final = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN
#: Size of the header that the link understands (struct virtio_net_hdr).
VNET_HEADER: Final = 10
#: How often a device that is busy is asked for, and how long to wait between, seconds: what a process that
#: was killed had in an io_uring is given back by the kernel some 30 ms after its end.
BUSY_TRIES: Final = 25
BUSY_PAUSE_S: Final = 0.01
# linux/if.h, linux/sockios.h
IFNAMSIZ: Final = 16
IFF_UP: Final = 0x0001
SIOCGIFFLAGS: Final = 0x8913
SIOCGIFMTU: Final = 0x8921
# sched.h
CLONE_NEWNET: Final = 0x4000_0000


_libc = ctypes.CDLL(None, use_errno=True)


def _addresses(values: Iterable[str]) -> tuple[Address, ...]:
    if isinstance(values, str):
        values = (values,)
    return tuple(_address(value) for value in values)


def _address(value: str) -> Address:
    try:
        return ipaddress.ip_interface(value)
    except ValueError:
        raise ConfigurationError(
            f"addresses: {value!r} is not allowed; give an address with its prefix, such as '10.77.0.1/24'"
        ) from None


def _integer(low: int, high: int) -> Any:
    def check(instance: object, attribute: attrs.Attribute[int], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigurationError(
                f"{attribute.name}: {value!r} is not allowed; give an integer from {low:,} to {high:,}"
            )

    return check


def _boolean(instance: object, attribute: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{attribute.name}: {value!r} is not allowed; give True or False")


def _device_name(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value.encode()) < IFNAMSIZ:
        raise LinkError(f"device name {value!r}: give a name of 1 to {IFNAMSIZ - 1} characters")
    if value in (".", "..") or not re.fullmatch(r"[\w.@+-]+", value, re.ASCII):
        raise LinkError(f"device name {value!r}: give letters, digits, '_', '.', '-', '+' and '@' only")


@attrs.frozen(kw_only=True)
class TunRequest:
    """What device is asked for; the meaning of the fields is that of `TunLink`'s arguments."""

    name: str = attrs.field(validator=_device_name)
    addresses: tuple[Address, ...] = attrs.field(default=(), converter=_addresses)
    mtu: int = attrs.field(default=1500, validator=_integer(576, 65_535))
    namespace: str | os.PathLike[str] | int | None = None
    owner: str | int | None = None
    queue_length: int = attrs.field(default=10_000, validator=_integer(1, 10_000_000))
    persist: bool = False
    offload: bool = attrs.field(default=False, validator=_boolean)


@attrs.frozen
class TunDevice:
    """An attached device.  Both descriptors are the caller's to close."""

    #: Of /dev/net/tun, non-blocking.
    descriptor: int
    #: Of the device's network namespace; -1: the process's own.
    namespace: int
    #: Of the device, bytes.
    mtu: int
    #: Whether it was made by this call.
    created: bool


def open_tun(request: TunRequest) -> TunDevice:
    """Attach to the device, making and configuring it when it does not exist.

    :raises PrivilegeError: a right is missing; the text says what to type.
    :raises LinkError: no TUN driver, device busy, unknown namespace or owner.
    :raises ConfigurationError: the kernel refuses an address.
    """
    owner = _user_id(request.owner)
    namespace = _open_namespace(request.namespace)
    try:
        return inside(namespace, lambda: _open_here(request, owner, namespace))
    except BaseException:
        if namespace >= 0:
            os.close(namespace)
        raise


def host_addresses(name: str, namespace: int = -1) -> list[Address]:
    """The kernel's addresses on device `name`, in the namespace of descriptor `namespace` (-1: here)."""

    def ask() -> list[Address]:
        from xtcp_twisted.link import netlink

        return netlink.host_addresses(_index(name))

    return inside(namespace, ask)


def is_up(name: str, namespace: int = -1) -> bool:
    """Whether device `name` is up, in the namespace of descriptor `namespace` (-1: here)."""

    def ask() -> bool:
        (flags,) = _interface_value(name, SIOCGIFFLAGS, "H")
        return bool(flags & IFF_UP)

    return inside(namespace, ask)


def inside(namespace: int, job: Callable[[], Result]) -> Result:
    """Run `job` in the network namespace of descriptor `namespace` (-1: here) and return its result.

    In a thread of its own: entering a namespace changes the thread for good, and
    pyroute2 brings an event loop that must not meet one of the caller's.
    """

    def enter() -> Result:
        if namespace >= 0 and _libc.setns(namespace, CLONE_NEWNET):
            raise _cannot_enter(ctypes.get_errno())
        return job()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter).result()


def _cannot_enter(code: int) -> Exception:
    if code == errno.EPERM:
        return PrivilegeError(
            "entering another network namespace takes root (CAP_SYS_ADMIN): run this with sudo, or start it"
            " inside the namespace (`sudo ip netns exec NAME sudo -u $USER ...`)"
        )
    if code == errno.EINVAL:
        return LinkError("namespace: the file or descriptor is not one of a network namespace")
    return LinkError(f"namespace: it cannot be entered: {os.strerror(code)}")


def _open_namespace(namespace: str | os.PathLike[str] | int | None) -> int:
    if namespace is None:
        return -1
    if isinstance(namespace, int):
        try:
            return os.dup(namespace)
        except OSError:
            raise LinkError(f"namespace: {namespace} is not an open descriptor") from None
    path = os.fspath(namespace)
    if "/" not in path:
        path = f"{NAMESPACES}/{path}"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LinkError(
            f"unknown network namespace {os.fspath(namespace)!r}: there is no {path};"
            " `ip netns list` shows the names"
        ) from None
    except PermissionError:
        raise PrivilegeError(f"namespace: {path} may not be opened; run this with sudo") from None


def _user_id(owner: str | int | None) -> int | None:
    if owner is None or isinstance(owner, int):
        return owner
    if owner.isdecimal():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise LinkError(f"unknown owner {owner!r}: no user has this name; give a name or a number") from None


def _open_here(request: TunRequest, owner: int | None, namespace: int) -> TunDevice:
    descriptor = _open_node()
    try:
        existed = _attach(descriptor, request)
        _set_offloads(descriptor, request)
        if not existed:
            _configure(request)
            if owner is not None:
                fcntl.ioctl(descriptor, TUNSETOWNER, owner)
            if request.persist:
                fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
        (mtu,) = _interface_value(request.name, SIOCGIFMTU, "i")
    except BaseException:
        os.close(descriptor)
        raise
    return TunDevice(descriptor, namespace, mtu, not existed)


def _open_node() -> int:
    try:
        return os.open(TUN_NODE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            raise LinkError(
                f"no {TUN_NODE}: the TUN driver is not loaded; type `sudo modprobe tun`"
                " (a container must be given the device: `--device /dev/net/tun`)"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise PrivilegeError(
                f"{TUN_NODE} may not be opened by user {_user()}: type `sudo chmod 0666 {TUN_NODE}` (devices"
                " stay protected, each has its owner), or run this with sudo"
            ) from None
        raise LinkError(f"{TUN_NODE}: {error.strerror}") from None


def _attach(descriptor: int, request: TunRequest) -> bool:
    """Whether the device was there before."""
    flags = IFF_TUN | IFF_NO_PI | (IFF_VNET_HDR if request.offload else 0)
    for tries_left in reversed(range(BUSY_TRIES)):
        before = _number(request.name)
        try:
            fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", request.name.encode(), flags))
        except OSError as error:
            if error.errno != errno.EBUSY or not tries_left:
                raise _refusal(error, request, existed=before is not None) from None
            threading.Event().wait(BUSY_PAUSE_S)
        else:
            break
    # It may have gone, and been made anew for us, between the two calls.
    return before == _number(request.name)


def _refusal(error: OSError, request: TunRequest, existed: bool) -> Exception:
    """Why the kernel does not let us have the device."""
    name = request.name
    if error.errno in (errno.EPERM, errno.EACCES):
        return PrivilegeError(_how_to_make(request, existed))
    if error.errno == errno.EBUSY:
        return LinkError(
            f"{name}: the device is busy, another process has it open; stop that one, or give another name"
        )
    if error.errno == errno.EINVAL and existed:
        return LinkError(
            f"{name} exists but is not a plain TUN device (made with `mode tun`, without multi_queue);"
            " give another name"
        )
    return LinkError(f"{name}: the kernel refuses the device: {error.strerror}")


def _set_offloads(descriptor: int, request: TunRequest) -> None:
    """What the kernel may leave to us; a device keeps it from whoever was attached before."""
    try:
        if request.offload:
            fcntl.ioctl(descriptor, TUNSETVNETHDRSZ, struct.pack("i", VNET_HEADER))
        fcntl.ioctl(descriptor, TUNSETOFFLOAD, OFFLOADS if request.offload else 0)
    except OSError as error:
        raise LinkError(
            f"{request.name}: the kernel refuses to leave checksums and segmentation to this program"
            f" ({error.strerror}); open the link without offload"
        ) from None


def _how_to_make(request: TunRequest, existed: bool) -> str:
    """The commands that make the device for this user, as text."""
    name, ip = request.name, _ip_command(request.namespace)
    lines = [f"{ip} link del {name}"] if existed else []
    lines.append(f"{ip} tuntap add dev {name} mode tun user {_user()}")
    lines += [
        f"{ip} addr add {address} dev {name}{' nodad' if address.version == 6 else ''}"
        for address in request.addresses
    ]
    lines.append(f"{ip} link set {name} addrgenmode none")
    lines.append(f"{ip} link set {name} mtu {request.mtu} txqueuelen {request.queue_length} up")
    problem = (
        f"TUN device {name} exists but belongs to another user"
        if existed
        else f"TUN device {name} does not exist, and making it takes root (CAP_NET_ADMIN)"
    )
    return f"{problem}. Run this with sudo, or make the device once for user {_user()}:\n  " + "\n  ".join(
        lines
    )


def _ip_command(namespace: str | os.PathLike[str] | int | None) -> str:
    if namespace is None or isinstance(namespace, int):
        return "sudo ip"
    path = os.fspath(namespace)
    if "/" in path:
        return f"sudo nsenter --net={shlex.quote(path)} ip"
    return f"sudo ip -n {shlex.quote(path)}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _configure(request: TunRequest) -> None:
    from xtcp_twisted.link import netlink

    index = _index(request.name)
    netlink.configure(request.name, index, request.addresses, request.mtu, request.queue_length)


def _number(name: str) -> int | None:
    """The number of the device now, which no later one gets; None: there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def _index(name: str) -> int:
    number = _number(name)
    if number is None:
        raise LinkError(f"{name}: there is no such device (any more)")
    return number


def _interface_value(name: str, request: int, form: str) -> tuple[Any, ...]:
    """Ask for one value of the interface by `ioctl`; struct ifreq has it behind the name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as ask:
        try:
            answer = fcntl.ioctl(ask, request, struct.pack("16s24x", name.encode()))
        except OSError as error:
            raise LinkError(f"{name}: {error.strerror}") from None
    return struct.unpack_from(form, answer, IFNAMSIZ)
