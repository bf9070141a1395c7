"""The packet ladder: what a failed test shows first."""

from __future__ import annotations

from .packets import Segment

ORDER = "SFRPUAEC"
WIDTH = 58


def flags_text(flags: frozenset[str]) -> str:
    return "".join(sorted(flags, key=ORDER.find))


def describe(segment: Segment, seq: int, ack: int) -> str:
    """A segment in one line; `seq` and `ack` as the reader wants to see them."""
    words = [flags_text(segment.flags) or "-", f"{seq}:{seq + segment.length}({len(segment.data)})"]
    if "A" in segment.flags:
        words.append(f"ack {ack}")
    words.append(f"win {segment.window}")
    options = []
    if segment.mss is not None:
        options.append(f"mss {segment.mss}")
    if segment.wscale is not None:
        options.append(f"wscale {segment.wscale}")
    if segment.tsval is not None:
        options.append(f"ts {segment.tsval},{segment.tsecr}")
    options += [f"opt{kind}" for kind in segment.options if kind not in (2, 3, 8)]
    if options:
        words.append(f"<{' '.join(options)}>")
    return " ".join(words)


class Ladder:
    """Two columns, the peer's packets and the engine's, with the virtual time of each."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.lines: list[str] = []

    def add(self, time: float, port: int, text: str, *, from_engine: bool) -> None:
        left, arrow, right = ("", "<--", text) if from_engine else (text, "-->", "")
        self.lines.append(f"{time - self.start:+11.6f} {port:>5} {left:<{WIDTH}} {arrow} {right}".rstrip())

    def note(self, time: float, text: str) -> None:
        self.lines.append(f"{time - self.start:+11.6f}       * {text}")

    def __str__(self) -> str:
        head = f"{'seconds':>11}  port {'peer':<{WIDTH}}     engine"
        shown = self.lines
        if len(shown) > 120:
            shown = [*shown[:20], f"      ... {len(shown) - 120} lines ...", *shown[-100:]]
        return "\n".join([head, *shown])
