"""`ringlog sync` sends stored runs: every row once, whatever dies on the way."""

import json
import os
import pty
import shutil
import signal
import unittest
from pathlib import Path

from engines import ClickHouse, free_port, needs_program, read_points
from rude_server import Request, RudeServer, answer, hang, take
from sandbox import PROJECT, RINGLOG, RUN, SandboxTest, kill_and_wait, until

ROWS = 3000
RUNS = 20


class SyncTest(SandboxTest):
    """Runs that were stored without a sink, and then one."""

    def store(self, run: str = RUN, rows: int = ROWS, rank: int = 0) -> None:
        """A run that has ended, as process `rank` of the ledger."""
        self.sandbox.train(rank, rows=rows, run=run, rank=0)

    def file(self, name: str = "rows") -> Path:
        """Where a file sink puts rows."""
        return self.sandbox.scratch / f"{name}.jsonl"

    def sync(self, *words: str, code: int = 0) -> dict:
        """What the command answers with --json."""
        return json.loads(self.sandbox.ringlog("sync", *words, "--json", code=code).stdout)

    def check_steps(self, server: RudeServer, rows: int = ROWS) -> None:
        """The server has each row of rank 0."""
        self.assertEqual(server.steps(), list(range(rows)))

    def test_a_run_goes_to_a_file_as_export_writes_it(self) -> None:
        self.store()
        url = f"jsonl+file://{self.file()}"
        done = self.sandbox.ringlog("sync", RUN, "--sink", url)
        self.assertEqual(done.stdout.decode(),
                         f"{PROJECT}/{RUN}: 3,000 rows delivered to {url}\n")
        self.assertEqual(done.stderr, b"")
        lines = sorted(self.file().read_bytes().splitlines(keepends=True))
        self.assertEqual(lines, sorted(self.sandbox.lines()))

    def test_again_sends_nothing_and_says_the_same(self) -> None:
        self.store()
        url = f"jsonl+file://{self.file()}"
        first = self.sync(RUN, "--sink", url)
        before = self.file().read_bytes()
        # The store knows by now where it goes.
        self.assertEqual(self.sync(RUN), first)
        self.assertEqual(self.file().read_bytes(), before)
        (run,) = first["runs"]
        self.assertEqual((run["id"], run["project"], run["delivered"], run["rows"], run["error"]),
                         (RUN, PROJECT, True, ROWS, None))
        self.assertEqual(run["sinks"], [{"url": url, "state": "good", "sent": ROWS, "lag": 0,
                                         "left_out": 0, "error": ""}])

    def test_many_runs_go_to_two_sinks_at_a_time(self) -> None:
        """In the order and with the ages that they had: `latest` is the run written last."""
        for index in range(RUNS):
            self.store(f"run-{index}", rows=10 + index, rank=index)
        self.sandbox.ringlog("service", "stop")
        listed = [(run["id"], run["written"]) for run in self.sandbox.json("ls")]
        servers = [RudeServer(self.sandbox), RudeServer(self.sandbox)]
        done = self.sync("--all", "--sink", servers[0].url(), "--sink", servers[1].url())
        self.assertEqual((done["delivered"], len(done["runs"])), (True, RUNS))
        for server in servers:
            counts: dict[str, set] = {}
            for point in server.points:
                counts.setdefault(point.run, set()).add(point.step)
            self.assertEqual({run: len(steps) for run, steps in counts.items()},
                             {f"run-{index}": 10 + index for index in range(RUNS)})
        self.sandbox.ringlog("service", "stop")
        self.assertEqual([(run["id"], run["written"]) for run in self.sandbox.json("ls")], listed)

    def test_many_runs_go_to_files(self) -> None:
        for index in range(3):
            self.store(f"run-{index}", rows=100, rank=index)
        url = f"jsonl+file://{self.sandbox.scratch}/out"
        refused = self.sandbox.ringlog("sync", "--all", "--sink", f"{url}/x", code=2)
        self.assert_says(refused.stderr.decode(), "3 runs", "{run}")
        self.assertTrue(self.sync("--all", "--sink", url + "/{project}/{run}.jsonl")["delivered"])
        for index in range(3):
            text = (self.sandbox.scratch / "out" / PROJECT / f"run-{index}.jsonl").read_bytes()
            self.assertEqual(text, b"".join(self.sandbox.lines(f"run-{index}")))

    def test_a_project(self) -> None:
        self.store("a")
        self.sandbox.train(1, rows=5, run="b", rank=0, env={"RINGLOG_PROJECT": "other"})
        server = RudeServer(self.sandbox)
        done = self.sync("--project", "other", "--sink", server.url())
        self.assertEqual([run["id"] for run in done["runs"]], ["b"])
        self.assertEqual({point.run for point in server.points}, {"b"})

    def test_the_command_dies_half_way(self) -> None:
        """Ctrl-C ends the sending too; the next one goes on where it was."""
        stuck = [RUN + "-1"]

        def takes_all_but_one(server: RudeServer, connection, request: Request) -> None:
            is_stuck = any(run.encode() in request.body for run in stuck)
            (hang if is_stuck else take)(server, connection, request)

        server = RudeServer(self.sandbox)
        server.usual = takes_all_but_one
        for index in range(3):
            self.store(f"{RUN}-{index}", rank=index)
        command = self.sandbox.start(RINGLOG, "sync", "--all", "--sink", server.url())
        until(lambda: b"delivered" in command.process.stdout.readline(), "one is delivered")
        until(lambda: b"delivered" in command.process.stdout.readline(), "another one is delivered")
        self.assertEqual(command.kill(signal.SIGINT), -signal.SIGINT)
        self.assert_says(command.stderr, "2 of 3 runs", "run it again")
        until(lambda: self.sandbox.json("service", "status")["runs"] == [],
              "the service closes what nobody wants any more")
        stuck.clear()
        self.assertTrue(self.sync("--all", "--sink", server.url())["delivered"])
        self.check_once(server, 3)

    def check_once(self, server: RudeServer, runs: int) -> None:
        """Each row of all runs is there; the same key is the same point."""
        steps: dict[str, list] = {}
        for key, step in {point.key(): point.step for point in server.points
                          if point.metric == "i"}.items():
            steps.setdefault(key[1], []).append(step)
        self.assertEqual({run: sorted(found) for run, found in steps.items()},
                         {f"{RUN}-{index}": list(range(ROWS)) for index in range(runs)})

    def test_the_service_dies_half_way(self) -> None:
        """The command goes on with the next one."""
        server = RudeServer(self.sandbox)
        server.usual = hang
        self.store()
        command = self.sandbox.start(RINGLOG, "sync", RUN, "--sink", server.url(), "--json")
        until(lambda: server.requests, "a request")
        server.usual = take
        kill_and_wait(self.sandbox.service())
        (run,) = json.loads(command.process.stdout.read())["runs"]
        self.assertEqual(command.process.wait(), 0)
        self.assertTrue(run["delivered"])
        self.check_steps(server)

    def test_a_run_whose_service_died(self) -> None:
        """What its segments hold is stored first, and how it ended."""
        rank = self.sandbox.rank(0, burst=50, pause_ms=5, kinds="numbers")
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) > 500, "some rows")
        os.kill(rank.pid, signal.SIGSTOP)
        kill_and_wait(self.sandbox.service())
        rank.kill()
        server = RudeServer(self.sandbox)
        done = self.sync(RUN, "--sink", server.url())
        self.assertTrue(done["delivered"])
        self.assertEqual(len(server.steps()), sum(p["rows"] for p in self.sandbox.producers()))
        self.assertGreaterEqual(len(server.steps()), self.sandbox.ledger.committed(0))

    def test_a_run_that_is_being_written(self) -> None:
        """Once: what was committed before.  Followed: all of it."""
        server = RudeServer(self.sandbox)
        rank = self.sandbox.rank(0, burst=20, pause_ms=5)
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) > 200, "some rows")
        before = self.sandbox.ledger.committed(0)
        self.assertTrue(self.sync(RUN, "--sink", server.url())["delivered"])
        self.assertGreaterEqual(len(server.steps()), before)
        command = self.sandbox.start(RINGLOG, "sync", "-f", RUN, "--sink", server.url())
        sent = len(server.steps())
        until(lambda: len(server.steps()) > sent, "more rows")
        self.assertIsNone(command.process.poll())
        self.sandbox.ledger.stop()
        rows = rank.finish()["stored"]
        command.finish()
        self.check_steps(server, rows)

    def test_a_refused_sink_is_an_error_with_its_message(self) -> None:
        refusing = RudeServer(self.sandbox)
        refusing.usual = answer("401 Unauthorized", b"who are you?")
        good = RudeServer(self.sandbox)
        self.store()
        done = self.sync(RUN, "--sink", refusing.url(), "--sink", good.url(), code=1)
        self.assertFalse(done["delivered"])
        self.assert_says(done["runs"][0]["error"], refusing.url(), "401: who are you?",
                         "CLICKHOUSE_PASSWORD", ".netrc")
        self.check_steps(good)

    def test_a_sink_that_is_away_is_waited_for_and_then_given_up(self) -> None:
        self.store()
        url = f"clickhouse+http://127.0.0.1:{free_port()}/default"
        done = self.sandbox.ringlog("sync", RUN, "--sink", url, "--timeout", "2", code=1)
        self.assert_says(done.stderr.decode(), RUN, "nothing was sent for 2", url, "retrying",
                         "connect")

    def test_rows_that_are_left_out_are_not_delivered(self) -> None:
        def all_but_step_7(server: RudeServer, connection, request: Request) -> None:
            is_bad = request.table == "ringlog_points" and any(
                point.step == 7 for point in read_points(request.body))
            (answer("400 Bad Request", b"no") if is_bad else take)(server, connection, request)

        self.store(rows=100)
        server = RudeServer(self.sandbox)
        server.usual = all_but_step_7
        done = self.sandbox.ringlog("sync", RUN, "--sink", server.url(), code=1)
        self.assert_says(done.stderr.decode(), "1 row left out", "no")

    def test_what_cannot_be_sent_is_said(self) -> None:
        self.store("other")
        cases = {
            ("sync",): (2, "name runs, or --all"),
            ("sync", "nobody"): (1, "no run nobody"),
            ("sync", "other"): (1, "no sink", "RINGLOG_SINKS"),
            ("sync", "other", "--sink", "ftp://x"): (1, "unknown kind", "clickhouse+http"),
            ("sync", "other", "--sink", "clickhouse+http://a:secret@h/d"): (1, "password"),
            ("sync", "--project", "none", "--sink", "jsonl+file:///x"): (1, "project none"),
            ("sync", "--all", "other"): (2, "excludes"),
        }
        for words, (code, *said) in cases.items():
            stderr = self.sandbox.ringlog(*words, code=code).stderr.decode()
            self.assert_says(stderr, *said)
            self.assertNotIn("secret", stderr)
        shutil.rmtree(self.sandbox.root)
        self.assert_says(self.sandbox.ringlog("sync", "--all", code=1).stderr.decode(), "no runs")

    def test_the_sinks_of_the_environment(self) -> None:
        self.store()
        server = RudeServer(self.sandbox)
        self.sandbox.ringlog("sync", RUN, env={"RINGLOG_SINKS": server.url()})
        self.check_steps(server)

    def test_an_offline_run_stays_at_home_until_it_is_sent(self) -> None:
        server = RudeServer(self.sandbox)
        sinks = {"RINGLOG_SINKS": server.url()}
        for attempt in range(2):
            self.sandbox.train(0, rows=100, env=sinks | {"RINGLOG_MODE": "offline"})
            self.sandbox.ringlog("service", "stop")
            self.assertEqual(server.requests, [], f"attempt {attempt}")
        self.sandbox.ringlog("sync", RUN, env=sinks)
        self.assertEqual(len({(point.attempt, point.step) for point in server.points}), 200)

    def test_bars_on_a_terminal(self) -> None:
        server = RudeServer(self.sandbox)
        server.usual = hang
        self.store()
        ours, theirs = pty.openpty()
        self.sandbox.undo(lambda: os.close(ours))
        command = self.sandbox.start(RINGLOG, "sync", RUN, "--sink", server.url(),
                                     before_exec=lambda: os.dup2(theirs, 2))
        os.close(theirs)
        text = ""
        while "0 of 1 run done" not in text:
            text += os.read(ours, 4096).decode()
        self.assert_says(text, f"{PROJECT}/{RUN}", "0 %", "0 of 3,000 rows")
        server.usual = take
        kill_and_wait(self.sandbox.service())
        command.finish()
        self.check_steps(server)


