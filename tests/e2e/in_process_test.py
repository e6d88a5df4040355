"""Issue 5: a service inside the program, over the same code as ringlogd."""

import os
import shutil
import signal
import unittest
from pathlib import Path

from sandbox import (BUILD, PROJECT, RUN, SLOWDOWN, SandboxTest, helper, kill_and_wait,
                     until)
from script import Script

INSIDE = {"RINGLOG_IN_PROCESS": "true"}
ROWS = 1000
# How e2e_rank ends, the code its parent sees, and what the run says: nobody outlives it, so what
# the program does not say itself is found out by the next service, from nothing but its rows.
ORDERLY = [("main", 0, ("finished", 0, 0)), ("finish:5", 0, ("failed", 5, 0)),
           ("exit:0", 0, ("finished", 0, 0)), ("exit:3", 3, ("failed", 3, 0)),
           ("caught", 1, ("failed", 1, 0))]
SUDDEN = [("_exit:7", 7), ("abort", -signal.SIGABRT), ("segv", -signal.SIGSEGV),
          ("throw", -signal.SIGABRT)]


class InProcessTest(SandboxTest):
    """The setting in_process."""

    def setUp(self) -> None:
        super().setUp()
        # The leak checker stops a process's threads before it looks, and says itself that it found
        # leaks that are none when it could not; that happens with those of a guest.  What the
        # service leaks is seen in ringlogd.
        self.sandbox.environment["ASAN_OPTIONS"] += ":detect_leaks=0"

    @property
    def guests(self) -> list[Path]:
        """Runtime directories of services inside programs."""
        return sorted((self.sandbox.runtime / "in-process").glob("*"))

    def test_no_other_process_and_nothing_left(self) -> None:
        """A whole run without ringlogd; afterwards its directory is gone, its store closed."""
        self.sandbox.rank(0, rows=ROWS, threads=2, kinds="mixed", env=INSIDE).finish()
        self.assertEqual(self.sandbox.services(), [])
        self.assertEqual(self.guests, [])
        self.assertTrue(self.sandbox.verify()["ok"])
        self.assertEqual(self.sandbox.check_ledger(kinds="mixed"), 2 * ROWS)

    def test_what_is_the_programs_is_left_alone(self) -> None:
        """Signals, descriptors, umask, threads."""
        done = self.sandbox.run(helper("manners"))
        self.assertEqual((done.stdout.decode(), done.stderr.decode()), ("", ""))

    def test_orderly_ends(self) -> None:
        """The exit code is stored before the service goes with the process."""
        for end, code, state in ORDERLY:
            with self.subTest(end=end):
                run = end.replace(":", "-")
                self.sandbox.rank(0, run=run, rows=ROWS, end=end, env=INSIDE).finish(code)
                self.assertEqual(self.sandbox.states(run), {0: state})
                self.assertTrue(self.sandbox.verify(run)["ok"])
        self.assertEqual((self.sandbox.services(), self.guests), ([], []))

    def test_runs_that_are_destroyed_after_main(self) -> None:
        """In a static of a function and in a global: rows and exit()'s code are stored."""
        self.sandbox.run(helper("static_run"), "5", env=INSIDE, code=5)
        for run in ("static", "global"):
            self.assertEqual(self.sandbox.states(run), {0: ("failed", 5, 0)})
            self.assertEqual(len(self.sandbox.rows(run)), 1)
        self.assertEqual((self.sandbox.services(), self.guests), ([], []))

    def test_sudden_ends_lose_no_row(self) -> None:
        """The next service takes over what is left, be it ringlogd or inside another program."""
        for i, (end, code) in enumerate(SUDDEN):
            self.sandbox.rank(i, rank=0, run=end.replace(":", "-"), rows=ROWS, end=end,
                              env=INSIDE).finish(code)
            # Each took over what the one before had left.
            self.assertEqual(len(self.guests), 1)
        self.sandbox.rank(len(SUDDEN), run="next", rows=1, env=INSIDE).finish()
        self.assertEqual(self.guests, [])
        for end, _ in SUDDEN:
            run = end.replace(":", "-")
            self.assertEqual(self.sandbox.states(run)[0][0], "crashed", run)
            self.assertTrue(self.sandbox.verify(run)["ok"])
            self.assertEqual(len(self.sandbox.rows(run)), ROWS)

    def test_sigkill_in_full_flight(self) -> None:
        """Killed while it logs; a running ringlogd finds the rows by itself."""
        self.sandbox.ringlog("service", "start")
        # However slow the machine, no row is dropped for want of room.
        rank = self.sandbox.rank(0, kinds="mixed", threads=2,
                                 env=INSIDE | {"RINGLOG_FULL_RING_WAIT_MS": "120000"})
        until(lambda: self.sandbox.ledger.committed(0) > 20_000, "20,000 rows")
        rank.kill()
        until(lambda: not self.guests, "ringlogd has taken over")
        until(lambda: self.sandbox.states()[0][0] == "crashed", "the end of the rank")
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger(kinds="mixed")

    def test_the_same_run_again(self) -> None:
        """Killed and started again: the next attempt, and both have all their rows."""
        rank = self.sandbox.rank(0, rank=0, env=INSIDE)
        until(lambda: self.sandbox.ledger.committed(0) > 5000, "5,000 rows")
        rank.kill()
        self.sandbox.rank(1, rank=0, rows=ROWS, env=INSIDE).finish()
        self.assertEqual([(p["attempt"], p["state"]) for p in self.sandbox.producers()],
                         [(0, "crashed"), (1, "finished")])
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger()

    @unittest.skipIf(SLOWDOWN > 1, "a child may inherit a lock of the sanitizer's allocator")
    def test_children_log_through_their_parents_service(self) -> None:
        """Forked in threads while it logs; a child that outlives it gets ringlogd in its place."""
        self.sandbox.rank(0, rows=ROWS, threads=2, forks=3, child_rows=200, env=INSIDE).finish()
        self.assertEqual((self.sandbox.services(), self.guests), ([], []))
        self.assertTrue(self.sandbox.verify()["ok"])
        self.assertEqual(self.sandbox.check_ledger(), 2 * ROWS + 2 * 3 * 200)

    def test_a_child_that_logs_long_after_its_parent(self) -> None:
        """The service has gone with its parent."""
        program = self.sandbox.start(helper("fork_threads"), "--case", "late_child",
                                     env=INSIDE | {"RINGLOG_RUN_ID": RUN})
        program.process.wait()
        until(lambda: self.sandbox.states()[0][0] == "finished", "the end of the parent")
        program.drain()
        until(lambda: len(self.sandbox.producers()) == 2, "the child")
        until(lambda: all(p["state"] != "running" for p in self.sandbox.producers()), "its end")
        self.assertTrue(self.sandbox.verify()["ok"])
        self.assertEqual(len(self.sandbox.rows()), 310)
        for pid in self.sandbox.services():
            kill_and_wait(pid, signal.SIGTERM)

    def test_a_run_that_another_service_has_open(self) -> None:
        """It is refused and the message says who has it; the program goes on."""
        first = self.sandbox.rank(0, env=INSIDE)
        first.expect("logging")
        _, said = self.sandbox.train(1, rows=10, env=INSIDE)
        self.assert_says(said, "logging is disabled", self.sandbox.root, "process")
        first.kill()

    def test_exec_shares_its_service_with_its_program(self) -> None:
        """One run, console and rows, and no ringlogd."""
        self.sandbox.ringlog("exec", "--", helper("static_run"), "3", code=3,
                             env=INSIDE | {"RINGLOG_RUN_ID": "static"})
        self.assertEqual((self.sandbox.services(), self.guests), ([], []))
        self.assertEqual(len(self.sandbox.rows("static")), 1)
        self.assertEqual(self.sandbox.states("static")[0], ("failed", 3, 0))

    def test_it_is_found_from_outside(self) -> None:
        """The live summary, the rows of this moment and a stop, by who knows only the run."""
        script = Script(self.sandbox, **INSIDE)
        script.do("log loss=f:0.5")
        self.assertEqual(len(self.sandbox.rows()), 1, "stored when somebody looks")
        other = Script(self.sandbox, init=False)
        live = f"live {self.sandbox.root / PROJECT / RUN}"
        until(lambda: '"loss":0.5' in other.ask(live).replace(" ", ""), "the live summary")
        other.program.finish()
        self.sandbox.ringlog("stop", RUN)
        self.assertEqual(script.ask("should_stop"), "yes")
        script.finish()

    def test_a_segment_that_is_cut(self) -> None:
        """Threads of the service meet pages that are gone; a program that does not, lives."""
        script = Script(self.sandbox, **INSIDE)
        script.do("log loss=f:0.5")
        script.do("flush", None)
        maps = Path(f"/proc/{script.pid}/maps").read_text()
        paths = {line.split()[-1] for line in maps.splitlines() if line.endswith(".seg")}
        self.assertEqual(len(paths), 1, maps)
        os.truncate(paths.pop(), 4096)
        until(lambda: "cut short" in self.sandbox.ringlog("doctor", RUN, code=None).stdout.decode(),
              "its rings are given up")
        self.assertIsNone(script.program.process.poll())
        script.program.kill()

    def test_without_the_module(self) -> None:
        """The message says what is missing and where it was looked for; the program goes on."""
        shutil.copy(BUILD / "lib" / "libringlog.so.0", self.sandbox.scratch)
        done = self.sandbox.run(helper("static_run"), "0", env=INSIDE | {
            "LD_LIBRARY_PATH": str(self.sandbox.scratch)})
        self.assert_says(done.stderr.decode(), "logging is disabled",
                         "libringlog_in_process.so", self.sandbox.scratch)


if __name__ == "__main__":
    unittest.main()
