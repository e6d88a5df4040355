"""64 ranks start at the same moment: one service, one run, every value of every row."""

import json
import os
import unittest

import rows
from sandbox import RUN, SandboxTest, until
from script import Script

RANKS = 64
ROWS = 10_000


class ManyRanksTest(SandboxTest):
    """Issue 2, point 3."""

    watchdog_s = 240

    def test_64_ranks_start_one_service_and_store_every_value(self) -> None:
        """No service runs; all ranks call init() at once; 640,000 rows come out bit for bit."""
        gate, opener = os.pipe()
        ranks = [self.sandbox.rank(i, rows=ROWS, barrier=1, stdin=gate) for i in range(RANKS)]
        for rank in ranks:
            rank.expect("ready")
        self.assertEqual(self.sandbox.services(), [])
        os.close(gate)
        os.close(opener)  # the end of everybody's standard input
        for rank in ranks:
            rank.expect("logging")
        service = self.sandbox.service()
        for rank in ranks:
            report = rank.finish()
            self.assertEqual((report["run"], report["attempted"], report["stored"],
                              report["dropped"]), (RUN, ROWS, ROWS, 0))
        # On a busy machine another one may have been started that finds this one and leaves.
        until(lambda: self.sandbox.services() == [service], "one service, the same")
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual({p["rank"]: (p["stored"], p["attempt"]) for p in verified["producers"]},
                         {i: (ROWS, 0) for i in range(RANKS)})
        self.assertEqual(self.sandbox.check_ledger(), RANKS * ROWS)
        # A second opinion about some of them, by an implementation of its own.
        for number, line in enumerate(self.sandbox.lines()):
            if number % 101 == 0:
                self.assertTrue(rows.is_right(json.loads(line)), line)
        self.assertEqual([run["id"] for run in self.sandbox.json("ls")], [RUN])

    def test_hundreds_of_children_of_one_rank(self) -> None:
        """Like the workers of data loaders, epoch after epoch: each is a worker of its rank, each
        row is there once."""
        script = Script(self.sandbox)
        threads = self.sandbox.service_threads()
        for _ in range(3):
            script.do("forks 100 loss=f:1", "100")
        self.assertEqual(self.sandbox.service_threads(), threads)
        script.finish()
        rows = self.sandbox.rows()
        self.assertEqual({row["_rank"] for row in rows}, {0})
        self.assertEqual(sorted(row["_worker"] for row in rows), list(range(1, 301)))
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_the_service_needs_no_thread_for_a_rank(self) -> None:
        """As many threads with 64 ranks as with one."""
        ranks = [self.sandbox.rank(0, rows=10, end="hang")]
        ranks[0].expect("logging")
        alone = self.sandbox.service_threads()
        for i in range(1, RANKS):
            ranks.append(self.sandbox.rank(i, rows=10, end="hang"))
        for rank in ranks[1:]:
            rank.expect("logging")
        self.assertEqual(self.sandbox.service_threads(), alone)
        status = self.sandbox.json("service", "status")
        self.assertEqual(status["threads"], alone)
        self.assertEqual([run["live"] for run in status["runs"]], [RANKS])


if __name__ == "__main__":
    unittest.main()
