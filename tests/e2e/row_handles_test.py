"""Run::row() as programs misuse it: what cannot be logged is counted, what can be is stored."""

import unittest

from sandbox import RUN, SandboxTest, helper


class RowHandlesTest(SandboxTest):
    """Keys that are refused, handles made at each step, more key sets than kinds."""

    def run_case(self, case: str) -> None:
        """Runs a scenario to its end; it checks itself."""
        self.sandbox.run(helper("row_handles"), "--case", case, env={"RINGLOG_RUN_ID": RUN})
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_keys_that_are_refused(self) -> None:
        """Their rows are in the ledger, as dropped."""
        self.run_case("refused_keys")

    def test_a_handle_at_each_step(self) -> None:
        """The same keys are one key set."""
        self.run_case("the_same_keys")
        self.assertEqual([row["step_time"] for row in self.sandbox.rows()], list(range(70_000)))

    def test_more_key_sets_than_a_row_can_name(self) -> None:
        """The rest travels with its keys."""
        self.run_case("other_keys")
        for step, row in enumerate(self.sandbox.rows()):
            keys = {f"k{bit}" for bit in range(16) if (step + 1) >> bit & 1}
            self.assertEqual({k: v for k, v in row.items() if k[0] == "k"},
                             dict.fromkeys(keys, step))


if __name__ == "__main__":
    unittest.main()
