"""The generator of tests/e2e/rows.h in Python: what each value of a test row must be.

An implementation of its own on purpose: a mistake that both sides of one program make would go
unseen.  Slow; e2e_check_rows checks every row, this checks samples.
"""

import math
import struct

MASK = (1 << 64) - 1
SIGN = 1 << 63
FRACTION = (1 << 52) - 1
INFINITY = 0x7FF << 52
KIND, FLOAT, INTEGER, BOOLEAN, UNSIGNED, TEXT, LIST_A, LIST_B = range(8)


def mix(x: int) -> int:
    """The finaliser of splitmix64."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def word_of(process: int, thread: int, index: int, column: int) -> int:
    """The random word behind one value."""
    return mix(mix(mix(process << 32 | thread) ^ index) ^ column)


def bits_of(value: float) -> int:
    """The 64 bits of a float."""
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def float_bits(word: int) -> int:
    """The bits of the float64 that float_of() in rows.h makes of a word."""
    match mix(word) & 15:
        case 0:
            return (word & (SIGN | FRACTION)) | 0x7FF8 << 48
        case 1:
            return (word & SIGN) | INFINITY
        case 2:
            return word & SIGN
        case 3:
            return word & (SIGN | FRACTION)
        case 4:
            high = word >> 32
            return bits_of(float(high - (1 << 32) if high >= 1 << 31 else high))
        case 5:
            return bits_of((word >> 11) * 2.0**-53)
        case _:
            return word


def signed(word: int) -> int:
    """The word read as an int64."""
    return word - (1 << 64) if word & SIGN else word


def is_same_float(found: object, bits: int) -> bool:
    """Bit-exact, except that JSON has one NaN for all."""
    if not isinstance(found, float):
        return False
    if bits & INFINITY == INFINITY and bits & FRACTION:
        return math.isnan(found)
    return bits_of(found) == bits


def is_right(row: dict) -> bool:
    """Whether an exported row of kind `numbers` holds what its process, thread and index say."""
    identity = (row["p"], row["t"], row["i"])
    return (
        is_same_float(row["f"], float_bits(word_of(*identity, FLOAT)))
        and row["n"] == signed(word_of(*identity, INTEGER))
        and type(row["n"]) is int
        and row["b"] is bool(word_of(*identity, BOOLEAN) & 1)
        and row["u"] == word_of(*identity, UNSIGNED) | SIGN
        and row["_step"] == row["i"]
    )
