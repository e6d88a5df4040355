"""Files that belong to a run: saved now, live or at the end, whoever dies."""

import os
import signal
import unittest
from pathlib import Path

import wandb_file
from sandbox import (PROJECT, RINGLOG, RUN, SandboxTest, freeze, kill_and_wait, needs_root, thaw,
                     until)
from script import Script


class FilesTest(SandboxTest):
    """What a program asks to be kept, and what is there in the end."""

    def setUp(self) -> None:
        super().setUp()
        # Or the diff of the work tree that the test runs in would be among the files.
        self.sandbox.environment["RINGLOG_SURROUNDINGS"] = "off"

    def file(self, name: str, text: str) -> Path:
        """A file of the program."""
        path = self.sandbox.scratch / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def kept(self, name: str) -> str | None:
        """What the run has of a file."""
        path = self.sandbox.root / PROJECT / RUN / "files" / name
        return path.read_text() if path.exists() else None

    def until_kept(self, name: str, text: str) -> None:
        """Waits until the run has a file with this in it."""
        until(lambda: self.kept(name) == text, f"{name} is kept")

    def shown(self) -> dict[str, tuple[str, str, int]]:
        """Policy, state and size of each file, as `ringlog show` says."""
        return {file["name"]: (file["policy"], file["state"], file["size"])
                for file in self.sandbox.json("show", RUN)["files"]}

    def until_final(self) -> None:
        """Waits until nothing more will be copied."""
        until(lambda: all(state in ("kept", "failed") for _, state, _ in self.shown().values()),
              "all files are in their final state")

    def test_now(self) -> None:
        """Copied before save() returns: what happens to the file afterwards changes nothing."""
        path = self.file("model.pt", "first")
        script = Script(self.sandbox)
        script.do(f"save {path} now", "1 5")
        path.write_text("second")
        script.finish()
        self.assertEqual(self.kept("model.pt"), "first")
        self.assertEqual(self.shown(), {"model.pt": ("now", "kept", 5)})

    def test_live(self) -> None:
        """Copied soon after each change, and as it is in the end."""
        path = self.file("log.txt", "one")
        script = Script(self.sandbox)
        script.do(f"save {path} live", "0 0")
        self.until_kept("log.txt", "one")
        path.write_text("two")
        self.until_kept("log.txt", "two")
        until(lambda: self.shown() == {"log.txt": ("live", "kept so far", 3)}, "that is recorded")
        path.write_text("three")
        script.do("files", "1 5 0")
        self.assertEqual(self.kept("log.txt"), "three")
        self.assertEqual(self.shown(), {"log.txt": ("live", "kept", 5)})

    def test_end(self) -> None:
        """Copied when the run is finished, which waits for it; a file may come after save()."""
        path = self.sandbox.scratch / "later.bin"
        script = Script(self.sandbox)
        script.do(f"save {path} end", "0 0")
        script.do("flush", None)
        self.assertEqual(self.shown(), {"later.bin": ("end", "waiting", 0)})
        path.write_text("weights")
        script.do("files", "1 7 0")
        path.unlink()
        script.program.finish()
        self.assertEqual(self.kept("later.bin"), "weights")

    def test_end_of_a_process_that_is_killed(self) -> None:
        """Whatever ends it: the service has it in mind."""
        live = self.file("live.txt", "a")
        end = self.file("end.txt", "b")
        script = Script(self.sandbox)
        script.do(f"save {live} live", "0 0")
        script.do(f"save {end} end", "0 0")
        live.write_text("last")
        script.program.kill(signal.SIGKILL)
        self.until_final()
        self.assertEqual(self.kept("live.txt"), "last")
        self.assertEqual(self.kept("end.txt"), "b")

    def test_end_when_both_are_killed(self) -> None:
        """The next service finds what the dead left behind."""
        end = self.file("end.txt", "b")
        script = Script(self.sandbox)
        script.do(f"save {end} end", "0 0")
        service = self.sandbox.service()
        freeze(service)
        script.program.kill(signal.SIGKILL)
        kill_and_wait(service)
        self.assertIsNone(self.kept("end.txt"))
        self.sandbox.ringlog("service", "start")
        self.until_kept("end.txt", "b")
        self.until_final()

    def test_end_after_another_service_took_over(self) -> None:
        """It reads from the store what it has to watch."""
        live = self.file("live.txt", "a")
        script = Script(self.sandbox)
        script.do(f"save {live} live", "0 0")
        self.until_kept("live.txt", "a")
        kill_and_wait(self.sandbox.service())
        live.write_text("later")
        until(lambda: script.ask("log n=i:1") == "ok" and self.kept("live.txt") == "later",
              "the next service watches the file")
        script.do("files", "1 5 0")

    def test_a_final_file_is_not_touched_when_the_run_is_opened_again(self) -> None:
        """The next attempt writes other files under the same names: what was kept stays."""
        end = self.file("end.txt", "of the first")
        script = Script(self.sandbox)
        script.do(f"save {end} end", "0 0")
        script.finish()
        end.write_text("of somebody else")
        kill_and_wait(self.sandbox.service())
        again = Script(self.sandbox)
        again.do("log n=i:1")
        again.finish()
        self.assertEqual(self.kept("end.txt"), "of the first")

    def test_patterns_and_names(self) -> None:
        """Wildcards, folders, a base path."""
        for name in ("a.pt", "b.pt", "c.txt", "sub/d.pt"):
            self.file(name, name)
        work = self.sandbox.scratch / "work"
        script = Script(self.sandbox)
        script.do(f"save {work}/*.pt now", "2 8")
        script.do(f"save {work}/*/*.pt now", "1 8")
        script.do(f"save {work}/sub/*.pt end {self.sandbox.scratch}", "0 0")
        script.finish()
        self.assertEqual(self.shown(), {
            "a.pt": ("now", "kept", 4), "b.pt": ("now", "kept", 4), "sub/d.pt": ("now", "kept", 8),
            "work/sub/d.pt": ("end", "kept", 8)})
        self.assertEqual(self.kept("work/sub/d.pt"), "sub/d.pt")

    def test_what_cannot_be_saved_is_said(self) -> None:
        """Each refusal names the file and why."""
        work = self.file("a.txt", "a").parent
        script = Script(self.sandbox)
        os.mkfifo(work / "pipe")
        for words, *expected in (
                (f"{work}/none now", f"{work}/none", "No such file"),
                (f"{work}/*.none end", "no file matches", f"{work}/*.none"),
                (f"{work} live", f"{work} is a folder", f"{work}/*"),
                (f"{work}/pipe now", f"{work}/pipe is no regular file"),
                (f"{work}/a.txt now /proc", f"{work}/a.txt is not a file below /proc"),
                (f"{work}/* now", "is no regular file", "1 of 2 files were kept")):
            with self.subTest(words):
                self.assert_says(script.ask(f"save {words}"), "error: save: ", *expected)
        script.finish()

    def test_a_file_that_vanishes_is_said(self) -> None:
        """The live copy stays; one that never came is counted and explained."""
        live = self.file("live.txt", "a")
        script = Script(self.sandbox, RINGLOG_CONSOLE="auto")
        script.do(f"save {live} live", "0 0")
        script.do(f"save {self.sandbox.scratch}/never end", "0 0")
        self.until_kept("live.txt", "a")
        live.unlink()
        script.do("files", "1 1 1")
        files = {file["name"]: file for file in self.sandbox.json("show", RUN)["files"]}
        self.assertEqual(files["live.txt"]["state"], "kept")
        self.assert_says(files["live.txt"]["problem"], "last state was not copied", live)
        self.assertEqual(files["never"]["state"], "failed")
        self.assert_says(files["never"]["problem"], f"{self.sandbox.scratch}/never", "No such file")
        self.assert_says(script.program.stderr, "1 files kept, 1 files not kept")
        self.assert_says(self.sandbox.ringlog("show", RUN).stdout.decode(), "failed", "never")

    def test_export_to_wandb(self) -> None:
        """The folder that `wandb sync` uploads has them, with the console; own names stay W&B's."""
        script = Script(self.sandbox)
        for name in ("model.pt", "config.yaml", "gone.txt"):
            script.do(f"save {self.file(name, name)} now", None)
        script.do(f"save {self.sandbox.scratch}/never end", "0 0")
        script.finish()
        (self.sandbox.root / PROJECT / RUN / "files" / "gone.txt").unlink()
        self.sandbox.run(RINGLOG, "exec", "--", "echo", "a line", env={"RINGLOG_RUN_ID": RUN})
        folder = self.sandbox.scratch / "offline-run-mine"
        said = self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder).stderr
        self.assert_says(said.decode(), "1 file left out: not in the run's folder")
        self.assertEqual({path.name: path.read_text() for path in (folder / "files").iterdir()},
                         {"model.pt": "model.pt", "_config.yaml": "config.yaml",
                          "output.log": "a line\n"})
        self.assertEqual(wandb_file.read_run(folder).files, ["_config.yaml", "model.pt"])

    @needs_root
    def test_a_full_disk(self) -> None:
        """A file that finds no room is said to be missing, and leaves nothing half-way."""
        script = Script(self.sandbox)
        folder = self.sandbox.root / PROJECT / RUN / "files"
        self.sandbox.mount(folder, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
        script.do(f"save {self.file('large', 'x' * 4_000_000)} end", "0 0")
        script.do(f"save {self.file('small', 'y')} end", "0 0")
        script.do("files", "1 1 1")
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["small"])
        self.assert_says(self.sandbox.json("show", RUN)["files"][0]["problem"], "No space left")

    def test_a_service_that_stands_still_stops_nobody(self) -> None:
        """save() with live and end never waits for the service."""
        script = Script(self.sandbox)
        service = self.sandbox.service()
        freeze(service)
        script.do(f"save {self.file('a', 'a')} live", "0 0")
        thaw(service)
        script.do("files", "1 1 0")


if __name__ == "__main__":
    unittest.main()
