"""The tools themselves read what `ringlog export` writes.  scripts/test-ecosystem runs this.

Each class needs one tool from the Python that runs it; which ones there are the script finds out.
"""

import json
import math
import os
import re
import struct
import subprocess
import sys
import unittest
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import wandb_file
from sandbox import RUN, SandboxTest, helper
from script import Script
from wandb_server import ENTITY, Request, Server

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


# Where ringlog and the real client may differ, and why.
OWN_QUESTIONS = {  # asked by the real client for itself: nothing of the run is in them
    "Viewer",  # whose key it is, for a greeting
    "ServerFeaturesQuery",  # ringlog uses no optional feature of a server
    "OrganizationCoreWeaveOrganizationID",  # where an organisation lives, for links in the console
}
OWN_FILES = {
    "requirements.txt",  # of Python's packages
    "diff.patch"}  # both have it in a git work tree, and the real client runs outside of one here
OWN_CONFIG = {"cli_version", "python_version", "t"}  # which wandb on which Python, and telemetry
OWN_ENVIRONMENT = {  # of the Python process and its owner; the machine's size is in the samples
    "python", "email", "cpu", "disk", "memory", "cpu_count", "cpu_count_logical", "args",
    "username", "codePath", "codePathLocal", "program", "git", "gpu", "gpu_count", "gpu_nvidia",
    "slurm", "docker"}
VALUES_OF_ONE_RUN = {"program", "host", "commit", "repo", "config"}  # other program, other command