@needs_program("clickhouse-server")
class ClickHouseSyncTest(SandboxTest):
    """The same with a real server."""

    def test_every_row_once_though_all_die(self) -> None:
        """The server, the service and the command are killed in turn while a run is sent."""
        rows = 200_000
        clickhouse = ClickHouse(self.sandbox)
        clickhouse.start()
        for process in range(2):
            self.sandbox.train(process, rows=rows, rank=process, kinds="numbers")
        words = ("sync", RUN, "--sink", clickhouse.url())
        count = "SELECT count() FROM ringlog_points"

        def points() -> int:
            exists = clickhouse.lines("EXISTS TABLE ringlog_points") == [["1"]]
            return int(clickhouse.lines(count)[0][0]) if exists else 0

        def wait_for_more() -> None:
            before = points()
            until(lambda: points() > before, "more points")

        command = self.sandbox.start(RINGLOG, *words)
        wait_for_more()
        kill_and_wait(self.sandbox.service())
        wait_for_more()
        clickhouse.kill()
        clickhouse.start()
        wait_for_more()
        command.kill()
        done = json.loads(self.sandbox.ringlog(*words, "--json").stdout)
        self.assertTrue(done["delivered"])
        self.assertEqual(done["runs"][0]["rows"], 2 * rows)
        found = clickhouse.lines("SELECT rank, metric, count(), uniqExact(seq), max(seq), "
                                 "sum(cityHash64(seq)) FROM ringlog_points FINAL "
                                 "GROUP BY rank, metric ORDER BY rank, metric")
        expected = clickhouse.lines(f"SELECT sum(cityHash64(toUInt64(number))) "
                                    f"FROM numbers({rows})")[0][0]
        self.assertEqual(found, [[str(rank), metric, str(rows), str(rows), str(rows - 1), expected]
                                 for rank in range(2) for metric in "bfinptu"])


if __name__ == "__main__":
    unittest.main()
