"""The short form of tests/torture/torture.py, and each failpoint of the service by itself."""

import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "torture"))

import torture  # noqa: E402
from sandbox import SandboxTest, until, wait_for_death  # noqa: E402

SECONDS = 25


class FailpointTest(SandboxTest):
    """The service dies at a known instruction."""

    watchdog_s = 280

    def test_every_failpoint(self) -> None:
        """Killed there the first and the third time; then every row is there, once."""
        points = torture.failpoints()
        self.assertTrue(points, "no failpoint in the sources")
        for number, name in enumerate(points):
            for count in (1, 3):
                with self.subTest(failpoint=name, count=count):
                    self.check(name, count, f"{number}-{count}")

    def check(self, failpoint: str, count: int, run: str) -> None:
        """One service that dies at the failpoint, two ranks, one of which dies too."""
        counts = torture.Counts()
        a_round = torture.Round(self.sandbox, torture.random.Random(run), counts, run)
        a_round.start_service_with(f"{failpoint}:{count}")
        doomed = self.sandbox.services()
        ranks = [self.sandbox.rank(i, run=run, kinds="mixed", rows=6000, burst=200, pause_ms=1,
                                   threads=2) for i in range(2)]
        a_round.ranks += ranks
        until(lambda: self.sandbox.ledger.committed(0) > 4000, "some rows")
        ranks[0].kill()
        ranks[1].finish()
        if doomed and doomed == self.sandbox.services():
            # Not reached on the way; perhaps at the end.
            self.sandbox.ringlog("service", "stop", code=None)
            wait_for_death(doomed[0])
        a_round.settle()
        a_round.prove()


class TortureTest(unittest.TestCase):
    """Issue 3: torture, in short."""

    def test_random_schedule(self) -> None:
        """SEED= repeats a schedule."""
        torture.torture(int(os.environ.get("SEED", torture.SEED)), SECONDS)


if __name__ == "__main__":
    unittest.main()
