"""Requests and their answers: one scenario of e2e_handles after the other."""

import json
import unittest

from sandbox import PROJECT, RUN, Program, SandboxTest, freeze, helper, thaw, until


class HandlesTest(SandboxTest):
    """DESIGN 2.3 and 3.4 as a program sees them."""

    def start(self, case: str) -> Program:
        """Starts e2e_handles."""
        return self.sandbox.start(helper("handles"), "--case", case, env={"RINGLOG_RUN_ID": RUN})

    def lines(self, case: str) -> list[str]:
        """Runs a scenario to its end; what it printed."""
        done = self.sandbox.run(helper("handles"), "--case", case, env={"RINGLOG_RUN_ID": RUN})
        self.assertEqual(done.stderr, b"")
        self.assertTrue(self.sandbox.verify()["ok"])
        return done.stdout.decode().splitlines()

    def test_flush_reaches_each_level(self) -> None:
        """Committed, stored, synced: answered when all rows before the request are so."""
        self.lines("flush_levels")

    def test_deliver_run(self) -> None:
        """Names and folder of the run."""
        info = json.loads(self.lines("about_the_run")[0])
        self.assertEqual(info, {"id": RUN, "project": PROJECT,
                                "dir": str(self.sandbox.root / PROJECT / RUN)})

    def test_deliver_summary_small_and_large(self) -> None:
        """One fits the slot, one comes as a file; both are whole."""
        small, large = (json.loads(line) for line in self.lines("summaries"))
        self.assertEqual(small, {"loss": 0.5})
        self.assertEqual(large, {"loss": 0.5} | {f"metric{i}": i for i in range(2000)})

    def test_given_up_handles_free_their_slots(self) -> None:
        """Thousands of requests, most of them given up, and 64 slots."""
        refused = json.loads(self.lines("cancelled")[0])["refused"]
        self.assertLess(refused, 600)

    def test_timeouts_and_the_65th_request(self) -> None:
        """A stopped service: timeouts again and again, one request too many, then all answers."""
        program = self.start("timeouts")
        program.expect("stop the service")
        service = self.sandbox.service()
        freeze(service)
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        program.expect("continue the service")
        thaw(service)
        program.finish()
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_handles_from_many_threads(self) -> None:
        """16 threads, eight of which share a ring."""
        self.lines("many_threads")

    def test_finish_as_a_handle(self) -> None:
        """deliver_finish() answers what finish() would."""
        self.lines("finish_later")

    def test_finish_long_after_its_handle(self) -> None:
        """Once the service is done with the process, finish() waits for nobody."""
        for case, line in (("finish_much_later", "answered"), ("finish_unasked", "asked")):
            with self.subTest(case=case):
                run = case.replace("_", "-")
                program = self.sandbox.start(helper("handles"), "--case", case,
                                             env={"RINGLOG_RUN_ID": run})
                program.expect(line)
                until(lambda: not list(self.sandbox.runtime.glob("**/*.seg")), "its segment goes")
                program.finish()
                self.assertNotIn("not known to be stored", program.stderr)
                self.assertTrue(self.sandbox.verify(run)["ok"])

    def test_a_handle_outlives_its_run(self) -> None:
        """It answers or fails; it does not crash."""
        self.lines("handle_outlives_run")


if __name__ == "__main__":
    unittest.main()
