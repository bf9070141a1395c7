"""From settings to what they describe: a link, and a stack on it.

Knows settings, links and stacks; must not know services or where settings come from.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from twisted.logger import Logger

from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.link.base import Link
from xtcp_twisted.link.tun import TunLink
from xtcp_twisted.reactor.settings import LinkSettings, Settings
from xtcp_twisted.reactor.stack import DEFAULT, XTCPStack

_log: Final = Logger()


def openStack(reactor: Any, settings: Settings, name: str = DEFAULT) -> XTCPStack:
    """Open the link, make the engine and its pools, and let the reactor drive it.

    The groups of the settings are left to the caller.

    :param name: by which `stackFor` finds it.
    :raises XTCPError: what `openLink` raises, or the reactor has a stack of this name; nothing stays open.
    """
    link = openLink(settings.link, settings.engine.addresses)
    try:
        stack = XTCPStack(reactor, link, settings.engine, name=name)
    except BaseException:
        link.close()
        raise
    try:
        for pool in settings.pool:
            stack.createPool(pool.name, pool.receive_buffer, pool.pressure, pool.throttling)
        stack.start()
    except BaseException:
        stack.stop()
        raise
    return stack


def openLink(settings: LinkSettings, answers: tuple[str, ...]) -> Link:
    """Open what a ``[link]`` table describes.

    :param answers: the addresses and prefixes that the engine answers for.
    :raises ResourceError: no device, no privilege; the text says what to do.
    :raises ConfigurationError: the host has one of the engine's addresses itself.
    """
    if settings.kind == "memory":
        from xtcp_twisted.link.memory import MemoryLink

        return MemoryLink(settings.mtu, offload=settings.offload)
    link = TunLink(
        settings.name,
        addresses=settings.addresses,
        mtu=settings.mtu,
        namespace=settings.namespace,
        owner=settings.owner,
        queue_length=settings.queue_length,
        offload=settings.offload,
        io_uring=settings.io_uring,
    )
    _refuseOwnAddresses(link, settings.name, answers)
    if settings.io_uring and not link.io_uring:
        _log.info(
            "{name}: each packet takes a system call of its own, since this process may not use io_uring"
            " (kernel.io_uring_disabled, the container's seccomp profile, or Linux before 5.19)",
            name=settings.name,
        )
    if settings.capture:
        from xtcp_twisted.link.capture import CaptureLink

        return CaptureLink(link, settings.capture)
    return link


def _refuseOwnAddresses(link: TunLink, name: str, answers: tuple[str, ...]) -> None:
    """An existing device has addresses that no configuration names; they must not be the engine's."""
    networks = [ipaddress.ip_network(text, strict=False) for text in answers]
    for host in link.host_addresses():
        for network in networks:
            if host.ip in network:
                link.close()
                raise ConfigurationError(
                    f"{name}: the host has the address {host.ip} on this device, but the engine answers"
                    f" for it, too (engine.addresses: {network}); take it from the device"
                )
