"""Programs that fork, get signals or finish while another call of theirs is inside the library."""

import collections
import json
import unittest

from sandbox import RUN, Program, SandboxTest, freeze, helper, thaw, until

SMALL_RING = {"RINGLOG_RING_BYTES": "131072"}


class InterruptedTest(SandboxTest):
    """Issue 3: fork, threads, signals, in the middle of something."""

    def start(self, case: str, env: dict[str, str] | None = None) -> Program:
        """Starts a scenario."""
        return self.sandbox.start(helper("interrupted"), "--case", case,
                                  env={"RINGLOG_RUN_ID": RUN} | (env or {}))

    def go_on(self, program: Program) -> None:
        """The next line of a scenario's standard input."""
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()

    def start_beside_a_frozen_service(self, case: str,
                                      env: dict[str, str] | None = None) -> tuple[Program, int]:
        """Starts a scenario that is ready when the service stands still; both."""
        program = self.start(case, env)
        program.expect("ready")
        service = self.sandbox.service()
        freeze(service)
        self.go_on(program)
        return program, service

    def check_whole(self, attempted: int, run: str = RUN) -> None:
        """Proves that so many rows are stored or counted."""
        until(lambda: all(p["state"] != "running" for p in self.sandbox.producers(run)), "the end")
        verified = self.sandbox.verify(run)
        self.assertTrue(verified["ok"])
        self.assertEqual(sum(p["attempted"] for p in verified["producers"]), attempted)

    def test_a_fork_in_the_middle_of_finish(self) -> None:
        """The child's own finish() does not wait for a thread that it does not have."""
        program, service = self.start_beside_a_frozen_service("fork_in_finish")
        program.expect("child")
        thaw(service)
        program.finish()
        self.check_whole(1)

    def test_a_fork_beside_a_service_that_stands_still(self) -> None:
        """The child says so once, tries again, and counts what it could not log."""
        program, service = self.start_beside_a_frozen_service("fork_in_silence")
        program.expect("child")
        thaw(service)
        self.go_on(program)
        report = program.finish()
        self.check_whole(1 + report["rows"])
        self.assertEqual(len(program.stderr.splitlines()), 1, program.stderr)
        self.assert_says(program.stderr, "cannot log yet", "does not answer")
        last = [row["i"] for row in self.sandbox.rows() if "_worker" in row]
        self.assertEqual(last[-1], report["rows"] - 1)
        # What it asked for in vain was not done behind its back.
        workers = [p["worker"] for p in self.sandbox.producers()]
        self.assertEqual(sorted(workers), [0, 1])

    def test_large_rows_beside_a_service_that_stands_still(self) -> None:
        """Where rows are dropped at once these are too, once it is known that nobody answers."""
        program, service = self.start_beside_a_frozen_service(
            "large_rows_in_silence", {"RINGLOG_FULL_RING": "drop"})
        program.expect("logged")
        thaw(service)
        self.go_on(program)
        report = program.finish()
        self.assertGreaterEqual(report["dropped"], 800)
        self.assertEqual(report["attempted"], report["stored"] + report["dropped"])
        self.check_whole(report["attempted"])

    def test_a_fork_in_the_middle_of_an_alert(self) -> None:
        """Sixty children beside a thread that alerts; each alerts too and ends."""
        self.start("fork_in_alert").finish()

    def test_a_fork_in_the_middle_of_an_exit_handlers_registration(self) -> None:
        """It waits for the end of it: the child would inherit a lock of the C library."""
        self.start("fork_in_on_exit").finish()

    def test_threads_whose_last_objects_log(self) -> None:
        """They give their ring back all the same: one thread after another uses the same one."""
        self.start("thread_locals").finish()
        self.check_whole(120)
        lanes = {row["_seq"] >> 40 for row in self.sandbox.rows()}
        self.assertEqual(lanes, {0})

    def test_a_signal_handler_that_logs_first(self) -> None:
        """It has no ring yet and may come while the thread holds the lock that gives one out."""
        for _ in range(10):
            # That the first row needs memory, which a handler should not ask for, is known.
            options = self.sandbox.environment["TSAN_OPTIONS"] + ":report_signal_unsafe=0"
            report = self.start("signal_first", {"TSAN_OPTIONS": options}).finish()
            self.assertGreaterEqual(report["signals"], 100)

    def test_finish_while_threads_wait_for_room(self) -> None:
        """They give up, counted; nothing is torn in the ring that they share."""
        program, service = self.start_beside_a_frozen_service(
            "finish_while_they_wait", SMALL_RING | {"RINGLOG_FULL_RING_WAIT_MS": "3600000"})
        program.expect("finished")
        thaw(service)
        report = program.finish()
        self.check_whole(report["rows"])
        indexes = collections.defaultdict(list)
        for row in self.sandbox.rows():
            indexes[row["who"]].append(row["i"])
        for who, found in indexes.items():
            self.assertEqual(found, list(range(len(found))), f"rows of thread {who}")

    def test_a_row_too_large_among_those_kept(self) -> None:
        """What `coalesce` kept goes into the ring before the rows that come after it."""
        program, service = self.start_beside_a_frozen_service(
            "coalesce_and_too_large", SMALL_RING | {"RINGLOG_FULL_RING": "coalesce"})
        program.expect("full")
        thaw(service)
        self.go_on(program)
        report = program.finish()
        self.assertEqual(report["attempted"], report["rows"])
        self.assertEqual(report["attempted"], report["stored"] + report["dropped"])
        self.check_whole(report["rows"])


if __name__ == "__main__":
    unittest.main()
