"""Ended runs whose sink is down: they cost next to nothing, and are sent when it is back, by this
service or the next."""

import os
import unittest
from pathlib import Path

from engines import free_port
from rude_server import RudeServer, answer, take
from sandbox import SandboxTest, kill_and_wait, until
from script import Script

ROWS = 5
RUNS = 300  # more than the service has open at a time


class UnsentTest(SandboxTest):
    """A sink that is down while runs end."""

    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()
        self.url = f"clickhouse+http://trainer@127.0.0.1:{self.port}/default"
        self.sandbox.environment["RINGLOG_SINKS"] = self.url

    def train(self, run: str, process: int = 0, **env: str) -> None:
        """A run, to its end."""
        self.sandbox.train(process, rows=ROWS, run=run, rank=0, env=env)

    def sink(self, run: str) -> dict:
        """What `ringlog show` says about the only sink."""
        (sink,) = self.sandbox.json("show", run)["sinks"]
        return sink

    def notes(self) -> list[Path]:
        """What one service tells the next."""
        return sorted((self.sandbox.scratch / ".local/state/ringlog").glob("unsent-*/*.json"))

    def open_runs(self) -> list[str]:
        """The runs that the service has open."""
        return [run["id"] for run in self.sandbox.json("service", "status")["runs"]]

    def steps(self, server: RudeServer, run: str) -> list[int]:
        """The steps of a run that the server has."""
        return sorted({point.step for point in server.points if point.run == run})

    def wait_until_sent(self, server: RudeServer, *runs: str) -> None:
        """Every row of the runs, and nobody waits for anything any more."""
        for run in runs:
            until(lambda run=run: self.steps(server, run) == list(range(ROWS)), f"{run} is sent")
        until(lambda: not self.notes(), "nothing is left to send")
        for run in runs:
            self.assertEqual((self.sink(run)["sent"], self.sink(run)["lag"]), (ROWS, 0))

    def test_the_next_service_sends_what_the_last_one_could_not(self) -> None:
        self.train("first", CLICKHOUSE_PASSWORD="secret")
        until(lambda: not list(self.sandbox.runtime.glob("segments/*")), "the segments are gone")
        (note,) = self.notes()
        self.assertIn(self.url, note.read_text())
        self.assertNotIn("secret", note.read_text())
        kill_and_wait(self.sandbox.service())
        sink = self.sink("first")
        self.assertEqual((sink["state"], sink["lag"]), ("waiting", ROWS))
        server = RudeServer(self.sandbox, port=self.port)
        self.train("second", process=1)
        self.wait_until_sent(server, "first", "second")

    def test_the_next_service_sends_what_one_inside_a_program_could_not(self) -> None:
        self.train("first", RINGLOG_IN_PROCESS="true")
        self.assertEqual(len(self.notes()), 1)
        server = RudeServer(self.sandbox, port=self.port)
        self.train("second", process=1)
        self.wait_until_sent(server, "first", "second")

    def test_a_closed_run_is_shown_and_sent_when_the_sink_is_back(self) -> None:
        self.train("first")
        until(lambda: self.open_runs() == [], "it is closed")
        sink = self.sink("first")
        self.assertEqual((sink["state"], sink["sent"], sink["lag"]), ("retrying", 0, ROWS))
        self.assert_says(sink["error"], "127.0.0.1", "connect")
        server = RudeServer(self.sandbox, port=self.port)
        self.wait_until_sent(server, "first")

    def test_somebody_goes_on_with_a_closed_run(self) -> None:
        self.train("first")
        until(lambda: self.open_runs() == [], "it is closed")
        script = Script(self.sandbox, "first")
        script.do("log i=i:1")
        server = RudeServer(self.sandbox, port=self.port)
        until(lambda: self.steps(server, "first") == list(range(ROWS + 1)), "both are sent")
        script.finish()
        until(lambda: not self.notes(), "nothing is left to send")

    def test_a_sink_that_refuses_one_service_is_asked_by_the_next(self) -> None:
        """It may have the password that the first one had not."""
        server = RudeServer(self.sandbox, port=self.port)
        server.usual = answer("401 Unauthorized")
        self.train("first")
        until(lambda: self.sink("first")["state"] == "refused", "it is refused")
        until(lambda: self.open_runs() == [], "it is closed")
        self.sandbox.ringlog("service", "stop")
        server.usual = take
        self.train("second", process=1)
        self.wait_until_sent(server, "first", "second")

    def test_a_run_that_was_removed_is_forgotten(self) -> None:
        self.train("first")
        kill_and_wait(self.sandbox.service())
        self.sandbox.run("rm", "-r", self.sandbox.root / "uncategorized" / "first")
        server = RudeServer(self.sandbox, port=self.port)
        self.train("second", process=1)
        self.wait_until_sent(server, "second")
        self.assertEqual([run["id"] for run in self.sandbox.json("ls")], ["second"])

    def test_hundreds_of_runs_end_while_it_is_down(self) -> None:
        """None is disabled, the service does not grow, and every row arrives."""
        script = Script(self.sandbox, None, init=False)
        runs = []
        for index in range(RUNS):
            runs.append(script.ask("init"))
            self.assertNotEqual(runs[-1], "disabled", f"run {index}: {script.ask('error')}")
            for _ in range(ROWS):
                script.do("log i=i:1")
            script.ask("finish 0")
            if index % 100 == 99:
                # Stores that are tidied are open for a while; a run that stays open has six.
                descriptors = Path(f"/proc/{self.sandbox.service()}/fd")
                until(lambda folder=descriptors: len(self.open_runs()) <= 1 and
                      len(os.listdir(folder)) < 100, "they are closed")
        server = RudeServer(self.sandbox, port=self.port)
        self.wait_until_sent(server, *runs[:3], runs[-1])
        self.assertEqual({point.run for point in server.points}, set(runs))
        script.program.finish()


if __name__ == "__main__":
    unittest.main()
