"""What init() and finish() say on the terminal."""

import unittest

from sandbox import RINGLOG, RUN, SandboxTest, helper
from script import Script


class MessagesTest(SandboxTest):
    """One header and one footer a job, on standard error."""

    def said(self, rank: int, console: str, *around: str) -> list[str]:
        """The lines of one rank that logs ten rows."""
        words = [*around, helper("rank"), "--ledger", self.sandbox.ledger.path, "--rows", "10"]
        done = self.sandbox.run(*words, env={"RINGLOG_RUN_ID": RUN, "RANK": str(rank),
                                             "WORLD_SIZE": "2", "RINGLOG_CONSOLE": console})
        self.assertNotIn(b"\x1b", done.stderr)
        return done.stderr.decode().splitlines()

    def test_where_the_run_is_and_what_became_of_it(self) -> None:
        """Rank 0 says it once, the others nothing."""
        place = self.sandbox.root / "uncategorized" / RUN
        lines = self.said(0, "auto")
        self.assertEqual(lines[:3],
                         [f"ringlog: run {RUN} in {place}", f"  watch it: ringlog tail -f {RUN}",
                          f"ringlog: run {RUN}: 10 rows stored of rank 0"])
        self.assertEqual(lines[-1], f"  look at it: ringlog show {RUN}")
        self.assertEqual(self.said(1, "auto"), [])

    def test_last_values_and_curves(self) -> None:
        """By name, in the middle of what rank 0 says at its end; what was set comes last."""
        script = Script(self.sandbox, RINGLOG_CONSOLE="auto")
        for step in range(8):
            script.do(f"log loss=f:{8 - step} acc=f:{step} note=s:x")
        script.do("metric hid - - hidden")
        script.do("log hid=f:1")
        script.do("summary best=f:0.25")
        script.finish()
        lines = script.program.stderr.splitlines()
        first = next(i for i, line in enumerate(lines) if "rows stored" in line)
        self.assertEqual(lines[first + 1:],
                         ["  acc   ▁▂▃▄▅▆▇█  7", "  loss  █▇▆▅▄▃▂▁  1", "  best            0.25",
                          "  note            \"x\"", f"  look at it: ringlog show {RUN}"])

    def test_the_footer_shows_the_summary(self) -> None:
        """What define_metric() asked for and what the program set, not the last value."""
        script = Script(self.sandbox, RINGLOG_CONSOLE="auto", LC_ALL="C")
        script.do("metric acc - max,last")
        script.do("metric lr - none")
        for value in (1, 7, 5):
            script.do(f"log acc=f:{value} lr=f:1 loss=f:{value} big=i:{value}2345678901")
        script.do("log net>x=f:0.5")
        script.do("summary loss=f:0.25")
        script.finish()
        lines = [line.split() for line in script.program.stderr.splitlines()]
        for expected in (["acc", "last", "5,", "max", "7"], ["lr"], ["loss", "0.25"],
                         ["big", "52345678901"], ["net.x", "0.5"]):
            self.assertIn(expected, lines)

    def test_what_is_wrong_with_the_environment_is_said_once(self) -> None:
        """By exec, or by one rank of a job; with the name that was meant."""
        script = 'for r in 0 1 2; do RANK=$r "$@" > /dev/null; done'
        rank = [helper("rank"), "--ledger", self.sandbox.ledger.path, "--rows", "1"]
        for around in ([RINGLOG, "exec", "--"], []):
            done = self.sandbox.run(*around, "sh", "-c", script, "sh", *rank,
                                    env={"RINGLOG_RUN_ID": RUN, "RINGLOG_PROJCT": "x"})
            self.assertEqual([line for line in done.stderr.decode().splitlines() if "JCT" in line],
                             ["ringlog: the variable RINGLOG_PROJCT is not one of ringlog's and is "
                              "ignored; did you mean RINGLOG_PROJECT?"])

    def test_many_metrics_are_counted(self) -> None:
        """The footer is short; in a locale without UTF-8 it has no curves."""
        script = Script(self.sandbox, RINGLOG_CONSOLE="auto", LC_ALL="C")
        script.do("log " + " ".join(f"m{i:02}=f:{i}" for i in range(30)))
        script.finish()
        lines = script.program.stderr.splitlines()
        self.assertEqual(lines[-3:], ["  m15  15", "  and 14 more",
                                      f"  look at it: ringlog show {RUN}"])

    def test_nothing_on_request(self) -> None:
        """quiet and off."""
        self.assertEqual(self.said(0, "quiet"), [])
        self.assertEqual(self.said(0, "off"), [])

    def test_under_exec_it_is_said_once(self) -> None:
        """exec says where the run is, the program what became of it."""
        lines = self.said(0, "auto", RINGLOG, "exec", "--")
        self.assertEqual([line for line in lines if " in " in line],
                         [f"ringlog: run {RUN} in {self.sandbox.root / 'uncategorized' / RUN}"])
        self.assertEqual(sum("rows stored" in line for line in lines), 1)


if __name__ == "__main__":
    unittest.main()
