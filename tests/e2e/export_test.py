"""Exports to other tools, read back by readers of our own.

What is expected is made from the JSONL export, which other tests prove exact.
"""

import json
import math
import os
import struct
import unittest
from collections.abc import Iterator
from pathlib import Path

import tfevents
import wandb_file
from sandbox import RUN, SandboxTest, helper, until
from script import Script

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


def flat(row: dict, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """The leaves of nested objects; an empty object is one."""
    for key, value in row.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*prefix, key))
        else:
            yield (*prefix, key), value


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


class CsvTest(SandboxTest):
    """One column for each metric."""

    def test_names_that_look_the_same_are_told_apart(self) -> None:
        """A key with a dot, and nested keys."""
        script = Script(self.sandbox)
        script.do("log a.b=f:1 a>b=f:2 c>d=f:3 e.f=f:4")
        script.finish()
        header, row = self.sandbox.ringlog("export", RUN, "--format",
                                           "csv").stdout.decode().splitlines()
        found = dict(zip(header.split(","), row.split(",")))
        self.assertEqual({name: found[name] for name in ("a\\.b", "a.b", "c.d", "e.f")},
                         {"a\\.b": "1.0", "a.b": "2.0", "c.d": "3.0", "e.f": "4.0"})


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


class WandbTest(ExportTest):
    """--format wandb."""

    def exported(self) -> wandb_file.Run:
        """The run in the only folder of an export."""
        folder, = Path(self.export("wandb")).glob(f"offline-run-*-{RUN}")
        return wandb_file.read_run(folder)

    def merged(self, rows: list[dict], has_ranks: bool) -> dict[int, dict]:
        """Step → the row that W&B is to have of it."""
        found: dict[int, dict] = {}
        for row in rows:
            if row["_step"] > STEP_MAX or not dict(leaves(row)):
                continue
            label = f"rank{row['_rank']}/" if has_ranks else ""
            into = found.setdefault(row["_step"], {"_timestamp": -math.inf})
            into["_timestamp"] = max(into["_timestamp"], row["_timestamp"])
            for keys, value in leaves(row):
                own = not label and keys[0] in ("_step", "_timestamp", "_runtime", "_wandb")
                name = (("_" if own else label) + keys[0], *keys[1:])
                # What is now an object was a value, or the other way round.
                alike = into.setdefault("names", {}).setdefault(name[0], set())
                for other in [o for o in alike if o[:len(name)] == name[:len(o)]]:
                    alike.discard(other)
                    del into[other]
                alike.add(name)
                into[name] = value
        return found

    def check_history(self, history: list[dict], rows: list[dict], has_ranks: bool) -> None:
        """The rows of a file are these, one a step, steps rising."""
        wanted = self.merged(rows, has_ranks)
        self.assertEqual([row["_step"] for row in history], sorted(wanted))
        for row in history:
            expected = wanted[row["_step"]]
            self.assertEqual(row["_timestamp"], expected.pop("_timestamp"))
            del expected["names"]
            own = ("_step", "_timestamp", "_runtime")
            found = dict(flat({k: v for k, v in row.items() if k not in own}))
            self.assertEqual(found.keys(), expected.keys())
            for keys, value in expected.items():
                self.assertEqual(repr(found[keys]), repr(value), keys)

    def test_one_rank_keeps_its_names(self) -> None:
        self.train(0, code=3)
        run = self.exported()
        self.assertEqual({k: run.run[k] for k in ("id", "project", "group")},
                         {"id": RUN, "project": "uncategorized", "group": ""})
        self.assertTrue(run.run["slot"], "without a slot some versions of W&B hang")
        self.assertEqual(run.config, {"lr": 0.1, "net": {"width": 4, "act": "relu"}, "d.o.t": 1,
                                      "seeds": [1.0, 2.0]})
        self.check_history(run.history, self.sandbox.rows(), False)
        self.assertEqual(run.exit_code, 3)
        self.assertEqual(run.order[:3], [wandb_file.HEADER_RECORD, wandb_file.RUN,
                                         wandb_file.ENVIRONMENT])
        self.assertEqual(run.order[-2:], [wandb_file.EXIT, wandb_file.FINAL])
        self.assertEqual("".join(t for stream, t in run.console if stream == "stdout"),
                         "to standard output, café\n")
        self.assertEqual([t for stream, t in run.console if stream == "stderr"],
                         ["to standard error \N{REPLACEMENT CHARACTER}\n"])
        self.assertEqual(run.alerts, [("title", "text", "WARN")])

    def test_the_summary_is_what_the_program_asked_for(self) -> None:
        self.train(0)
        run = self.exported()
        self.assertEqual(run.summary["val/acc"], {"max": 0.4, "last": 0.4})
        self.assertEqual(run.summary["loss"], "overridden")
        self.assertEqual(run.summary["best"], 0.25)
        self.assertEqual(run.summary["count"], 49)
        self.assertEqual(run.summary["_step"], run.history[-1]["_step"])
        self.assertNotIn("debug", run.summary)
        self.assertEqual(
            {(m["name"] or m["glob"], m["step"], m["hidden"]): m["summary"] for m in run.metrics},
            {("val/acc", "", False): {"max", "last"}, ("val/*", "epoch", False): set(),
             ("debug", "", True): {"none"}})

    def test_several_ranks_are_series_of_one_run(self) -> None:
        self.train(0, 1)
        run = self.exported()
        self.check_history(run.history, self.sandbox.rows(), True)
        self.assertEqual(run.summary["rank1/count"], 49)
        self.assertEqual(run.summary["count"], 49, "the plain name is the lowest rank's")
        self.assertIn(("stdout", "[rank1] to standard output, café\n"), run.console)
        expanded = {m["name"]: m["summary"] for m in run.metrics if m["expanded"]}
        self.assertEqual(expanded["rank1/val/acc"], {"max", "last"})

    def test_several_ranks_are_runs_of_a_group_when_asked(self) -> None:
        self.train(0)
        self.train(2, code=4, rows=5)
        path = Path(self.export("wandb", "--split-ranks"))
        for rank, code in ((0, 0), (2, 4)):
            folder, = path.glob(f"offline-run-*-{RUN}-rank{rank}")
            run = wandb_file.read_run(folder)
            self.assertEqual((run.run["group"], run.run["job_type"], run.exit_code),
                             (RUN, "rank", code))
            rows = [row for row in self.sandbox.rows() if row["_rank"] == rank]
            self.check_history(run.history, rows, False)
        self.sandbox.ringlog("export", RUN, "--format", "csv", "--split-ranks", code=2)

    def test_a_rank_that_came_back_and_what_programs_rarely_log(self) -> None:
        for _ in range(2):
            self.sandbox.run(helper("odd_input"), env={"RINGLOG_RUN_ID": RUN, "RANK": "0"})
        run = self.exported()
        self.check_history(run.history, self.sandbox.rows(), False)

    def test_a_run_that_goes_on_has_no_end_yet(self) -> None:
        rank = self.sandbox.rank(0, rows=10, end="hang")
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) == 10, "the rows")
        run = self.exported()
        self.assertEqual((len(run.history), run.exit_code), (10, None))
        rank.kill()
        until(lambda: self.sandbox.states()[0][0] != "running", "the end")
        self.assertEqual(self.exported().exit_code,
                         128 + 9 if self.sandbox.states()[0][2] == 9 else 1)

    def test_the_folder_is_where_wandb_looks(self) -> None:
        self.train(0, rows=1)
        words = ("export", RUN, "--format", "wandb")
        self.sandbox.ringlog(*words, cwd=self.sandbox.scratch)
        folder, = self.sandbox.scratch.glob("wandb/*")
        self.assertRegex(folder.name, rf"^offline-run-\d{{8}}_\d{{6}}-{RUN}$")
        self.assertTrue((folder / "files").is_dir())
        done = self.sandbox.ringlog(*words, cwd=self.sandbox.scratch, code=1)
        self.assert_says(done.stderr.decode(), folder.name)
        self.sandbox.ringlog(*words, "-o", "offline-run-mine/", cwd=self.sandbox.scratch)
        mine = wandb_file.read_run(self.sandbox.scratch / "offline-run-mine")
        self.assertEqual(mine.history, wandb_file.read_run(folder).history)


if __name__ == "__main__":
    unittest.main()
