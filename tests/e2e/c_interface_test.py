"""The C interface does what the C++ one does."""

import unittest

from sandbox import PROJECT, RUN, SandboxTest, helper

NOT_FOUND = 9  # Code of result.h


class CInterfaceTest(SandboxTest):
    """A program that knows only <ringlog/c.h>."""

    def test_parts_files_and_checkpoints(self) -> None:
        path = self.sandbox.scratch / "model.pt"
        path.write_text("weights")
        program = self.sandbox.start(helper("c_calls"), path, "3", env={"RINGLOG_RUN_ID": RUN})
        program.expect(f"0 {NOT_FOUND}")
        self.sandbox.ringlog("checkpoint", RUN)
        program.expect("0 0")  # once for each, and nobody asked to stop
        program.expect("2")
        program.finish()
        self.assertEqual([(row["_step"], row.get("loss"), row.get("count"))
                          for row in self.sandbox.rows()], [(7, 0.5, None), (7, None, 3)])
        kept = self.sandbox.root / PROJECT / RUN / "files" / "model.pt"
        self.assertEqual(kept.read_text(), "weights")
        self.assertEqual(self.sandbox.states(), {0: ("failed", 3, 0)})


if __name__ == "__main__":
    unittest.main()
