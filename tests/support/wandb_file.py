"""Reads .wandb files with nothing but the standard library.

    run = read_run(path)       # run.history, run.summary, run.config, run.exit_code, …

An implementation of its own on purpose: a mistake that writer and reader share would go unseen.
"""

import dataclasses
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import protobuf

BLOCK = 32768
HEADER = b":W&B\xe1\xbe\x00"
HISTORY, SUMMARY, ALERT, METRIC, OUTPUT_RAW, RUN, EXIT, FINAL, HEADER_RECORD, ENVIRONMENT = (
    2, 3, 10, 12, 13, 17, 18, 20, 21, 26)
CONTROL = 16
AGGREGATES = {1: "min", 2: "max", 3: "mean", 5: "last", 6: "none", 8: "first"}


def chunks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of each chunk; ValueError where the file is damaged."""
    if data[:len(HEADER)] != HEADER:
        raise ValueError(f"the file begins with {data[:7].hex()}")
    at = len(HEADER)
    while at < len(data):
        room = BLOCK - at % BLOCK
        if room < 7:
            if data[at:at + room].strip(b"\0"):
                raise ValueError(f"the end of the block at {at} is not zero")
            at += room
            continue
        crc, size, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + 7:at + 7 + size]
        if size + 7 > room or len(body) != size:
            raise ValueError(f"the chunk at {at} crosses the end of its block")
        if zlib.crc32(bytes([kind]) + body) != crc:
            raise ValueError(f"the chunk at {at} has the wrong checksum")
        yield kind, body
        at += 7 + size


def records(data: bytes) -> Iterator[bytes]:
    """The records of a file."""
    parts: list[bytes] | None = None
    for kind, body in chunks(data):
        if (kind in (1, 2)) != (parts is None):
            raise ValueError(f"a chunk of type {kind} out of place")
        parts = [*(parts or []), body]
        if kind in (1, 4):
            yield b"".join(parts)
            parts = None
    if parts is not None:
        raise ValueError("the last record is cut short")


def items(message: dict, number: int) -> dict:
    """The values of a record's items, nested as their keys say."""
    found: dict = {}
    for raw in message.get(number, []):
        item = protobuf.fields(raw)
        keys = [key.decode() for key in item.get(2, [])] or [protobuf.text(item, 1)]
        into = found
        for key in keys[:-1]:
            into = into.setdefault(key, {})
        if keys[-1] in into:
            raise ValueError(f"{keys} twice in one record")
        into[keys[-1]] = json.loads(protobuf.text(item, 16))
    return found


@dataclasses.dataclass
class Run:
    """What one file holds."""

    run: dict = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)
    history: list[dict] = dataclasses.field(default_factory=list)
    summary: dict = dataclasses.field(default_factory=dict)
    metrics: list[dict] = dataclasses.field(default_factory=list)
    console: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    stats: list[tuple[int, dict]] = dataclasses.field(default_factory=list)
    alerts: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    files: list[str] = dataclasses.field(default_factory=list)
    exit_code: int | None = None
    environment: dict = dataclasses.field(default_factory=dict)
    order: list[int] = dataclasses.field(default_factory=list)


def _add_run(run: Run, body: dict, message: dict) -> None:
    run.run = {name: protobuf.text(body, number) for name, number in
               (("id", 1), ("project", 3), ("group", 6), ("job_type", 7), ("name", 8))}
    run.run["tags"] = [tag.decode() for tag in body.get(10, [])]
    run.run["slot"] = protobuf.text(protobuf.fields(protobuf.one(message, CONTROL)), 4)
    for raw in body.get(4, []):
        run.config = items(protobuf.fields(raw), 1)


def _add_history(run: Run, body: dict) -> None:
    row = items(body, 1)
    step = protobuf.fields(protobuf.one(body, 2))
    if protobuf.one(step, 1, 0) != row["_step"]:
        raise ValueError(f"a row of step {step} says it is {row['_step']}")
    run.history.append(row)


def _add_metric(run: Run, body: dict) -> None:
    options = protobuf.fields(protobuf.one(body, 6))
    summary = protobuf.fields(protobuf.one(body, 7, b""))
    run.metrics.append({
        "name": protobuf.text(body, 1), "glob": protobuf.text(body, 2),
        "step": protobuf.text(body, 4), "hidden": bool(protobuf.one(options, 2, 0)),
        "summary": {AGGREGATES[number] for number in summary},
        "expanded": bool(protobuf.one(body, 10, 0))})


def _environment(body: dict) -> dict:
    found: dict = {name: protobuf.text(body, number) for name, number in
                   (("os", 1), ("docker", 4), ("program", 6), ("root", 11), ("host", 12),
                    ("username", 13), ("executable", 14))}
    if 9 in body:
        git = protobuf.fields(protobuf.one(body, 9))
        found["git"] = {"remote": protobuf.text(git, 1), "commit": protobuf.text(git, 2)}
    entries = [protobuf.fields(raw) for raw in body.get(27, [])]
    found["slurm"] = {protobuf.text(entry, 1): protobuf.text(entry, 2) for entry in entries}
    return found


def _add(run: Run, kind: int, message: dict) -> None:
    body = protobuf.fields(protobuf.one(message, kind))
    match kind:
        case 17:
            _add_run(run, body, message)
        case 2:
            _add_history(run, body)
        case 3:
            run.summary |= items(body, 1)
        case 12:
            _add_metric(run, body)
        case 13:
            stream = "stdout" if protobuf.one(body, 1, 0) == 1 else "stderr"
            run.console.append((stream, protobuf.text(body, 3)))
        case 6:
            run.files += [protobuf.text(protobuf.fields(raw), 1) for raw in body.get(1, [])]
        case 7:
            time = protobuf.fields(protobuf.one(body, 2))
            run.stats.append((protobuf.one(time, 1), items(body, 3)))
        case 10:
            run.alerts.append(tuple(protobuf.text(body, number) for number in (1, 2, 3)))
        case 18:
            run.exit_code = protobuf.signed(protobuf.one(body, 1, 0))
        case 26:
            run.environment = _environment(body)
        case 20 | 21:
            pass
        case _:
            raise ValueError(f"a record of kind {kind}")


def read_run(path: Path) -> Run:
    """The run in a folder: its only .wandb file."""
    file, = Path(path).glob("*.wandb")
    run = Run()
    for count, record in enumerate(records(file.read_bytes()), 1):
        message = protobuf.fields(record)
        if protobuf.one(message, 1) != count:
            raise ValueError(f"record {count} has the number {message[1]}")
        kind, = message.keys() - {1, CONTROL}
        run.order.append(kind)
        _add(run, kind, message)
    if file.name != f"run-{run.run['id']}.wandb":
        raise ValueError(f"{file} holds the run {run.run['id']}")
    return run
