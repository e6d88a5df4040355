"""A full ring: storing stalls, and each policy does what it says, in bounded time.

The service is stopped, or the run's disk: a file system in a file, frozen with fsfreeze, where the
service's writes hang in the kernel as on a storage server that does not answer, until it is thawed.
"""

import os
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from sandbox import (RUN, Program, SandboxTest, freeze, needs_root, thaw, until,
                     wait_for_death)
from script import Script

DISK_BYTES = 256 << 20
# More rows than all rings of a rank hold, with what the service takes out of them before it stalls.
ROWS_FULL = 120_000
# How often the slow disk hangs.
SLOW_ROUNDS = 6
# What a busy machine may add to a limit.
MARGIN_NS = 3e9


class Policies:
    """What each policy does while nothing is stored, whatever the reason; stall() and go_on() are
    the reason."""

    def stall(self) -> None:
        """Nothing is stored from now on."""
        raise NotImplementedError

    def go_on(self) -> None:
        """Everything that hangs goes on."""
        raise NotImplementedError

    def start(self, policy: str, wait_ms: int) -> Program:
        """A rank that logs at full speed; storing stalls once something is stored."""
        rank = self.sandbox.rank(0, env={"RINGLOG_FULL_RING": policy,
                                         "RINGLOG_FULL_RING_WAIT_MS": str(wait_ms)})
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) > 5_000, "some rows")
        self.stall()
        return rank

    def wait_for_full_ring(self) -> int:
        """Until the rank that waits gets no row in any more; the rows it has committed."""
        last = -1

        def is_stalled() -> bool:
            nonlocal last
            before, last = last, self.sandbox.ledger.committed(0)
            return before == last

        until(is_stalled, "a full ring")
        return last

    def end_full(self, rank: Program) -> dict:
        """Ends the rank while its ring is full and goes on; what it reported."""
        target = self.sandbox.ledger.committed(0) + ROWS_FULL
        until(lambda: self.sandbox.ledger.committed(0) > target, "more rows than a ring holds")
        self.sandbox.ledger.stop()
        self.go_on()
        return rank.finish()

    def end_whole(self, rank: Program) -> None:
        """Ends a rank that lost nothing, when storing goes on."""
        self.sandbox.ledger.stop()
        self.assertEqual(rank.finish()["dropped"], 0)
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger()

    def check_counts(self, report: dict) -> None:
        """The rank's ledger, the store's and the rows themselves say the same."""
        self.assertGreater(report["dropped"], 0)
        self.assertEqual(report["attempted"], report["stored"] + report["dropped"])
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual([verified["producers"][0][k] for k in ("attempted", "stored", "dropped")],
                         [report[k] for k in ("attempted", "stored", "dropped")])
        self.assertEqual(self.sandbox.check_rows(gaps=True)["rows"], report["stored"])

    def last_stored(self) -> int:
        """The index of the last row that is stored."""
        return max(row["i"] for row in self.sandbox.rows() if "i" in row)

    def test_wait(self) -> None:
        """Nobody drops; everybody goes on when the store does."""
        rank = self.start("wait", 120_000)
        self.wait_for_full_ring()
        self.go_on()
        self.end_whole(rank)

    def test_wait_for_so_long(self) -> None:
        """The first row waits, those after it do not; what is dropped is counted."""
        report = self.end_full(self.start("wait", 300))
        self.check_counts(report)
        self.assertGreater(report["longest_log_ns"], 250e6)
        self.assertLess(report["longest_log_ns"], 300e6 + MARGIN_NS)

    def test_drop(self) -> None:
        """No row waits at all."""
        report = self.end_full(self.start("drop", 60_000))
        self.check_counts(report)
        self.assertLess(report["longest_log_ns"], MARGIN_NS)

    def test_coalesce(self) -> None:
        """No row waits, and the newest of the dropped ones is kept: the curve has its end."""
        report = self.end_full(self.start("coalesce", 60_000))
        self.check_counts(report)
        self.assertLess(report["longest_log_ns"], MARGIN_NS)
        self.assertEqual(self.last_stored(), self.sandbox.ledger.committed(0) - 1)


class PausedServiceTest(Policies, SandboxTest):
    """Issue 3, pressure: the service stands still; needs no rights."""

    def stall(self) -> None:
        """SIGSTOP."""
        freeze(self.sandbox.service())

    def go_on(self) -> None:
        """SIGCONT."""
        thaw(self.sandbox.service())


