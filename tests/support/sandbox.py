"""Sandbox: a service, a folder of runs and programs of their own for one test.

    class MyTest(SandboxTest):
        def test_something(self) -> None:
            rank = self.sandbox.rank(0, rows=100)
            rank.finish()
            self.assertEqual(self.sandbox.verify("run")["ok"], True)

Nothing here sleeps for a fixed time: programs announce themselves through pipes, deaths are seen
through pidfds, counters are read from shared memory.  Every test runs under a watchdog.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ledger import IS_DISABLED, Ledger

BUILD = Path(os.environ["RINGLOG_BUILD_DIR"])
SOURCE = Path(os.environ["RINGLOG_SOURCE_DIR"])
BIN = BUILD / "bin"
RINGLOG = BIN / "ringlog"
RINGLOGD = BIN / "ringlogd"
RUN = "run"  # the run id of every test that needs only one
PROJECT = "uncategorized"
# How much slower the programs are than those of the release build; sanitizers make them so.
SLOWDOWN = int(os.environ.get("RINGLOG_TEST_SLOWDOWN", "1"))
WAIT_S = 60 * SLOWDOWN  # for one event
# Longest that one test may take on a machine that does other things; more means that it hangs.
WATCHDOG_S = 120
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
NOBODY = 65534


class Watchdog(Exception):
    """A test hangs."""


def helper(name: str) -> Path:
    """The test program built from tests/e2e/<name>.cc."""
    return BUILD / "tests" / f"e2e_{name}"


def clean_environment() -> dict[str, str]:
    """The environment without anything that a launcher or a user of ringlog would have set."""
    prefixes = ("RINGLOG_", "SLURM_", "OMPI_", "PMI", "TORCHELASTIC_", "MASTER_", "XDG_")
    names = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "NO_COLOR", "TERM", "COLUMNS", "LINES"}
    return {k: v for k, v in os.environ.items() if not k.startswith(prefixes) and k not in names}


def sanitizer_options(log: Path) -> dict[str, str]:
    """Variables that send what sanitizers find to files named `log` and something: most processes
    of a test are nobody's children, and what they print nobody reads.  SIGSEGV stays a signal:
    some tests send it, and the others see a process that died of it."""
    return {name: ":".join(filter(None, (os.environ.get(name), f"handle_segv=0:log_path={log}")))
            for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}


def until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Looks at a condition that no event announces until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain: {what}")
        select.select([], [], [], 0.005)


def wait_for_death(pid: int, timeout_s: float = WAIT_S) -> None:
    """Waits for the end of a process that need not be a child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], timeout_s)[0]:
            raise AssertionError(f"process {pid} did not end in {timeout_s} s")
    finally:
        os.close(fd)


def kill_and_wait(pid: int, number: int = signal.SIGKILL) -> None:
    """Ends a process that need not be a child."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    wait_for_death(pid)


def freeze(pid: int) -> None:
    """SIGSTOP, and waits until no thread of the process runs any more."""
    os.kill(pid, signal.SIGSTOP)

    def is_frozen() -> bool:
        states = [path.read_text(errors="replace").rpartition(")")[2].split()[0]
                  for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        return all(state in "TtZX" for state in states)

    until(is_frozen, f"process {pid} stands still")


def thaw(pid: int) -> None:
    """SIGCONT."""
    os.kill(pid, signal.SIGCONT)


def die_with_parent() -> None:
    """In a child before exec: a test that is killed leaves nobody behind, a crash no core file."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_files(count: int) -> Callable[[], None]:
    """For before_exec: at most so many open files."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def become_nobody() -> None:
    """For before_exec: another user, who owns nothing."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def prepare_child(before_exec: Callable[[], None] | None) -> Callable[[], None]:
    """What happens in a child before exec."""
    def prepare() -> None:
        if before_exec:
            before_exec()
        die_with_parent()

    return prepare


