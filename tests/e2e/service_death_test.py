"""The service dies, hangs, or is told to go while ranks log: nobody waits, nothing is lost."""

import os
import signal
import time
import unittest

from sandbox import (RUN, SLOWDOWN, Program, SandboxTest, freeze, helper, kill_and_wait,
                     limit_files, thaw, until, wait_for_death)
from script import Script

RANKS = 4
# How long a full ring may hold a row up in these tests, and what a busy machine may add.
WAIT_MS = 10_000
MARGIN_MS = 3_000


class ServiceDeathTest(SandboxTest):
    """Issue 2, point 5."""

    def start_ranks(self, **settings: str) -> list[Program]:
        """Ranks that log at full speed until they are told to stop."""
        ranks = [self.sandbox.rank(i, kinds="mixed",
                                   env={"RINGLOG_FULL_RING_WAIT_MS": str(WAIT_MS)} | settings)
                 for i in range(RANKS)]
        for rank in ranks:
            rank.expect("logging")
        return ranks

    def committed(self) -> list[int]:
        """Rows of each rank."""
        return [self.sandbox.ledger.committed(i) for i in range(RANKS)]

    def wait_for_rows(self, count: int) -> None:
        """Waits until every rank has committed `count` rows more than now."""
        targets = [rows + count for rows in self.committed()]
        until(lambda: all(now >= then for now, then in zip(self.committed(), targets)),
              f"{count} more rows of each rank")

    def finish(self, ranks: list[Program], wait_ms: int = WAIT_MS) -> list[dict]:
        """Ends the ranks; no log() call has taken longer than the setting allows."""
        self.sandbox.ledger.stop()
        reports = [rank.finish() for rank in ranks]
        for i, report in enumerate(reports):
            self.assertLess(report["longest_log_ns"], (wait_ms + MARGIN_MS) * 1e6, f"rank {i}")
            self.assertEqual(report["attempted"], report["stored"] + report["dropped"])
        return reports

    def kill_everybody_after(self, rows: int) -> None:
        """Ranks that log so many rows die, and their service: much is committed, not stored."""
        ranks = self.start_ranks()
        self.wait_for_rows(rows)
        freeze(self.sandbox.service())
        self.wait_until_stalled()
        for rank in ranks:
            rank.kill()
        kill_and_wait(self.sandbox.service())

    def test_service_stop_in_full_flight(self) -> None:
        """Programs go on with the next service, which has every row once; nobody was killed."""
        ranks = self.start_ranks()
        for _ in range(2):
            service = self.sandbox.service()
            self.wait_for_rows(5_000)
            self.sandbox.ringlog("service", "stop")
            until(lambda gone=service: self.sandbox.services() not in ([], [gone]),
                  "a new service, started by a rank")
        self.wait_for_rows(5_000)
        for report in self.finish(ranks):
            self.assertEqual(report["dropped"], 0)
        self.assertEqual({p["state"] for p in self.sandbox.producers()}, {"finished"})
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger(kinds="mixed")

    def test_finish_keeps_its_deadline(self) -> None:
        """Behind a full ring that nobody drains, whatever a row may wait."""
        script = Script(self.sandbox, RINGLOG_FULL_RING_WAIT_MS="5000")
        service = self.sandbox.service()
        freeze(service)
        script.do("fill", None)
        begin = time.monotonic()
        script.do("finish 0 200", None)
        self.assertLess(time.monotonic() - begin, 5)
        thaw(service)
        script.program.finish()
        until(lambda: self.sandbox.states()[0][0] != "running", "the end")
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_a_config_for_which_there_is_no_room_is_told(self) -> None:
        """A ring that stays full for longer than a config may wait: it is lost, not silently."""
        script = Script(self.sandbox, RINGLOG_FULL_RING_WAIT_MS="100")
        service = self.sandbox.service()
        freeze(service)
        script.do("fill", None)
        script.do("config text=s:" + "x" * 1000, None)
        thaw(service)
        script.finish()
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual(verified["producers"][0]["lost_records"], 1)
        note = "rank 0 attempt 0: 1 record other than rows lost for want of room"
        self.assert_says(self.sandbox.ringlog("verify", RUN).stdout.decode(), note)
        self.assert_says("\n".join(self.sandbox.json("show", RUN)["problems"]), note)

    def test_alerts_for_which_there_is_no_room_wait_once(self) -> None:
        """One in each step costs its program no second a step, and none is forgotten."""
        script = Script(self.sandbox, RINGLOG_FULL_RING="drop")
        service = self.sandbox.service()
        freeze(service)
        script.do("fill", None)
        begin = time.monotonic()
        for _ in range(10):
            script.do("alert nan " + "x" * 2000, None)
        self.assertLess(time.monotonic() - begin, 5)
        thaw(service)
        until(lambda: self.sandbox.verify(code=None)["producers"][0]["stored"] > 0, "room")
        self.sandbox.json("show", RUN)
        script.do("alert nan at-last")
        script.finish()
        texts = [alert["text"] for alert in self.sandbox.json("show", RUN)["alerts"]]
        self.assertEqual(texts, ["at-last (and 10 more since the last one)"])

    def test_sigkill_of_the_service_in_full_flight(self) -> None:
        """Five services die under four ranks at full speed; the sixth has every row once."""
        ranks = self.start_ranks()
        seen = set()
        for _ in range(5):
            service = self.sandbox.service()
            seen.add(service)
            self.wait_for_rows(5_000)
            kill_and_wait(service)
            until(lambda gone=service: self.sandbox.services() not in ([], [gone]),
                  "a new service, started by a rank")
        self.wait_for_rows(5_000)
        for report in self.finish(ranks):
            self.assertEqual(report["dropped"], 0)
        self.assertNotIn(self.sandbox.service(), seen)
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger(kinds="mixed")
        self.assertEqual({s[0] for s in self.sandbox.states().values()}, {"finished"})

    def test_a_full_ring_drops_in_bounded_time_and_counts(self) -> None:
        """The service hangs for longer than a row may wait: rows are dropped, each one counted."""
        ranks = self.start_ranks(RINGLOG_FULL_RING_WAIT_MS="100")
        self.wait_for_rows(1_000)
        service = self.sandbox.service()
        freeze(service)
        self.wait_for_rows(30_000)  # more than a ring holds
        thaw(service)
        reports = self.finish(ranks, wait_ms=100)
        self.assertTrue(all(report["dropped"] > 0 for report in reports), reports)
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        for report, producer in zip(reports, verified["producers"]):
            self.assertEqual([report[k] for k in ("attempted", "stored", "dropped")],
                             [producer[k] for k in ("attempted", "stored", "dropped")])
        found = self.sandbox.check_rows(kinds="mixed", gaps=True)
        self.assertEqual(found["rows"], sum(report["stored"] for report in reports))

    def test_a_service_that_pauses_loses_nothing(self) -> None:
        """SIGSTOP, and SIGCONT once every ring is full: everybody waits, nobody drops."""
        ranks = self.start_ranks()
        self.wait_for_rows(1_000)
        service = self.sandbox.service()
        for _ in range(3):
            freeze(service)
            self.wait_until_stalled()
            thaw(service)
            self.wait_for_rows(1_000)
        self.assertEqual([report["dropped"] for report in self.finish(ranks)], [0] * RANKS)
        self.assertEqual(self.sandbox.services(), [service])
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger(kinds="mixed")

    def wait_until_stalled(self) -> None:
        """Waits until no rank has committed a row between two looks."""
        last: list[int] = []

        def is_stalled() -> bool:
            nonlocal last
            last, before = self.committed(), last
            return last == before

        until(is_stalled, "full rings")

    def test_sigterm_drains(self) -> None:
        """A service that is told to go stores what is committed first; the next one goes on."""
        ranks = self.start_ranks()
        self.wait_for_rows(10_000)
        for rank in ranks:
            freeze(rank.pid)
        before = sum(self.committed())
        kill_and_wait(self.sandbox.service(), signal.SIGTERM)
        self.assertGreaterEqual(sum(1 for _ in self.sandbox.lines()), before)
        for rank in ranks:
            thaw(rank.pid)
        self.wait_for_rows(10_000)
        self.finish(ranks)
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger(kinds="mixed")

    def test_everybody_dies_and_the_next_service_finishes_what_they_left(self) -> None:
        """Ranks and service killed in full flight: the next start recovers what was committed."""
        self.kill_everybody_after(10_000)
        stored = sum(1 for _ in self.sandbox.lines())
        self.assertLess(stored, sum(self.committed()))
        for producer in self.sandbox.verify(code=1)["producers"]:
            self.assert_says(producer["unread"], "no service", "ringlog service start")
        self.sandbox.ringlog("service", "start")
        until(lambda: all(s[0] != "running" for s in self.sandbox.states().values()), "the ends")
        self.assertTrue(self.sandbox.verify()["ok"])
        self.assertGreater(self.sandbox.check_ledger(kinds="mixed"), stored)
        self.assertEqual({s[0] for s in self.sandbox.states().values()}, {"crashed"})

    def test_everybody_dies_and_shared_memory_with_them(self) -> None:
        """As when the machine goes: nobody knows what was lost, so nobody says that all is well."""
        self.kill_everybody_after(1_000)
        for path in (self.sandbox.runtime / "segments").glob("*.seg"):
            path.unlink()
        self.assertFalse(self.sandbox.verify(code=1)["ok"])
        self.sandbox.rank(RANKS, rows=10).finish()
        until(lambda: all(s[0] != "running" for s in self.sandbox.states().values()), "the ends")
        verified = self.sandbox.verify(code=1)
        self.assertFalse(verified["ok"])
        for producer in verified["producers"][:RANKS]:
            self.assertEqual((producer["state"], producer["missing"]), ("crashed", 0))
            self.assert_says(producer["unread"], "never read")
        self.assertEqual(verified["producers"][RANKS]["unread"], "")
        text = self.sandbox.ringlog("verify", RUN, code=1).stdout.decode()
        self.assert_says(text, f"rank 0 attempt 0 and {RANKS - 1} more: the end was never read")
        shown = self.sandbox.json("show", RUN)["problems"]
        self.assertTrue(any("never read" in note for note in shown), shown)
        found = self.sandbox.ringlog("doctor", RUN, code=1).stdout.decode()
        self.assert_says(found, "the end was never read")

    def test_room_that_a_dead_service_did_not_give_back(self) -> None:
        """It dies between storing a full ring and giving its room back: the next one gives it."""
        self.sandbox.ringlog("service", "start", env={"RINGLOG_FAILPOINT": "before_give_back:20"})
        doomed = self.sandbox.service()
        ranks = self.start_ranks(RINGLOG_RING_BYTES="131072")
        wait_for_death(doomed)
        self.wait_for_rows(5_000)
        self.assertEqual([report["dropped"] for report in self.finish(ranks)], [0] * RANKS)
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger(kinds="mixed")

    def test_a_row_that_was_kept_while_the_ring_was_full_comes_to_the_next_service(self) -> None:
        """`coalesce`: the program has it, with an old number, when the service dies."""
        script = Script(self.sandbox, RINGLOG_FULL_RING="coalesce", RINGLOG_RING_BYTES="131072")
        service = self.sandbox.service()
        script.do("log a=i:0")
        freeze(service)
        attempts = 1 + int(script.do("fill", None)) + 1
        for i in range(1, 41):  # more than what is too little for a row of fill
            script.do(f"log a=i:{i}")
        thaw(service)
        until(lambda: self.sandbox.verify(code=None)["producers"][0]["attempted"] == attempts + 40,
              "the ring is stored, and what is counted beside it")
        kill_and_wait(service)
        self.sandbox.ringlog("service", "start")
        script.do("log a=i:41")
        script.finish()
        self.assertEqual(script.program.stderr, "")
        verified = self.sandbox.verify()["producers"][0]
        self.assertEqual((verified["attempted"], verified["missing"]), (attempts + 41, 0))
        self.assertEqual([row["a"] for row in self.sandbox.rows() if "a" in row][-2:], [40, 41])

    @unittest.skipIf(SLOWDOWN > 1, "the sanitizers need descriptors themselves")
    def test_a_service_with_too_few_descriptors_ends_nobody(self) -> None:
        """What it cannot open it does not call dead or damaged: a later one has it all."""
        ranks = [self.sandbox.rank(i, burst=10, pause_ms=5) for i in range(8)]
        for rank in ranks:
            rank.expect("logging")
        for count in (28, 31, 34, 37, 40):
            # They stand still, or one of them would be the first to start a service.
            for rank in ranks:
                freeze(rank.pid)
            kill_and_wait(self.sandbox.service())
            self.sandbox.ringlog("service", "start", before_exec=limit_files(count), code=None)
            target = self.sandbox.ledger.committed(7) + 50
            for rank in ranks:
                thaw(rank.pid)
            until(lambda rows=target: self.sandbox.ledger.committed(7) > rows, "more rows")
        self.assertEqual(list((self.sandbox.runtime / "segments").glob("*.bad")), [])
        self.assertEqual(len(list((self.sandbox.runtime / "segments").glob("*.seg"))), 8)
        for rank in ranks:
            freeze(rank.pid)
        kill_and_wait(self.sandbox.service())
        self.sandbox.ringlog("service", "start")
        for rank in ranks:
            thaw(rank.pid)
        self.sandbox.ledger.stop()
        for rank in ranks:
            report = rank.finish()
            self.assertEqual((report["stored"], report["dropped"]), (report["attempted"], 0))
        self.assertEqual({state[0] for state in self.sandbox.states().values()}, {"finished"})
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_segments_are_looked_for_until_they_are_found(self) -> None:
        """One that cannot be read at first, and at the next look not even its folder."""
        rank = self.sandbox.rank(0)
        until(lambda: self.sandbox.ledger.committed(0) > 1_000, "rows")
        freeze(self.sandbox.service())
        rank.kill()
        kill_and_wait(self.sandbox.service())
        folder = self.sandbox.runtime / "segments"
        segment, = folder.glob("*.seg")
        aside = segment.rename(self.sandbox.runtime / "aside")
        segment.symlink_to(aside)  # which is not followed
        self.sandbox.ringlog("service", "start")
        away = folder.rename(self.sandbox.runtime / "away")
        until(lambda: "looked for again" in self.sandbox.log_of_service(), "a look in vain")
        aside.replace(away / segment.name)
        away.rename(folder)
        until(lambda: self.sandbox.states()[0][0] == "crashed", "the end of the rank")
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger()

    def test_any_program_starts_the_recovery(self) -> None:
        """A program that logs to another run wakes the service that recovers the first one."""
        self.kill_everybody_after(1_000)
        self.sandbox.rank(100, run="another", rows=10).finish()
        until(lambda: all(s[0] != "running" for s in self.sandbox.states().values()), "the ends")
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_rows(kinds="mixed", run=RUN)
        self.assertEqual(sum(1 for _ in self.sandbox.lines("another")), 10)

    def test_a_pending_handle_fails_within_about_a_second(self) -> None:
        """The service dies under a request: kServiceGone, soon; the rows are stored anyway."""
        program = self.sandbox.start(helper("handles"), "--case", "service_gone",
                                     env={"RINGLOG_RUN_ID": RUN})
        program.expect("stop the service")
        service = self.sandbox.service()
        freeze(service)
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        program.expect("kill the service")
        os.kill(service, signal.SIGKILL)
        answer = program.finish()
        self.assertEqual(answer["code"], 5, "kServiceGone")
        self.assertLess(answer["seconds"], 3)
        self.assertEqual(self.sandbox.verify()["producers"][0]["stored"], 101)


if __name__ == "__main__":
    unittest.main()