@needs_root
class StalledDiskTest(Policies, SandboxTest):
    """Issue 3, pressure: the run's disk hangs."""

    def setUp(self) -> None:
        super().setUp()
        if not shutil.which("mkfs.ext4") or not shutil.which("fsfreeze"):
            self.skipTest("needs mkfs.ext4 and fsfreeze")
        image = self.sandbox.scratch / "disk"
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        self.sandbox.run("mkfs.ext4", "-q", image)
        self.sandbox.root.mkdir()
        done = self.sandbox.run("mount", "-o", "loop,errors=remount-ro", image, self.sandbox.root,
                                code=None)
        if done.returncode != 0:
            self.skipTest(f"needs loop devices: {done.stderr.decode().strip()}")
        self.sandbox.undo(lambda: self.sandbox.run("umount", "--lazy", self.sandbox.root,
                                                   code=None))

    def tearDown(self) -> None:
        # A service that hangs in a write cannot even be killed, so a test that fails thaws first.
        self.go_on()
        super().tearDown()

    def stall(self) -> None:
        """Nothing is written to the runs' disk from now on."""
        self.sandbox.run("fsfreeze", "--freeze", self.sandbox.root)

    def go_on(self) -> None:
        """Everything that hangs goes on."""
        subprocess.run(["fsfreeze", "--unfreeze", self.sandbox.root], check=False,
                       capture_output=True)

    def break_disk(self) -> None:
        """The file system finds an error in itself and lets nobody write any more."""
        device = self.sandbox.run("findmnt", "-no", "SOURCE", self.sandbox.root).stdout
        switch = Path("/sys/fs/ext4", Path(device.decode().strip()).name, "trigger_fs_error")
        if not switch.exists():
            self.skipTest("this kernel's ext4 cannot be told to fail")
        switch.write_text("as on a disk that dies")

    def test_a_disk_that_becomes_read_only(self) -> None:
        """Said once and with the reason; training goes on, what was stored can be read."""
        rank = self.sandbox.rank(0, env={"RINGLOG_FULL_RING": "drop"})
        rank.expect("logging")
        ledger = self.sandbox.ledger
        until(lambda: ledger.committed(0) > 5_000, "some rows")
        until(lambda: self.sandbox.json("show", RUN)["rows"] > 0, "some of them are stored")
        self.break_disk()
        before = ledger.committed(0)
        until(lambda: ledger.committed(0) > before + ROWS_FULL, "more rows than a ring holds")
        ledger.stop()
        report = rank.finish()
        self.assertGreater(report["attempted"], report["stored"])
        self.assertLess(report["longest_log_ns"], MARGIN_NS)
        log = self.sandbox.log_of_service()
        self.assert_says(log, "Read-only file system", self.sandbox.root)
        self.assertLess(log.count("Read-only file system"), 10, "counted, not repeated")
        self.assertGreater(self.sandbox.json("show", RUN)["rows"], 0)

    def test_a_slow_disk(self) -> None:
        """It hangs and goes on, again and again: logging is as slow and loses nothing."""
        rank = self.start("wait", 120_000)
        for _ in range(SLOW_ROUNDS):
            full = self.wait_for_full_ring()
            self.go_on()
            until(lambda full=full: self.sandbox.ledger.committed(0) > full, "rows that go on")
            self.stall()
        self.go_on()
        self.end_whole(rank)
        self.assertNotIn("error", self.sandbox.log_of_service(), "slow is not broken")

    def test_large_rows_wait_once(self) -> None:
        """They travel by the service's store thread, which hangs while its heart beats."""
        script = Script(self.sandbox, RINGLOG_FULL_RING="drop")
        large = "x" * 100_000
        script.do(f"log text=s:{large}")
        self.stall()
        begin = time.monotonic()
        for _ in range(20):
            script.do(f"log text=s:{large}")
        self.assertLess(time.monotonic() - begin, 10)
        self.go_on()
        script.finish()
        producer = self.sandbox.verify()["producers"][0]
        self.assertEqual(producer["attempted"], 21)
        self.assertEqual(producer["stored"] + producer["dropped"], 21)

    def test_a_run_whose_service_does_not_answer_in_time_is_not_without_one(self) -> None:
        """Whatever its folder is called, and whoever else could be asked; it is said."""
        other = self.sandbox.scratch / "other"
        beside = Script(self.sandbox, run="other", RINGLOG_IN_PROCESS="true",
                        RINGLOG_DIR=str(other))
        script = Script(self.sandbox)
        script.do("log i=i:0")
        self.assertEqual(self.sandbox.verify()["behind"], False)
        link = self.sandbox.scratch / "link"
        link.symlink_to(self.sandbox.root)
        self.stall()
        script.do("log i=i:1")
        for root in (self.sandbox.root, link):
            with self.subTest(root=root):
                env = {"RINGLOG_DIR": str(root)}
                verified = self.sandbox.json("verify", RUN, env=env)
                self.assertEqual((verified["ok"], verified["behind"]), (True, True))
                text = self.sandbox.ringlog("verify", RUN, env=env).stdout.decode()
                self.assert_says(text, "did not answer in time")
        self.go_on()
        until(lambda: not self.sandbox.verify()["behind"], "an answer")
        self.assertEqual(self.sandbox.verify()["producers"][0]["stored"], 2)
        script.finish()
        beside.finish()

    def test_a_service_that_is_killed_in_a_write_that_hangs(self) -> None:
        """It dies when the disk answers; its successor has everything that was committed."""
        rank = self.start("wait", 120_000)
        service = self.sandbox.service()
        os.kill(service, signal.SIGKILL)
        self.go_on()
        wait_for_death(service)
        self.end_whole(rank)


if __name__ == "__main__":
    unittest.main()
