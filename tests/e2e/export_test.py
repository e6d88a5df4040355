"""Exports to other tools, read back by readers of our own.

What is expected is made from the JSONL export, which other tests prove exact.
"""

import json
import math
import os
import struct
import unittest
from collections.abc import Iterator

import tfevents
from sandbox import RUN, SandboxTest, helper

STEP_MAX = (1 << 63) - 1


def leaves(row: dict, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """The metrics of an exported row: keys and value.  An empty object is a value."""
    for key, value in row.items():
        if not prefix and key in ("_rank", "_attempt", "_worker", "_seq", "_step", "_timestamp"):
            continue
        # The export puts an underscore in front of a metric with such a name.
        name = key[1:] if not prefix and key.startswith("__") else key
        if isinstance(value, dict) and value:
            yield from leaves(value, prefix + (name,))
        else:
            yield prefix + (name,), value


def as_float32(value: float) -> float:
    """The nearest float; an infinity where none is near."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def same(found: object, expected: object) -> bool:
    """Equal, NaN included, and 0.0 is not -0.0."""
    if isinstance(found, float) and isinstance(expected, float):
        return struct.pack("<d", found) == struct.pack("<d", expected) or (
            math.isnan(found) and math.isnan(expected))
    return type(found) is type(expected) and found == expected


class ExportTest(SandboxTest):
    """What the tests of all formats share."""

    def train(self, *ranks: int, code: int = 0, rows: int = 50) -> None:
        """One process for each rank, one after another."""
        for rank in ranks:
            self.sandbox.run(helper("everything"), "--code", code, "--rows", rows, code=code,
                             env={"RINGLOG_RUN_ID": RUN, "RANK": str(rank)})

    def export(self, kind: str, *words: str) -> str:
        """Exports into a folder of its own and returns that."""
        path = str(self.sandbox.scratch / f"{kind}-{len(os.listdir(self.sandbox.scratch))}")
        self.sandbox.ringlog("export", RUN, "--format", kind, "-o", path, *words)
        return path


class TfeventsTest(ExportTest):
    """--format tfevents."""

    def check_row(self, event: tfevents.Event, row: dict) -> None:
        """The event has the row's values and no others."""
        self.assertEqual(event.step, row["_step"])
        self.assertAlmostEqual(event.wall_time, row["_timestamp"], delta=1e-6)
        wanted = {keys: value for keys, value in leaves(row) if value is not None}
        self.assertEqual(len(event.scalars) + len(event.texts), len(wanted))
        for keys, value in wanted.items():
            tag = "/".join(keys)
            if isinstance(value, (int, float)):
                self.assertTrue(same(event.scalars[tag], as_float32(float(value))), (tag, value))
                continue
            text = event.texts.get(tag, event.texts.get(tag + "/text_summary"))
            if isinstance(value, str):
                self.assertEqual(text, value)
            else:
                self.assertEqual(repr(json.loads(text)), repr(value), tag)

    def check(self, path: str, rows: list[dict], folder: str) -> None:
        """The events of a folder are these rows in this order."""
        events = tfevents.folder(path)[folder]
        self.assertEqual(events[0].version, "brain.Event:2")
        events = [e for e in events if e.scalars or e.texts and list(e.texts) != ["config"]]
        rows = [row for row in rows if dict(leaves(row)) and row["_step"] <= STEP_MAX
                and any(value is not None for _, value in leaves(row))]
        self.assertEqual(len(events), len(rows))
        for event, row in zip(events, rows):
            self.check_row(event, row)

    def test_one_rank_has_its_files_in_the_folder_itself(self) -> None:
        self.train(0)
        path = self.export("tfevents")
        self.assertEqual(list(tfevents.folder(path)), ["."])
        self.check(path, self.sandbox.rows(), ".")
        config = [e.texts["config"] for e in tfevents.folder(path)["."] if "config" in e.texts]
        self.assertEqual(len(config), 1)
        self.assertIn("| `net.width` | `4` |", config[0].splitlines())

    def test_several_ranks_have_a_folder_each(self) -> None:
        self.train(0, 1)
        path = self.export("tfevents")
        self.assertEqual(sorted(tfevents.folder(path)), ["rank0", "rank1"])
        for rank in (0, 1):
            rows = [row for row in self.sandbox.rows() if row["_rank"] == rank]
            self.check(path, rows, f"rank{rank}")

    def test_a_rank_that_came_back_hides_the_steps_it_did_again(self) -> None:
        self.train(0)
        self.train(0, rows=5)
        path = self.export("tfevents")
        events = tfevents.folder(path)["."]
        restart = [i for i, event in enumerate(events) if event.restarts]
        self.assertEqual(len(restart), 1)
        rows = self.sandbox.rows()
        first = next(row for row in rows if row["_attempt"] == 1)
        self.assertEqual(events[restart[0]].step, first["_step"])
        self.check(path, rows, ".")

    def test_what_programs_rarely_log(self) -> None:
        self.sandbox.run(helper("odd_input"), env={"RINGLOG_RUN_ID": RUN, "RANK": "0"})
        path = str(self.sandbox.scratch / "events")
        done = self.sandbox.ringlog("export", RUN, "--format", "tfevents", "-o", path)
        self.assert_says(done.stderr.decode(), "1 row left out", str(STEP_MAX))
        self.check(path, self.sandbox.rows(), ".")

    def test_the_folder_appears_whole_or_not_at_all(self) -> None:
        self.train(0, rows=1)
        there = self.sandbox.scratch / "there"
        there.mkdir()
        self.sandbox.ringlog("export", RUN, "--format", "tfevents", "-o", there)
        done = self.sandbox.ringlog("export", RUN, "--format", "tfevents", "-o", there, code=1)
        self.assert_says(done.stderr.decode(), there)
        nowhere = self.sandbox.scratch / "file"
        nowhere.write_text("")
        self.sandbox.ringlog("export", RUN, "--format", "tfevents", "-o", nowhere / "x", code=1)
        self.assertEqual([p for p in self.sandbox.scratch.iterdir() if ".part-" in p.name], [])

    def test_without_a_path_the_folder_has_the_run_s_name(self) -> None:
        self.train(0, rows=1)
        self.sandbox.ringlog("export", RUN, "--format", "tfevents", cwd=self.sandbox.scratch)
        self.assertIn(".", tfevents.folder(self.sandbox.scratch / f"{RUN}-tfevents"))


if __name__ == "__main__":
    unittest.main()
