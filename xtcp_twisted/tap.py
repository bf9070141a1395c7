"""``twistd xtcp``: the command line of the service.

Everything that can be wrong with options or configuration is said here, before
twistd forks, in sentences.  Nothing is opened here.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import attrs
from twisted.application.service import IService, MultiService
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python import usage

import twisted
import xtcp_twisted
from xtcp_twisted.errors import ConfigurationError
from xtcp_twisted.reactor.loading import SettingsError, find, load
from xtcp_twisted.reactor.settings import ConsoleSettings, Settings


class Options(usage.Options):
    """Options of ``twistd xtcp``; after parsing, `settings` is the checked configuration."""

    synopsis = "[options]"
    longdesc = (
        "Serve TCP connections from user space, through a TUN device. Without --config the"
        " configuration is $XTCP_CONFIG, ./xtcp.toml or /etc/xtcp/xtcp.toml; examples/xtcp.toml"
        " shows what may stand in it. Opening a device needs root or CAP_NET_ADMIN; twistd's"
        " --uid gives that up afterwards."
    )

    optParameters: ClassVar = [
        ["config", "c", None, "Configuration file (TOML)."],
        ["tun", "t", None, "Name of the TUN device, instead of the configuration's."],
        ["namespace", None, None, "Network namespace of the device: a name of 'ip netns' or a path."],
        ["capture", None, None, "Write every packet to this file (pcapng, for Wireshark)."],
        ["status-socket", None, None, "Unix socket that gives whoever connects one line of JSON."],
        ["console", None, None, "[ADDRESS:]PORT of the console, whatever the configuration says."],
    ]
    optFlags: ClassVar = [
        ["offload", None, "Leave checksums and segmentation to the kernel, whatever the configuration says."],
        ["no-console", None, "No console, whatever the configuration says."],
        ["check-config", None, "Check the configuration, say what is wrong, and exit."],
    ]

    compData = usage.Completions(
        descriptions={"config": "configuration file", "capture": "capture file"},
        optActions={
            "config": usage.CompleteFiles("*.toml", descr="configuration file"),
            "tun": usage.CompleteNetInterfaces(descr="TUN device"),
            "capture": usage.CompleteFiles("*.pcapng", descr="capture file"),
            "status-socket": usage.CompleteFiles(descr="Unix socket"),
        },
        multiUse=["set"],
    )

    settings: Settings

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["set"] = []

    def opt_set(self, change: str) -> None:
        """Replace a value of the configuration: KEY=VALUE, as in group.chat.port=5223; may be repeated."""
        self["set"].append(change)

    opt_s = opt_set

    def opt_version(self) -> None:
        """Show the versions and exit."""
        sys.stdout.write(f"xtcp_twisted {xtcp_twisted.__version__}, Twisted {twisted.__version__}\n")
        sys.exit(0)

    def postOptions(self) -> None:
        """Read and check the configuration.

        :raises UsageError: with a sentence for each thing that is wrong.
        """
        # Applications are looked for in the current folder, too, as `python -m` does; last,
        # so that nothing there takes the place of what is installed.
        sys.path.append(str(Path.cwd()))
        try:
            path = self["config"] or find()
            self.settings = self._withConsole(self._overridden(load(path, self["set"])))
        except SettingsError as error:
            self._refuse("the configuration is refused:\n  " + "\n  ".join(error.problems))
        except ConfigurationError as error:
            self._refuse(str(error))
        if self["check-config"]:
            sys.stdout.write(f"{path}: no errors\n")
            sys.exit(0)

    def _overridden(self, settings: Settings) -> Settings:
        given = {
            key: self[option]
            for key, option in (("name", "tun"), ("namespace", "namespace"), ("capture", "capture"))
            if self[option] is not None
        }
        if self["offload"]:
            given["offload"] = True
        if not given:
            return settings
        try:
            return attrs.evolve(settings, link=attrs.evolve(settings.link, **given))
        except ConfigurationError as error:
            raise SettingsError([f"link.{error}"]) from None

    def _withConsole(self, settings: Settings) -> Settings:
        """The options' console in place of the configuration's; None where there is to be none."""
        console = settings.console
        if self["console"] is not None and self["no-console"]:
            raise ConfigurationError("give either --console or --no-console")
        try:
            if self["console"] is not None:
                console = (console or ConsoleSettings()).moved(self["console"])
        except ConfigurationError as error:
            raise ConfigurationError(f"--console: {error}") from None
        if self["no-console"] or console is None or not console.enabled:
            return attrs.evolve(settings, console=None)
        from xtcp_console import without_extra

        try:
            import xtcp_console.service  # noqa: F401
        except ModuleNotFoundError as missing:
            raise without_extra(missing) from None
        return attrs.evolve(settings, console=console)

    def _refuse(self, text: str) -> None:
        if self["check-config"]:
            # twistd itself would print its whole help and exit with success.
            sys.exit(text)
        raise usage.UsageError(text)


class Failing:
    """The end of a process that can serve nothing any more: with status 1, so that it is started again.

    twistd's own status is 0 however its reactor has ended, and what is raised in a reactor never leaves it.
    So the last thing that the interpreter does is to exit otherwise: what was registered after this has run.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._failed = False
        atexit.register(self._exit)

    def end(self, reactor: Any) -> None:
        """Let the reactor stop, and the process exit with 1."""
        try:
            reactor.stop()
        except ReactorNotRunning:
            return  # it was told to end, and does
        self._failed = True
        self._log.critical("The process ends with status 1, to be started again by whoever supervises it")

    def _exit(self) -> None:
        if self._failed:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


def makeService(options: Options) -> IService:
    """The services of a parsed command line; opens nothing yet."""
    from xtcp_twisted.reactor.service import XTCPService

    made: Any = MultiService()
    whenFailed = Failing().end if options.settings.service.end_without_device else None
    server: Any = XTCPService(options.settings, options["status-socket"], whenFailed=whenFailed)
    if options.settings.console is not None:
        from xtcp_console.service import ConsoleService

        # First, so that a port in use is found before a device is opened.
        made.addService(ConsoleService(options.settings.console, server))
    made.addService(server)
    return made  # type: ignore[no-any-return]
