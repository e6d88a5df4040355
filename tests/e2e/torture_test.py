"""The short form of tests/torture/torture.py, and each failpoint by itself."""

import os
import signal
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "torture"))

import plan  # noqa: E402
import torture  # noqa: E402
from ledger import HAS_FINISHED  # noqa: E402
from sandbox import SOURCE, Program, SandboxTest, freeze, thaw, until, wait_for_death  # noqa: E402

SECONDS = 25
# Places that only a policy of its own or a way to end leads to.
POLICIES = {"in_count_drop": "drop", "before_take_back": "coalesce"}
ENDS = {"in_exit_word": "exit:3"}
IN_CHILD = "after_child_attach"
# Places that a process comes to once.
ONCE = {"in_exit_word", IN_CHILD}
# Among so many rows are two that are too large for a ring.
BLOB_ROWS = 60_000
# How often the service stands still while the rank logs.
PAUSES = 3


class RankFailpointTest(SandboxTest):
    """A process that logs dies at a known place of a slow path."""

    watchdog_s = 280

    def test_every_failpoint(self) -> None:
        """It gets there, and all it had committed is stored once."""
        points = plan.rank_failpoints(SOURCE)
        self.assertTrue(points, "no failpoint in the sources")
        for number, name in enumerate(points):
            for count in (1,) if name in ONCE else (1, 2):
                with self.subTest(failpoint=name, count=count):
                    self.check(name, count, f"{number}-{count}")

    def check(self, failpoint: str, count: int, run: str) -> None:
        """A rank that dies at the failpoint, beside one that does not."""
        a_round = torture.Round(self.sandbox, torture.Counts(), run,
                                policy=POLICIES.get(failpoint, "wait"),
                                ring_bytes=plan.SMALL_RING_BYTES)
        self.sandbox.ringlog("service", "start")
        armed = {"RINGLOG_FAILPOINT": f"{failpoint}:{count}"}
        options = {"kinds": "mixed", "run": run, "loops": 2, "loop_rows": 10}
        if failpoint == IN_CHILD:
            options |= {"forks": 1, "child_rows": 50}
        environment = a_round.rank_environment()
        threads = 1 if failpoint == IN_CHILD else 2
        a_round.ranks += [
            self.sandbox.rank(0, env=environment | armed, burst=500, pause_ms=2,
                              end=ENDS.get(failpoint, "finish:0"), **options),
            self.sandbox.rank(1, env=environment, rows=500, threads=threads, **options)]
        self.fill_rings(a_round.ranks[0], BLOB_ROWS if "blob" in failpoint else 0)
        a_round.settle()
        self.assertTrue(self.is_dead(failpoint, a_round.ranks[0]), f"{failpoint} was not reached")
        a_round.prove()

    def fill_rings(self, rank: Program, rows: int) -> None:
        """The service stands still and goes on, again and again, until the rank has logged that
        much or is gone; then everybody ends."""
        service = self.sandbox.service()
        pauses = 0
        while rank.process.poll() is None and (
                pauses < PAUSES or self.sandbox.ledger.committed(0) < rows):
            pauses += 1
            torture.pause(0.1)
            freeze(service)
            torture.pause(0.1)
            thaw(service)
        self.sandbox.ledger.stop()

    def is_dead(self, failpoint: str, rank: Program) -> bool:
        """Whether the rank or its child died where it should."""
        if failpoint != IN_CHILD:
            return rank.process.returncode == -signal.SIGKILL
        ledger = self.sandbox.ledger
        children = [ledger.entry(i)
                    for i in range(torture.PROCESSES_PER_ROUND, ledger.process_count)]
        return any(not child.flags & HAS_FINISHED for child in children)


class FailpointTest(SandboxTest):
    """The service dies at a known instruction."""

    watchdog_s = 280

    def test_every_failpoint(self) -> None:
        """Killed there the first and the third time; then every row is there, once."""
        points = plan.service_failpoints(SOURCE)
        self.assertTrue(points, "no failpoint in the sources")
        for number, name in enumerate(points):
            for count in (1, 3):
                with self.subTest(failpoint=name, count=count):
                    self.check(name, count, f"{number}-{count}")

    def check(self, failpoint: str, count: int, run: str) -> None:
        """One service that dies at the failpoint, two ranks, one of which dies too."""
        a_round = torture.Round(self.sandbox, torture.Counts(), run)
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

    def test_a_seed_is_a_plan(self) -> None:
        """The same seed makes the same rounds, another seed other ones."""
        plans = [plan.draw_plan(f"7/{number}", SOURCE) for number in range(20)]
        self.assertEqual(plans, [plan.draw_plan(f"7/{number}", SOURCE) for number in range(20)])
        self.assertEqual(len({repr(each) for each in plans}), 20)

    def test_random_schedule(self) -> None:
        """SEED= repeats a schedule."""
        torture.torture(int(os.environ.get("SEED", torture.SEED)), SECONDS)


if __name__ == "__main__":
    unittest.main()
