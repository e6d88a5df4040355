"""The public reader from outside: examples/read.cc on runs that live and runs that ended."""

import re
import unittest

from sandbox import BUILD, RUN, SandboxTest, until

READ = BUILD / "examples" / "read"


class ReaderTest(SandboxTest):
    """A program of its own that sees only <ringlog/reader.h>."""

    def test_a_finished_run(self) -> None:
        self.sandbox.train(0, rows=300)
        self.sandbox.train(1, rows=200)
        self.sandbox.ringlog("service", "stop")
        out = self.sandbox.run(READ, RUN, "i").stdout.decode()
        self.assertRegex(out, r"(?m)^i +500 rows of 2 ranks$")
        self.assertRegex(out, r"rank 0 of i\n  steps 0 to \d+: ")
        self.assertIn("500 rows, the newest at step 199", out)
        self.assertEqual(self.sandbox.services(), [], "reading starts no service")

    def test_a_run_that_is_being_written_is_followed_to_its_end(self) -> None:
        """Every row once, those included that come while it reads."""
        # On a busy machine it waits for room: a row that is dropped is nowhere to be read.
        rank = self.sandbox.rank(0, burst=20, pause_ms=2,
                                 env={"RINGLOG_FULL_RING_WAIT_MS": "60000"})
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) > 100, "some rows")
        before = self.sandbox.ledger.committed(0)
        reader = self.sandbox.start(READ, RUN)
        line = reader.process.stdout.readline().decode()
        while "the newest" not in line:
            line = reader.process.stdout.readline().decode()
        self.assertGreaterEqual(int(re.match(r"(\d+) rows", line)[1]), before,
                                "what was committed before the call is in the answer")
        until(lambda: self.sandbox.ledger.committed(0) > before + 2000, "more rows")
        self.sandbox.ledger.stop()
        rank.finish()
        last = reader.process.stdout.read().decode().splitlines()[-1]
        self.assertEqual(reader.process.wait(), 0)
        rows = self.sandbox.ledger.committed(0)
        self.assertEqual(last, f"{rows} rows, the newest at step {rows - 1}")

    def test_what_is_not_there_is_named(self) -> None:
        done = self.sandbox.run(READ, "nobody", code=1)
        self.assert_says(done.stderr.decode(), "nobody", self.sandbox.root)


if __name__ == "__main__":
    unittest.main()
