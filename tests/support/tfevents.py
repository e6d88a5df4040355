"""Reads TensorBoard event files with nothing but the standard library.

    for event in events(path): event.step, event.scalars, event.texts, …

An implementation of its own on purpose: a mistake that writer and reader share would go unseen.
"""

import dataclasses
import struct
from collections.abc import Iterator
from pathlib import Path

import protobuf

# CRC-32C (Castagnoli), reflected.
_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc32c(data: bytes) -> int:
    """The checksum of iSCSI."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """The checksum as TensorFlow stores it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file; ValueError where it is damaged."""
    at = 0
    while at < len(data):
        head = data[at:at + 8]
        size, check = struct.unpack("<QI", data[at:at + 12])
        if masked(head) != check:
            raise ValueError(f"the size at {at} has the wrong checksum")
        body = data[at + 12:at + 12 + size]
        end, = struct.unpack("<I", data[at + 12 + size:at + 16 + size])
        if masked(body) != end:
            raise ValueError(f"the record at {at} has the wrong checksum")
        yield body
        at += 16 + size


@dataclasses.dataclass
class Event:
    """One record: a row, or what stands between rows."""

    wall_time: float
    step: int
    version: str = ""
    restarts: bool = False
    scalars: dict[str, float] = dataclasses.field(default_factory=dict)
    texts: dict[str, str] = dataclasses.field(default_factory=dict)


def _event(record: bytes) -> Event:
    message = protobuf.fields(record)
    event = Event(protobuf.float64(protobuf.one(message, 1, 0)),
                  protobuf.signed(protobuf.one(message, 2, 0)), protobuf.text(message, 3))
    for log in message.get(7, []):
        event.restarts = protobuf.fields(log) == {1: [1]}
    for summary in message.get(5, []):
        for part in protobuf.fields(summary)[1]:
            value = protobuf.fields(part)
            tag = protobuf.text(value, 1)
            if tag in event.scalars or tag in event.texts:
                raise ValueError(f"tag {tag} twice in one event")
            if 2 in value:
                event.scalars[tag] = protobuf.float32(protobuf.one(value, 2))
                continue
            plugin = protobuf.fields(protobuf.one(protobuf.fields(protobuf.one(value, 9)), 1))
            tensor = protobuf.fields(protobuf.one(value, 8))
            if plugin != {1: [b"text"]} or tensor[1] != [7] or tensor[2] != [b""]:
                raise ValueError(f"tag {tag} is neither a scalar nor a text")
            event.texts[tag] = protobuf.text(tensor, 8)
    return event


def events(path: Path) -> list[Event]:
    """All events of a file."""
    return [_event(record) for record in records(Path(path).read_bytes())]


def folder(path: Path) -> dict[str, list[Event]]:
    """Folder below `path` → the events of its files, in the order of their names."""
    found: dict[str, list[Event]] = {}
    for file in sorted(Path(path).rglob("*tfevents*")):
        found.setdefault(str(file.parent.relative_to(path)), []).extend(events(file))
    return found