class WandbSinkTest(SandboxTest):
    """The real client and ringlog log the same to the same server: requests field by field."""

    PROGRAM = """
import sys, wandb
run = wandb.init(project="demo", entity="ecosystem", id="real", name="a name", notes="some notes",
                 tags=["a", "b"], group="a group", config={"lr": 0.1, "net": {"width": 3}},
                 settings=wandb.Settings(x_stats_sampling_interval=0.1, silent=True))
run.define_metric("val/*", step_metric="epoch", summary="max,last")
run.define_metric("loss", summary="min")
for i in range(5):
    run.log({"loss": 1 / (i + 1), "val/acc": i, "epoch": i, "even": i % 2 == 0, "text": "words",
             "odd": float("nan"), "nested": {"a": 1.5}})
print("printed")
run.summary["best"] = 0.25
run.alert("title", "text", level="WARN", wait_duration=60)
run.save(sys.argv[1], base_path=sys.argv[2], policy="now")
run.finish(exit_code=3)
"""

    def setUp(self) -> None:
        super().setUp()
        self.saved = self.sandbox.scratch / "model.bin"
        self.saved.write_text("weights")

    def run_real(self, server: Server) -> None:
        """The program above, with the package from PyPI."""
        self.sandbox.run(sys.executable, "-c", self.PROGRAM, self.saved, self.sandbox.scratch,
                         timeout=100, cwd=self.sandbox.scratch, env={
                             "WANDB_BASE_URL": server.url, "WANDB_API_KEY": "0" * 40,
                             "WANDB_ERROR_REPORTING": "false"})

    def run_ringlog(self, server: Server) -> None:
        """The same with ringlog."""
        script = Script(self.sandbox, run="ours", WANDB_API_KEY="0" * 40, RINGLOG_NAME="a name",
                        RINGLOG_NOTES="some notes", RINGLOG_TAGS="a,b", RINGLOG_GROUP="a group",
                        RINGLOG_MONITOR="0.1",
                        RINGLOG_SINKS=f"wandb+http://127.0.0.1:{server.port}"
                        "/ecosystem/demo?interval_s=0")
        script.do("config lr=f:0.1 net>width=i:3")
        script.do("metric val/* epoch max,last")
        script.do("metric loss - min")
        for i in range(5):
            script.do(f"log loss=f:{1 / (i + 1)!r} val/acc=i:{i} epoch=i:{i} even=b:{1 - i % 2} "
                      "text=s:words odd=f:nan nested>a=f:1.5")
        script.do(r"console printed\n")
        script.do("summary best=f:0.25")
        script.do("alert title text 1")
        script.do(f"save {self.saved}")
        server.wait_for(lambda: "ours" in server.runs and
                        server.runs["ours"].lines.get("wandb-events.jsonl"), "a sample")
        script.finish(3)
        server.wait_for(lambda: server.runs["ours"].exit_code is not None, "the end")

    def both(self, server: Server, name: str) -> tuple[list[Request], list[Request]]:
        """Requests of a name: the real client's and ours."""
        def of(run: str) -> list[Request]:
            return [request for request in server.requests if request.name == name and run in (
                request.path.split("/")[-2:][0], request.variables.get("name"),
                request.variables.get("run"), request.variables.get("runName"))]
        return of("real"), of("ours")

    def test_requests_field_by_field(self) -> None:
        with Server() as server:
            self.run_real(server)
            count = len(server.requests)
            self.run_ringlog(server)
            real_names = {request.name for request in server.requests[:count]}
            our_names = {request.name for request in server.requests[count:]}
            self.assertEqual(our_names, real_names - OWN_QUESTIONS)
            self.assertEqual(server.conflicts, [])
            self.check_headers(server, count)
            self.check_declaration(server)
            self.check_config(server)
            self.check_lines(server)
            self.check_files(server)
            self.check_alert(server)

    def check_headers(self, server: Server, count: int) -> None:
        """Key and type of the content, and none of them where files go."""
        for name in ("authorization", "content-type"):
            for kind in ("UpsertBucket", "file_stream", "PUT"):
                found = [{request.headers.get(name) for request in part if request.name == kind}
                         for part in (server.requests[:count], server.requests[count:])]
                self.assertEqual(found[1], found[0], f"{name} of {kind}")

    def check_declaration(self, server: Server) -> None:
        """UpsertBucket: the same variables, with the same values where the runs are the same."""
        real, ours = self.both(server, "UpsertBucket")
        self.assertEqual(list(ours[0].variables), list(real[0].variables))
        for name, value in real[0].variables.items():
            if name == "name":
                self.assertEqual(ours[0].variables[name], "ours")
            elif name in VALUES_OF_ONE_RUN:
                self.assertIs(type(ours[0].variables[name] or ""), type(value or ""), name)
            else:
                self.assertEqual(ours[0].variables[name], value, name)

    def check_config(self, server: Server) -> None:
        """The config as it was left, with what W&B itself keeps there."""
        real, ours = server.runs["real"].config, server.runs["ours"].config
        own_real, own_ours = real.pop("_wandb")["value"], ours.pop("_wandb")["value"]
        self.assertEqual(ours, real)
        self.assertEqual(set(own_ours), set(own_real) - OWN_CONFIG)
        self.assertEqual(sorted(map(normal, self.metrics(own_ours))),
                         sorted(map(normal, self.metrics(own_real))))
        (there,), (here,) = own_real["e"].values(), own_ours["e"].values()
        self.assertEqual(set(here) - OWN_ENVIRONMENT, set(there) - OWN_ENVIRONMENT)

    @staticmethod
    def metrics(own: dict) -> list[dict]:
        """Definitions, with the name of the step metric in place of its number."""
        entries = own["m"]
        return [entry | ({"5": entries[entry["5"] - 1]["1"]} if "5" in entry else {})
                for entry in entries]

    def check_lines(self, server: Server) -> None:
        """file_stream: keys of the request, names of files, keys and values of lines."""
        real, ours = (run.lines for run in (server.runs["real"], server.runs["ours"]))
        self.assertEqual(set(ours), set(real))
        streams = self.both(server, "file_stream")
        keys = [{key for request in part for key in request.body} for part in streams]
        self.assertEqual(keys[1], keys[0])
        last = [part[-1].body for part in streams]
        for key in ("complete", "exitcode"):
            self.assertEqual(last[1][key], last[0][key])
        for name, skipped in (("wandb-history.jsonl", {"_timestamp", "_runtime"}),
                              ("wandb-summary.json", {"_timestamp", "_runtime", "_wandb"})):
            rows = [run.rows(name)[-5:] for run in (server.runs["real"], server.runs["ours"])]
            if name == "wandb-summary.json":
                rows = [part[-1:] for part in rows]
            for there, here in zip(*rows, strict=True):
                self.assertEqual(set(here), set(there), name)
                self.assertEqual(normal({k: v for k, v in here.items() if k not in skipped}),
                                 normal({k: v for k, v in there.items() if k not in skipped}))
                for key in skipped:
                    self.assertEqual(isinstance(here[key], dict), isinstance(there[key], dict))
        console = [[line for line in run.text("output.log") if line.endswith(" printed")]
                   for run in (server.runs["real"], server.runs["ours"])]
        self.assertEqual(*[[re.sub(r"[0-9]", "0", line) for line in part] for part in console])

    def check_samples(self, server: Server) -> None:
        """Lines of system metrics: W&B's own fields, and every name a system one."""
        for run in ("real", "ours"):
            for sample in server.runs[run].rows("wandb-events.jsonl"):
                own = {key for key in sample if not key.startswith("system.")}
                self.assertEqual(own, {"_wandb", "_timestamp", "_runtime"})

    def check_files(self, server: Server) -> None:
        """What is uploaded, and that the server is told."""
        real, ours = self.both(server, "CreateRunFiles")
        self.assertEqual(list(ours[0].variables), list(real[0].variables))
        names = [{name for request in part for name in request.variables["files"]}
                 for part in (real, ours)]
        self.assertEqual(names[1] | OWN_FILES, names[0] | OWN_FILES)
        self.assertEqual(set(server.runs["ours"].uploaded) | OWN_FILES,
                         set(server.runs["real"].uploaded) | OWN_FILES)
        self.assertEqual(server.files["model.bin"], b"weights")
        self.check_samples(server)

    def check_alert(self, server: Server) -> None:
        """All but the name of the run."""
        (real,), (ours,) = self.both(server, "NotifyScriptableRunAlert")
        self.assertEqual(ours.variables, real.variables | {"runName": "ours"})


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
