"""ringlog top: what it says of rings, rows, lag and sinks, and what it does to a terminal."""

import contextlib
import json
import re
import signal
import termios
import unittest
from collections.abc import Iterator

from sandbox import RINGLOG, RUN, Program, Sandbox, SandboxTest, kill_and_wait, needs_root, until
from script import Script
from terminal import Terminal

INTERVAL = ("--interval", "0.1")
# Nobody listens there.
DEAD_SINK = "influx+http://127.0.0.1:9/db"
TAKES_SCREEN = b"\x1b[?1049h"
GIVES_SCREEN = b"\x1b[?1049l"


def log_until_there_is_a_service(sandbox: Sandbox, script: Script) -> None:
    """A program that notices the death of one starts the next."""
    def is_one() -> bool:
        script.do("log i=i:2")
        script.do("flush", None)
        return len(sandbox.services()) == 1

    until(is_one, "the next service")


class TopTest(SandboxTest):
    """For programs and for pipes."""

    def top(self, *words: str, **options) -> list[dict]:
        """What top says of each interval."""
        done = self.sandbox.ringlog("top", "--json", *INTERVAL, *words, **options)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def run_now(self, *words: str) -> dict:
        """What it says of the only run."""
        run, = self.top("-n", "1", *words)[0]["runs"]
        return run

    def watch(self, *words: str) -> tuple[Program, Iterator[dict]]:
        """A top that goes on, and what it says."""
        top = self.sandbox.start(RINGLOG, "top", "--json", *INTERVAL, *words)
        return top, map(json.loads, top.process.stdout)

    def test_counts_are_those_of_the_programs(self) -> None:
        """Rows of each process and of the run, and who they are."""
        scripts = [Script(self.sandbox, RANK=str(rank)) for rank in range(2)]
        for rank, script in enumerate(scripts):
            for i in range(3 + rank):
                script.do(f"log loss=f:{i}")
            script.do("flush", None)
        line, = self.top("-n", "1")
        service = line["service"]
        self.assertEqual(service["pid"], self.sandbox.service())
        self.assertGreater(service["memory_bytes"], 1 << 20)
        self.assertGreaterEqual(service["threads"], 5)
        self.assertGreater(service["uptime"], 0)
        self.assertGreaterEqual(line["interval"], 0.1)
        run, = line["runs"]
        found = {k: run[k] for k in ("id", "state", "live", "logged", "stored", "dropped",
                                     "backlog_bytes", "store_error", "producers_left_out")}
        self.assertEqual(found, {"id": RUN, "state": "running", "live": 2, "logged": 7, "stored": 7,
                                 "dropped": 0, "backlog_bytes": 0, "store_error": "",
                                 "producers_left_out": 0})
        self.assertEqual(run["logged_per_s"], 0)
        self.assertEqual([(p["rank"], p["attempt"], p["worker"], p["pid"], p["logged"], p["stored"])
                          for p in run["producers"]],
                         [(rank, 0, 0, script.pid, 3 + rank, 3 + rank)
                          for rank, script in enumerate(scripts)])
        for producer in run["producers"]:
            self.assertEqual([ring["used_bytes"] for ring in producer["rings"]], [0])
        kill_and_wait(scripts[1].pid)
        until(lambda: self.run_now()["live"] == 1, "its death")
        run = self.run_now()
        self.assertEqual((run["logged"], len(run["producers"])), (7, 1), "its rows still count")
        scripts[0].finish()

    def test_rates_are_differences_of_two_looks(self) -> None:
        """Rows a second times seconds are the rows between two lines."""
        rank = self.sandbox.rank(0, burst=20, pause_ms=2)
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) > 100, "some rows")
        before, now = self.top("-n", "2")
        run_before, run = before["runs"][0], now["runs"][0]
        for name in ("logged", "stored"):
            self.assertGreater(run[f"{name}_per_s"], 0)
            self.assertAlmostEqual(run[f"{name}_per_s"] * now["interval"],
                                   run[name] - run_before[name], places=3)
        self.assertEqual(run["producers"][0]["logged_per_s"], run["logged_per_s"])
        self.assertGreater(now["service"]["cpu"], 0)
        self.sandbox.ledger.stop()
        rank.finish()

    @needs_root
    def test_a_store_that_cannot_be_written(self) -> None:
        """A ring that is full, rows that are dropped, how long the others wait, and why."""
        folder = self.sandbox.scratch / "small"
        self.sandbox.mount(folder, "-t", "tmpfs", "-o", "size=16m", "none")
        rank = self.sandbox.rank(0, env={"RINGLOG_DIR": str(folder), "RINGLOG_FULL_RING": "drop"})
        rank.expect("logging")
        with open(folder / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        until(lambda: self.run_now()["dropped_per_s"] > 0, "dropped rows")
        run = self.run_now()
        self.assertIn("No space left on device", run["store_error"])
        self.assertGreater(run["lag"], 0)
        producer, = run["producers"]
        self.assertGreater(producer["fill"], 0.9)
        self.assertEqual(producer["dropped"], run["dropped"])
        self.assertGreater(run["backlog_bytes"], 0.9 * producer["rings"][0]["capacity_bytes"])
        page = self.sandbox.ringlog("top", *INTERVAL).stdout.decode()
        self.assert_says(page, f"run {RUN}: the store cannot be written", "DROPPED/S")
        self.sandbox.ledger.stop()
        (folder / "ballast").unlink()
        report = rank.finish()
        self.assertGreaterEqual(report["dropped"], run["dropped"])
        self.assertEqual(report["attempted"], report["stored"] + report["dropped"])

    def test_a_sink_that_is_down(self) -> None:
        """Its state, what it has not got and for how long, why, and no password."""
        self.sandbox.environment["INFLUX_PASSWORD"] = "geheim"
        script = Script(self.sandbox, RINGLOG_SINKS=DEAD_SINK)
        for i in range(5):
            script.do(f"log i=i:{i}")
        script.do("flush", None)

        def is_behind() -> bool:
            sink, = self.run_now()["sinks"]
            return (sink["state"], sink["lag"]) == ("retrying", 5) and sink["behind"] > 0

        until(is_behind, "a sink that is tried again")
        sink, = self.run_now()["sinks"]
        self.assertEqual((sink["sent"], sink["sent_per_s"]), (0, 0))
        self.assertNotEqual(sink["error"], "")
        page = self.sandbox.ringlog("top", *INTERVAL).stdout.decode()
        self.assert_says(page, "BEHIND", "retrying", "127.0.0.1:9")
        self.assertNotIn("geheim", json.dumps(sink) + page)
        script.finish()

    def test_a_sink_that_takes_everything(self) -> None:
        """It lags behind nothing."""
        path = self.sandbox.scratch / "rows.jsonl"
        script = Script(self.sandbox, RINGLOG_SINKS=f"jsonl+file://{path}")
        script.do("log i=i:1")
        until(lambda: self.run_now()["sinks"][0]["sent"] == 1, "it is sent")
        sink, = self.run_now()["sinks"]
        self.assertEqual((sink["state"], sink["lag"], sink["behind"]), ("good", 0, 0))
        script.finish()

    def test_one_of_several_runs(self) -> None:
        """By name, as everywhere."""
        scripts = [Script(self.sandbox, run) for run in ("one", "other")]
        self.assertEqual([run["id"] for run in self.top("-n", "1")[0]["runs"]], ["one", "other"])
        self.assertEqual(self.run_now("ot")["id"], "other")
        self.assert_says(self.sandbox.ringlog("top", "nothing", code=1).stderr.decode(), "nothing")
        for script in scripts:
            script.finish()
        self.sandbox.ringlog("service", "stop")
        self.sandbox.ringlog("service", "start")
        done = self.sandbox.ringlog("top", "one", code=1)
        self.assert_says(done.stderr.decode(), "one", "open")

    def test_a_run_whose_service_is_inside_its_program(self) -> None:
        """Found by its name."""
        script = Script(self.sandbox, RINGLOG_IN_PROCESS="true")
        script.do("log i=i:1")
        script.do("flush", None)
        line, = self.top("-n", "1", RUN)
        self.assertEqual(line["service"]["pid"], script.pid)
        self.assertEqual([run["logged"] for run in line["runs"]], [1])
        self.assertEqual(self.sandbox.services(), [])
        script.finish()

    def test_a_page_for_a_pipe(self) -> None:
        """One, unless more are asked for; no colours."""
        script = Script(self.sandbox, RANK="3")
        page = self.sandbox.ringlog("top", *INTERVAL).stdout.decode()
        self.assertRegex(page, rf"ringlogd \S+, pid {self.sandbox.service()}, up ")
        self.assertRegex(page, rf"{RUN} +uncategorized +running +1 ")
        self.assertRegex(page, rf"3 +0 +{script.pid} ")
        self.assertNotIn("\x1b", page)
        pages = self.sandbox.ringlog("top", *INTERVAL, "-n", "3").stdout.decode()
        self.assertEqual(pages.count("ringlogd "), 3)
        script.finish()

    def test_without_a_service(self) -> None:
        """Exit 1, a sentence, and none is started."""
        for words in ((), ("--json",)):
            done = self.sandbox.ringlog("top", *words, code=1)
            self.assertEqual(done.stdout, b"")
            self.assert_says(done.stderr.decode(), "the service is not running",
                             self.sandbox.runtime)
        self.assertEqual(self.sandbox.services(), [])

    def test_a_service_that_is_killed_is_waited_for(self) -> None:
        """A line says that there is none; the next service begins with new rates."""
        script = Script(self.sandbox)
        script.do("log i=i:1")
        top, lines = self.watch()
        first = next(lines)
        kill_and_wait(first["service"]["pid"])
        gone = next(line for line in lines if line["service"] is None)
        self.assertEqual(gone["runs"], [])
        self.assertIn("the service has ended", gone["error"])
        log_until_there_is_a_service(self.sandbox, script)
        again = next(line for line in lines if line["service"])
        self.assertNotEqual(again["service"]["pid"], first["service"]["pid"])
        self.assertEqual((again["interval"], again["service"]["cpu"]), (None, None))
        until(lambda: next(lines)["runs"], "its run")
        self.assertGreater(next(lines)["interval"], 0)
        self.assertEqual(top.kill(signal.SIGINT), -signal.SIGINT)
        self.assertIn("the service has ended", top.stderr)
        script.finish()

    def test_watching_keeps_no_idle_service(self) -> None:
        """Nothing attached, nothing to send: it goes although somebody looks at it."""
        self.sandbox.environment["RINGLOG_IDLE_EXIT_S"] = "1"
        script = Script(self.sandbox)
        top, lines = self.watch()
        next(lines)
        script.finish()
        until(lambda: next(lines)["service"] is None, "the service's own end")
        top.kill()

    def test_it_ends_when_nobody_reads(self) -> None:
        """`ringlog top --json | head -1` comes back."""
        script = Script(self.sandbox)
        top, lines = self.watch()
        next(lines)
        top.process.stdout.close()
        self.assertEqual(top.process.wait(), 0)
        script.finish()

    def test_usage_errors(self) -> None:
        """Exit 2."""
        for words in (("--interval", "0"), ("--interval", "3601"), ("-n", "0"), ("a", "b")):
            with self.subTest(words=words):
                self.assertEqual(self.sandbox.ringlog("top", *words, code=2).stdout, b"")


class TopScreenTest(SandboxTest):
    """On a terminal, drawn in place."""

    def setUp(self) -> None:
        super().setUp()
        try:
            self.terminal = Terminal(rows=20, columns=90)
        except OSError as error:
            self.skipTest(f"this machine has no terminals (is /dev/pts mounted?): {error}")
        self.addCleanup(self.terminal.close)
        self.script = Script(self.sandbox)

    def start(self, *words: str, **env: str) -> None:
        """Until the first page stands there."""
        environment = self.sandbox.environment | {"NO_COLOR": "1"} | env
        self.top = self.terminal.start(environment, "top", *INTERVAL, *words)
        self.addCleanup(self.top.wait)
        self.addCleanup(self.top.kill)

    def take(self) -> None:
        """A top that has taken the screen."""
        self.start()
        self.terminal.expect(TAKES_SCREEN)
        self.terminal.expect(RUN.encode())

    def check_end(self, code: int = 0) -> None:
        """It ends so, and the terminal is what it was before."""
        self.terminal.expect(GIVES_SCREEN)
        self.assertEqual(self.top.wait(), code)
        self.assertEqual(termios.tcgetattr(self.terminal.far), self.terminal.modes)

    def page(self) -> list[str]:
        """The lines of the next page."""
        self.terminal.expect(b"\x1b[H")
        text = self.terminal.until(b"\x1b[J").decode()
        return [line.removesuffix("\x1b[K") for line in text.split("\r\n")]

    def test_q_ends_it(self) -> None:
        """The screen comes back as it was."""
        self.take()
        self.assertNotEqual(termios.tcgetattr(self.terminal.far), self.terminal.modes)
        self.terminal.type(b"q")
        self.check_end()

    def test_ctrl_c_ends_it(self) -> None:
        """As it ends everything."""
        self.take()
        self.terminal.type(b"\x03")
        self.check_end()

    def test_signals_end_it(self) -> None:
        """Whoever sent one sees that it worked."""
        for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM),
                             (signal.SIGHUP, -signal.SIGHUP)):
            with self.subTest(signal=number):
                self.take()
                self.top.send_signal(number)
                self.check_end(code)

    def test_it_follows_the_window(self) -> None:
        """Lines are cut at its width, and there are no more than it has."""
        self.take()
        for rows, columns in ((20, 90), (8, 30), (3, 10), (50, 200)):
            self.terminal.resize(rows, columns)

            def fits(rows: int = rows, columns: int = columns) -> bool:
                page = self.page()
                return len(page) <= rows and max(map(len, page)) <= columns

            until(fits, f"a page for {columns} columns")
            page = self.page()
            self.assertLessEqual(len(page), rows)
            self.assertLessEqual(max(map(len, page)), columns)
        self.assertIn("LOGGED/S", "".join(self.page()))
        self.terminal.type(b"q")
        self.check_end()

    def test_ctrl_z_gives_the_terminal_back(self) -> None:
        """And it is taken again when the command goes on."""
        self.take()
        self.top.send_signal(signal.SIGTSTP)
        # A session of its own is not stopped by the kernel, so it goes on at once.
        self.terminal.expect(GIVES_SCREEN)
        self.terminal.expect(TAKES_SCREEN)
        self.terminal.expect(RUN.encode())
        self.terminal.type(b"q")
        self.check_end()

    def test_keys_choose_the_order(self) -> None:
        """Which is said."""
        self.take()
        for key, name in ((b"f", b"by fill"), (b"d", b"by dropped"), (b"n", b"by rank"),
                          (b"r", b"by rate")):
            self.terminal.type(key)
            self.terminal.expect(name)
        self.terminal.type(b"q")
        self.check_end()

    def test_a_service_that_is_killed_is_said_and_waited_for(self) -> None:
        """On the screen; it goes on with the next one."""
        self.take()
        kill_and_wait(self.sandbox.service())
        self.terminal.expect(b"the service has ended; waiting")
        self.terminal.expect(b"the service is not running")
        log_until_there_is_a_service(self.sandbox, self.script)
        self.terminal.expect(f"pid {self.sandbox.service()}".encode())
        self.terminal.type(b"q")
        self.check_end()

    def test_without_a_service_the_screen_is_not_taken(self) -> None:
        """Exit 1 and a sentence."""
        kill_and_wait(self.sandbox.service())
        self.start()
        self.terminal.expect(b"the service is not running")
        self.assertEqual(self.top.wait(), 1)
        self.assertNotIn(TAKES_SCREEN, self.terminal.text)

    def test_a_dumb_terminal_gets_pages(self) -> None:
        """Without any sequence, cut at its width; so does -n."""
        for words, env in (((), {"TERM": "dumb"}), (("-n", "2"), {})):
            with self.subTest(words=words):
                self.terminal.resize(20, 40)
                self.start(*words, **env)
                text = self.terminal.until(b"ringlogd") + self.terminal.until(b"ringlogd")
                self.assertNotIn(b"\x1b", text)
                self.assertLessEqual(max(map(len, text.decode().split("\r\n"))), 40)
                self.top.kill()
                self.top.wait()

    def test_colours_and_names(self) -> None:
        """Colours unless NO_COLOR; a project's name in any alphabet."""
        other = Script(self.sandbox, "other", RINGLOG_PROJECT="проект")
        self.start(NO_COLOR="")
        self.terminal.expect("проект".encode())
        self.assertTrue(re.search(rb"\x1b\[36mrunning\x1b\[0m", self.terminal.until(b"\x1b[J")))
        self.terminal.type(b"q")
        self.check_end()
        other.finish()


if __name__ == "__main__":
    unittest.main()
