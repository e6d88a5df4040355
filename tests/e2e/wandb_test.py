"""Runs are sent to a W&B server that records what it is told: nothing comes twice or is missing."""

import base64
import json
import math
import time
import unittest

import wandb_file
from sandbox import RUN, SandboxTest, helper, kill_and_wait, until
from script import Script
from wandb_server import Answer, Request, Server

KEY = "0123456789abcdef0123456789abcdef01234567"
ROWS = 300
HISTORY = "wandb-history.jsonl"


class WandbTest(SandboxTest):
    """A server of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.start_server()
        self.use("?interval_s=0")

    def start_server(self) -> Server:
        """Ends with the sandbox."""
        server = Server()
        server.__enter__()
        self.sandbox.undo(lambda: server.__exit__(None, None, None))
        return server

    def use(self, options: str) -> None:
        """The sink of every run."""
        self.sandbox.environment |= {
            "RINGLOG_SINKS": f"wandb+http://127.0.0.1:{self.server.port}/ecosystem/demo{options}",
            "WANDB_API_KEY": KEY}

    def sink(self) -> dict:
        """What `ringlog show` says of it."""
        (sink,) = self.sandbox.json("show", RUN)["sinks"]
        return sink

    def wait_for_end(self, run: str = RUN) -> None:
        """Waits until the server knows how the run ended, and has every line once."""
        self.server.wait_for(lambda: run in self.server.runs and
                             self.server.runs[run].exit_code is not None, f"the end of {run}")
        self.assertEqual(self.server.conflicts, [])
        self.assertEqual(self.server.unknown, [])

    def steps(self) -> list[int]:
        """Of the rows that arrived."""
        return [row["_step"] for row in self.server.runs[RUN].history()]


class ContentTest(WandbTest):
    """What arrives."""

    def check_run(self, ranks: int) -> None:
        """Everything that a run can hold is there as the export has it."""
        programs = [self.sandbox.start(helper("everything"), "--code", rank, "--rows", 50, env={
            "RINGLOG_RUN_ID": RUN, "RANK": str(rank), "WORLD_SIZE": str(ranks)})
            for rank in range(ranks)]
        for rank, program in enumerate(programs):
            program.finish(code=rank)
        self.wait_for_end()
        path = self.sandbox.scratch / "exported"
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", path)
        written = wandb_file.read_run(next(path.glob("offline-run-*")))
        run = self.server.runs[RUN]
        self.assertEqual([normal(row) for row in run.history()],
                         [normal(row) for row in written.history])
        self.assertEqual({k: v["value"] for k, v in run.config.items() if k != "_wandb"},
                         written.config)
        self.assertEqual(run.exit_code, written.exit_code)
        summary = leaves(run.summary())
        for key, value in leaves(written.summary).items():
            is_text_of_a_rank = key[0].startswith("rank") and isinstance(value, (str, list))
            if key[0] not in ("_runtime", "_wandb") and not is_text_of_a_rank:
                self.assertEqual(normal(summary[key]), normal(value), key)
        console = "\n".join(run.text("output.log"))
        self.assertRegex(console, r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6} "
                         r".*to standard output, café$")
        self.assertRegex(console, r"(?m)^ERROR \d{4}-.* to standard error \ufffd$")

    def test_everything_of_one_process(self) -> None:
        self.check_run(1)
        run = self.server.runs[RUN]
        own = run.config["_wandb"]["value"]
        self.assertEqual([entry.get("1") or entry["2"] for entry in own["m"]],
                         ["val/acc", "val/*", "epoch", "debug"])
        self.assertEqual(own["m"][0], {"1": "val/acc", "6": [3], "7": [2, 5]})
        self.assertEqual(own["m"][1], {"2": "val/*", "5": 3, "6": [1], "7": []})
        self.assertEqual(own["e"][RUN]["program"], str(helper("everything")))
        alerts = [request.variables for request in self.server.requests
                  if request.name == "NotifyScriptableRunAlert"]
        self.assertEqual([(a["title"], a["text"], a["severity"]) for a in alerts],
                         [("title", "text", "WARN")])

    def test_everything_of_two_ranks(self) -> None:
        """A step is one line with the values of both."""
        self.check_run(2)
        row = self.server.runs[RUN].history()[0]
        self.assertIn("rank0/loss", row)
        self.assertIn("rank1/loss", row)
        console = self.server.runs[RUN].text("output.log")
        self.assertTrue(any("[rank1] to standard output" in line for line in console))

    def test_a_rank_that_comes_late_is_not_lost(self) -> None:
        """Its steps were sent already: its values come in lines of their own."""
        for rank in (0, 1):
            self.sandbox.run(helper("everything"), "--rows", 5,
                             env={"RINGLOG_RUN_ID": RUN, "RANK": str(rank)})
            self.wait_for_end()
            self.server.runs[RUN].exit_code = None
        rows = self.server.runs[RUN].history()
        self.assertEqual([row["rank1/loss"] for row in rows if "rank1/loss" in row],
                         [row["loss"] + 1 for row in rows if "loss" in row])

    def test_samples_of_the_machine(self) -> None:
        script = Script(self.sandbox, RINGLOG_MONITOR="0.1")
        self.server.wait_for(
            lambda: RUN in self.server.runs and
            len(self.server.runs[RUN].lines.get("wandb-events.jsonl", {})) >= 3, "three samples")
        script.finish()
        self.wait_for_end()
        samples = self.server.runs[RUN].rows("wandb-events.jsonl")
        times = [sample["_timestamp"] for sample in samples]
        self.assertEqual(times, sorted(set(times)))
        for sample in samples:
            self.assertIs(sample["_wandb"], True)
            self.assertGreaterEqual(sample["_runtime"], 0)
        self.assertIn("system.memory_percent", samples[-1])

    def test_what_the_server_is_told_of_the_run(self) -> None:
        script = Script(self.sandbox, RINGLOG_NAME="a name", RINGLOG_NOTES="some notes",
                        RINGLOG_TAGS="a,b", RINGLOG_GROUP="a group")
        script.do("config lr=f:0.1")
        script.finish(3)
        self.wait_for_end()
        run = self.server.runs[RUN]
        self.assertEqual(run.exit_code, 3)
        self.assertEqual(run.config["lr"], {"value": 0.1})
        found = {name: run.variables.get(name) for name in
                 ("name", "project", "entity", "displayName", "notes", "groupName", "tags")}
        self.assertEqual(found, {"name": RUN, "project": "demo", "entity": "ecosystem",
                                 "displayName": "a name", "notes": "some notes",
                                 "groupName": "a group", "tags": ["a", "b"]})
        self.assertEqual(self.server.names()[0], "UpsertBucket")
        self.assertEqual(self.server.names()[-1], "file_stream")

    def test_a_line_that_grows_comes_once(self) -> None:
        """Half a line is no line yet; the next service reads it from its start."""
        script = Script(self.sandbox)
        script.do(r"console before\nepoch 1: 10%")
        script.do("log loss=f:1")
        script.do("flush", None)
        self.server.wait_for(lambda: "output.log" in str(self.server.streams()), "a line")
        kill_and_wait(self.sandbox.service())
        script.do(r"console \repoch 1: done\nafter\nhalf")
        script.finish()
        self.wait_for_end()
        lines = [line.partition(" ")[2] for line in self.server.runs[RUN].text("output.log")]
        self.assertEqual(lines, ["before", "epoch 1: done", "after", "half"])


class FilesTest(WandbTest):
    """What a user saved."""

    def test_saved_files_go_to_another_host_without_credentials(self) -> None:
        other = self.start_server()
        self.server.files_url = other.url
        self.server.upload_headers = ["X-Storage: yes"]
        self.sandbox.environment["NETRC"] = str(self.sandbox.scratch / "netrc")
        (self.sandbox.scratch / "netrc").write_text(f"machine 127.0.0.1 login me password {KEY}\n")
        saved = self.sandbox.scratch / "model.bin"
        saved.write_bytes(bytes(range(256)) * 4096)
        script = Script(self.sandbox)
        script.do(f"save {saved}")
        other.wait_for(lambda: "model.bin" in other.files, "the file while the run goes on")
        script.do("log loss=f:1")
        script.do("config lr=f:2")
        script.finish()
        self.wait_for_end()
        self.assertEqual(other.files["model.bin"], saved.read_bytes())
        for request in other.requests:
            self.assertEqual(request.headers["x-storage"], "yes")
            self.assertNotIn("authorization", request.headers)
            self.assertEqual(request.method, "PUT")
        for request in self.server.requests:
            self.assertIn("authorization", request.headers)
        self.assertEqual(json.loads(other.files["wandb-summary.json"])["loss"], 1)
        self.assertIn('"lr":\n    value: 2.0\n', other.files["config.yaml"].decode())
        self.assertEqual(json.loads(other.files["wandb-metadata.json"])["host"],
                         self.server.runs[RUN].variables["host"])
        self.assertLessEqual({"model.bin", "wandb-summary.json", "config.yaml",
                              "wandb-metadata.json"}, set(self.server.runs[RUN].uploaded))

    def test_files_that_are_not_taken_delay_no_row(self) -> None:
        self.server.manner = lambda request: Answer(403) if request.name == "PUT" else None
        saved = self.sandbox.scratch / "model.bin"
        saved.write_text("x")
        script = Script(self.sandbox)
        script.do(f"save {saved}")
        script.do("log loss=f:1")
        script.finish()
        self.wait_for_end()
        self.assertEqual(self.steps(), [0])
        self.assertEqual(self.server.runs[RUN].uploaded, [])
        self.assert_says(self.sandbox.log_of_service(), "model.bin", "403")


class PaceTest(WandbTest):
    """When something is sent."""

    def test_rows_are_collected_for_the_interval(self) -> None:
        """The first goes at once, the rest when the run ends, long before the interval does."""
        self.use("?interval_s=3600")
        script = Script(self.sandbox)
        script.do("log loss=f:1")
        script.do("log loss=f:2")
        self.server.wait_for(self.server.streams, "the first request")
        for _ in range(20):
            script.do("log loss=f:3")
            script.do("flush", None)
        self.assertEqual(len(self.server.streams()), 1)
        script.finish()
        self.wait_for_end()
        self.assertEqual(self.steps(), list(range(22)))

    def test_a_run_that_says_nothing_gives_a_sign_of_life(self) -> None:
        self.use("?interval_s=0&heartbeat_s=1")
        script = Script(self.sandbox, RINGLOG_MONITOR="off")
        script.do("log loss=f:1")
        self.server.wait_for(lambda: self.server.streams().count({}) >= 2, "two signs of life")
        script.finish()
        self.wait_for_end()

    def test_a_slow_uplink_brings_everything(self) -> None:
        """A request may take longer than the time that it may stand still."""
        self.use("?interval_s=0&timeout_s=3")
        self.server.bytes_per_read = 16 << 10
        rows = 9000  # eight seconds
        self.sandbox.train(rows=rows)
        self.wait_for_end()
        self.assertEqual(self.steps(), list(range(rows)))
        self.assertEqual(self.sink()["sent"], rows)

    def test_a_stop_asked_for_there_reaches_every_rank(self) -> None:
        self.server.is_stopping = True
        ranks = [self.sandbox.start(helper("until_stopped"), env={
            "RINGLOG_RUN_ID": RUN, "RANK": str(rank), "WORLD_SIZE": "2"}) for rank in (0, 1)]
        for rank in ranks:
            rank.finish()
        self.wait_for_end()
        self.assertEqual(self.sandbox.json("show", RUN)["state"], "stopped")

    def test_it_waits_as_long_as_it_is_asked_to(self) -> None:
        times: list[float] = []

        def busy_twice(request: Request) -> Answer | None:
            if request.name != "file_stream":
                return None
            times.append(time.monotonic())
            return Answer(429, headers={"Retry-After": "1"}) if len(times) <= 2 else None

        self.server.manner = busy_twice
        self.sandbox.train(rows=ROWS)
        self.wait_for_end()
        self.assertEqual(self.steps(), list(range(ROWS)))
        self.assertGreaterEqual(times[1] - times[0], 1)
        self.assertGreaterEqual(times[2] - times[1], 1)
        refused, repeated = self.server.streams()[1:3]
        self.assertEqual(refused["files"][HISTORY], repeated["files"][HISTORY])


class TroubleTest(WandbTest):
    """Servers that refuse, and a service that dies."""

    def wait_for_refusal(self, *words: str) -> None:
        """The sink stops alone and says why."""
        report, stderr = self.sandbox.train(rows=ROWS)
        self.assertEqual((report["stored"], stderr), (ROWS, ""))
        sink: dict = {}

        # One answer: the run is closed soon after, and who asks then is told by the next service.
        def is_refused() -> bool:
            nonlocal sink
            sink = self.sink()
            return sink["state"] == "refused"

        until(is_refused, f"refused: {self.sink()}")
        self.assert_says(sink["error"], *words)

    def test_a_wrong_key(self) -> None:
        self.server.manner = lambda request: Answer(401, "user is not logged in")
        self.wait_for_refusal("401: \"user is not logged in\"", "WANDB_API_KEY", ".netrc")
        self.assertEqual(len(self.server.requests), 1)
        shown = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertNotIn(KEY, shown + self.sandbox.log_of_service())
        for path in (self.sandbox.root / "uncategorized" / RUN).rglob("*"):
            if path.is_file():
                self.assertNotIn(KEY.encode(), path.read_bytes())

    def test_rows_that_are_refused_for_good(self) -> None:
        self.server.manner = lambda request: \
            Answer(410, "the run was deleted") if request.name == "file_stream" else None
        self.wait_for_refusal("410: \"the run was deleted\"")
        self.assertEqual(len(self.server.streams()), 1)

    def test_an_upsert_that_collides_is_tried_again(self) -> None:
        collisions = [Answer(409, "duplicate key")] * 2
        self.server.manner = lambda request: collisions.pop() if collisions else None
        self.sandbox.train(rows=ROWS)
        self.wait_for_end()
        self.assertEqual(self.server.names()[:3], ["UpsertBucket"] * 3)
        self.assertEqual(self.steps(), list(range(ROWS)))

    def test_a_server_that_takes_rows_and_says_it_does_not(self) -> None:
        failures = [Answer(500, takes=True)] * 3
        self.server.manner = lambda request: \
            failures.pop() if failures and request.name == "file_stream" else None
        self.sandbox.train(rows=ROWS)
        self.wait_for_end()
        self.assertEqual(self.steps(), list(range(ROWS)))

    def alerts(self) -> list[Request]:
        """The requests for them."""
        return [request for request in self.server.requests
                if request.name == "NotifyScriptableRunAlert"]

    def test_an_alert_comes_once_though_its_rows_are_tried_again(self) -> None:
        failures = [Answer(500)] * 3
        self.server.manner = lambda request: \
            failures.pop() if failures and request.name == "file_stream" else None
        script = Script(self.sandbox)
        script.do("log loss=f:1")
        script.do("alert title text 1")
        script.finish()
        self.wait_for_end()
        self.assertEqual(self.steps(), [0])
        self.assertEqual([alert.variables["title"] for alert in self.alerts()], ["title"])
        kill_and_wait(self.sandbox.service())
        self.server.runs[RUN].exit_code = None
        self.sandbox.train(rows=1)
        self.wait_for_end()
        self.assertEqual(len(self.alerts()), 1, "nor does the next service repeat it")

    def test_an_alert_that_fails_delays_no_row(self) -> None:
        failures = [Answer(503)]
        self.server.manner = lambda request: \
            failures[0] if failures and request.name == "NotifyScriptableRunAlert" else None
        script = Script(self.sandbox)
        script.do("alert first text 1")
        script.do("alert second text 2")
        script.do("log loss=f:1")
        self.server.wait_for(lambda: HISTORY in str(self.server.streams()), "the row")
        script.finish()
        self.server.wait_for(lambda: len(self.alerts()) > 2, "the alert is tried again")
        failures.clear()
        self.wait_for_end()
        titles = [alert.variables["title"] for alert in self.alerts()]
        self.assertEqual(titles, ["first"] * (len(titles) - 1) + ["second"])
        self.assertEqual(self.steps(), [0])

    def test_requests_that_are_too_large_are_halved(self) -> None:
        def at_most_100_rows(request: Request) -> Answer | None:
            files = request.body.get("files", {}) if request.name == "file_stream" else {}
            too_many = len(files.get(HISTORY, {}).get("content", [])) > 100
            return Answer(413) if too_many else None

        self.server.manner = at_most_100_rows
        self.sandbox.train(rows=ROWS)
        self.wait_for_end()
        self.assertEqual(self.steps(), list(range(ROWS)))

    def test_the_key_of_netrc_is_sent_as_the_real_client_does(self) -> None:
        (self.sandbox.scratch / ".netrc").write_text(f"machine 127.0.0.1\n login user\n"
                                                     f" password {KEY}\n")
        self.sandbox.environment.pop("WANDB_API_KEY")
        self.sandbox.train(rows=1)
        self.wait_for_end()
        expected = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
        self.assertEqual({request.headers.get("authorization") for request in self.server.requests
                          if request.method == "POST"}, {expected})

    def test_a_run_that_is_there_already_is_gone_on_with(self) -> None:
        before = self.server.run(RUN).lines
        before[HISTORY] = {i: json.dumps({"_step": -1}) for i in range(7)}
        before["output.log"] = {0: "before"}
        script = Script(self.sandbox)
        script.do("log loss=f:1")
        script.finish()
        self.wait_for_end()
        self.assertEqual(self.steps(), [-1] * 7 + [0])
        self.assertEqual(self.server.names()[:2], ["UpsertBucket", "RunResumeStatus"])

    def test_the_service_dies_while_it_uploads(self) -> None:
        """Whatever was on its way comes again as the same lines, and nothing else does."""
        ranks = 2
        programs = [self.sandbox.rank(i, burst=20, pause_ms=5, env={"WORLD_SIZE": str(ranks)})
                    for i in range(ranks)]
        for program in programs:
            program.expect("logging")
        for deaths in range(3):
            taken = len(self.server.streams())
            # The rows arrive, the answer does not.
            self.server.manner = lambda request: \
                Answer(500, takes=True) if request.name == "file_stream" else None
            self.server.wait_for(lambda: len(self.server.streams()) > taken + 1,
                                 f"requests before death {deaths}")
            kill_and_wait(self.sandbox.service())
            self.server.manner = lambda request: None
        self.sandbox.ledger.stop()
        rows = [program.finish()["stored"] for program in programs]
        self.wait_for_end()
        self.assertEqual(self.sink()["sent"], sum(rows))
        history = self.server.runs[RUN].history()
        for rank in range(ranks):
            steps = [row["_step"] for row in history if f"rank{rank}/i" in row]
            self.assertEqual(sorted(steps), list(range(rows[rank])), f"rank {rank}")
            self.assertEqual([row[f"rank{rank}/i"] for row in history if f"rank{rank}/i" in row],
                             steps)


def leaves(tree: dict, before: tuple = ()) -> dict[tuple, object]:
    """The values of nested objects by their keys."""
    found = {}
    for key, value in tree.items():
        inner = isinstance(value, dict) and value
        found |= leaves(value, (*before, key)) if inner else {(*before, key): value}
    return found


def normal(value: object) -> object:
    """Equal for what is equal, NaN too."""
    if isinstance(value, dict):
        return {key: normal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [normal(inner) for inner in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    unittest.main()
