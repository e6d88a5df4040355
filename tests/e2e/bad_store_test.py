"""Stores that are damaged, full or in the way: said clearly, and only that run suffers."""

import json
import os
import shutil
import unittest
from collections.abc import Callable
from pathlib import Path

from sandbox import PROJECT, RUN, SandboxTest, needs_root, until

ROWS = 3000


def only(folder: Path, pattern: str) -> Path:
    """The one file that matches."""
    return next(iter(sorted(folder.glob(pattern))))


def cut(path: Path, keep: float) -> None:
    """Keeps only the first part of a file, as a crash of the machine may."""
    os.truncate(path, int(path.stat().st_size * keep))


def scribble(path: Path, offset: int = 0) -> None:
    """Overwrites a part of a file with nonsense."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 64)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "CURRENT is missing": lambda store: (store / "CURRENT").unlink(),
    "CURRENT is nonsense": lambda store: (store / "CURRENT").write_bytes(b"\0\xff\n"),
    "CURRENT is empty": lambda store: cut(store / "CURRENT", 0),
    "MANIFEST is cut": lambda store: cut(only(store, "MANIFEST-*"), 0.5),
    "MANIFEST is missing": lambda store: only(store, "MANIFEST-*").unlink(),
    "MANIFEST is nonsense": lambda store: scribble(only(store, "MANIFEST-*")),
    "the log is cut": lambda store: cut(only(store, "*.log"), 0.5),
    "the log is missing": lambda store: only(store, "*.log").unlink(),
    "the log is nonsense": lambda store: scribble(only(store, "*.log"), 40),
    "the store is a file": lambda store: (shutil.rmtree(store), store.write_text("")),
    "the store is empty": lambda store: (shutil.rmtree(store), store.mkdir()),
}


class DamagedStoreTest(SandboxTest):
    """Issue 2, point 6: a half-written LevelDB."""

    def setUp(self) -> None:
        super().setUp()
        self.sandbox.train(0, rows=ROWS)
        self.sandbox.ringlog("service", "stop")
        self.store = self.sandbox.root / PROJECT / RUN / "store"
        # So that there is a log with rows in it, as after a crash of the machine.
        self.assertTrue(list(self.store.glob("*.log")))

    def test_each_damage(self) -> None:
        """A rank of that run is told, or all is repaired; other runs notice nothing."""
        intact = self.sandbox.scratch / "intact"
        shutil.copytree(self.store, intact)
        for process, (name, damage) in enumerate(DAMAGES.items(), 1):
            with self.subTest(damage=name):
                shutil.rmtree(self.store, ignore_errors=True)
                self.store.unlink(missing_ok=True)
                shutil.copytree(intact, self.store)
                damage(self.store)
                self.check_damaged(process)

    def check_damaged(self, process: int) -> None:
        """What holds for every damage."""
        # The command line says what is wrong, or reads all that is there; it never crashes.
        for command in (["show", RUN], ["verify", RUN], ["export", RUN, "--format", "jsonl"],
                        ["doctor", RUN], ["ls"]):
            done = self.sandbox.ringlog(*command, code=None)
            self.assertIn(done.returncode, (0, 1), f"{command}: {done.stderr}")
            if done.returncode == 1 and command[0] != "verify":
                self.assert_says((done.stdout + done.stderr).decode(errors="replace"), RUN)
        verified = self.sandbox.ringlog("verify", RUN, "--json", code=None)
        if verified.stdout and json.loads(verified.stdout)["damage"]:
            self.assertEqual(verified.returncode, 1, "nobody can vouch for a damaged store")
        lines = self.sandbox.ringlog("export", RUN, "--format", "jsonl", code=None)
        if lines.returncode == 0 and lines.stdout.count(b"\n") < ROWS:
            shown = self.sandbox.json("show", RUN)
            self.assertTrue(lines.stderr or shown["problems"], "rows are gone without a word")
        report, text = self.sandbox.train(process, rows=100)
        if report["ok"]:
            self.assertEqual(report["stored"], 100)
        else:
            self.assert_says(text, self.store.parent)
        other, text = self.sandbox.train(200 + process, run="another", rows=100)
        self.assertEqual((other["ok"], other["stored"], text), (True, 100, ""))
        self.sandbox.ringlog("service", "stop")

    def test_two_services_never_write_one_store(self) -> None:
        """A second service, of another runtime directory, is refused, with the folder's name."""
        first = self.sandbox.rank(1, rows=100, end="hang")
        first.expect("logging")
        other = self.sandbox.runtime / "other"
        report, text = self.sandbox.train(2, rows=100, env={"RINGLOG_RUNTIME_DIR": str(other)})
        self.assertFalse(report["ok"])
        self.assert_says(text, self.store.parent)
        first.kill()
        self.assertTrue(self.sandbox.verify()["ok"])


class FullDiskTest(SandboxTest):
    """The disk of the runs is full for a while."""

    @needs_root
    def test_rows_are_dropped_counted_and_resumed(self) -> None:
        """Rings fill, the policy applies, one message; with room again everything goes on."""
        self.sandbox.mount(self.sandbox.root, "-t", "tmpfs", "-o", "size=64m", "none")
        filler = self.sandbox.root / "filler"
        filler.write_bytes(b"\0" * (60 << 20))
        rank = self.sandbox.rank(0, burst=100, pause_ms=1,
                                 env={"RINGLOG_FULL_RING_WAIT_MS": "50"})
        rank.expect("logging")
        ledger = self.sandbox.ledger
        # On a slow machine a row takes so long before the disk is full.
        until(lambda: "No space left on device" in self.sandbox.log_of_service(), "a full disk")
        until(lambda: ledger.entry(0).longest_log_ns > 50e6, "a row that waits for room in vain")
        before = ledger.committed(0)
        until(lambda: ledger.committed(0) > before + 1000, "training goes on")
        self.assertEqual(self.sandbox.services(), [self.sandbox.service()])
        filler.unlink()
        last = self.last_index()
        until(lambda: self.last_index() > max(last, before), "newer rows are stored")
        ledger.stop()
        report = rank.finish()
        self.assertGreater(report["dropped"], 0)
        self.assertEqual(report["attempted"], report["stored"] + report["dropped"])
        self.assertLess(report["longest_log_ns"], 3e9)
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual(verified["producers"][0]["dropped"], report["dropped"])
        found = self.sandbox.check_rows(gaps=True)
        self.assertEqual(found["rows"], report["stored"])
        log = self.sandbox.log_of_service()
        self.assert_says(log, "No space left on device", self.sandbox.root)
        self.assertLess(log.count("No space left on device"), 10, "counted, not repeated")

    def last_index(self) -> int:
        """The highest index among the stored rows."""
        tail = self.sandbox.ringlog("tail", RUN, "-n", "1").stdout
        return int(tail.rpartition(b'"i":')[2].split(b",")[0]) if b'"i":' in tail else -1

    @needs_root
    def test_a_disk_that_is_full_at_the_start(self) -> None:
        """Nothing can be stored: said at once or by the policy, and training goes on."""
        self.sandbox.mount(self.sandbox.root, "-t", "tmpfs", "-o", "size=1m", "none")
        (self.sandbox.root / "filler").write_bytes(b"\0" * ((1 << 20) - 8192))
        report, text = self.sandbox.train(rows=500, end="finish:0",
                                          env={"RINGLOG_FULL_RING_WAIT_MS": "50"})
        self.assert_says(text, "No space left on device", self.sandbox.root)
        self.assertEqual(report["stored"], 0)


if __name__ == "__main__":
    unittest.main()
