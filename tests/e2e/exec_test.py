"""ringlog exec, and the console it keeps."""

import json
import os
import select
import signal
import subprocess
import termios
import unittest
from pathlib import Path

import wandb_file
from sandbox import (RINGLOG, RUN, Program, SandboxTest, helper, kill_and_wait, until,
                     wait_for_death)
from script import Script
from terminal import Terminal


def state_of(pid: int) -> str:
    """The letter that ps shows."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def wait_for_end_of(pid: int) -> None:
    """Of a process that its parent may not have reaped yet."""
    def has_ended() -> bool:
        try:
            return state_of(pid) in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True

    until(has_ended, f"process {pid} has ended")


def is_open(reader: int, writer: int) -> bool:
    """Whether a process has the pipe open that is the other's standard output."""
    pipe = os.readlink(f"/proc/{writer}/fd/1")
    return pipe in {os.readlink(path) for path in Path(f"/proc/{reader}/fd").iterdir()}


def is_full(pid: int) -> bool:
    """Whether the pipe that is a process's standard output has no room."""
    pipe = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return not select.select([], [pipe], [], 0)[1]
    finally:
        os.close(pipe)


def children_of(pid: int) -> list[int]:
    """Those that it has not reaped."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child_of(pid: int) -> int:
    """The program that `ringlog exec` runs."""
    return children_of(pid)[0]


class ExecTest(SandboxTest):
    """With pipes: output, exit codes, signals."""

    def test_output_and_exit_code_pass_through(self) -> None:
        """Bytes on both streams are untouched and the code is the program's; both are kept."""
        script = "printf 'out\\377\\n'; printf 'err' >&2; exit 7"
        done = self.sandbox.ringlog("exec", "--", "sh", "-c", script, code=7,
                                    env={"RINGLOG_RUN_ID": RUN})
        self.assertEqual(done.stdout, b"out\xff\n")
        self.assertIn(b"err", done.stderr)
        shown = self.sandbox.json("show", RUN)
        self.assertEqual((shown["state"], shown["producers"][0]["exit_code"]), ("failed", 7))

    def test_a_program_that_logs(self) -> None:
        """It joins the run of exec; its rows and its end are its own."""
        ledger = self.sandbox.ledger.path
        self.sandbox.ringlog("exec", "--", helper("rank"), "--ledger", ledger, "--rows", "100",
                             env={"RINGLOG_RUN_ID": RUN})
        self.assertEqual(self.sandbox.check_ledger(), 100)
        verified = self.sandbox.verify()
        self.assertEqual([(p["rank"], p["stored"], p["state"]) for p in verified["producers"]],
                         [(0, 100, "finished")])

    def test_a_program_with_a_project_of_its_own_joins_all_the_same(self) -> None:
        """One run, where exec has it, and a sentence; not a second run of that id elsewhere."""
        script = Script(self.sandbox, init=False, around=(RINGLOG, "exec", "--"))
        script.do(f"init project=audit dir={self.sandbox.scratch / 'elsewhere'}", RUN)
        script.do("log loss=f:1")
        script.finish()
        self.assertEqual([(run["id"], run["project"]) for run in self.sandbox.json("ls")],
                         [(RUN, "uncategorized")])
        self.assertFalse((self.sandbox.scratch / "elsewhere").exists())
        self.assertEqual(len(self.sandbox.rows()), 1)
        self.assert_says(script.program.stderr, 'project is "uncategorized"', '"audit" (argument)',
                         f'dir is "{self.sandbox.root}"')

    def test_a_program_may_have_a_run_of_its_own(self) -> None:
        """With another id its project is its own too, and nothing is said."""
        script = Script(self.sandbox, init=False,
                        around=(RINGLOG, "exec", "--", "env", "RINGLOG_RUN_ID=other"))
        script.do("init project=audit", "other")
        script.finish()
        self.assertEqual({(run["id"], run["project"]) for run in self.sandbox.json("ls")},
                         {(RUN, "uncategorized"), ("other", "audit")})
        self.assertNotIn("audit", script.program.stderr)

    def test_a_program_that_is_killed_or_does_not_exist(self) -> None:
        """As a shell says it: 128 + signal, 127."""
        self.sandbox.ringlog("exec", "--", "sh", "-c", "kill -9 $$", code=137)
        for number, state in ((signal.SIGKILL, "crashed"), (signal.SIGTERM, "killed"),
                              (signal.SIGINT, "killed"), (signal.SIGABRT, "crashed")):
            run = f"by-{number}"
            self.sandbox.ringlog("exec", "--", "sh", "-c", f"kill -{number} $$", code=128 + number,
                                 env={"RINGLOG_RUN_ID": run})
            shown = self.sandbox.json("show", run)
            self.assertEqual((shown["state"], shown["producers"][0]["signal"]), (state, number))
        done = self.sandbox.ringlog("exec", "--", "/no/such/program", code=127)
        self.assert_says(done.stderr.decode(), "/no/such/program")

    def test_signals_reach_the_program(self) -> None:
        """SIGTERM to exec is SIGTERM to the program, which may end as it likes."""
        script = "trap 'echo stopped; exit 4' TERM; echo ready; while :; do read x || sleep 1; done"
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script)
        program.expect("ready")
        program.process.send_signal(signal.SIGTERM)
        program.expect("stopped")
        self.assertEqual(program.process.wait(), 4)

    def test_without_a_service(self) -> None:
        """Recording fails with a message; the program runs all the same."""
        done = self.sandbox.ringlog("exec", "--", "echo", "hello",
                                    env={"RINGLOG_SERVICE": "/nowhere/ringlogd"})
        self.assertEqual(done.stdout, b"hello\n")
        self.assert_says(done.stderr.decode(), "/nowhere/ringlogd")

    def leave_behind(self, **options) -> tuple[Program, int]:
        """A program that ends with 7 and leaves one that never is silent; that one's pid."""
        script = "(while echo x; do :; done) & echo $! >&2; exit 7"
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script,
                                     env={"RINGLOG_RUN_ID": RUN}, **options)
        until(lambda: "\n" in program.stderr, "the pid of what is left behind")
        left = int(program.stderr)
        self.addCleanup(kill_and_wait, left)
        return program, left

    def test_what_is_left_behind_and_never_silent_is_not_waited_for(self) -> None:
        """The end comes by itself, with the program's code."""
        program, left = self.leave_behind()
        while program.process.stdout.read(1 << 20):
            pass
        self.assertEqual(program.process.wait(), 7)
        wait_for_death(left)  # of a closed pipe
        self.assertEqual(self.sandbox.json("show", RUN)["producers"][0]["exit_code"], 7)

    def test_a_signal_ends_the_wait_for_what_is_left_behind(self) -> None:
        """Also where nobody reads the output: there the wait has no other end."""
        program, _ = self.leave_behind()
        until(lambda: not children_of(program.pid), "exec has seen the end")
        program.process.send_signal(signal.SIGTERM)
        self.assertEqual(program.process.wait(), 7)

    def test_signals_reach_a_program_whose_output_nobody_reads(self) -> None:
        """A reader that stands still holds the program up, not its signals."""
        script = "trap 'exit 4' TERM; echo ready >&2; while :; do echo x; done"
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script)
        until(lambda: "ready" in program.stderr, "it runs")
        child = child_of(program.pid)
        until(lambda: is_full(program.pid), "our pipe is full")
        program.process.send_signal(signal.SIGTERM)
        wait_for_end_of(child)
        program.process.stdout.read()
        self.assertEqual(program.process.wait(), 4)

    def test_a_reader_that_leaves(self) -> None:
        """The program finds a closed pipe, as without exec; what it had printed is kept."""
        program = self.sandbox.start(RINGLOG, "exec", "--", "yes", env={"RINGLOG_RUN_ID": RUN})
        program.expect("y")
        program.process.stdout.close()
        self.assertEqual(program.process.wait(), 128 + signal.SIGPIPE)
        shown = self.sandbox.json("show", RUN)
        self.assertEqual((shown["state"], shown["producers"][0]["signal"]),
                         ("crashed", signal.SIGPIPE))
        self.assertEqual(shown["console"][-1]["text"], "y")

    def test_a_reader_that_leaves_a_program_that_goes_on(self) -> None:
        """It is told with its next write, not ended."""
        script = "trap '' PIPE; echo first; read line; echo second || echo closed >&2; exit 3"
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script,
                                     env={"RINGLOG_RUN_ID": RUN})
        program.expect("first")
        program.process.stdout.close()
        child = child_of(program.pid)
        until(lambda: not is_open(program.pid, child), "exec has closed its end")
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        self.assertEqual(program.process.wait(), 3)
        self.assertIn("closed", program.stderr)
        lines = self.sandbox.ringlog("tail", RUN, "--console").stdout.decode().splitlines()
        self.assertEqual((lines[0], lines[-1]), ("first", "closed"))

    def test_a_parent_that_ignores_the_end_of_children(self) -> None:
        """exec hears of it all the same, and the program has what it would have had."""
        def ignore() -> None:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)

        bit = 1 << signal.SIGCHLD - 1
        for before_exec, expected in ((ignore, bit), (None, 0)):
            done = self.sandbox.ringlog("exec", "--", "grep", "SigIgn", "/proc/self/status",
                                        before_exec=before_exec)
            self.assertEqual(int(done.stdout.split()[1], 16) & bit, expected)
        self.sandbox.ringlog("exec", "--", "sh", "-c", "exit 5", code=5, before_exec=ignore)
        self.sandbox.ringlog("exec", "--", "/no/such/program", code=127, before_exec=ignore)

    def test_a_signal_that_stops_stops_both(self) -> None:
        """SIGTSTP to exec stops the program too, SIGCONT lets both go on."""
        script = "echo ready; read line; echo went on"
        # A group of its own, with us outside to let it go on, as a shell makes for a job.
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script,
                                     before_exec=lambda: os.setpgid(0, 0))
        program.expect("ready")
        child = child_of(program.pid)
        program.process.send_signal(signal.SIGTSTP)
        until(lambda: state_of(program.pid) == "T" and state_of(child) == "T", "both are stopped")
        program.process.send_signal(signal.SIGCONT)
        program.go()
        program.expect("went on")
        self.assertEqual(program.process.wait(), 0)

    def test_where_nobody_could_let_it_go_on_nothing_stops(self) -> None:
        """In a session of its own the kernel discards SIGTSTP, for the program as for exec."""
        script = "echo ready; read line; echo went on"
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script,
                                     before_exec=os.setsid)
        program.expect("ready")
        program.process.send_signal(signal.SIGTSTP)
        program.go()
        program.expect("went on")
        self.assertEqual(program.process.wait(), 0)

    def test_a_service_that_dies_costs_no_line(self) -> None:
        """The program goes on, and so does its record with the next service."""
        script = "for i in 1 2 3; do echo line $i; read line; done; true"
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script,
                                     env={"RINGLOG_RUN_ID": RUN})
        program.expect("line 1")
        kill_and_wait(self.sandbox.service())
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
        program.expect("line 2")
        program.process.stdin.close()
        program.expect("line 3")
        self.assertEqual(program.process.wait(), 0)
        self.assertEqual(self.sandbox.ringlog("tail", RUN, "--console").stdout,
                         b"line 1\nline 2\nline 3\n")

    def test_a_service_that_is_gone_for_good_does_not_hold_the_program_up(self) -> None:
        """Output that no ring has room for passes through; that it is not kept is said."""
        self.sandbox.ringlog("service", "start")
        script = "echo ready; read line; head -c 30000000 /dev/zero | tr '\\0' x"
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", script,
                                     env={"RINGLOG_SERVICE": "/nowhere/ringlogd"})
        program.expect("ready")
        kill_and_wait(self.sandbox.service())
        program.go()
        self.assertEqual(len(program.process.stdout.read(30_000_000)), 30_000_000)
        program.process.send_signal(signal.SIGKILL)  # it waits for a service to take the rest
        program.process.wait()
        self.assert_says(program.stderr, "output could not be kept")

    def test_exec_that_is_killed_keeps_what_it_had(self) -> None:
        """Its rows, here lines, are in shared memory; the program sees a closed pipe."""
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", "echo first; cat",
                                     env={"RINGLOG_RUN_ID": RUN})
        program.expect("first")
        child = child_of(program.pid)
        program.kill()
        program.process.stdin.write(b"more than nobody reads\n")
        program.process.stdin.close()
        wait_for_death(child)
        self.assertEqual(self.sandbox.ringlog("tail", RUN, "--console").stdout, b"first\n")


