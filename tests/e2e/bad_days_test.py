"""Machines set up wrongly: each time a message says what and where, and training goes on."""

import json
import os
import shutil
import tempfile
import unittest
from pathlib import Path

from sandbox import (BUILD, NOBODY, RUN, SLOWDOWN, SandboxTest, become_nobody, freeze, helper,
                     kill_and_wait, limit_files, needs_other_user, needs_root, until)

ROWS = 500

# The undefined-behaviour sanitizer looks through a pipe whether memory can be read; without one it
# calls every object invalid.
needs_descriptors = unittest.skipIf(SLOWDOWN > 1, "the sanitizers need descriptors themselves")


class BadDaysTest(SandboxTest):
    """Issue 2, point 6: folders, files and limits."""

    def assert_disabled(self, *words: str | Path, **options) -> None:
        """Proves that a rank ends well without logging and says why, once."""
        report, text = self.sandbox.train(rows=ROWS, **options)
        self.assertFalse(report["ok"], text)
        self.assertEqual((report["attempted"], report["stored"], report["dropped"]),
                         (ROWS, 0, ROWS))
        self.assert_says(report["error"], *words)
        self.assert_says(text, *words)
        self.assertEqual(len(text.splitlines()), 1, text)

    def assert_logs(self, process: int = 0, **options) -> str:
        """Proves that a rank logs as on any other day; what it said."""
        report, text = self.sandbox.train(process, rows=ROWS, **options)
        self.assertTrue(report["ok"], text)
        self.assertEqual((report["stored"], report["dropped"]), (ROWS, 0), text)
        return text

    # The root folder.

    def test_root_below_a_file(self) -> None:
        """A part of the path is not a folder."""
        file = self.sandbox.scratch / "file"
        file.write_text("not a folder")
        self.assert_disabled(file, "Not a directory", env={"RINGLOG_DIR": str(file / "runs")})

    @needs_root
    def test_root_on_a_read_only_file_system(self) -> None:
        """Even root cannot write there."""
        folder = self.sandbox.scratch / "readonly"
        self.sandbox.mount(folder, "-t", "tmpfs", "-o", "ro,size=1m", "none")
        self.assert_disabled(folder, "Read-only file system",
                             env={"RINGLOG_DIR": str(folder / "runs")})

    @needs_other_user
    def test_root_without_permission(self) -> None:
        """Another user's folder: as that other user."""
        self.sandbox.scratch.chmod(0o755)
        os.chmod(self.sandbox.ledger.path, 0o666)
        os.chown(self.sandbox.runtime, NOBODY, NOBODY)
        folder = self.sandbox.scratch / "mine"
        folder.mkdir(mode=0o755)
        self.assert_disabled(folder, "Permission denied", env={"RINGLOG_DIR": str(folder / "runs")},
                             before_exec=become_nobody)

    def test_project_is_a_file(self) -> None:
        """The folder of the project cannot be made; other projects of the service do not care."""
        self.sandbox.root.mkdir()
        (self.sandbox.root / "taken").write_text("")
        self.assert_disabled(self.sandbox.root / "taken", env={"RINGLOG_PROJECT": "taken"})
        self.assert_logs(1)

    # The runtime directory.

    def test_runtime_directory_open_to_others(self) -> None:
        """Others could read the rows: refused, with what to do about it."""
        self.sandbox.runtime.chmod(0o755)
        self.assert_disabled(self.sandbox.runtime, "chmod 0700")

    @needs_root
    def test_runtime_directory_of_somebody_else(self) -> None:
        """It belongs to another user."""
        os.chown(self.sandbox.runtime, NOBODY, NOBODY)
        self.assert_disabled(self.sandbox.runtime, str(NOBODY))

    def test_runtime_directory_is_a_link(self) -> None:
        """Whoever can place a link could choose where the rows go."""
        link = self.sandbox.scratch / "link"
        link.symlink_to(self.sandbox.runtime)
        self.assert_disabled(link, env={"RINGLOG_RUNTIME_DIR": str(link)})

    def test_runtime_directory_is_a_file(self) -> None:
        """Not a folder at all."""
        file = self.sandbox.scratch / "file"
        file.write_text("")
        self.assert_disabled(file, env={"RINGLOG_RUNTIME_DIR": str(file)})

    def test_runtime_directory_without_parent(self) -> None:
        """Only one level is made."""
        folder = self.sandbox.scratch / "no" / "such"
        self.assert_disabled(folder, "No such file",
                             env={"RINGLOG_RUNTIME_DIR": str(folder / "runtime")})

    def test_runtime_path_longer_than_a_socket_address(self) -> None:
        """108 bytes are all a socket address holds; here that is no limit."""
        folder = self.sandbox.runtime / ("x" * 150)
        env = {"RINGLOG_RUNTIME_DIR": str(folder)}
        self.assertEqual(self.assert_logs(env=env), "")
        self.assertTrue(self.sandbox.json("verify", RUN, env=env)["ok"])
        self.assertEqual(self.sandbox.json("service", "status", env=env)["runtime_dir"],
                         str(folder))

    @needs_root
    def test_runtime_directory_on_a_tmpfs_of_1_mb(self) -> None:
        """No room for a segment: it goes elsewhere, which is said, and survives the service too."""
        self.sandbox.mount(self.sandbox.runtime, "-t", "tmpfs", "-o", "size=1m,mode=0700", "none")
        rank = self.sandbox.rank(0)
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) > 20_000, "some rows")
        kill_and_wait(self.sandbox.service())
        before = self.sandbox.ledger.committed(0)
        until(lambda: self.sandbox.ledger.committed(0) > before + 50_000, "a new service")
        self.sandbox.ledger.stop()
        report = rank.finish()
        self.assertEqual((report["ok"], report["dropped"]), (True, 0), rank.stderr)
        self.assert_says(rank.stderr, self.sandbox.runtime)
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger()

    @needs_root
    def test_both_sides_die_on_a_tmpfs_of_1_mb(self) -> None:
        """Rings that have no room in shared memory are on disk, where they outlive everybody."""
        self.sandbox.mount(self.sandbox.runtime, "-t", "tmpfs", "-o", "size=1m,mode=0700", "none")
        rank = self.sandbox.rank(0, burst=100, pause_ms=1,
                                 env={"RINGLOG_FULL_RING_WAIT_MS": "120000"})
        rank.expect("logging")
        until(lambda: self.sandbox.ledger.committed(0) > 2_000, "some rows")
        self.assertTrue(list(self.sandbox.shared_folders()[1].glob("*.seg")), rank.stderr)
        freeze(self.sandbox.service())
        before = self.sandbox.ledger.committed(0)
        until(lambda: self.sandbox.ledger.committed(0) > before, "rows that nobody drains")
        kill_and_wait(self.sandbox.service())
        rank.kill()
        self.sandbox.ringlog("service", "start")
        until(lambda: self.sandbox.states()[0][0] == "crashed", "the end is known")
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.check_ledger()

    # Limits.

    @needs_descriptors
    def test_no_descriptor_left_in_the_program(self) -> None:
        """From far too few to enough: a message about open files, or all is well."""
        self.sandbox.ringlog("service", "start")
        outcomes = []
        for count in range(4, 14):
            report, text = self.sandbox.train(count, rows=ROWS, before_exec=limit_files(count))
            outcomes.append(report["ok"])
            if not report["ok"]:
                self.assert_says(text, "open files")
                self.assertEqual(len(text.splitlines()), 1, text)
        self.assertEqual(outcomes, sorted(outcomes), "more descriptors never make it worse")
        self.assertEqual((outcomes[0], outcomes[-1]), (False, True))

    @needs_descriptors
    def test_no_descriptor_left_to_start_the_service(self) -> None:
        """The same where the program would have to start the service."""
        report, text = self.sandbox.train(rows=ROWS, before_exec=limit_files(4))
        self.assertFalse(report["ok"])
        self.assert_says(text, "open files")

    def test_no_descriptor_left_in_the_service(self) -> None:
        """Whoever comes too late is told so; those who are in go on."""
        self.sandbox.ringlog("service", "start", before_exec=limit_files(48))
        service = self.sandbox.service()
        ranks = []
        while len(ranks) < 40:
            rank = self.sandbox.rank(len(ranks), burst=10, pause_ms=5)
            rank.expect("logging")
            ranks.append(rank)
            if rank.stderr:
                break
        self.assertLess(len(ranks), 40, "48 descriptors are not enough for 40 ranks")
        self.assert_says(ranks[-1].stderr, "open files")
        self.sandbox.ledger.stop()
        reports = [rank.finish() for rank in ranks]
        self.assertFalse(reports[-1]["ok"])
        for report in reports[:-1]:
            self.assertEqual((report["ok"], report["dropped"]), (True, 0))
        self.assertEqual(self.sandbox.services(), [service])
        self.assertTrue(self.sandbox.verify()["ok"])

    @unittest.skipIf(SLOWDOWN > 1, "the sanitizers' operator new takes the place of the test's")
    def test_no_memory(self) -> None:
        """Whichever allocation of a call fails, nothing is thrown and each row is counted once."""
        done = self.sandbox.run(helper("out_of_memory"), env={"RINGLOG_RUN_ID": RUN, "RANK": "0"})
        report = json.loads(done.stdout)
        self.assertGreater(report["failures"], 30)
        self.assertEqual(report["attempted"], report["rows"])
        self.assertEqual(report["attempted"], report["stored"] + report["dropped"])
        self.assertGreater(report["dropped"], 10)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        verified = self.sandbox.verify()
        self.assertEqual([verified["producers"][0][k] for k in ("attempted", "stored", "dropped")],
                         [report[k] for k in ("attempted", "stored", "dropped")])

    # The service's program.

    def test_service_program_does_not_exist(self) -> None:
        """The setting names a file that is not there."""
        missing = self.sandbox.scratch / "missing" / "ringlogd"
        self.assert_disabled(missing, "RINGLOG_SERVICE", env={"RINGLOG_SERVICE": str(missing)})

    def test_service_program_fails(self) -> None:
        """It is there but does not become a service."""
        self.assert_disabled("/bin/false", env={"RINGLOG_SERVICE": "/bin/false"})

    def test_no_service_program_on_the_path(self) -> None:
        """A library and a program copied somewhere: all places that were tried are named."""
        app = self.sandbox.scratch / "app"
        (app / "lib").mkdir(parents=True)
        shutil.copy(BUILD / "lib" / "libringlog.so.0", app / "lib")
        program = Path(shutil.copy(helper("rank"), app))
        env = {"LD_LIBRARY_PATH": str(app / "lib"), "PATH": f"{app}/empty:/nowhere"}
        self.assert_disabled(app / "lib" / "ringlogd", app / "bin" / "ringlogd", app / "ringlogd",
                             app / "empty" / "ringlogd", "/nowhere/ringlogd", "RINGLOG_SERVICE",
                             env=env, program=program)
        # With a service that runs already nothing has to be found.
        self.sandbox.ringlog("service", "start")
        self.assert_logs(1, env=env, program=program)

    # Settings.

    def test_settings_that_cannot_be_used(self) -> None:
        """Each names the variable, its value and what is allowed."""
        cases = [("RINGLOG_RING_BYTES", "1000"), ("RINGLOG_FULL_RING", "block"),
                 ("RINGLOG_MODE", "fast"), ("RINGLOG_RUN_ID", "a/b"), ("RINGLOG_RANK", "-1"),
                 ("RINGLOG_PROJECT", ".."), ("RINGLOG_DURABILITY", "sent")]
        for process, (name, value) in enumerate(cases):
            with self.subTest(name=name):
                self.assert_disabled(name, f'"{value}"', process=process, env={name: value})

    def test_an_unknown_variable_is_mentioned(self) -> None:
        """A slip of the pen in a variable's name is not silently ignored."""
        self.assert_says(self.assert_logs(env={"RINGLOG_RUNID": "x"}), "RINGLOG_RUNID")

    def test_disabled_on_purpose_says_nothing(self) -> None:
        """mode=disabled: no service, no file, no word."""
        report, text = self.sandbox.train(rows=ROWS, env={"RINGLOG_MODE": "disabled"})
        self.assertEqual((report["ok"], report["code"], text), (False, 0, ""))
        self.assertEqual(self.sandbox.services(), [])
        self.assertFalse(self.sandbox.root.exists())

    def test_strict_mode_throws(self) -> None:
        """Who wants to stop when logging cannot work is told with an exception."""
        missing = "/nowhere/ringlogd"
        rank = self.sandbox.rank(0, rows=ROWS, env={"RINGLOG_STRICT": "1",
                                                    "RINGLOG_SERVICE": missing})
        rank.finish(1)
        self.assert_says(rank.stderr, "e2e_rank: ringlog: init", missing)
        rank = self.sandbox.rank(0, rows=ROWS, env={"RINGLOG_STRICT": "1", "RINGLOG_MODE": "on"})
        rank.finish(1)
        self.assert_says(rank.stderr, "e2e_rank: ringlog: init: settings", "RINGLOG_MODE")
        _, text = self.sandbox.train(rows=ROWS, env={"RINGLOG_CONSOLE": "off",
                                                     "RINGLOG_MODE": "on"})
        self.assertEqual(text, "", "as asked, although another setting cannot be used")

    # Commands.

    def test_every_command_names_an_unknown_run(self) -> None:
        """Exit 1, nothing on standard output, the run's name on standard error."""
        self.assert_logs()
        done = self.sandbox.ringlog("doctor", "nosuchrun", code=1)  # whose findings are its output
        self.assert_says(done.stdout.decode(), "nosuchrun")
        commands = [("show",), ("tail",), ("tail", "-f"), ("verify",), ("stop",), ("rm", "--force"),
                    ("export", "--format", "jsonl"), ("export", "--format", "csv")]
        words = [[*command, "nosuchrun"] for command in commands]
        words.append(["plot", "nosuchrun", "loss"])
        for command in words:
            with self.subTest(command=command):
                done = self.sandbox.ringlog(*command, code=1)
                self.assertEqual(done.stdout, b"")
                self.assert_says(done.stderr.decode(), "nosuchrun")

    def test_no_run_at_all(self) -> None:
        """A root folder that does not exist is no error for a list, but for `latest`."""
        with tempfile.TemporaryDirectory() as empty:
            missing = f"{empty}/missing"
            self.assertEqual(self.sandbox.json("ls", "--dir", missing), [])
            done = self.sandbox.ringlog("show", "latest", "--dir", missing, code=1)
            self.assert_says(done.stderr.decode(), missing)


if __name__ == "__main__":
    unittest.main()