class Program:
    """A running program: its output by lines, its standard error in a file."""

    def __init__(self, argv: Sequence[str | Path], environment: dict[str, str], scratch: Path,
                 stdin: int = subprocess.PIPE,
                 before_exec: Callable[[], None] | None = None) -> None:
        self.argv = [str(word) for word in argv]
        self._stderr = tempfile.TemporaryFile(dir=scratch)
        self.process = subprocess.Popen(
            self.argv, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=self._stderr,
            preexec_fn=prepare_child(before_exec))

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self.process.pid

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="backslashreplace")

    def expect(self, line: str) -> None:
        """Waits for the next line of output, which must be this one."""
        found = self.process.stdout.readline().decode().rstrip("\n")
        if found != line:
            raise AssertionError(f"{self.argv[0]}: {found!r}, not {line!r}; {self.stderr}")

    def go(self) -> None:
        """Lets a program behind a barrier go on."""
        self.process.stdin.close()

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Sends a signal and waits for the end; the code as subprocess gives it."""
        self.process.send_signal(number)
        return self.process.wait()

    def finish(self, code: int = 0) -> dict:
        """Waits for the end of the program and of all it forked; what it reported, if it did."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        lines = self.process.stdout.read().decode().splitlines()
        found = self.process.wait()
        self.process.stdout.close()
        if found != code:
            raise AssertionError(f"{self.argv} ended with {found}, not {code}: {self.stderr}")
        return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}

    def drain(self) -> None:
        """Waits for the end of the program and of all it forked, whatever it is."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        if not self.process.stdout.closed:
            self.process.stdout.read()
        self.process.wait()

    def close(self) -> None:
        """Kills what still runs and lets go of the pipes."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self._stderr):
            if file:
                with contextlib.suppress(OSError):
                    file.close()


