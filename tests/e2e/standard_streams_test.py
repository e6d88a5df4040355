"""Programs whose standard streams are closed, or read by nobody."""

import itertools
import os
import subprocess
import unittest
from collections.abc import Callable

from sandbox import RUN, SandboxTest, helper


def close_streams(streams: tuple[int, ...]) -> Callable[[], None]:
    """For before_exec: as `program <&- >&- 2>&-` does."""
    def close() -> None:
        for fd in streams:
            os.close(fd)

    return close


class StandardStreamsTest(SandboxTest):
    """The kernel gives the numbers of closed streams to what is opened next."""

    def test_output_into_closed_streams(self) -> None:
        """Nothing of what the program writes there reaches a segment or the doorbell."""
        subsets = [s for n in (1, 2, 3) for s in itertools.combinations((0, 1, 2), n)]
        for number, streams in enumerate(subsets):
            with self.subTest(closed=streams):
                self.sandbox.ringlog("service", "start")
                run = f"closed-{number}"
                self.sandbox.run(helper("standard_streams"), "--service", self.sandbox.service(),
                                 env={"RINGLOG_RUN_ID": run}, before_exec=close_streams(streams))
                self.assertTrue(self.sandbox.verify(run)["ok"])
                self.assertEqual([row["i"] for row in self.sandbox.rows(run)], list(range(200)))

    def test_a_first_run_without_streams(self) -> None:
        """The service is started all the same."""
        self.sandbox.run(helper("standard_streams"), env={"RINGLOG_RUN_ID": RUN},
                         before_exec=close_streams((0, 1, 2)))
        self.assertEqual(len(self.sandbox.rows()), 200)

    def test_standard_error_that_nobody_reads(self) -> None:
        """What the library says there does not end the program."""
        reader, writer = os.pipe()
        os.close(reader)
        environment = self.sandbox.environment | {"RINGLOG_RUN_ID": RUN, "RINGLOG_CONSOLE": "auto"}
        with open(writer, "wb") as nobody:
            done = subprocess.run([helper("standard_streams"), "--refuse", "1"], env=environment,
                                  stdin=subprocess.DEVNULL, stderr=nobody, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(self.sandbox.rows()), 200)


if __name__ == "__main__":
    unittest.main()
