"""How processes end, and what the run says about it."""

import os
import signal
import unittest

from sandbox import SandboxTest, helper, kernel_tells_exits, until, wait_for_death

ROWS = 1000
# How e2e_rank is told to end, the code its parent sees, and what the run must say: state, exit
# code, signal.
ENDS = [
    ("main", 0, ("finished", 0, 0)),
    ("return:2", 2, ("failed", 2, 0) if kernel_tells_exits() else ("finished", 0, 0)),
    ("finish:0", 0, ("finished", 0, 0)),
    ("finish:5", 0, ("failed", 5, 0)),
    ("exit:0", 0, ("finished", 0, 0)),
    ("exit:3", 3, ("failed", 3, 0)),
    ("_exit:0", 0, ("finished", 0, 0)),
    ("_exit:7", 7, ("failed", 7, 0)),
    ("caught", 1, ("failed", 1, 0)),
    ("throw", -signal.SIGABRT, ("crashed", 0, signal.SIGABRT)),
    ("abort", -signal.SIGABRT, ("crashed", 0, signal.SIGABRT)),
    ("segv", -signal.SIGSEGV, ("crashed", 0, signal.SIGSEGV)),
]
# Ends that only the kernel can tell about.
SILENT = {"_exit:0", "_exit:7", "throw", "abort", "segv"}


class ExitsTest(SandboxTest):
    """Issue 2, point 4."""

    def wait_until_ended(self, count: int = 1) -> dict[int, tuple[str, int, int]]:
        """Waits until the service knows how all ranks ended."""
        until(lambda: sum(s[0] != "running" for s in self.sandbox.states().values()) == count,
              "the ends of all ranks")
        return self.sandbox.states()

    def expected(self, state: str, code: int, number: int) -> tuple[str, int, int]:
        """What an old kernel makes of an end of which nothing else tells."""
        return (state, code, number) if kernel_tells_exits() else ("crashed", 0, 0)

    def test_every_way_to_end(self) -> None:
        """Each end has its state and code, and costs no row."""
        ranks = [self.sandbox.rank(i, rows=ROWS, end=end) for i, (end, _, _) in enumerate(ENDS)]
        for rank, (_, code, _) in zip(ranks, ENDS):
            rank.finish(code)
        states = self.wait_until_ended(len(ENDS))
        for i, (end, _, expected) in enumerate(ENDS):
            with self.subTest(end=end):
                self.assertEqual(states[i],
                                 self.expected(*expected) if end in SILENT else expected)
        self.assertTrue(self.sandbox.verify()["ok"])
        self.assertEqual(self.sandbox.check_ledger(), ROWS * len(ENDS))

    def test_runs_that_are_destroyed_after_main(self) -> None:
        """In a static of a function and in a global with an initialiser: exit()'s code counts."""
        self.sandbox.run(helper("static_run"), "5", code=5)
        for run in ("static", "global"):
            with self.subTest(run):
                self.assertEqual(self.sandbox.states(run), {0: ("failed", 5, 0)})

    def test_the_state_of_the_run_follows_from_its_ranks(self) -> None:
        """All ranks well: finished; one not: what that one came to."""
        for end, state in (("main", "finished"), ("exit:3", "failed")):
            with self.subTest(end=end):
                self.sandbox.rank(0, run=state, rows=1).finish()
                self.sandbox.rank(1, run=state, rows=1, end=end).finish(0 if end == "main" else 3)
                until(lambda run=state: self.sandbox.json("show", run)["state"] != "running", end)
                self.assertEqual(self.sandbox.json("show", state)["state"], state)

    def test_sigkill_in_full_flight_loses_no_committed_row(self) -> None:
        """What the rank had committed when it died is exported, nothing torn, and why it died."""
        ranks = [self.sandbox.rank(i, kinds="mixed", threads=2) for i in range(2)]
        for i, rank in enumerate(ranks):
            until(lambda i=i: self.sandbox.ledger.committed(i) > 20_000, "20,000 rows")
            self.assertEqual(rank.kill(), -signal.SIGKILL)
        states = self.wait_until_ended(2)
        self.assertEqual(states[0], self.expected("crashed", 0, signal.SIGKILL))
        self.assertEqual(states[1], self.expected("crashed", 0, signal.SIGKILL))
        self.assertTrue(self.sandbox.verify()["ok"])
        self.assertGreater(self.sandbox.check_ledger(kinds="mixed"), 40_000)

    def test_sigterm_and_sigint_mean_killed(self) -> None:
        """Somebody asked the process to end: that is not a crash."""
        for i, number in enumerate((signal.SIGTERM, signal.SIGINT)):
            rank = self.sandbox.rank(i, rows=ROWS, end="hang")
            until(lambda i=i: self.sandbox.ledger.committed(i) == ROWS, "all rows")
            rank.kill(number)
        states = self.wait_until_ended(2)
        self.assertEqual(states[0], self.expected("killed", 0, signal.SIGTERM))
        self.assertEqual(states[1], self.expected("killed", 0, signal.SIGINT))
        self.assertEqual(self.sandbox.check_ledger(), 2 * ROWS)

    def test_a_parent_that_reaps_late_or_never(self) -> None:
        """A zombie is dead: its rows are stored, its signal is known."""
        rank = self.sandbox.rank(0)
        until(lambda: self.sandbox.ledger.committed(0) > ROWS, "some rows")
        os.kill(rank.pid, signal.SIGKILL)
        wait_for_death(rank.pid)  # without reaping it
        self.assertEqual(self.wait_until_ended()[0], ("crashed", 0, signal.SIGKILL))
        self.assertEqual(rank.process.wait(), -signal.SIGKILL)
        self.assertEqual(self.sandbox.states()[0], ("crashed", 0, signal.SIGKILL))
        self.sandbox.check_ledger()

    def test_a_process_that_dies_before_its_first_row(self) -> None:
        """It took part, it logged nothing, it is not missing anything."""
        self.sandbox.rank(0, rows=0, end="_exit:9").finish(9)
        waiting = self.sandbox.rank(1, rows=0, end="hang")
        waiting.expect("logging")
        waiting.kill()
        states = self.wait_until_ended(2)
        self.assertEqual(states[0], self.expected("failed", 9, 0))
        self.assertEqual(states[1], self.expected("crashed", 0, signal.SIGKILL))
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual([p["attempted"] for p in verified["producers"]], [0, 0])
        self.assertEqual(list(self.sandbox.lines()), [])

    def test_a_rank_that_comes_back_is_a_new_attempt(self) -> None:
        """The service counts attempts when no launcher does, and both keep their rows."""
        first = self.sandbox.rank(0, rank=2)
        until(lambda: self.sandbox.ledger.committed(0) > ROWS, "some rows")
        first.kill()
        self.sandbox.rank(1, rank=2, rows=ROWS).finish()
        producers = self.sandbox.verify()["producers"]
        self.assertEqual([(p["rank"], p["attempt"], p["state"]) for p in producers],
                         [(2, 0, "crashed"), (2, 1, "finished")])
        self.sandbox.check_ledger()


if __name__ == "__main__":
    unittest.main()
