"""The tools themselves read what `ringlog export` writes.  scripts/test-ecosystem runs this.

Each class needs one tool from the Python that runs it; which ones there are the script finds out.
"""

import json
import math
import os
import struct
import subprocess
import sys
import unittest
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import wandb_file
from sandbox import RUN, SandboxTest, helper
from wandb_server import ENTITY, Server

TOOLS = Path(sys.executable).parent
ROWS = 50


def as_float32(value: float) -> float:
    """As TensorBoard keeps it."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


class ToolTest(SandboxTest):
    """A run of two ranks, one of which fails."""

    def setUp(self) -> None:
        super().setUp()
        for rank, code in ((0, 0), (1, 3)):
            self.sandbox.run(helper("everything"), "--code", code, "--rows", ROWS, code=code,
                             env={"RINGLOG_RUN_ID": RUN, "RANK": str(rank)})
        self.path = self.sandbox.scratch / "exported"

    def export(self, kind: str) -> None:
        """Exports the run."""
        self.sandbox.ringlog("export", RUN, "--format", kind, "-o", self.path)


class TensorBoardTest(ToolTest):
    """TensorBoard's own loaders."""

    def expected(self, rank: int) -> tuple[dict, dict]:
        """Tag → [(step, value)] of numbers and of texts."""
        scalars, texts = defaultdict(list), defaultdict(list)
        for row in self.sandbox.rows():
            if row["_rank"] != rank:
                continue
            pairs = [(k, v) for k, v in row.items() if not k.startswith("_") and k != "nested"]
            for key, inner in (("nested", row.get("nested", {})), ("nested/b", row.get(
                    "nested", {}).get("b", {}))):
                pairs += [(f"{key}/{k}", v) for k, v in inner.items() if not isinstance(v, dict)]
            for tag, value in pairs:
                if isinstance(value, (int, float)):
                    scalars[tag].append((row["_step"], as_float32(float(value))))
                else:
                    suffix = "/text_summary" if tag == "mixed" else ""
                    text = value if isinstance(value, str) else json.dumps(value)
                    texts[tag + suffix].append((row["_step"], text.replace(" ", "")))
        return scalars, texts

    def test_event_accumulator_reads_every_value(self) -> None:
        from tensorboard.backend.event_processing import event_accumulator as accumulator
        self.export("tfevents")
        for rank in (0, 1):
            events = accumulator.EventAccumulator(
                str(self.path / f"rank{rank}"),
                size_guidance={accumulator.SCALARS: 0, accumulator.TENSORS: 0})
            events.Reload()
            scalars, texts = self.expected(rank)
            self.assertEqual(sorted(events.Tags()["scalars"]), sorted(scalars))
            for tag, values in scalars.items():
                found = [(event.step, event.value) for event in events.Scalars(tag)]
                self.assertEqual(repr(found), repr(values), tag)
            texts["config"] = []
            if rank == 1:
                del texts["config"]
            self.assertEqual(sorted(events.Tags()["tensors"]), sorted(texts))
            for tag, values in texts.items():
                found = [(event.step, event.tensor_proto.string_val[0].decode().replace(" ", ""))
                         for event in events.Tensors(tag)]
                self.assertEqual(found, values or found, tag)

    def test_the_page_shows_a_run_for_each_rank(self) -> None:
        from tensorboard.backend.event_processing import plugin_event_multiplexer
        self.export("tfevents")
        runs = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(self.path))
        runs.Reload()
        self.assertEqual(sorted(runs.Runs()), ["rank0", "rank1"])


class WandbTest(ToolTest):
    """W&B's own reader, and its upload to a server of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.export("wandb")
        self.folder, = self.path.glob("offline-run-*")
        self.written = wandb_file.read_run(self.folder)

    def wandb(self, *words: str, **env: str) -> str:
        """Standard output of the `wandb` command."""
        env |= {"WANDB_ERROR_REPORTING": "false"}
        # It leaves logs in the folder where it is called.
        return self.sandbox.run(TOOLS / "wandb", *words, env=env, timeout=100,
                                cwd=self.sandbox.scratch).stdout.decode()

    def test_its_messages_hold_every_record(self) -> None:
        """Field by field through the package's own generated classes."""
        from wandb.proto import wandb_internal_pb2
        file, = self.folder.glob("*.wandb")
        names = []
        for raw in wandb_file.records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(raw)
            names.append(record.WhichOneof("record_type"))
            size = record.ByteSize()
            record.DiscardUnknownFields()
            self.assertEqual(record.ByteSize(), size, f"a field it does not know: {record}")
        self.assertEqual(len(names), len(self.written.order))
        self.assertEqual(names[:3], ["header", "run", "environment"])
        self.assertEqual(names.count("history"), len(self.written.history))
        self.assertEqual(names[-2:], ["exit", "final"])

    def test_leet_shows_the_run(self) -> None:
        shown = json.loads(self.wandb("leet", "inspect", "--summary", "--json", self.folder))
        text = json.dumps(shown)
        self.assertIn("rank1/loss", text)
        self.assertIn("relu", text)
        lines = self.wandb("leet", "inspect", "--json", self.folder).splitlines()
        history = [line for line in lines if json.loads(line).get("type") == "history"]
        self.assertEqual(len(history), len(self.written.history))

    def check_upload(self, *words: str) -> None:
        """The command uploads everything that the file holds."""
        with Server() as server:
            self.wandb(*words, str(self.folder), WANDB_BASE_URL=server.url,
                       WANDB_API_KEY="0" * 40, WANDB_ENTITY=ENTITY)
            self.assertEqual(list(server.runs), [RUN], server.unknown)
            run = server.runs[RUN]
            self.assertEqual(run.exit_code, 3)
            found = {row["_step"]: row for row in run.rows("wandb-history.jsonl")}
            self.assertEqual(list(found), [row["_step"] for row in self.written.history])
            for row in self.written.history:
                self.assertEqual(normal(found[row["_step"]]), normal(row))
            summary = run.rows("wandb-summary.json")[-1]
            self.assertEqual(normal(summary), normal(self.written.summary))
            config = {k: v["value"] for k, v in run.config.items() if k != "_wandb"}
            self.assertEqual(config, self.written.config)
            console = "\n".join(run.text("output.log"))
            for _, line in self.written.console:
                self.assertIn(line.strip(), console)

    def test_sync_uploads_everything(self) -> None:
        self.check_upload("sync", "--yes")

    def test_beta_sync_uploads_everything(self) -> None:
        self.check_upload("beta", "sync")


def normal(row: dict) -> str:
    """Text that is equal for equal rows: W&B writes 0.0 as 0, and times rounded to a double."""
    def value_of(value: object) -> object:
        if isinstance(value, dict):
            return {key: value_of(value[key]) for key in sorted(value)}
        if isinstance(value, list):
            return [value_of(part) for part in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return repr(float(value) + 0.0)
        return value
    return json.dumps(value_of(row))


if __name__ == "__main__":
    unittest.main()
