"""A user who may have no more threads: a service that cannot have all of its own says so and ends,
one that can serves, and no program is harmed."""

import os
import resource
import signal
import subprocess
import unittest
from collections.abc import Callable

from sandbox import NOBODY, RINGLOGD, RUN, SLOWDOWN, SandboxTest, needs_other_user

# Nobody else's processes count: the limit is on all that the user has.
USER = NOBODY - 1
# More than any of our programs has threads.
LIMIT_MAX = 24
ROWS = 200


@unittest.skipIf(SLOWDOWN > 1, "a sanitizer wants threads and files of its own")
class FewThreadsTest(SandboxTest):
    """RLIMIT_NPROC, which root does not feel."""

    def setUp(self) -> None:
        super().setUp()
        self.sandbox.scratch.chmod(0o755)
        os.chmod(self.sandbox.ledger.path, 0o666)
        os.chown(self.sandbox.runtime, USER, USER)
        self.sandbox.root.mkdir()
        os.chown(self.sandbox.root, USER, USER)
        self.tree = self.sandbox.scratch / "tree"
        self.tree.mkdir()
        for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q",
                                       "--allow-empty", "-m", "x"]):
            subprocess.run(["git", "-C", self.tree, *words], check=True)

    def as_user(self, limit: int | None = None) -> Callable[[], None]:
        """For before_exec."""
        def become() -> None:
            os.chdir(self.tree)
            os.setgroups([])
            os.setgid(USER)
            os.setuid(USER)
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))

        return become

    @needs_other_user
    def test_a_service_serves_or_says_why_not(self) -> None:
        """With each number of threads from one up to those that it needs."""
        refused = 0
        for limit in range(1, LIMIT_MAX):
            service = self.sandbox.start(RINGLOGD, "--runtime-dir", self.sandbox.runtime,
                                         "--foreground", "--ready-fd", "1",
                                         before_exec=self.as_user(limit))
            answer = service.process.stdout.read().decode()
            if answer == "1":
                break
            refused += 1
            self.assertIn("thread", answer)
            self.assertEqual(service.process.wait(), 1)
        else:
            self.fail("it needs more threads than that")
        self.assertGreater(refused, 1)
        # It has no thread to spare: none for the monitor, none for the diff of the work tree.
        rank = self.sandbox.rank(0, rows=ROWS, before_exec=self.as_user(),
                                 env={"RINGLOG_SURROUNDINGS": "on"})
        rank.finish()
        self.assertEqual(rank.stderr, "")
        self.assertTrue(self.sandbox.json("verify", RUN, before_exec=self.as_user())["ok"])
        self.assertEqual(self.sandbox.check_ledger(), ROWS)
        self.assertIn("monitor", self.sandbox.log_of_service())
        self.assertIn("diffs", self.sandbox.log_of_service())
        self.assertEqual(service.kill(signal.SIGTERM), 0)

    @needs_other_user
    def test_a_program_with_a_service_inside_goes_on(self) -> None:
        """With each number of threads from its own up to those that its service needs."""
        disabled = 0
        for limit in range(1, LIMIT_MAX):
            with self.subTest(limit=limit):
                _, said = self.sandbox.train(limit, run=f"run{limit}", rows=ROWS,
                                             env={"RINGLOG_IN_PROCESS": "true"},
                                             before_exec=self.as_user(limit))
            if "logging is disabled" not in said:
                break
            disabled += 1
            self.assertIn("thread", said)
        else:
            self.fail("it needs more threads than that")
        self.assertGreater(disabled, 1)


if __name__ == "__main__":
    unittest.main()
