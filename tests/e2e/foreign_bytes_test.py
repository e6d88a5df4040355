"""A rank whose segment is written over: others log on, and `ringlog doctor` tells what is lost."""

import os
import struct
import time
import unittest
from pathlib import Path

from sandbox import RUN, SLOWDOWN, Program, SandboxTest, freeze, kill_and_wait, until
from script import Script

PAGE = 4096
PID_AT = 64  # of SegmentHeader; lib/shm/layout.h
MAJOR_AT = 8
TAILS_AT = 4 * PAGE
# What a request and an end may take that nobody answers: less than any of their timeouts.
MARGIN_S = 3 * SLOWDOWN


class ForeignBytesTest(SandboxTest):
    """Rank 0 is healthy; rank 1 stands still while somebody writes into its segment."""

    def start(self) -> tuple[Program, Path]:
        """Both ranks, and the file of rank 1."""
        env = {"RINGLOG_FULL_RING_WAIT_MS": "60000"}
        good = self.sandbox.rank(0, burst=10, pause_ms=5, env=env)
        good.expect("logging")
        bad = self.sandbox.rank(1, burst=10, pause_ms=5, env=env)
        bad.expect("logging")
        until(lambda: self.sandbox.ledger.committed(1) > 100, "rows of rank 1")
        freeze(bad.pid)
        self.bad = bad
        for path in (self.sandbox.runtime / "segments").glob("*.seg"):
            if struct.unpack_from("<i", path.read_bytes()[:PAGE], PID_AT)[0] == bad.pid:
                return good, path
        raise AssertionError("rank 1 has no segment")

    def doctor(self) -> str:
        """What `ringlog doctor RUN` says about the rings; it fails because of them."""
        checks = self.sandbox.json("doctor", RUN, code=1)["checks"]
        return "\n".join(c["found"] for c in checks if c["check"] == "rings")

    def finish(self, good: Program, code: int | None = 1) -> None:
        """Rank 0 has lost nothing, whatever became of rank 1; `verify` ends with this code."""
        self.bad.kill()
        self.sandbox.ledger.stop()
        report = good.finish()
        self.assertEqual((report["ok"], report["dropped"], good.stderr), (True, 0, ""))
        verified = self.sandbox.verify(code=code)
        first = next(p for p in verified["producers"] if p["rank"] == 0)
        self.assertEqual((first["missing"], first["duplicated"], first["poisoned"]), (0, 0, []))
        if code == 1:
            second = next(p for p in verified["producers"] if p["rank"] == 1)
            self.assertIn("is not read any more", second["poisoned"][0])
            text = self.sandbox.ringlog("verify", RUN, code=1).stdout.decode()
            self.assert_says(text, "NOT OK", second["poisoned"][0])
        self.assertEqual(first["stored"], self.sandbox.ledger.committed(0))

    def write(self, path: Path, at: int, data: bytes) -> None:
        """Writes over a part of the segment."""
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def test_doctor_tells_of_a_poisoned_ring(self) -> None:
        """A tail nobody could have reached."""
        good, path = self.start()
        self.write(path, TAILS_AT, struct.pack("<Q", 1 << 40))
        until(lambda: "impossible tail" in self.doctor_or_nothing(), "the ring is given up")
        self.assert_says(self.doctor(), "rank 1", "ring 0", str(1 << 40))
        self.finish(good)

    def start_and_poison(self) -> Script:
        """A program with one row stored, whose ring the service has given up since."""
        script = Script(self.sandbox)
        script.do("log a=i:1")
        script.do("flush", "1 1")
        path = next((self.sandbox.runtime / "segments").glob("*.seg"))
        self.write(path, TAILS_AT, struct.pack("<Q", 1 << 40))
        until(lambda: "impossible tail" in self.doctor_or_nothing(), "the ring is given up")
        return script

    def test_nobody_waits_behind_a_poisoned_ring(self) -> None:
        """Requests fail at once and say why; rows count as dropped; `verify` is not ok."""
        script = self.start_and_poison()
        begin = time.monotonic()
        self.assert_says(script.ask("flush"), "error", "not read any more")
        script.do("log t=s:text")
        script.do("finish 0", None)
        self.assertLess(time.monotonic() - begin, MARGIN_S)
        self.assert_says(script.program.stderr, "not read any more")
        script.program.finish()
        until(lambda: self.sandbox.states()[0][0] != "running", "the end")
        rank = self.sandbox.verify(code=1)["producers"][0]
        self.assertEqual([rank[k] for k in ("attempted", "stored", "dropped", "missing")],
                         [2, 1, 1, 0])

    def test_rows_that_stand_in_a_poisoned_ring_are_missing(self) -> None:
        """Nobody reads them, and the process says at its end that there are some."""
        script = self.start_and_poison()
        for _ in range(100):
            script.tell("log a=i:2")
        script.tell("finish 0")
        script.program.finish()
        until(lambda: self.sandbox.states()[0][0] != "running", "the end")
        rank = self.sandbox.verify(code=1)["producers"][0]
        self.assertEqual((rank["attempted"], rank["stored"]), (101, 1))
        self.assertEqual(rank["dropped"] + rank["missing"], 100)

    def test_doctor_tells_of_a_file_that_was_cut(self) -> None:
        """All of its rings are given up; the service goes on."""
        good, path = self.start()
        service = self.sandbox.service()
        os.truncate(path, 0)
        until(lambda: "cut short" in self.doctor_or_nothing(), "the rings are given up")
        self.assertEqual(self.sandbox.service(), service)
        self.finish(good)

    def test_a_layout_of_another_version_is_left_for_it(self) -> None:
        """The next service refuses the file, says so and keeps it."""
        good, path = self.start()
        major = struct.unpack("<H", path.read_bytes()[MAJOR_AT:MAJOR_AT + 2])[0]
        self.write(path, MAJOR_AT, struct.pack("<H", major + 1))
        kill_and_wait(self.sandbox.service())
        before = self.sandbox.ledger.committed(0)
        until(lambda: self.sandbox.ledger.committed(0) > before + 200, "rows after the restart")
        until(lambda: "left for a service" in self.sandbox.log_of_service(), "it is said")
        self.assert_says(self.sandbox.log_of_service(), path, f"layout {major + 1}.")
        self.assertTrue(path.exists())
        self.finish(good, code=None)

    def doctor_or_nothing(self) -> str:
        """The doctor's words while nothing may be wrong yet."""
        return self.sandbox.ringlog("doctor", RUN, code=None).stdout.decode()


if __name__ == "__main__":
    unittest.main()