class Sandbox:
    """Folders, environment and processes of one test."""

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="ringlog-e2e-"))
        shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.runtime = Path(tempfile.mkdtemp(prefix="ringlog-e2e-", dir=shared))
        self.root = self.scratch / "runs"
        self.ledger = Ledger(self.scratch / "ledger")
        self.ledger.reserve(256)
        self.environment = clean_environment() | sanitizer_options(self.scratch / "sanitizer") | {
            "RINGLOG_RUNTIME_DIR": str(self.runtime),
            "RINGLOG_DIR": str(self.root),
            "RINGLOG_IDLE_EXIT_S": "30",
            "RINGLOG_CONSOLE": "quiet",
            "HOME": str(self.scratch),
            "LC_ALL": "C.UTF-8",
        }
        self.programs: list[Program] = []
        self._undo: list[Callable[[], object]] = []

    # Programs.

    def start(self, *argv: str | Path, env: dict[str, str] | None = None, **options) -> Program:
        """Starts a program in the sandbox's environment."""
        program = Program(argv, self.environment | (env or {}), self.scratch, **options)
        self.programs.append(program)
        return program

    def rank(self, process: int, *, env: dict[str, str] | None = None, run: str = RUN,
             rank: int | None = None, program: Path | None = None, stdin: int = subprocess.PIPE,
             before_exec: Callable[[], None] | None = None, **options: object) -> Program:
        """Starts e2e_rank as one rank of `run`; other keywords are its options."""
        environment = {"RINGLOG_RUN_ID": run, "RANK": str(process if rank is None else rank)}
        words = [str(word) for name, value in options.items()
                 for word in (f"--{name.replace('_', '-')}", value)]
        return self.start(program or helper("rank"), "--ledger", self.ledger.path, "--process",
                          str(process), *words, env=environment | (env or {}), stdin=stdin,
                          before_exec=before_exec)

    def train(self, process: int = 0, *, rows: int = 500, **options) -> tuple[dict, str]:
        """Runs a rank to its end, which must be a good one whatever becomes of its rows: exit 0 and
        every step done.  What it reported and what it said on standard error."""
        rank = self.rank(process, rows=rows, **options)
        report = rank.finish()
        done = self.ledger.committed(process)
        if done != rows:
            raise AssertionError(f"{done} of {rows} training steps: {rank.stderr}")
        return report, rank.stderr

    def run(self, *argv: str | Path, env: dict[str, str] | None = None, code: int | None = 0,
            before_exec: Callable[[], None] | None = None,
            **options) -> subprocess.CompletedProcess:
        """Runs a program to its end, which must be exit `code`; None: any."""
        done = subprocess.run([str(word) for word in argv], env=self.environment | (env or {}),
                              stdin=options.pop("stdin", subprocess.DEVNULL), capture_output=True,
                              preexec_fn=prepare_child(before_exec), check=False, **options)
        if code is not None and done.returncode != code:
            raise AssertionError(f"{list(map(str, argv))} ended with {done.returncode}, not {code}:"
                                 f"\n{done.stdout[-2000:].decode(errors='replace')}"
                                 f"\n{done.stderr[-4000:].decode(errors='replace')}")
        return done

    def ringlog(self, *words: str | Path, **options) -> subprocess.CompletedProcess:
        """Runs the `ringlog` command."""
        return self.run(RINGLOG, *words, **options)

    def json(self, *words: str | Path, **options) -> object:
        """What a command of `ringlog` answers with --json."""
        return json.loads(self.ringlog(*words, "--json", **options).stdout)

    # Runs.

    def verify(self, run: str = RUN, code: int | None = 0) -> dict:
        """The ledger of losses; fails the test unless the exit code is the expected one."""
        return self.json("verify", run, code=code)

    def producers(self, run: str = RUN) -> list[dict]:
        """What `ringlog show` says about each process of a run."""
        return self.json("show", run)["producers"]

    def states(self, run: str = RUN) -> dict[int, tuple[str, int, int]]:
        """State, exit code and signal of each rank's own process."""
        return {p["rank"]: (p["state"], p["exit_code"], p["signal"])
                for p in self.producers(run) if p["worker"] == 0}

    def lines(self, run: str = RUN) -> Iterator[bytes]:
        """The lines of the JSONL export."""
        with subprocess.Popen([RINGLOG, "export", run, "--format", "jsonl"], env=self.environment,
                              stdout=subprocess.PIPE, preexec_fn=die_with_parent) as export:
            yield from export.stdout
        if export.returncode != 0:
            raise AssertionError(f"export {run} ended with {export.returncode}")

    def rows(self, run: str = RUN) -> list[dict]:
        """The rows of the JSONL export."""
        return [json.loads(line) for line in self.lines(run)]

    def check_rows(self, *, run: str = RUN, kinds: str = "numbers", gaps: bool = False) -> dict:
        """Compares every exported row with what was logged; returns what e2e_check_rows counted."""
        checker_words = [helper("check_rows"), "--ledger", self.ledger.path, "--kinds", kinds,
                         "--gaps", str(int(gaps))]
        export = subprocess.Popen([RINGLOG, "export", run, "--format", "jsonl"],
                                  env=self.environment, stdout=subprocess.PIPE,
                                  preexec_fn=die_with_parent)
        checker = subprocess.run(list(map(str, checker_words)), stdin=export.stdout,
                                 capture_output=True, check=False)
        export.stdout.close()
        if export.wait() != 0 or checker.returncode != 0:
            raise AssertionError(f"export: {export.returncode}, check_rows: {checker.returncode}\n"
                                 f"{checker.stdout[:500].decode()}\n{checker.stderr.decode()}")
        return json.loads(checker.stdout)

    def check_ledger(self, **options) -> int:
        """Proves that everything committed is exported exactly once and nothing else; the rows."""
        found = self.check_rows(**options)
        ends = {(t["process"], t["thread"]): t["end"] for t in found["threads"]}
        for process in range(self.ledger.process_count):
            entry = self.ledger.entry(process)
            if entry.flags & IS_DISABLED:
                continue
            for thread, (begun, committed) in enumerate(zip(entry.begun, entry.committed)):
                end = ends.pop((process, thread), 0)
                if not committed <= end <= begun:
                    raise AssertionError(f"process {process} thread {thread}: {end} rows exported, "
                                         f"{committed} committed, {begun} begun")
        if ends:
            raise AssertionError(f"rows of nobody: {ends}")
        return found["rows"]

    def check_counts(self, verified: dict, **options) -> int:
        """Proves that of each process every row that it began is exported or counted as dropped,
        and no other; `verified` is what verify said.  The exported rows."""
        known: dict[int, int] = {}
        for producer in verified["producers"]:
            known[producer["pid"]] = known.get(producer["pid"], 0) + producer["dropped"]
        found = self.check_rows(gaps=True, **options)
        for thread in found["threads"]:
            known[self.ledger.entry(thread["process"]).pid] += thread["rows"]
        # A process that attaches more than once has more than one entry.
        begun = dict.fromkeys(known, 0)
        committed = dict.fromkeys(known, 0)
        for process in range(self.ledger.process_count):
            entry = self.ledger.entry(process)
            if not entry.flags & IS_DISABLED and sum(entry.begun) > 0:
                begun[entry.pid] = begun.get(entry.pid, 0) + sum(entry.begun)
                committed[entry.pid] = committed.get(entry.pid, 0) + sum(entry.committed)
        for pid, rows in begun.items():
            if not committed[pid] <= known.get(pid, 0) <= rows:
                raise AssertionError(f"process {pid}: {rows} rows begun, {committed[pid]} "
                                     f"committed, {known.get(pid)} exported or dropped")
        return found["rows"]

    # The service.

    def services(self) -> list[int]:
        """Pids of all ringlogd processes of this sandbox, found without asking them."""
        marker = os.fsencode(str(self.runtime))
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                stat = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                state, parent, threads = stat[0], int(stat[1]), int(stat[17])
                is_ours = any(word == marker or word.startswith(marker + b"/") for word in words)
                if words[0].endswith(b"ringlogd") and is_ours and state not in "ZX":
                    found[int(folder.name)] = (parent, threads)
        # What one at work starts has its command line until it is another program.
        return [pid for pid, (parent, _) in found.items() if found.get(parent, (0, 1))[1] == 1]

    def service(self) -> int:
        """The pid of the service, which must be the only one; waits until there is one."""
        found: list[int] = []

        # Seen twice: while a service starts, processes of its name come and go.
        def is_one() -> bool:
            nonlocal found
            before, found = found, self.services()
            return len(found) == 1 and found == before

        until(is_one, "one service")
        return found[0]

    def service_threads(self) -> int:
        """How many threads the service has."""
        return len(list(Path(f"/proc/{self.service()}/task").iterdir()))

    def log_of_service(self) -> str:
        """What the service wrote about itself."""
        parts = [path.read_text(errors="replace")
                 for path in sorted(self.runtime.glob("service*.log"))]
        return "\n".join(parts)

    # The end.

    def undo(self, action: Callable[[], object]) -> None:
        """Runs `action` when the sandbox is closed; the last one first."""
        self._undo.append(action)

    def mount(self, folder: Path, *words: str) -> None:
        """Mounts a file system until the sandbox is closed."""
        folder.mkdir(parents=True, exist_ok=True)
        self.run("mount", *words, folder)
        self.undo(lambda: self.run("umount", "--lazy", folder, code=None))

    def close(self, failed: bool = False) -> None:
        """Ends everything that was started and removes the folders."""
        if failed:
            print(f"service.log of {self.runtime}:\n{self.log_of_service()}", file=sys.stderr)
            for program in self.programs:
                if text := program.stderr.strip():
                    print(f"standard error of {' '.join(program.argv)}:\n{text}", file=sys.stderr)
        for pid in self.services():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            kill_and_wait(pid)
        for program in self.programs:
            program.close()
        # Whoever was starting the service while it died here may have brought one up again.
        for pid in self.services():
            kill_and_wait(pid)
        for action in reversed(self._undo):
            action()
        self.ledger.close()
        findings = [path.read_text(errors="replace") for path in self.scratch.glob("sanitizer.*")]
        for folder in (self.scratch, self.runtime, *self.shared_folders()):
            shutil.rmtree(folder, ignore_errors=True)
        if findings:
            raise AssertionError("a sanitizer found:\n" + "\n".join(findings))

    def shared_folders(self) -> list[Path]:
        """Where the service puts segments outside its runtime directory: daemon/runtime_dir.cc."""
        value = 0xCBF29CE484222325  # FNV-1a
        for byte in os.fsencode(str(self.runtime)):
            value = (value ^ byte) * 0x100000001B3 % 2**64
        name = f"ringlog-{os.geteuid()}-{value:016x}"
        return [Path("/dev/shm") / name, Path("/var/tmp") / name]


