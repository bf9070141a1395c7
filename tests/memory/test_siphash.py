"""SipHash against the vectors of its authors, and against a model (Aumasson and Bernstein, 2012)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xtcp_twisted.memory import siphash

KEY = bytes(range(16))
MASK = 2**64 - 1

#: SipHash-2-4 of the bytes 00, 00 01, 00 01 02 ... under KEY: the paper's appendix A
#: (15 bytes), and the beginning of the reference implementation's list.
VECTORS_2_4 = {
    0: "310e0edd47db6f72",
    1: "fd67dc93c539f874",
    2: "5a4fa9d909806c0d",
    3: "2d7efbd796666785",
    4: "b7877127e09427cf",
    5: "8da699cd64557618",
    6: "cee3fe586e46c9cb",
    7: "37d1018bf50002ab",
    8: "6224939a79f5f593",
    15: "e545be4961ca29a1",
}


def model(key: bytes, data: bytes, compress: int, finish: int) -> int:
    """SipHash-c-d, written down from the paper's section 2."""

    def rotate(x: int, b: int) -> int:
        return (x << b | x >> (64 - b)) & MASK

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[2] = (v[2] + v[3]) & MASK
            v[1], v[3] = rotate(v[1], 13) ^ v[0], rotate(v[3], 16) ^ v[2]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[1]) & MASK
            v[0] = (v[0] + v[3]) & MASK
            v[1], v[3] = rotate(v[1], 17) ^ v[2], rotate(v[3], 21) ^ v[0]
            v[2] = rotate(v[2], 32)

    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    padded = data + bytes(7 - len(data) % 8) + bytes((len(data) % 256,))
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(compress)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(finish)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_the_model_knows_the_published_vectors() -> None:
    for length, expected in VECTORS_2_4.items():
        assert model(KEY, bytes(range(length)), 2, 4).to_bytes(8, "little").hex() == expected


def test_published_vectors() -> None:
    for length, expected in VECTORS_2_4.items():
        got = siphash.siphash24(KEY, bytes(range(length)))
        assert got.to_bytes(8, "little").hex() == expected, f"{length} bytes"


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=80))
def test_against_the_model(key: bytes, data: bytes) -> None:
    assert siphash.siphash24(key, data) == model(key, data, 2, 4)
    assert siphash.siphash13(key, data) == model(key, data, 1, 3)
