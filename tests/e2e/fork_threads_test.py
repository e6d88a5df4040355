"""fork, exec, spawn, threads and signals in programs that log."""

import collections
import json
import unittest

from sandbox import RUN, SandboxTest, helper, kill_and_wait, until


class ForkThreadsTest(SandboxTest):
    """Issue 3: fork, threads, signals."""

    def run_case(self, case: str) -> str:
        """Runs a scenario to its end; what it printed."""
        done = self.sandbox.run(helper("fork_threads"), "--case", case,
                                env={"RINGLOG_RUN_ID": RUN})
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode()

    def check_rows(self, expected: dict[int, int], run: str = RUN) -> list[dict]:
        """Proves that everybody's rows are all there, in order."""
        until(lambda: all(p["state"] != "running" for p in self.sandbox.producers(run)), "the ends")
        self.assertTrue(self.sandbox.verify(run)["ok"])
        rows = self.sandbox.rows(run)
        found = collections.defaultdict(list)
        for row in rows:
            found[row["who"]].append(row["i"])
        self.assertEqual({who: len(indexes) for who, indexes in found.items()}, expected)
        for who, indexes in found.items():
            self.assertEqual(indexes, list(range(expected[who])), f"rows of {who}")
        return rows

    def check_attempted(self, rows: int) -> None:
        """Proves that each of so many rows is stored or counted as dropped."""
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual(verified["producers"][0]["attempted"], rows)

    def test_forked_children_log_into_their_own_segments(self) -> None:
        """Children and grandchildren are workers of the rank; every row of everybody is there."""
        self.run_case("forks")
        expected = {0: 1000} | {c: 1500 for c in range(1, 5)} | {c: 500 for c in range(11, 15)}
        workers = collections.defaultdict(set)
        for row in self.check_rows(expected):
            workers[row["who"]].add(row.get("_worker", 0))
        self.assertEqual(workers.pop(0), {0})
        self.assertTrue(all(len(numbers) == 1 for numbers in workers.values()), workers)
        self.assertEqual(sorted(n for numbers in workers.values() for n in numbers),
                         list(range(1, 9)))
        producers = self.sandbox.producers()
        self.assertEqual({(p["rank"], p["attempt"], p["state"]) for p in producers},
                         {(0, 0, "finished")})
        self.assertEqual(len(producers), 9)

    def test_a_child_that_does_not_log_is_nobody(self) -> None:
        """It leaves no segment and no producer."""
        self.run_case("silent_child")
        self.check_rows({0: 20})
        self.assertEqual(len(self.sandbox.producers()), 1)

    def test_a_child_that_logs_long_after_its_parent(self) -> None:
        """The run has ended for everybody else and is closed; the child opens it again."""
        program = self.sandbox.start(helper("fork_threads"), "--case", "late_child",
                                     env={"RINGLOG_RUN_ID": RUN})
        program.process.wait()
        until(lambda: self.sandbox.states()[0][0] == "finished", "the end of the parent")
        kill_and_wait(self.sandbox.service())
        self.sandbox.ringlog("service", "start")
        program.drain()
        self.assertEqual(program.stderr, "")
        until(lambda: len(self.sandbox.producers()) == 2, "the child")
        self.check_rows({0: 10, 1: 300})

    def test_fork_inside_threads_that_log(self) -> None:
        """A lock held by another thread at the moment of the fork stops no child."""
        self.run_case("fork_in_threads")
        self.check_rows({t: 5000 for t in range(6)} |
                        {100 + t * 10 + r: 200 for t in range(6) for r in range(5)})

    def test_a_thousand_short_threads(self) -> None:
        """Rings go from thread to thread: 1,000 threads need no more than nine."""
        self.run_case("short_threads")
        rows = self.check_rows({t: 20 for t in range(1000)})
        self.assertLessEqual({row["_seq"] >> 40 for row in rows}, set(range(9)))

    def test_more_threads_than_rings(self) -> None:
        """20 threads at once: eight rings of their own, one shared by the rest."""
        self.run_case("many_threads")
        rows = self.check_rows({t: 5000 for t in range(20)})
        self.assertEqual({row["_seq"] >> 40 for row in rows}, set(range(9)))
        self.assertEqual(len({row["_seq"] for row in rows}), len(rows))

    def test_exec_and_spawn_inherit_nothing(self) -> None:
        """After fork and exec, posix_spawn, vfork and exec: standard descriptors, and what `ls`
        opens itself."""
        output = self.run_case("starts")
        targets = [line.split(" -> ")[1] for line in output.splitlines() if " -> " in line]
        strange = [t for t in targets if not t.startswith(("pipe:", "/dev/null", "/proc/"))]
        self.assertEqual(strange, [])
        # Three times: 0, 1, 2 and the folder that is being listed.
        self.assertEqual(len(targets), 12, output)
        self.check_rows({0: 200})

    def test_logging_from_a_signal_handler(self) -> None:
        """It interrupts log() itself, many times: no deadlock, nothing torn, all counted."""
        counts = json.loads(self.run_case("signal_handler"))
        until(lambda: self.sandbox.producers()[0]["state"] != "running", "the end")
        self.check_attempted(counts["rows"] + counts["signals"])
        indexes = collections.defaultdict(list)
        for row in self.sandbox.rows():
            indexes[row["who"]].append(row["i"])
        self.assertEqual(indexes[0], list(range(counts["rows"])))
        self.assertEqual(indexes[1], sorted(set(indexes[1])))
        self.assertLessEqual(len(indexes[1]), counts["signals"])

    def test_a_signal_handler_that_logs_into_questions(self) -> None:
        """It interrupts error() and sync_status(), which hold the lock of the run."""
        done = self.sandbox.run(helper("fork_threads"), "--case", "signal_in_questions",
                                env={"RINGLOG_RUN_ID": RUN})
        signals = json.loads(done.stdout)["signals"]
        until(lambda: self.sandbox.producers()[0]["state"] != "running", "the end")
        self.check_attempted(signals + 1)
        indexes = [row["i"] for row in self.sandbox.rows()]
        self.assertEqual(indexes, sorted(set(indexes)))
        self.assertGreater(len(indexes), signals // 2)

    def test_two_runs_in_one_process(self) -> None:
        """Each row goes to its own run, whichever thread alternates between them."""
        self.run_case("two_runs")
        self.check_rows({0: 2000, 1: 2000})
        self.check_rows({10: 2000, 11: 2000, 20: 100}, run="second")

    def test_a_run_in_a_global(self) -> None:
        """It is destroyed after the exit handlers, which is as good as any time."""
        self.run_case("global_run")
        self.check_rows({0: 1000})
        self.assertEqual(self.sandbox.states()[0], ("finished", 0, 0))


if __name__ == "__main__":
    unittest.main()
