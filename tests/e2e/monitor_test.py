"""The system monitor, from a machine's files to what people see."""

import os
import shutil
import signal
import time
import unittest

import wandb_file
from sandbox import BUILD, RUN, SandboxTest, helper, kill_and_wait, until

FAST = {"RINGLOG_MONITOR": "0.1"}


class MonitorTest(SandboxTest):
    """Issue 5: one sampler for the machine."""

    def values(self) -> dict:
        """The last sample as `show` tells it."""
        system = self.sandbox.json("show", RUN)["system"]
        return system["values"] if system else {}

    def start(self, env: dict[str, str] | None = None):
        """A program that logs until it is stopped, sampled often."""
        program = self.sandbox.start(helper("until_stopped"),
                                     env={"RINGLOG_RUN_ID": RUN, "RANK": "0"} | FAST | (env or {}))
        program.expect("logging")
        return program

    def stop(self, program) -> None:
        """Ends it as a user would."""
        self.sandbox.ringlog("stop", RUN)
        program.finish()

    def test_a_run_is_sampled_while_it_lives(self) -> None:
        program = self.start()
        until(lambda: self.values().get("cpu", 0) > 0, "the run uses the processor")
        values = self.values()
        self.assertEqual(values["proc.count"], 1)
        self.assertGreater(values["proc.rank.0.memory.rssMB"], 0.5)
        self.assertGreaterEqual(values["proc.rank.0.cpu.threads"], 1)
        self.assertTrue(0 < values["memory_percent"] < 100)
        text = self.sandbox.ringlog("show", RUN).stdout.decode()
        for subject in ("processor", "memory", "processes", "disk"):
            self.assertRegex(text, rf"(?m)^  {subject} +\S")
        self.stop(program)
        self.sandbox.verify()

    def test_samples_are_in_the_export_to_wandb(self) -> None:
        program = self.start()
        until(lambda: self.values().get("cpu"), "there are samples")
        self.stop(program)
        last = self.sandbox.json("show", RUN)["system"]
        folder = self.sandbox.scratch / "offline-run-x"
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder)
        samples = wandb_file.read_run(folder).stats
        self.assertGreaterEqual(len(samples), 1)
        self.assertEqual(samples[-1][1], last["values"])
        self.assertEqual(samples[-1][0], int(last["time"]))
        times = [at for at, _ in samples]
        self.assertEqual(times, sorted(times))

    def times(self) -> list[float]:
        """When the run was sampled, seconds."""
        folder = self.sandbox.scratch / "offline-run-x"
        shutil.rmtree(folder, ignore_errors=True)
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder)
        return [at for at, _ in wandb_file.read_run(folder).stats]

    def test_a_burst_on_request(self) -> None:
        """Many samples for a while, also of a run that wants none; then as before."""
        program = self.start({"RINGLOG_MONITOR": "off"})
        for wrong in (["--hz", "51"], ["--hz", "0"], ["--seconds", "601"]):
            self.sandbox.ringlog("burst", RUN, *wrong, code=2)
        begin = time.time()
        said = self.sandbox.ringlog("burst", RUN, "--hz", "50", "--seconds", "3").stdout.decode()
        self.assertEqual(said, f"sampling run {RUN} each 20 ms for 3 s\n")

        def is_over() -> bool:
            system = self.sandbox.json("show", RUN)["system"]
            return system is not None and time.time() - system["time"] > 2

        until(is_over, "the burst is over")
        self.stop(program)
        times = self.times()
        self.assertGreater(len(times), 10)
        self.assertLess(times[-1] - begin, 5)
        done = self.sandbox.ringlog("burst", "nobody", code=1)
        self.assert_says(done.stderr.decode(), "nobody")

    def test_off_is_off(self) -> None:
        program = self.start({"RINGLOG_MONITOR": "off"})
        self.assertNotIn("gpu-pcie", self.threads())
        self.stop(program)
        self.assertIsNone(self.sandbox.json("show", RUN)["system"])

    def threads(self) -> list[str]:
        """Names of the service's threads."""
        folder = f"/proc/{self.sandbox.service()}/task"
        names = []
        for task in os.listdir(folder):
            try:
                with open(f"{folder}/{task}/comm", encoding="utf-8") as file:
                    names.append(file.read().strip())
            except OSError:
                pass
        return names

    def test_the_thread_goes_with_the_last_run(self) -> None:
        program = self.start()
        self.assertEqual(self.threads().count("monitor"), 1)
        self.stop(program)
        until(lambda: "monitor" not in self.threads(), "the monitor's thread ends")
        again = self.start()
        until(lambda: "monitor" in self.threads(), "and begins again")
        self.stop(again)

    def test_gpus_of_a_library_in_the_path(self) -> None:
        library = BUILD / "tests" / "fake_nvml"
        program = self.start({"LD_LIBRARY_PATH": str(library), "FAKE_NVML_COUNT": "8",
                              "LOCAL_RANK": "3"})
        until(lambda: "gpu.7.pcieTxBytes" in self.values(), "eight GPUs, PCIe included")
        system = self.sandbox.json("show", RUN)["system"]
        self.assertEqual(system["values"]["gpu.7.gpu"], 97)
        self.assertEqual([gpu["ranks"] for gpu in system["gpus"]], 3 * [[]] + [[0]] + 4 * [[]])
        self.assertEqual(system["gpus"][3]["uuid"], "GPU-fake-0003")
        text = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertRegex(text, r"(?m)^ +3 +0 +93 % +16\.0 GiB +350 W +55 °C +1001 MHz +heat")
        self.stop(program)

    def test_a_service_that_was_killed_goes_on_sampling(self) -> None:
        program = self.start()
        until(lambda: self.values().get("cpu"), "there are samples")
        before = self.sandbox.json("show", RUN)["system"]["time"]
        kill_and_wait(self.sandbox.service(), signal.SIGKILL)
        until(lambda: self.sandbox.json("show", RUN)["system"]["time"] > before,
              "the next service samples")
        self.stop(program)
        self.sandbox.verify()


if __name__ == "__main__":
    unittest.main()
