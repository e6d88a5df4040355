"""What a forked child inherits of its parent's runs and may not touch."""

import unittest

from sandbox import RUN, SandboxTest, helper


class InheritedTest(SandboxTest):
    """The segment of a parent is not mapped in its children, whatever still points there."""

    def run_case(self, case: str, env: dict[str, str] | None = None) -> None:
        """Runs a scenario to its end; it checks itself."""
        done = self.sandbox.run(helper("inherited"), "--case", case,
                                env={"RINGLOG_RUN_ID": RUN} | (env or {}))
        self.assertEqual(done.stderr, b"")

    def test_a_run_that_was_over_before_the_fork(self) -> None:
        """The child's own segment takes its place, and is not unmapped with it."""
        self.run_case("after_a_run")
        self.assertEqual(len(self.sandbox.rows("second")), 1000)

    def test_a_run_that_was_over_beside_one_that_lives(self) -> None:
        """The same where the child joins a run of its parent."""
        self.run_case("beside_a_run")
        self.assertEqual(len(self.sandbox.rows("second")), 1000)

    def test_a_handle_of_the_parent(self) -> None:
        """Waiting for it and destroying it is harmless in a child."""
        self.run_case("handle")

    def test_rows_before_the_child_knows_that_it_is_one(self) -> None:
        """Of a signal during fork(), and of a fork handler that runs before the library's."""
        # A child's first row needs memory, also in a handler, where it interrupts nothing but the
        # end of fork(): that is known and said in the guide.
        options = self.sandbox.environment["TSAN_OPTIONS"] + ":report_signal_unsafe=0"
        self.run_case("early_rows", {"TSAN_OPTIONS": options})
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_generations_of_children(self) -> None:
        """Descriptors do not add up."""
        self.run_case("generations")
        self.assertEqual([row["who"] for row in self.sandbox.rows() if row["who"]],
                         list(range(8, 0, -1)))


if __name__ == "__main__":
    unittest.main()
