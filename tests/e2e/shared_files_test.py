"""Runs on a file system whose locks do not reach everybody: a folder that is mounted twice in user
space, as a network file system is on two machines.  Each mount has locks of its own."""

import shutil
import unittest
from pathlib import Path

from sandbox import PROJECT, RUN, SandboxTest, kill_and_wait, needs_root, until


class SharedFilesTest(SandboxTest):
    """Issue 4, bad disks: a run where locks misbehave is detected and said."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.sandbox.scratch / "other"
        if not shutil.which("bindfs"):
            self.skipTest("needs bindfs")
        self.files = self.sandbox.scratch / "files"
        self.files.mkdir()
        self.bind(self.sandbox.root)
        self.bind(self.other)
        self.claim = self.files / PROJECT / RUN / "store" / "WRITER"

    def bind(self, folder: Path) -> None:
        """Shows the files in another folder, by a process in user space."""
        folder.mkdir()
        done = self.sandbox.run("bindfs", self.files, folder, code=None)
        if done.returncode != 0:
            self.skipTest(f"needs FUSE: {done.stderr.decode().strip()}")
        self.sandbox.undo(lambda: self.sandbox.run("umount", "--lazy", folder, code=None))

    def tearDown(self) -> None:
        self.sandbox.ringlog("service", "stop", env=self.elsewhere(), code=None)
        super().tearDown()

    def elsewhere(self) -> dict[str, str]:
        """The environment of another machine: its own services, its own mount."""
        return {"RINGLOG_RUNTIME_DIR": str(self.sandbox.runtime / "other"),
                "RINGLOG_DIR": str(self.other)}

    @needs_root
    def test_two_services_never_write_one_store(self) -> None:
        """Both have the lock; the claim keeps the second one out, before and after a crash."""
        first = self.sandbox.rank(0, env={"RINGLOG_FULL_RING_WAIT_MS": "60000"})
        first.expect("logging")
        ledger = self.sandbox.ledger
        until(lambda: ledger.committed(0) > 1000, "some rows")
        report, text = self.sandbox.train(1, rows=100, env=self.elsewhere())
        self.assertFalse(report["ok"])
        self.assert_says(text, "another service writes this run", "(process ",
                         self.other / PROJECT / RUN)
        kill_and_wait(self.sandbox.service())
        before = ledger.committed(0)
        until(lambda: ledger.committed(0) > before + 100_000, "the next service takes over")
        report, _ = self.sandbox.train(2, rows=100, env=self.elsewhere())
        self.assertFalse(report["ok"])
        ledger.stop()
        first.finish()
        self.assertTrue(self.sandbox.verify()["ok"])
        found = self.sandbox.check_rows()
        self.assertEqual(found["rows"], ledger.committed(0))

    @needs_root
    def test_it_is_said_once_to_everybody_who_looks(self) -> None:
        """The program, the service's log, doctor for the machine and for the run."""
        rank = self.sandbox.rank(0, rows=100, end="hang")
        rank.expect("logging")
        self.assertEqual(rank.stderr.count("(fuse)"), 1, rank.stderr)
        self.assertTrue(self.claim.exists())
        second = self.sandbox.rank(1, rows=100)
        second.finish()
        self.assertNotIn("fuse", second.stderr)
        self.assertEqual(self.sandbox.log_of_service().count("(fuse)"), 1)
        for words in (["doctor"], ["doctor", RUN]):
            found = self.sandbox.json(*words, code=None)["checks"]
            locks = next(check for check in found if check["check"] == "its locks")
            self.assertEqual(locks["status"], "warn")
            self.assert_says(locks["found"], "fuse", "WRITER")
        rank.kill()
        self.sandbox.ringlog("service", "stop")
        self.assertFalse(self.claim.exists(), "given back")
        report, text = self.sandbox.train(2, rows=100, env=self.elsewhere())
        self.assertEqual((report["ok"], report["stored"]), (True, 100), text)


if __name__ == "__main__":
    unittest.main()
