"""A job as people run it: eight ranks, their workers, a death and a late one, under one roof.

What show, verify and export say about it must be the story that launcher.py made.
"""

import json
import os
import sys
import unittest
from pathlib import Path

import launcher
from sandbox import RUN, SandboxTest, helper, kernel_tells_exits, until

SUPPORT = Path(sys.modules["sandbox"].__file__).parent
WORKERS = 4


class StoryTest(SandboxTest):
    """Issue 5, what it must show, point 2."""

    def setUp(self) -> None:
        super().setUp()
        self.sandbox.ringlog(
            "exec", "--", sys.executable, launcher.__file__, helper("rank"),
            self.sandbox.ledger.path, env={"RINGLOG_RUN_ID": RUN, "RINGLOG_MONITOR": "0.1",
                                           "PYTHONPATH": os.pathsep.join(map(str, [SUPPORT]))})
        # Children of the killed rank are nobody's, so nobody has waited for them.
        until(lambda: all(p["ended"] for p in self.sandbox.producers()), "the ends of all")
        self.shown = self.sandbox.json("show", RUN)

    def test_the_story(self) -> None:
        """In one test, because the job takes its time."""
        self.check_ranks()
        self.check_run()
        self.check_rows()
        self.check_text()

    def check_ranks(self) -> None:
        """Who took part, in which attempt, how each ended and what it stored."""
        ranks = {(p["rank"], p["attempt"]): p for p in self.shown["producers"] if p["worker"] == 0}
        expected = {(rank, 0) for rank in range(launcher.WORLD)} | {(launcher.KILLED, 1)}
        self.assertEqual(set(ranks), expected)
        for (rank, attempt), p in ranks.items():
            self.assertEqual((p["local_rank"], p["world_size"]), (rank, launcher.WORLD))
            if (rank, attempt) == (launcher.KILLED, 0):
                self.assertEqual((p["state"], p["signal"]),
                                 ("crashed", 9 if kernel_tells_exits() else 0))
                self.assertGreaterEqual(p["rows"], launcher.ROWS)
            else:
                self.assertEqual((p["state"], p["exit_code"], p["rows"], p["dropped"]),
                                 ("finished", 0, launcher.ROWS, 0))
        late, first = ranks[launcher.LATE, 0], ranks[launcher.KILLED, 0]
        self.assertGreaterEqual(late["started"], first["started"])
        workers = [p for p in self.shown["producers"] if 0 < p["worker"] < 65535]
        counts = {who: sum((p["rank"], p["attempt"]) == who for p in workers) for who in ranks}
        counts.pop((launcher.KILLED, 0))  # it was killed, perhaps before it forked the last
        self.assertEqual(set(counts.values()), {WORKERS})
        for p in workers:
            self.assertEqual((p["state"], p["rows"]), ("finished", launcher.CHILD_ROWS))

    def check_run(self) -> None:
        """The run ended well: its dead rank came back.  The machine and the console are there."""
        self.assertEqual(self.shown["state"], "finished")
        self.assertGreater(self.shown["system"]["values"]["proc.count"], 0)
        lines = [entry["text"] for entry in self.shown["console"]]
        self.assertEqual([line for line in lines if not line.startswith("ranks done")],
                         ["7 ranks started", "rank 3 was killed", "the job has ended"])
        self.assertIn("ranks done: 8/8", lines)
        processes = {(p["rank"], p["attempt"]): p for p in self.shown["processes"]
                     if p["worker"] == 0}
        self.assertEqual(processes[0, 0]["environment"]["WORLD_SIZE"], str(launcher.WORLD))
        self.assertEqual(processes[launcher.KILLED, 1]["settings"]["attempt"]["value"], "1")

    def check_rows(self) -> None:
        """Everything committed is stored once, and verify says so."""
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual(sum(p["stored"] for p in verified["producers"]), self.shown["rows"])
        self.assertEqual(self.sandbox.check_ledger(), self.shown["rows"])
        printed = self.sandbox.ringlog("export", RUN, "--format", "jsonl", "--console").stdout
        texts = [json.loads(line)["text"] for line in printed.splitlines()]
        self.assertIn("rank 3 was killed", texts)

    def check_text(self) -> None:
        """A person sees the same on one screen."""
        text = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertRegex(text, r"(?m)^state +finished$")
        killed = r"crashed \(SIGKILL\)" if kernel_tells_exits() else "crashed"
        self.assertRegex(text, rf"(?m)^ +3 +0 +\d+ +{killed}")
        self.assertRegex(text, r"(?m)^ +3 +1 +\d+ +finished +2,000 ")
        self.assertRegex(text, rf"(?m)^ +0 w1-{WORKERS} +0 +finished +200 +0 ")
        self.assertRegex(text, r"(?m)^  ranks done: 8/8$")
        text = self.sandbox.ringlog("verify", RUN).stdout.decode()
        self.assertRegex(text, r"ok: [\d,]+ rows attempted, [\d,]+ stored, 0 dropped, none missing")


if __name__ == "__main__":
    unittest.main()
