"""What init() and finish() say on the terminal."""

import unittest

from sandbox import RINGLOG, RUN, SandboxTest, helper


class MessagesTest(SandboxTest):
    """One header and one footer a job, on standard error."""

    def said(self, rank: int, console: str, *around: str) -> list[str]:
        """The lines of one rank that logs ten rows."""
        words = [*around, helper("rank"), "--ledger", self.sandbox.ledger.path, "--rows", "10"]
        done = self.sandbox.run(*words, env={"RINGLOG_RUN_ID": RUN, "RANK": str(rank),
                                             "WORLD_SIZE": "2", "RINGLOG_CONSOLE": console})
        self.assertNotIn(b"\x1b", done.stderr)
        return done.stderr.decode().splitlines()

    def test_where_the_run_is_and_what_became_of_it(self) -> None:
        """Rank 0 says it once, the others nothing."""
        place = self.sandbox.root / "uncategorized" / RUN
        self.assertEqual(self.said(0, "auto"),
                         [f"ringlog: run {RUN} in {place}", f"  watch it: ringlog tail -f {RUN}",
                          f"ringlog: run {RUN}: 10 rows stored of rank 0",
                          f"  look at it: ringlog show {RUN}"])
        self.assertEqual(self.said(1, "auto"), [])

    def test_nothing_on_request(self) -> None:
        """quiet and off."""
        self.assertEqual(self.said(0, "quiet"), [])
        self.assertEqual(self.said(0, "off"), [])

    def test_under_exec_it_is_said_once(self) -> None:
        """exec says where the run is, the program what became of it."""
        lines = self.said(0, "auto", RINGLOG, "exec", "--")
        self.assertEqual([line for line in lines if " in " in line],
                         [f"ringlog: run {RUN} in {self.sandbox.root / 'uncategorized' / RUN}"])
        self.assertEqual(sum("rows stored" in line for line in lines), 1)


if __name__ == "__main__":
    unittest.main()
