"""A small reader of Protocol Buffers, for tests that must not trust the library that wrote them.

    fields(message) -> {number: [value, ...]}

A value is an int (varints, and fixed numbers as their bits) or bytes (text, messages, lists).
"""

import struct


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a varint without an end at {at}")


def fields(data: bytes) -> dict[int, list]:
    """The fields of a message in the order they were written."""
    found: dict[int, list] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        match key & 7:
            case 0:
                value, at = varint(data, at)
            case 1:
                value, at = struct.unpack_from("<Q", data, at)[0], at + 8
            case 2:
                size, at = varint(data, at)
                value, at = data[at:at + size], at + size
                if len(value) != size:
                    raise ValueError(f"a field that ends after the message, at {at}")
            case 5:
                value, at = struct.unpack_from("<I", data, at)[0], at + 4
            case kind:
                raise ValueError(f"wire type {kind} at {at}")
        found.setdefault(key >> 3, []).append(value)
    return found


def one(message: dict[int, list], number: int, default: object = None) -> object:
    """The only value of a field, or the default."""
    values = message.get(number, [default])
    if len(values) != 1:
        raise ValueError(f"field {number} appears {len(values)} times")
    return values[0]


def text(message: dict[int, list], number: int) -> str:
    """A text field; empty when it is not there."""
    return one(message, number, b"").decode()


def signed(value: int) -> int:
    """A varint as the int64 it stands for."""
    return value - (1 << 64) if value >> 63 else value


def float32(bits: int) -> float:
    """The float of a fixed32."""
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def float64(bits: int) -> float:
    """The double of a fixed64."""
    return struct.unpack("<d", struct.pack("<Q", bits))[0]
