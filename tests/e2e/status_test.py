"""Status: stops, checkpoints at one step, positions, and what the service has to say."""

import contextlib
import unittest

from sandbox import PROJECT, RUN, SandboxTest, kill_and_wait, needs_root, until
from script import Script


class StatusTest(SandboxTest):
    """DESIGN 2.6: words in the segment, no thread."""

    def ranks(self, count: int, **env: str) -> list[Script]:
        """Ranks of one run."""
        return [Script(self.sandbox, RANK=str(rank), **env) for rank in range(count)]

    def finish(self, *scripts: Script) -> None:
        """Ends all of them."""
        for script in scripts:
            script.finish()

    def step(self, scripts: list[Script], step: int, what: str = "checkpoint") -> list[str]:
        """One training step of every rank: what each of them sees."""
        return [script.ask(f"{what} {step}") for script in scripts]

    def agreed(self, command: str, count: int) -> int:
        """The step that a command of the service gave all ranks."""
        done = self.sandbox.ringlog(command, RUN)
        self.assertEqual(done.stderr, b"", f"all {count} ranks take part")
        return int(done.stdout.split()[-1])

    def test_a_checkpoint_is_seen_by_all_ranks_at_one_step(self) -> None:
        """Each of them once, though they are at different steps when somebody asks."""
        scripts = self.ranks(4)
        for at, script in enumerate(scripts):
            for step in range(5 + at % 2):
                script.do(f"checkpoint {step}", "no")
        agreed = self.agreed("checkpoint", 4)
        self.assertGreater(agreed, 5)
        seen = {step: self.step(scripts, step) for step in range(6, agreed + 5)}
        for step, answers in seen.items():
            self.assertEqual(answers, ["yes" if step == agreed else "no"] * 4, step)
        later = self.agreed("checkpoint", 4)
        self.assertGreater(later, agreed)
        self.assertEqual(self.step(scripts, later), ["yes"] * 4, "another one, another step")
        self.finish(*scripts)

    def test_ranks_that_ask_rarely_see_it_at_their_next_question(self) -> None:
        """Every tenth step: the first one behind the agreed step, the same for all."""
        scripts = self.ranks(2)
        self.step(scripts, 10)
        agreed = self.agreed("checkpoint", 2)
        self.assertLess(agreed, 20)
        self.assertEqual(self.step(scripts, 20), ["yes", "yes"])
        self.assertEqual(self.step(scripts, 30), ["no", "no"])
        self.finish(*scripts)

    def test_a_stop_is_seen_by_all_ranks_at_one_step(self) -> None:
        """should_stop() at once, should_stop(step) at the step, and ever after."""
        scripts = self.ranks(3)
        self.step(scripts, 7, "should_stop")
        agreed = self.agreed("stop", 3)
        self.assertEqual([script.ask("should_stop") for script in scripts], ["yes"] * 3)
        for step in range(8, agreed + 3):
            self.assertEqual(self.step(scripts, step, "should_stop"),
                             ["yes" if step >= agreed else "no"] * 3, step)
        self.finish(*scripts)
        self.assertEqual(self.sandbox.json("show", RUN)["state"], "stopped")

    def test_runs_of_one_id_in_two_projects(self) -> None:
        """What is asked of one, and rows too large for a ring, reach that one."""
        one, other = (Script(self.sandbox, RINGLOG_PROJECT=project) for project in ("one", "other"))
        large = "x" * 100_000
        for script in (one, other):
            for i in range(3):
                script.do(f"log i=i:{i} text=s:{large}")
        self.sandbox.ringlog("stop", self.sandbox.root / "one" / RUN)
        self.assertEqual([s.ask("should_stop") for s in (one, other)], ["yes", "no"])
        self.sandbox.ringlog("stop", f"other/{RUN}")
        self.assertEqual(other.ask("should_stop"), "yes")
        # By another name of the folder.
        link = self.sandbox.scratch / "link"
        link.symlink_to(self.sandbox.root)
        self.assertIn(b"asked run", self.sandbox.ringlog("stop", link / "one" / RUN).stdout)
        self.finish(one, other)
        for project in ("one", "other"):
            folder = self.sandbox.root / project / RUN
            self.assertTrue(self.sandbox.verify(folder)["ok"])
            self.assertEqual([row["text"] for row in self.sandbox.rows(folder)], [large] * 3)

    def test_late_and_returning_ranks(self) -> None:
        """Who comes before the step takes part; who comes after a checkpoint does not repeat it."""
        first, second = self.ranks(2)
        self.step([first, second], 3)
        agreed = self.agreed("checkpoint", 2)
        kill_and_wait(second.pid)
        again = Script(self.sandbox, RANK="1")
        self.assertEqual(self.step([first, again], agreed), ["yes", "yes"])
        self.step([first, again], agreed + 1)
        last = Script(self.sandbox, RANK="2")
        self.assertEqual(last.ask(f"checkpoint {agreed + 1}"), "no")
        self.finish(first, again, last)

    def test_ranks_that_have_not_come_are_named(self) -> None:
        """The launcher says how many there are."""
        world = {"WORLD_SIZE": "4", "LOCAL_RANK": "1"}
        script = Script(self.sandbox, RANK="1", **world)
        shown = self.sandbox.json("show", RUN)
        self.assertEqual(shown["absent_ranks"], [0, 2, 3])
        self.assertEqual([(p["local_rank"], p["world_size"]) for p in shown["producers"]], [(1, 4)])
        self.assertIn("(late, or on another machine: 0, 2, 3)",
                      self.sandbox.ringlog("show", RUN).stdout.decode())
        others = [Script(self.sandbox, RANK=str(rank), **world) for rank in (0, 2, 3)]
        self.assertEqual(self.sandbox.json("show", RUN)["absent_ranks"], [])
        self.finish(script, *others)

    def test_the_agreement_outlives_the_service(self) -> None:
        """It is in the segments: ranks see it while no service runs, and with the next one."""
        scripts = self.ranks(2)
        self.step(scripts, 1)
        agreed = self.agreed("checkpoint", 2)
        kill_and_wait(self.sandbox.service())
        self.assertEqual(self.step(scripts, agreed), ["yes", "yes"])
        for script in scripts:
            script.do("log loss=f:1")
            script.do("flush", None)
        self.assertEqual(self.step(scripts, agreed + 1), ["no", "no"])
        self.finish(*scripts)

    def test_nobody_asks(self) -> None:
        """A program that never calls should_checkpoint() is named, not waited for."""
        script, = self.ranks(1)
        done = self.sandbox.ringlog("checkpoint", RUN, code=1)
        self.assert_says(done.stderr.decode(), RUN, "should_checkpoint")
        self.finish(script)
        self.assert_says(self.sandbox.ringlog("checkpoint", "nothing", code=1).stderr.decode(),
                         "nothing")

    def test_a_run_that_is_opened_again_is_not_stopped(self) -> None:
        """Who asked for a stop asked those who were there."""
        first, = self.ranks(1)
        self.sandbox.ringlog("stop", RUN)
        first.do("should_stop", "yes")
        first.finish()
        again, = self.ranks(1)
        again.do("should_stop", "no")
        again.finish()
        self.assertEqual(self.sandbox.json("show", RUN)["state"], "finished")

    def test_positions_and_network(self) -> None:
        """attempted, stored, synced, sent, network: words, not requests."""
        path = self.sandbox.scratch / "rows.jsonl"
        script, = self.ranks(1, RINGLOG_SINKS=f"jsonl+file://{path}")
        for i in range(5):
            script.do(f"log i=i:{i}")
        until(lambda: script.ask("status") == "5 5 5 5 1", "all is stored, synced and sent")
        dead = Script(self.sandbox, run="dead", RINGLOG_SINKS="influx+http://127.0.0.1:9/db")
        dead.do("log i=i:1")
        until(lambda: dead.ask("status") == "1 1 1 0 2", "the network is tried again")
        self.finish(script, dead)

    def test_a_stop_is_said(self) -> None:
        """The service tells the program's user, by a word that is looked at while rows come: on one
        terminal, that of the lowest rank."""
        script, other = self.ranks(2)
        self.sandbox.ringlog("stop", RUN)

        def is_said() -> bool:
            other.do("log loss=f:1")
            script.do("log loss=f:1")
            return f"asked run {RUN} to stop" in script.program.stderr

        until(is_said, "the sentence on standard error")
        self.finish(script, other)
        self.assertEqual((script.program.stderr + other.program.stderr).count("to stop"), 1)

    @needs_root
    def test_a_full_disk_is_said_and_its_end_too(self) -> None:
        """Rows wait in shared memory meanwhile; nothing is lost."""
        folder = self.sandbox.scratch / "small"
        self.sandbox.mount(folder, "-t", "tmpfs", "-o", "size=16m", "none")
        ballast = folder / "ballast"
        script = Script(self.sandbox, RANK="0", RINGLOG_DIR=str(folder))
        script.do("log loss=f:1")
        script.do("flush", None)
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)

        def is_said(what: str) -> bool:
            script.do("log loss=f:1")
            return what in script.program.stderr

        until(lambda: is_said("the store cannot be written"), "the disk is full")
        ballast.unlink()
        until(lambda: is_said("can be written again"), "the disk has room")
        script.finish()
        verified = self.sandbox.json("verify", str(folder / PROJECT / RUN))
        self.assertTrue(verified["ok"])


if __name__ == "__main__":
    unittest.main()
