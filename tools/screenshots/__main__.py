"""``make screenshots``: the pictures of the console in docs/images.

Nothing in them is drawn by hand: ``twistd xtcp`` serves real kernel clients in a
lab for a minute and a half, uploads come in waves that are faster than their
reader, and a browser looks at the console at the height of a wave.  Leaves
nothing behind but the pictures.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support import chromium
from tests.support.live import ROOT, Console, running
from tools.screenshots.load import Waves
from xtcp_twisted.errors import PrivilegeError
from xtcp_twisted.lab.namespace import require_privileges

FOLDER: Final = ROOT / "docs" / "images"
SCENE: Final = Path(__file__).with_name("scene.toml")

#: History that the pictures show, seconds.
HISTORY_S: Final = 80.0
#: How long to wait for the height of a wave after that, seconds.
PATIENCE_S: Final = 30.0

#: Clients that ask: how many, how often a second all together, what, and on which port.
CROWDS: Final = (
    (900, 240.0, "chat", 5222),
    (1500, 320.0, "echo", 5269),
)
#: Two kinds go to slow readers, one to an echo server by clients that are slow readers themselves.
#: They meet when the pictures are taken.
WAVES: Final = (
    Waves(port=8443, clients=170, every_s=45.0, last_s=16.0, bytes_per_s=1_000_000),
    Waves(port=1883, clients=60, every_s=15.0, last_s=8.0, bytes_per_s=200_000),
    Waves(port=5269, clients=32, every_s=30.0, last_s=12.0, bytes_per_s=140_000, read_bytes_per_s=2_000),
)

PHONE_WIDTH: Final = 390
#: What the pictures are taken with.
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "console": {"viewport": {"width": 1440, "height": 900}},
    "console-phone": {
        "viewport": {"width": PHONE_WIDTH, "height": 844},
        "is_mobile": True,
        "device_scale_factor": 2,
    },
}
#: So many colours do for a page without photographs, and save two thirds of the bytes.
COLOURS: Final = 256

CLONE_NEWUTS: Final = 0x0400_0000


def call_this_machine(name: str) -> None:
    """Give this process and its children a host name that may be shown to everybody.

    :raises PrivilegeError: a right is missing; the text says which, and what to type.
    """
    require_privileges()
    if ctypes.CDLL(None).unshare(CLONE_NEWUTS):
        raise PrivilegeError("a host name of one's own (a UTS namespace) cannot be had here")
    socket.sethostname(name)


def await_wave(console: Console, states: set[str]) -> None:
    """Wait until the uploads' pool is in one of the pressure `states`."""
    end = time.monotonic() + PATIENCE_S
    while console.pool("uploads")["receive_buffer"]["pressure"]["state"] not in states:
        if time.monotonic() > end:
            sys.exit(f"no wave of uploads has brought its pool to {' or '.join(sorted(states))}")
        time.sleep(0.2)


def opened(browser: Browser, console: Console) -> Iterator[tuple[Path, Page]]:
    """The file of each picture, and the page that is to be on it."""
    context = browser.new_context()
    context.new_page().goto(console.link())
    session: Any = context.storage_state()
    context.close()
    for (name, options), scheme in itertools.product(LOOKS.items(), ("light", "dark")):
        context = browser.new_context(
            **options, color_scheme=scheme, storage_state=session, timezone_id="UTC", locale="en-GB"
        )
        page = context.new_page()
        page.goto(console.url)
        expect(page.locator("#live-text")).to_have_text("Live")
        yield FOLDER / f"{name}-{scheme}.png", page


def take(page: Page, path: Path) -> None:
    """Take a picture: of the whole page, or of a phone's first screen."""
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    if width > PHONE_WIDTH:
        # Not `full_page`: what stands at the lower edge of the window belongs there.
        page.set_viewport_size({"width": width, "height": height})
    save(page.screenshot(), path)


def save(png: bytes, path: Path) -> None:
    """Write a picture with few colours, which is small."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {picture.width} x {picture.height}, {path.stat().st_size // 1024} KiB")


def main() -> None:
    """Set the scene, wait, take the pictures."""
    program = chromium.find()
    if program is None:
        sys.exit(chromium.MISSING)
    try:
        call_this_machine("edge-1")
    except PrivilegeError as error:
        sys.exit(str(error))
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running(SCENE.read_text("utf-8")) as console, ExitStack() as stack:
        for crowd in CROWDS:
            stack.enter_context(console.clients(*crowd))
        for waves in WAVES:
            stack.enter_context(waves.running(console))
        print(f"Kernel clients talk to the engine for {HISTORY_S:.0f} s ...", flush=True)
        time.sleep(HISTORY_S)
        with chromium.launched(program) as browser:
            pages = list(opened(browser, console))
            await_wave(console, {"open"})
            await_wave(console, {"withholding", "discarding"})
            for path, page in pages:
                take(page, path)


if __name__ == "__main__":
    main()