class SandboxTest(unittest.TestCase):
    """A test case with a sandbox for each test, and a watchdog."""

    watchdog_s = WATCHDOG_S
    maxDiff = 4000

    def setUp(self) -> None:
        def bark(*_: object) -> None:
            raise Watchdog(f"{self.id()} hangs")

        signal.signal(signal.SIGALRM, bark)
        signal.alarm(self.watchdog_s * SLOWDOWN)
        self.sandbox = Sandbox()

    def tearDown(self) -> None:
        signal.alarm(0)
        self.sandbox.close(self._has_failed())

    def _has_failed(self) -> bool:
        result = self._outcome.result
        return any(self in (test, getattr(test, "test_case", None))
                   for test, _ in result.failures + result.errors)

    def assert_says(self, text: str, *words: str | Path) -> None:
        """Proves that a message names what and where."""
        for word in words:
            self.assertIn(str(word), text)


def needs_root(test: Callable) -> Callable:
    """Skips a test that mounts or changes users."""
    return unittest.skipUnless(os.geteuid() == 0, "needs root")(test)


def needs_other_user(test: Callable) -> Callable:
    """Skips a test that starts our programs as another user, where only root can reach them."""
    is_open = all(folder.stat().st_mode & 0o001 for folder in (BIN, *BIN.parents))
    return needs_root(unittest.skipUnless(is_open, f"other users cannot reach {BIN}")(test))


def kernel_tells_exits() -> bool:
    """Whether the kernel tells how a process that is not our child ended (Linux 6.15)."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (6, 15)