class ExecTerminalTest(SandboxTest):
    """With a terminal: the program has one too, and a person notices nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.terminal = Terminal()
        self.addCleanup(self.terminal.close)
        self.environment = self.sandbox.environment | {"RINGLOG_RUN_ID": RUN,
                                                       "RINGLOG_CONSOLE": "auto"}

    def start(self, script: str) -> subprocess.Popen:
        """Runs a shell script in the terminal."""
        program = self.terminal.start(self.environment, "exec", "--", "sh", "-c", script)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def lines(self) -> list[str]:
        """The console as it was kept."""
        done = self.sandbox.ringlog("tail", RUN, "--console", "-n", "100")
        return done.stdout.decode().splitlines()

    def test_the_program_has_a_terminal_of_that_size(self) -> None:
        """Input, output and errors, and it follows the window."""
        program = self.start("test -t 0 && test -t 1 && test -t 2 && echo terminal; stty size;"
                             "trap 'stty size; exit 5' WINCH; echo ready;"
                             "while :; do read x || sleep 1; done")
        self.terminal.expect(b"terminal\r\n40 100\r\nready\r\n")
        self.terminal.resize(50, 120)
        self.terminal.expect(b"50 120\r\n")
        self.assertEqual(program.wait(), 5)
        self.assertEqual(termios.tcgetattr(self.terminal.far), self.terminal.modes)
        self.assertIn("40 100", self.lines())

    def test_what_is_typed_reaches_it(self) -> None:
        """Text with its echo, and Ctrl-C as its signal."""
        program = self.start("trap 'echo interrupted; exit 6' INT; read word; echo got $word;"
                             "while :; do sleep 0.1; done")
        self.terminal.expect(b"ringlog: run")
        self.terminal.type(b"hello\r")
        self.terminal.expect(b"got hello")
        self.terminal.type(b"\x03")
        self.terminal.expect(b"interrupted")
        self.assertEqual(program.wait(), 6)

    def test_ctrl_z_stops_it_and_gives_the_terminal_back(self) -> None:
        """Until somebody lets it go on."""
        program = self.start("echo ready; read word; echo got $word")
        self.terminal.expect(b"ready")
        child = child_of(program.pid)
        self.terminal.type(b"\x1a")
        until(lambda: state_of(program.pid) == "T" and state_of(child) == "T", "both are stopped")
        self.assertEqual(termios.tcgetattr(self.terminal.far), self.terminal.modes)
        program.send_signal(signal.SIGCONT)
        until(lambda: termios.tcgetattr(self.terminal.far) != self.terminal.modes, "keys are taken")
        self.terminal.type(b"again\r")
        self.terminal.expect(b"got again")
        self.assertEqual(program.wait(), 0)

    def test_the_end_of_a_program_that_left_another_behind(self) -> None:
        """Nobody waits for a background process that keeps the terminal open."""
        program = self.start("trap '' HUP; sleep 1000 & echo $!; exit 7")
        self.assertEqual(program.wait(), 7)
        self.terminal.expect(b"ringlog: run")
        left = int(self.lines()[0])
        kill_and_wait(left)

    def test_pipes_on_request(self) -> None:
        """--pipe: no terminal, also where there is one."""
        program = self.terminal.start(self.environment, "exec", "--pipe", "--", "sh", "-c",
                                      "test -t 1 || echo a pipe")
        self.terminal.expect(b"a pipe")
        self.assertEqual(program.wait(), 0)

    def test_a_terminal_on_request(self) -> None:
        """--pty: also where there is none."""
        done = self.sandbox.ringlog("exec", "--pty", "--", "sh", "-c", "test -t 1 && echo one")
        self.assertEqual(done.stdout, b"one\r\n")


class ConsoleTest(SandboxTest):
    """What was printed, in every command that shows it."""

    def run_ranks(self, count: int = 2) -> None:
        """Each rank of a launcher under its own exec, one after another."""
        for rank in range(count):
            script = (f"for i in 1 2 3; do printf '\\rrank {rank}: %d/3' $i >&2; done; echo >&2;"
                      f"echo rank {rank} done")
            self.sandbox.ringlog("exec", "--", "sh", "-c", script,
                                 env={"RINGLOG_RUN_ID": RUN, "RANK": str(rank),
                                      "WORLD_SIZE": str(count)})

    def test_a_progress_bar_is_one_line_everywhere(self) -> None:
        """show, tail, and the exports."""
        self.run_ranks(1)
        expected = {"rank 0: 3/3", "rank 0 done"}
        self.assertEqual({entry["text"] for entry in self.sandbox.json("show", RUN)["console"]},
                         expected)
        shown = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertIn("  rank 0: 3/3\n", shown)
        for words in (["tail", RUN, "--console"], ["export", RUN, "--format", "log"]):
            printed = self.sandbox.ringlog(*words).stdout.decode()
            self.assertEqual(set(printed.splitlines()), expected)

    def test_json_says_who_printed_what_and_when(self) -> None:
        """One object a line, of tail and of export."""
        self.run_ranks()
        for words in (["tail", RUN, "--console", "--json"],
                      ["export", RUN, "--format", "jsonl", "--console"]):
            with self.subTest(words=words):
                lines = self.sandbox.ringlog(*words).stdout.decode().splitlines()
                entries = [json.loads(line) for line in lines]
                self.assertEqual([(e["rank"], e["attempt"]) for e in entries],
                                 [(0, 0), (0, 0), (1, 0), (1, 0)])
                self.assertEqual({(e["stream"], e["text"]) for e in entries if e["rank"] == 1},
                                 {("stderr", "rank 1: 3/3"), ("stdout", "rank 1 done")})
                self.assertEqual(sorted(e["time"] for e in entries), [e["time"] for e in entries])

    def test_lines_of_several_ranks_say_whose_they_are(self) -> None:
        """And one rank's can be asked for."""
        self.run_ranks()
        text = self.sandbox.ringlog("tail", RUN, "--console").stdout.decode()
        self.assertEqual([line.partition(" ")[0] for line in text.splitlines()],
                         ["[rank0]"] * 2 + ["[rank1]"] * 2)
        text = self.sandbox.ringlog("tail", RUN, "--console", "--rank", "1").stdout.decode()
        self.assertEqual(set(text.splitlines()), {"rank 1: 3/3", "rank 1 done"})

    def test_following_shows_each_line_when_it_ends(self) -> None:
        """And ends with the run."""
        program = self.sandbox.start(RINGLOG, "exec", "--", "sh", "-c", "echo one; cat; printf end",
                                     env={"RINGLOG_RUN_ID": RUN})
        program.expect("one")
        tail = self.sandbox.start(RINGLOG, "tail", "-f", "--console", RUN)
        tail.expect("one")
        program.process.stdin.write(b"two\n")
        program.process.stdin.flush()
        tail.expect("two")
        program.process.stdin.close()
        tail.expect("end")
        self.assertEqual(tail.process.wait(), 0)

    def test_the_newest_lines_of_very_many(self) -> None:
        """show and tail agree with the program's last lines; the export has all."""
        self.sandbox.ringlog("exec", "--", "seq", "1", "200000", env={"RINGLOG_RUN_ID": RUN})
        last = [str(i) for i in range(199_991, 200_001)]
        self.assertEqual([e["text"] for e in self.sandbox.json("show", RUN)["console"]], last)
        text = self.sandbox.ringlog("tail", RUN, "--console").stdout.decode()
        self.assertEqual(text.splitlines(), last)
        log = self.sandbox.scratch / "output.log"
        self.sandbox.ringlog("export", RUN, "--format", "log", "-o", log)
        self.assertEqual(log.read_text().splitlines(), [str(i) for i in range(1, 200_001)])

    def test_wandb_has_the_output_of_one_program_as_it_was(self) -> None:
        """Untouched, carriage returns too: W&B draws them itself."""
        self.run_ranks(1)
        folder = self.sandbox.scratch / "wandb"
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder)
        run = wandb_file.read_run(next(folder.iterdir()))
        self.assertEqual("".join(text for stream, text in run.console if stream == "stderr"),
                         "\rrank 0: 1/3\rrank 0: 2/3\rrank 0: 3/3\n")

    def test_console_and_rows_do_not_mix(self) -> None:
        """--console belongs to one format."""
        self.run_ranks(1)
        done = self.sandbox.ringlog("export", RUN, "--format", "csv", "--console", code=2)
        self.assert_says(done.stderr.decode(), "--console")
        self.assertEqual(self.sandbox.rows(), [])


if __name__ == "__main__":
    unittest.main()
