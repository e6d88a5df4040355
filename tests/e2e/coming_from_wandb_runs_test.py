"""What a run holds: a test for each row of the second table of docs/coming-from-wandb.md, in its
order, under the name of the row."""

import json
import unittest

import wandb_file
from sandbox import PROJECT, RUN, SandboxTest, freeze, kill_and_wait, thaw, until
from script import Script


class DataTest(SandboxTest):
    """What runs hold: the second table of the page."""

    def script(self, **options: str) -> Script:
        """A process of the run."""
        return Script(self.sandbox, **options)

    def shown(self) -> dict:
        """`ringlog show --json`."""
        return self.sandbox.json("show", RUN)

    def metric(self, name: str) -> dict:
        """One metric of `ringlog show --json`."""
        return next(metric for metric in self.shown()["metrics"] if metric["name"] == name)

    def test_stream_threads(self) -> None:
        """Threads are per stage: ten runs take no more than one."""
        scripts = [self.script(run="run0")]
        threads = self.sandbox.service_threads()
        scripts += [self.script(run=f"run{i}") for i in range(1, 10)]
        self.assertEqual(self.sandbox.service_threads(), threads)
        for script in scripts:
            script.finish()

    def test_queues(self) -> None:
        """Bounded, with a policy and a count: what a full ring refuses is told, never silent."""
        script = self.script(RINGLOG_RING_BYTES="131072", RINGLOG_FULL_RING="drop")
        service = self.sandbox.service()
        freeze(service)
        for i in range(5000):
            script.do(f"log i=i:{i}")
        thaw(service)
        attempted, stored, dropped = map(int, script.ask("finish").split())
        self.assertEqual(attempted, 5000)
        self.assertGreater(dropped, 0)
        self.assertEqual(stored + dropped, attempted)
        producer, = self.sandbox.verify()["producers"]
        self.assertEqual((producer["dropped"], producer["missing"]), (dropped, 0))
        script.program.finish()

    def test_handler(self) -> None:
        """What a getter answers reflects everything that this process sent before."""
        script = self.script()
        for i in range(50):
            script.do(f"log i=i:{i}")
            self.assertEqual(script.json("deliver summary"), {"i": i})
        script.finish()

    def test_writer(self) -> None:
        """Order of the store: the order of logging; on disk without being asked."""
        script = self.script()
        for i in range(20):
            script.do(f"log i=i:{i}")
        until(lambda: len(self.sandbox.rows()) == 20, "rows are stored by themselves")
        self.assertEqual([row["_seq"] for row in self.sandbox.rows()], list(range(20)))
        script.finish()

    def test_transaction_log(self) -> None:
        """`.wandb` is an export, bit for bit what their tools read."""
        script = self.script()
        script.do("log loss=f:0.25")
        script.finish()
        folder = self.sandbox.scratch / "wandb"
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder)
        exported, = folder.glob("offline-run-*")
        self.assertEqual([row["loss"] for row in wandb_file.read_run(exported).history], [0.25])

    def test_sender(self) -> None:
        """A sink gets every row once; finish() tells how many it acknowledged."""
        path = self.sandbox.scratch / "rows.jsonl"
        script = self.script(RINGLOG_SINKS=f"jsonl+file://{path}")
        for i in range(10):
            script.do(f"log i=i:{i}")
        script.finish()
        until(lambda: path.exists() and len(path.read_text().splitlines()) == 10, "all are sent")

    def test_flow_control(self) -> None:
        """A dead network: logging and finish do not notice, the store keeps what is not sent."""
        script = self.script(RINGLOG_SINKS="clickhouse+http://127.0.0.1:9/db")
        for i in range(100):
            script.do(f"log i=i:{i}")
        self.assertEqual(script.ask("finish"), "100 100 0")
        script.program.finish()
        sink, = self.shown()["sinks"]
        self.assertEqual((sink["sent"], sink["lag"]), (0, 100))

    def test_deliver_run(self) -> None:
        """Id, project and folder, from the service."""
        script = self.script()
        self.assertEqual(script.ask("deliver run"),
                         f"{RUN} {PROJECT} {self.sandbox.root / PROJECT / RUN}")
        script.finish()

    def test_system_monitor(self) -> None:
        """Samples of the machine beside the rows, by one sampler for all runs."""
        script = self.script(RINGLOG_MONITOR="0.1")
        until(lambda: "cpu" in json.dumps(self.shown()["system"]), "a sample")
        script.finish()

    def test_run_status_checker(self) -> None:
        """`ringlog stop` sets a word that should_stop() reads; no thread, no signal."""
        script = self.script()
        self.assertEqual(script.ask("should_stop"), "no")
        self.sandbox.ringlog("stop", RUN)
        self.assertEqual(script.ask("should_stop"), "yes")
        script.finish()
        self.assertEqual(self.shown()["state"], "stopped")

    def test_sync_status(self) -> None:
        """Attempted, stored, synced, sent and the network: words that the program reads."""
        script = self.script()
        script.do("log loss=f:1")
        until(lambda: script.ask("status") == "1 1 1 0 0", "stored and synced; there is no sink")
        script.finish()

    def test_history(self) -> None:
        """Typed values: integers exact to 64 bits, floats to the bit, text, lists, nested keys."""
        script = self.script()
        script.do("log big=i:-9223372036854775808 huge=u:18446744073709551615 third=f:0.1 "
                  "yes=b:1 word=s:hello list=l:1,2.5 a>b>c=i:1 a>d=f:nan")
        script.do("hist grad 2 0 1 2 4")
        script.finish()
        first, second = self.sandbox.rows()
        self.assertEqual((first["big"], first["huge"], first["third"]),
                         (-2**63, 2**64 - 1, 0.1))
        self.assertEqual((first["yes"], first["word"], first["list"]), (True, "hello", [1.0, 2.5]))
        self.assertEqual(first["a"]["b"], {"c": 1})
        self.assertNotEqual(first["a"]["d"], first["a"]["d"], "NaN stays NaN")
        self.assertEqual(second["grad"], {"_type": "histogram", "values": [2, 2],
                                          "bins": [0.0, 2.0, 4.0]})

    def test_step_rules_late_steps(self) -> None:
        """Steps in any order: nothing is dropped, and automatic ones go on behind the last."""
        script = self.script()
        for step in (5, 3, 3, 9):
            script.do(f"log loss=f:{step} step={step}")
        script.do("log loss=f:10")
        script.finish()
        self.assertEqual([row["_step"] for row in self.sandbox.rows()], [5, 3, 3, 9, 10])
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_step_rules_late_steps_end(self) -> None:
        """The last step there is follows itself: the next automatic one does not begin anew."""
        last = 2**64 - 1
        script = Script(self.sandbox)
        script.do(f"log a=i:1 step={last}")
        script.do("log a=i:2")
        script.do("log a=i:3")
        script.finish()
        self.assertEqual([row["_step"] for row in self.sandbox.rows()], [last] * 3)

    def test_step_rules_partial_rows(self) -> None:
        """commit=false: parts of one step, each safe at once, shown as one row."""
        script = self.script()
        script.do("log a=i:1 commit=0")
        script.do("log b=i:2 commit=0")
        script.do("log c=i:3")
        script.do("log a=i:4")
        script.do("log a=i:5 step=9 commit=0")
        script.do("log b=i:6")
        kill_and_wait(script.pid)
        until(lambda: self.shown()["state"] == "crashed", "the end is known")
        rows = [(row["_step"], {k: v for k, v in row.items() if k[0] != "_"})
                for row in self.sandbox.rows()]
        self.assertEqual(rows, [(0, {"a": 1}), (0, {"b": 2}), (0, {"c": 3}), (1, {"a": 4}),
                                (9, {"a": 5}), (9, {"b": 6})])
        folder = self.sandbox.scratch / "wandb"
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder)
        exported, = folder.glob("offline-run-*")
        merged = [{k: v for k, v in row.items() if k in ("_step", "a", "b", "c")}
                  for row in wandb_file.read_run(exported).history]
        self.assertEqual(merged, [{"_step": 0, "a": 1, "b": 2, "c": 3}, {"_step": 1, "a": 4},
                                  {"_step": 9, "a": 5, "b": 6}])

    def test_define_metric_summary(self) -> None:
        """Minimum, maximum, mean, first, last, or nothing at all; by name or by `prefix*`."""
        script = self.script()
        script.do("metric loss - min,max,mean")
        script.do("metric val/* - first,last")
        script.do("metric secret - none")
        for i in (3, 1, 2):
            script.do(f"log loss=f:{i} val/acc=i:{i} secret=f:{i} plain=f:{i} val/no=f:nan")
        expected = {"loss": {"min": 1.0, "max": 3.0, "mean": 2.0}, "plain": 2.0,
                    "val/acc": {"first": 3, "last": 2}}
        found = json.loads(script.ask("deliver summary").replace("NaN", "null"))
        self.assertEqual(found.pop("val/no"), {"first": None, "last": None})
        self.assertEqual(found, expected)
        script.finish()
        shown = self.shown()["summary"]
        shown.pop("val/no")
        self.assertEqual(shown, expected)
        page = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertRegex(page, r"loss:\n +max: 3\n +mean: 2\n +min: 1\n")

    def test_define_metric_says_what_it_refuses(self) -> None:
        """A summary that does not exist is refused with the names that do."""
        script = self.script()
        script.do("metric loss - best")
        self.assert_says(script.ask("error"), "loss", "best", "min", "none")
        script.finish()

    def test_define_metric_merges(self) -> None:
        """What a later definition leaves out stays; an exact name stands above a prefix."""
        script = self.script()
        script.do("metric loss epoch -")
        script.do("metric loss - min")
        script.do("metric l* - max hidden")
        script.do("log loss=f:1 lr=f:0.5 epoch=i:0")
        script.finish()
        self.assertEqual(self.metric("loss")["definition"],
                         {"name": "loss", "step_metric": "epoch", "summary": ["min"],
                          "hidden": False})
        self.assertEqual(self.metric("lr")["definition"],
                         {"name": "l*", "step_metric": "", "summary": ["max"], "hidden": True})
        page = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertNotRegex(page.split("metrics")[1], r"\blr\b", "it is hidden")

    def test_define_metric_step_metric(self) -> None:
        """plot draws over the step metric; a row without it stands where it was last."""
        script = self.script()
        script.do("metric val/* epoch -")
        for epoch in range(3):
            script.do(f"log epoch=i:{epoch}")
            for part in range(2):
                script.do(f"log val/acc=f:{epoch * 10 + part}")
        script.finish()
        plot, = self.sandbox.json("plot", RUN, "val/acc")
        self.assertEqual((plot["x"], plot["rank"]), ("epoch", 0))
        self.assertEqual([(p["x_first"], p["rows"], p["min"], p["max"]) for p in plot["points"]],
                         [(0.0, 2, 0.0, 1.0), (1.0, 2, 10.0, 11.0), (2.0, 2, 20.0, 21.0)])
        page = self.sandbox.ringlog("plot", RUN, "val/acc", "--ascii").stdout.decode()
        self.assertIn("val/acc over epoch", page)
        over_step, = self.sandbox.json("plot", RUN, "val/acc", "--x", "step")
        self.assertEqual(over_step["points"][-1]["step_last"], 8)

    def test_summary(self) -> None:
        """Last values, and above them what the program set, nested keys merged."""
        script = self.script()
        script.do("log loss=f:2 a>b=i:1")
        script.do("summary loss=s:overridden a>c=i:2")
        script.do("log loss=f:1")
        expected = {"loss": "overridden", "a": {"b": 1, "c": 2}}
        self.assertEqual(script.json("deliver summary"), expected)
        script.finish()
        self.assertEqual(self.shown()["summary"], expected)

    def test_summary_over_ranks(self) -> None:
        """The last values of all ranks side by side: mean, lowest, highest, and whose."""
        for rank in range(3):
            script = self.script(RANK=str(rank))
            script.do(f"log loss=f:{rank + 1}")
            script.do(f"log loss=f:{10 * (rank + 1)}")
            script.finish()
        self.assertEqual(self.shown()["summary"], {"loss": 10.0}, "of the lowest rank")
        self.assertEqual(self.metric("loss")["ranks"],
                         {"max": 30.0, "max_rank": 2, "mean": 20.0, "min": 10.0, "min_rank": 0,
                          "ranks": 3})
        page = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertRegex(page, r"last values of 3 ranks")
        self.assertRegex(page, r"loss +6 +3 +20 +10 \(r0\) +30 \(r2\)")

    def live(self, reader: Script, folder: str = "") -> dict:
        """The live summary as a process reads it."""
        found = reader.ask(f"live {folder}")
        return {} if found.startswith("error") else json.loads(found)

    def test_summary_live(self) -> None:
        """Any process reads it from shared memory, also while the service stands still."""
        folder = str(self.sandbox.root / PROJECT / RUN)
        ranks = [self.script(RANK=str(rank)) for rank in range(2)]
        stranger = Script(self.sandbox, init=False)
        self.assert_says(stranger.ask(f"live {folder}x"), "error", "runx")
        ranks[0].do("metric loss - min,max,mean")
        for i in range(4):
            for rank, script in enumerate(ranks):
                script.do(f"log loss=f:{i + 10 * rank} n=i:{i} word=s:w{i}")
        ranks[0].do("summary best=f:0.5")
        expected = {"best": 0.5, "loss": {"max": 3.0, "mean": 1.5, "min": 0.0}, "n": 3,
                    "word": "w3"}
        until(lambda: self.live(stranger, folder).get("summary") == expected, "the live summary")
        service = self.sandbox.service()
        freeze(service)
        found = self.live(stranger, folder)
        self.assertEqual(found["rows"], 8)
        self.assertEqual(found["ranks"]["loss"],
                         {"max": 13.0, "max_rank": 1, "mean": 8.0, "min": 3.0, "min_rank": 0,
                          "ranks": 2})
        thaw(service)
        self.assertEqual(self.shown()["summary"], expected, "the same as from the store")
        kill_and_wait(service)
        for rank, script in enumerate(ranks):
            script.do(f"log loss=f:{rank + 20} n=i:9")
            script.do("flush", None)
        expected |= {"loss": {"max": 20.0, "mean": 5.2, "min": 0.0}, "n": 9}
        until(lambda: self.live(stranger, folder).get("summary") == expected,
              "the next service goes on from the store")
        self.assertEqual(self.shown()["summary"], expected)
        for script in (*ranks, stranger):
            script.program.drain()

    def test_config(self) -> None:
        """Nested objects are merged key by key; the last value of a key stays."""
        script = self.script()
        script.do("config lr=f:0.1 net>width=i:3 net>act=s:relu")
        script.do("config net>width=i:4")
        script.finish()
        self.assertEqual(self.shown()["config"],
                         {"lr": 0.1, "net": {"act": "relu", "width": 4}})

    def test_save(self) -> None:
        """A file is copied into the run's folder, now."""
        path = self.sandbox.scratch / "model.bin"
        path.write_bytes(b"weights")
        script = self.script()
        script.do(f"save {path}")
        script.finish()
        saved = self.sandbox.root / PROJECT / RUN / "files" / "model.bin"
        self.assertEqual(saved.read_bytes(), b"weights")

    def test_save_survives(self) -> None:
        """A program that is killed loses neither its live nor its last files."""
        path = self.sandbox.scratch / "model.bin"
        path.write_bytes(b"early")
        script = self.script()
        script.do(f"save {path} live", "0 0")
        script.do(f"save {path} end {self.sandbox.scratch.parent}", "0 0")
        path.write_bytes(b"weights")
        script.program.kill()
        files = self.sandbox.root / PROJECT / RUN / "files"
        for saved in (files / "model.bin", files / self.sandbox.scratch.name / "model.bin"):
            until(lambda saved=saved: saved.exists() and saved.read_bytes() == b"weights",
                  f"{saved} is kept")

    def test_alerts(self) -> None:
        """One of a title in 60 s: a loop that alerts does not drown anybody."""
        script = self.script()
        for _ in range(100):
            script.do("alert diverged NaN 2")
        script.do("alert other text 0")
        script.finish()
        folder = self.sandbox.scratch / "wandb"
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder)
        exported, = folder.glob("offline-run-*")
        self.assertEqual(wandb_file.read_run(exported).alerts,
                         [("diverged", "NaN", "ERROR"), ("other", "text", "INFO")])
        self.assertEqual([(a["title"], a["text"], a["level"], a["rank"])
                          for a in self.sandbox.json("show", RUN)["alerts"]],
                         [("diverged", "NaN", "error", 0), ("other", "text", "info", 0)])
        page = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertRegex(page, r"(?s)\nalerts\n.*error +diverged +NaN\n.*info +other +text\n")

    def test_finish(self) -> None:
        """finish(code), exit(code) with the run in a global: each is known, rank by rank."""
        for rank, end in enumerate(("finish 0", "finish 3", "exit 4")):
            script = self.script(RANK=str(rank))
            script.tell(end)
            script.answer()
            script.program.drain()
        until(lambda: all(state != "running" for state, _, _ in self.sandbox.states().values()),
              "all ends are known")
        self.assertEqual(self.sandbox.states(), {0: ("finished", 0, 0), 1: ("failed", 3, 0),
                                                 2: ("failed", 4, 0)})
        self.assertEqual(self.shown()["state"], "failed")

    def test_resume(self) -> None:
        """A finished run is opened again by its id: a new attempt that goes on counting."""
        first = self.script(RANK="0")
        first.do("log loss=f:1")
        first.do("log loss=f:2")
        first.finish(1)
        self.assertEqual(self.shown()["state"], "failed")
        second = self.script(RANK="0")
        self.assertEqual(second.ask("rank"), "0.1")
        self.assertEqual(self.shown()["state"], "running")
        second.do("log loss=f:3")
        second.finish()
        self.assertEqual(self.shown()["state"], "finished")
        self.assertEqual([(row["_attempt"], row["_step"], row["loss"])
                          for row in self.sandbox.rows()], [(0, 0, 1.0), (0, 1, 2.0), (1, 2, 3.0)])

if __name__ == "__main__":
    unittest.main()
