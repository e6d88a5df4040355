"""The `ringlog` command as a person and a script use it."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
import unittest

from sandbox import (PROJECT, RINGLOG, RUN, Program, SandboxTest, freeze, helper, kill_and_wait,
                     thaw, until)

ROWS = 1000
ESCAPE = "\x1b["


class CommandsTest(SandboxTest):
    """Every command on a finished run, with the service, and after it has gone."""

    def setUp(self) -> None:
        super().setUp()
        self.sandbox.train(0, rows=ROWS)
        self.sandbox.train(1, rows=ROWS)
        self.dir = self.sandbox.root / PROJECT / RUN

    def text(self, *words: str, **options) -> str:
        """Standard output of a command."""
        return self.sandbox.ringlog(*words, **options).stdout.decode()

    def check_reading(self) -> None:
        """What every reading command says about the run."""
        listed = self.sandbox.json("ls")
        self.assertEqual([(r["id"], r["project"], r["state"], r["ranks"], r["rows"], r["dir"])
                          for r in listed],
                         [(RUN, PROJECT, "finished", 2, 2 * ROWS, str(self.dir))])
        self.assertRegex(self.text("ls"), rf"{RUN} +{PROJECT} +finished +2 +2,000")
        shown = self.sandbox.json("show", RUN)
        self.assertEqual((shown["id"], shown["state"], shown["rows"]), (RUN, "finished", 2 * ROWS))
        self.assertEqual([p["rank"] for p in shown["producers"]], [0, 1])
        self.assertEqual({m["name"]: m["rows"] for m in shown["metrics"]},
                         dict.fromkeys("pitfnbu", 2 * ROWS))
        self.assertEqual(shown["command"][0], str(helper("rank")))
        for word in (RUN, PROJECT, "finished", "2,000", str(self.dir)):
            self.assertIn(word, self.text("show", RUN))
        verified = self.sandbox.json("verify", RUN)
        self.assertEqual(sorted(verified), ["behind", "damage", "ok", "producers", "run"])
        for producer in verified["producers"]:
            found = {k: producer[k] for k in ("attempt", "attempted", "stored", "dropped",
                                              "missing", "duplicated", "state")}
            self.assertEqual(found, {"attempt": 0, "attempted": ROWS, "stored": ROWS, "dropped": 0,
                                     "missing": 0, "duplicated": 0, "state": "finished"})
            self.assertGreater(producer["pid"], 0)
        self.assertIn("ok: 2,000 rows attempted, 2,000 stored, 0 dropped", self.text("verify", RUN))
        self.check_rows()
        self.check_plot()

    def check_rows(self) -> None:
        """tail and export."""
        tail = [json.loads(line) for line in self.text("tail", RUN, "-n", "5").splitlines()]
        self.assertEqual([row["i"] for row in tail if row["_rank"] == 1][-1], ROWS - 1)
        self.assertEqual(len(tail), 5)
        only = self.text("tail", RUN, "-n", "3", "--rank", "0").splitlines()
        self.assertEqual([(row["_rank"], row["i"]) for row in map(json.loads, only)],
                         [(0, ROWS - 3), (0, ROWS - 2), (0, ROWS - 1)])
        lines = self.text("export", RUN, "--format", "jsonl").splitlines()
        self.assertEqual(len(lines), 2 * ROWS)
        path = self.sandbox.scratch / "rows.jsonl"
        self.assertEqual(self.text("export", RUN, "--format", "jsonl", "-o", str(path)), "")
        self.assertEqual(path.read_text().splitlines(), lines)
        table = self.text("export", RUN, "--format", "csv").splitlines()
        self.assertEqual(len(table), 2 * ROWS + 1)
        self.assertEqual(table[0].split(",")[:5],
                         ["_rank", "_attempt", "_seq", "_step", "_timestamp"])

    def check_plot(self) -> None:
        """A plot has an axis; its points keep the extremes."""
        plots = self.sandbox.json("plot", RUN, "i")
        self.assertEqual([(p["metric"], p["rank"]) for p in plots], [("i", 0), ("i", 1)])
        for plot in plots:
            self.assertEqual(sum(point["rows"] for point in plot["points"]), ROWS)
            self.assertEqual(plot["points"][0]["min"], 0)
            self.assertEqual(plot["points"][-1]["max"], ROWS - 1)
        page = self.text("plot", RUN, "i", "f", "--width", "80", "--height", "10")
        self.assertTrue(all(len(line) <= 80 for line in page.splitlines()))
        self.assertIn("step", page)
        page = self.text("plot", RUN, "i", "--ascii", "--rank", "1", "--from", "10", "--to", "90")
        self.assertTrue(page.isascii())

    def test_reading_with_and_without_the_service(self) -> None:
        """The answers are the same while it runs, after it was stopped and after it was killed."""
        self.check_reading()
        self.assertIn("stopped", self.text("service", "stop"))
        self.assertEqual(self.sandbox.services(), [])
        self.check_reading()
        self.assertEqual(self.sandbox.services(), [], "reading starts no service")
        self.sandbox.ringlog("service", "start")
        kill_and_wait(self.sandbox.service())
        self.check_reading()

    def test_names_of_runs(self) -> None:
        """A run id, a unique beginning, a folder, `latest`; an ambiguous beginning is refused."""
        self.sandbox.train(2, run="rune", rows=1)
        self.sandbox.train(3, run="other", rows=1)
        names = {RUN: RUN, "o": "other", "rune": "rune", str(self.dir): RUN, "latest": "other"}
        for name, run in names.items():
            with self.subTest(name=name):
                self.assertEqual(self.sandbox.json("show", name)["id"], run)
        done = self.sandbox.ringlog("show", "ru", code=1)
        self.assert_says(done.stderr.decode(), RUN, "rune")
        relative = os.path.relpath(self.dir, self.sandbox.root)
        self.assertEqual(self.sandbox.json("show", relative, cwd=self.sandbox.root)["id"], RUN)
        elsewhere = self.sandbox.ringlog("show", RUN, "--dir", self.sandbox.scratch, code=1)
        self.assert_says(elsewhere.stderr.decode(), RUN, self.sandbox.scratch)

    def test_usage_errors(self) -> None:
        """Exit 2 and a hint on standard error, nothing on standard output."""
        wrong = [(), ("nonsense",), ("show",), ("plot", RUN), ("export", RUN),
                 ("export", RUN, "--format", "xml"), ("tail", RUN, "-n", "many"), ("service",),
                 ("service", "nonsense"), ("exec",), ("ls", "--nonsense"),
                 ("plot", RUN, "f", "--width", "1")]
        for words in wrong:
            with self.subTest(words=words):
                done = self.sandbox.ringlog(*words, code=2)
                self.assertEqual(done.stdout, b"")
                self.assertNotEqual(done.stderr, b"")
        done = self.sandbox.ringlog("ls", env={"RINGLOG_MODE": "nonsense"}, code=2)
        self.assert_says(done.stderr.decode(), "RINGLOG_MODE")

    def test_help_and_version(self) -> None:
        """Exit 0; every command explains itself."""
        page = self.text("--help")
        for command in ("ls", "show", "tail", "plot", "export", "verify", "service", "doctor",
                        "exec", "stop", "rm"):
            self.assertIn(command, page)
            self.assertIn("RUN" if command in ("show", "tail", "verify") else "",
                          self.text(command, "--help"))
        self.assertRegex(self.text("--version"), r"^ringlog \d+\.\d+\.\d+$")

    def test_a_metric_that_nobody_logged(self) -> None:
        """Exit 1, and the name."""
        done = self.sandbox.ringlog("plot", RUN, "nosuchmetric", code=1)
        self.assert_says(done.stderr.decode(), "nosuchmetric")

    def test_output_that_nobody_reads(self) -> None:
        """A closed pipe ends the command quietly; a full disk is an error."""
        export = subprocess.Popen([RINGLOG, "export", RUN, "--format", "jsonl"],
                                  env=self.sandbox.environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        export.stdout.close()
        self.assertEqual(export.stderr.read(), b"")
        self.assertIn(export.wait(), (0, 1))
        export.stderr.close()
        closed = subprocess.run(["sh", "-c", f"exec {RINGLOG} ls >&-"], check=False,
                                env=self.sandbox.environment, capture_output=True)
        self.assertEqual(closed.returncode, 1)
        self.assert_says(closed.stderr.decode(), "standard output")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([RINGLOG, "export", RUN, "--format", "jsonl"], stdout=full,
                                  stderr=subprocess.PIPE, env=self.sandbox.environment, check=False)
        self.assertEqual(done.returncode, 1)
        self.assert_says(done.stderr.decode(), "No space left on device")

    def on_terminal(self, *words: str, **env: str) -> str:
        """What a command writes to a terminal."""
        terminal, end = pty.openpty()
        process = subprocess.Popen([RINGLOG, *words], stdout=end, stdin=subprocess.DEVNULL,
                                   env=self.sandbox.environment | {"TERM": "xterm"} | env)
        os.close(end)
        output = b""
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            output += part
        os.close(terminal)
        self.assertEqual(process.wait(), 0)
        return output.decode()

    def test_colours_only_on_a_terminal_that_wants_them(self) -> None:
        """NO_COLOR, a dumb terminal and a pipe get none."""
        try:
            for end in os.openpty():
                os.close(end)
        except OSError as error:
            self.skipTest(f"this machine has no terminals (is /dev/pts mounted?): {error}")
        self.assertIn(ESCAPE, self.on_terminal("verify", RUN))
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn(ESCAPE, self.on_terminal("verify", RUN, **env))
        self.assertNotIn(ESCAPE, self.text("verify", RUN))
        self.assertNotIn(ESCAPE, self.text("plot", RUN, "f"))

    def test_rm(self) -> None:
        """Deletes a run that nobody writes; the others stay."""
        self.sandbox.train(2, run="other", rows=1)
        self.sandbox.ringlog("rm", RUN, "--force")
        self.assertFalse(self.dir.exists())
        self.assertEqual([run["id"] for run in self.sandbox.json("ls")], ["other"])
        self.sandbox.ringlog("rm", RUN, "--force", code=1)
        # A new run of that id starts from nothing.
        self.sandbox.train(4, rows=5)
        self.assertEqual(self.sandbox.json("show", RUN)["rows"], 5)

    def test_doctor(self) -> None:
        """Exit 0 where all is well, about the machine and about a run."""
        for words in (["doctor"], ["doctor", RUN]):
            self.assertTrue(self.text(*words))
            self.sandbox.json(*words)
        self.sandbox.runtime.chmod(0o755)
        done = self.sandbox.ringlog("doctor", code=1)
        self.assert_says((done.stdout + done.stderr).decode(), self.sandbox.runtime)
        self.sandbox.runtime.chmod(0o700)


class LiveTest(SandboxTest):
    """Commands about a run that somebody writes."""

    def start(self) -> Program:
        """A rank that logs until told otherwise."""
        rank = self.sandbox.rank(0, burst=20, pause_ms=2)
        rank.expect("logging")
        return rank

    def test_reading_while_a_program_writes(self) -> None:
        """What was committed before the command is in its answer."""
        rank = self.start()
        last = 0
        for _ in range(5):
            until(lambda: self.sandbox.ledger.committed(0) > last, "more rows")
            before = self.sandbox.ledger.committed(0)
            run = self.sandbox.json("ls")[0]
            self.assertGreaterEqual(run["rows"], before)
            self.assertEqual((run["state"], run["live"]), ("running", True))
            before = self.sandbox.ledger.committed(0)
            self.assertGreaterEqual(self.sandbox.verify()["producers"][0]["stored"], before)
            before = self.sandbox.ledger.committed(0)
            rows = self.sandbox.rows()
            self.assertGreaterEqual(len(rows), before)
            self.assertEqual([row["i"] for row in rows], list(range(len(rows))))
            last = len(rows)
        self.sandbox.ringlog("rm", RUN, "--force", code=1)
        self.sandbox.ledger.stop()
        rank.finish()

    def test_tail_follows_until_the_run_ends(self) -> None:
        """Every row once, in order, also those that come while it reads; then it ends."""
        rank = self.start()
        tail = self.sandbox.start(RINGLOG, "tail", "-f", "-n", "1", RUN)
        first = json.loads(tail.process.stdout.readline())["i"]
        until(lambda: self.sandbox.ledger.committed(0) > first + 2000, "more rows")
        self.sandbox.ledger.stop()
        rank.finish()
        rows = [json.loads(line)["i"] for line in tail.process.stdout]
        self.assertEqual(tail.process.wait(), 0)
        self.assertEqual(rows, list(range(first + 1, self.sandbox.ledger.committed(0))))

    def test_tail_ends_when_nobody_reads(self) -> None:
        """`ringlog tail -f | head -1` comes back although the run goes on."""
        rank = self.start()
        tail = self.sandbox.start(RINGLOG, "tail", "-f", RUN)
        tail.process.stdout.readline()
        tail.process.stdout.close()
        self.assertIn(tail.process.wait(), (0, 1))
        self.sandbox.ledger.stop()
        rank.finish()

    def test_stop_reaches_the_program(self) -> None:
        """run.should_stop() turns true; the run ends as `stopped`."""
        program = self.sandbox.start(helper("until_stopped"), env={"RINGLOG_RUN_ID": RUN})
        program.expect("logging")
        self.sandbox.ringlog("stop", RUN)
        program.finish()
        until(lambda: self.sandbox.json("show", RUN)["state"] != "running", "the end")
        self.assertEqual(self.sandbox.json("show", RUN)["state"], "stopped")
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_service_start_status_stop(self) -> None:
        """By hand: start is idempotent, status says who, stop ends it after storing."""
        self.sandbox.ringlog("service", "status", code=1)
        self.assertEqual(self.sandbox.json("service", "status", code=1)["running"], False)
        self.sandbox.ringlog("service", "stop", code=1)
        self.sandbox.ringlog("service", "start")
        service = self.sandbox.service()
        self.sandbox.ringlog("service", "start")
        self.assertEqual(self.sandbox.services(), [service])
        status = self.sandbox.json("service", "status")
        self.assertEqual((status["running"], status["pid"], status["runs"]), (True, service, []))
        self.assertEqual(status["runtime_dir"], str(self.sandbox.runtime))
        self.assertTrue(os.path.exists(status["log"]))
        self.assertIn(str(service), self.sandbox.ringlog("service", "status").stdout.decode())
        rank = self.start()
        until(lambda: self.sandbox.ledger.committed(0) > 100, "some rows")
        freeze(rank.pid)
        before = self.sandbox.ledger.committed(0)
        self.sandbox.ringlog("service", "stop")
        self.assertEqual(self.sandbox.services(), [])
        self.assertGreaterEqual(len(self.sandbox.rows()), before)
        thaw(rank.pid)
        self.sandbox.ledger.stop()
        self.assertEqual(rank.finish()["dropped"], 0)
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_starting_beside_a_service_that_just_ended(self) -> None:
        """It still takes the connection and answers nobody; the next one is started."""
        path = self.sandbox.runtime / "service.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()

            def end() -> None:
                # Who looks whether there is a service, and who then asks it.
                for _ in range(2):
                    listener.accept()[0].close()
                path.unlink()
                listener.close()

            dying = threading.Thread(target=end)
            dying.start()
            done = self.sandbox.ringlog("service", "start")
            dying.join()
        self.assertRegex(done.stdout.decode(), r"the service is running, pid \d+")
        self.assertEqual(len(self.sandbox.services()), 1)

    def test_an_idle_service_goes(self) -> None:
        """Started by a client, nothing attached, nothing to send: it ends by itself."""
        self.sandbox.environment["RINGLOG_IDLE_EXIT_S"] = "1"
        rank = self.sandbox.rank(0, rows=10, end="hang")
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) == 10, "its rows")
        self.assertTrue(self.sandbox.services())
        rank.kill()
        until(lambda: not self.sandbox.services(), "the service's own end")
        self.assertEqual(len(self.sandbox.rows()), 10)


class ScriptTest(SandboxTest):
    """What scripts rely on."""

    def test_json_of_every_reading_command_is_one_document(self) -> None:
        """Also when there is nothing to tell; messages stay on standard error."""
        self.assertEqual(self.sandbox.json("ls"), [])
        self.sandbox.train(0, rows=1)
        for words in (["ls"], ["show", RUN], ["verify", RUN], ["plot", RUN, "i"],
                      ["service", "status"], ["doctor"]):
            with self.subTest(words=words):
                self.sandbox.json(*words)

    def test_a_run_moved_elsewhere_is_still_a_run(self) -> None:
        """Its folder can be copied and read there, without a service."""
        self.sandbox.train(0, rows=100)
        self.sandbox.ringlog("service", "stop")
        copy = self.sandbox.scratch / "copy"
        shutil.copytree(self.sandbox.root / PROJECT / RUN, copy)
        shutil.rmtree(self.sandbox.root)
        self.assertEqual(self.sandbox.json("show", copy)["rows"], 100)
        self.assertTrue(self.sandbox.json("verify", copy)["ok"])
        self.assertTrue(re.search(r"\b100\b", self.sandbox.ringlog("show", copy).stdout.decode()))


if __name__ == "__main__":
    unittest.main()
