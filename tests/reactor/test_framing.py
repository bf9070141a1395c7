"""Framings: the same frames, however the bytes are cut into segments, offered again or acknowledged."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reactor.world import World
from xtcp_twisted.config import ACK_POLICIES
from xtcp_twisted.reactor.frames import FramedGroupProtocol
from xtcp_twisted.reactor.framing import TOO_LONG, Framing, LengthPrefixFraming, LineFraming

LONGEST = 12


class Lines(LineFraming):
    MAX_LENGTH = LONGEST


class ShortDelimiter(Lines):
    delimiter = b"\n"


class LongDelimiter(Lines):
    delimiter = b"abab"


class Prefix1(LengthPrefixFraming):
    MAX_LENGTH = LONGEST
    structFormat = "!B"


class Prefix2(Prefix1):
    structFormat = "<H"


class Prefix4(Prefix1):
    structFormat = "!I"


class Prefix8(Prefix1):
    structFormat = ">Q"


FRAMINGS: list[type[Framing]] = [
    Lines,
    ShortDelimiter,
    LongDelimiter,
    Prefix1,
    Prefix2,
    Prefix4,
    Prefix8,
]
framings = pytest.mark.parametrize("framing", FRAMINGS)
policies = pytest.mark.parametrize("policy", ACK_POLICIES)


def model(framing: Framing, stream: bytes) -> tuple[list[bytes], bool]:
    """The frames of a whole stream, found byte by byte, and whether one is too long."""
    frames: list[bytes] = []
    begin = 0
    for at in range(len(stream) + 1):
        part = stream[begin:at]
        if isinstance(framing, LineFraming):
            line = part.removesuffix(framing.delimiter)
            if len(part) == LONGEST + len(framing.delimiter) and line == part:
                return frames, True
            whole = line != part
        else:
            assert isinstance(framing, LengthPrefixFraming)
            size = struct.calcsize(framing.structFormat)
            length = int.from_bytes(part[:size], "little" if framing.structFormat[0] == "<" else "big")
            if len(part) >= size and length > LONGEST:
                return frames, True
            line, whole = part[size:], len(part) >= size and len(part) == size + length
        if whole:
            frames.append(line)
            begin = at
    return frames, False


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(edges)]


#: What lines and lengths are made of, so that ends and lengths that are right are frequent.
STREAMS = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b"\r", b"\n", b"ab", b"a", b"\0\0\0", b"\0\0\0\0\0\0\0", b"\3", b"\0"]),
        st.binary(max_size=4),
        st.integers(0, LONGEST + 1).map(lambda n: n.to_bytes(2, "big")),
        st.integers(0, LONGEST + 2).map(lambda n: b"x" * n),
    ),
    max_size=20,
).map(b"".join)
CUTS = st.lists(st.integers(0, 1_000), max_size=12)


@framings
@given(stream=STREAMS, cuts=CUTS)
def test_any_segmentation_gives_the_same_frames(
    framing: type[Framing], stream: bytes, cuts: list[int]
) -> None:
    """As a group does it: what is not used is offered again, when as much is there as is needed."""
    made = framing()
    found: list[bytes] = []
    held, need, exceeded = b"", 0, False
    for piece in pieces(stream, cuts):
        held += piece
        if len(held) < need or exceeded:
            continue
        frames, used, need = made.cut(held)
        found += frames
        held = held[used:]
        exceeded = need == TOO_LONG
        assert exceeded or (need > len(held)) == (held != b"")
    assert (found, exceeded) == model(made, stream)


@framings
@given(frames=st.lists(st.binary(max_size=LONGEST).filter(lambda b: not set(b) & set(b"\r\nab"))))
def test_what_is_joined_is_cut_again(framing: type[Framing], frames: list[bytes]) -> None:
    made = framing()
    stream = b"".join(map(made.join, frames))
    assert len(stream) == sum(len(frame) + made.overhead for frame in frames)
    if stream:
        assert made.cut(stream) == (frames, len(stream), 0)


def test_without_a_framing_an_offer_is_a_frame() -> None:
    assert Framing().cut(b"ab\ncd") == ([b"ab\ncd"], 5, 0)
    assert Framing().join(b"ab") == b"ab"


def test_a_frame_that_its_length_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes is too long for a length of 1 bytes"):
        Prefix1().join(bytes(256))


# -- through the engine --------------------------------------------------------------------------


class Frames(FramedGroupProtocol):
    """Writes down what it gets."""

    def __init__(self) -> None:
        self.found: list[bytes] = []
        self.made: list[int] = []
        self.exceeded = 0

    def connectionMade(self, cd: int) -> None:
        self.made.append(cd)

    def framesReceived(self, frames: list[tuple[int, bytes]]) -> None:
        self.found += [frame for _, frame in frames]

    def frameLengthExceeded(self, cd: int) -> None:
        self.exceeded += 1


def protocol(framing: type[Framing]) -> Frames:
    made: Frames = type("Made", (framing, Frames), {})()
    return made


@framings
@policies
@given(stream=STREAMS, cuts=CUTS, turns=st.integers(0, 2**12 - 1))
def test_the_same_through_the_engine(
    world: World, framing: type[Framing], policy: str, stream: bytes, cuts: list[int], turns: int
) -> None:
    """Segments of one turn or of several; nothing is left in the buffer but the part of a frame."""
    got = protocol(framing)
    port = world.listen(got, 0, ack_policy=policy)
    client = world.client(port).opened()
    for i, piece in enumerate(pieces(stream, cuts)):
        client.send(piece)
        if turns & 1 << i:
            world.turn()
    world.turns(2)
    frames, exceeded = model(framing(), stream)
    assert (got.found, got.exceeded) == (frames, exceeded)
    if not exceeded:
        rest = len(stream) - sum(len(frame) + framing().overhead for frame in frames)
        assert got.group.info(got.made[0]).held == rest
        client.rst()
    port.stopListening()
    world.turns(2)
    assert world.receive_used == 0
