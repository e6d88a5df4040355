"""What surrounds a run: command, program, git, settings, environment."""

import os
import shutil
import subprocess
import unittest
from pathlib import Path

import wandb_file
from sandbox import RINGLOG, RUN, SandboxTest, helper, until


class SurroundingsTest(SandboxTest):
    """show and the export to W&B tell what a run was."""

    def setUp(self) -> None:
        super().setUp()
        self.work = self.sandbox.scratch / "work"
        self.work.mkdir()

    def git(self, *words: str) -> str:
        """Runs git in the work tree."""
        identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
                    "GIT_COMMITTER_EMAIL": "a@b"}
        return subprocess.run(["git", *words], cwd=self.work, check=True, capture_output=True,
                              env=self.sandbox.environment | identity).stdout.decode().strip()

    def make_repository(self) -> str:
        """A commit, a remote, and something that was changed since."""
        self.git("init", "-q", "-b", "main")
        (self.work / "train.py").write_text("lr = 1\n")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "first")
        self.git("remote", "add", "origin", "https://me:secret@host/train.git")
        (self.work / "train.py").write_text("lr = 2\n")
        return self.git("rev-parse", "HEAD")

    def train(self, *words: str, env: dict[str, str] | None = None) -> None:
        """A rank in the work tree."""
        self.sandbox.run(helper("rank"), "--ledger", self.sandbox.ledger.path, "--rows", "10",
                         *words, env={"RINGLOG_RUN_ID": RUN, "RANK": "0"} | (env or {}),
                         cwd=self.work)

    def process(self) -> dict:
        """What show says about the only process."""
        process, = self.sandbox.json("show", RUN)["processes"]
        return process

    def test_the_program_and_its_command(self) -> None:
        """Also its build id, as the linker's tools show it, and no secret of its arguments."""
        self.train("--api-key", "hunter2")
        process = self.process()
        self.assertEqual(process["executable"], str(helper("rank").resolve()))
        self.assertEqual(process["directory"], str(self.work.resolve()))
        self.assertEqual(process["command"][-2:], ["--api-key", "(hidden)"])
        self.assertEqual(self.sandbox.json("show", RUN)["command"], process["command"])
        self.assertEqual(process["cpus"], len(os.sched_getaffinity(0)))
        if shutil.which("readelf"):
            notes = subprocess.run(["readelf", "-n", helper("rank")], check=True,
                                   capture_output=True).stdout.decode()
            self.assertIn(process["build_id"], notes)
        self.assert_says(self.sandbox.ringlog("show", RUN).stdout.decode(), process["executable"],
                         process["build_id"][:12], self.work)

    @unittest.skipUnless(shutil.which("git"), "needs git")
    def test_git_and_its_diff(self) -> None:
        """Commit, branch, remote without its password, and what had been changed."""
        commit = self.make_repository()
        (self.work / "src").mkdir()
        self.work = self.work / "src"
        self.train()
        diff = self.sandbox.root / "uncategorized" / RUN / "files" / "diff.patch"
        until(diff.exists, "the diff")
        git = self.sandbox.json("show", RUN)["git"]
        self.assertEqual(git, {"root": str(self.work.parent.resolve()), "commit": commit,
                               "branch": "main", "remote": "https://host/train.git",
                               "diff": str(diff)})
        self.assertIn("-lr = 1\n+lr = 2\n", diff.read_text())
        shown = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assert_says(shown, commit[:12] + " on main, https://host/train.git", diff)
        self.assertNotIn("secret", shown)
        self.work = self.work.parent
        self.git("checkout", "-q", "train.py")
        self.git("apply", str(diff))
        self.assertEqual((self.work / "train.py").read_text(), "lr = 2\n")

    @unittest.skipUnless(shutil.which("git"), "needs git")
    def test_less_on_request(self) -> None:
        """Without the diff, or nothing but the settings."""
        self.make_repository()
        self.train(env={"RINGLOG_SURROUNDINGS": "no-diff"})
        self.assertEqual(len(self.process()["git"]["commit"]), 40)
        self.train(env={"RINGLOG_SURROUNDINGS": "off", "RINGLOG_RUN_ID": "off", "NCCL_DEBUG": "x"})
        self.sandbox.ringlog("service", "stop")
        shown = self.sandbox.json("show", "off")
        process, = shown["processes"]
        self.assertEqual((process["executable"], process["environment"], process["git"]["root"],
                          process["command"], shown["command"], shown["git"]),
                         ("", {}, "", [], [], None))
        self.assertEqual(process["settings"]["surroundings"],
                         {"value": "off", "origin": "RINGLOG_SURROUNDINGS"})
        self.assertEqual(list(self.sandbox.root.glob("*/*/files/diff.patch")), [])

    def test_where_each_setting_came_from(self) -> None:
        """The file, a launcher, a variable, the default."""
        config = self.sandbox.scratch / ".config" / "ringlog" / "settings.toml"
        config.parent.mkdir(parents=True)
        config.write_text('group = "night"\n')
        sink = "influx+http://me@127.0.0.1:1/d"
        self.train(env={"RINGLOG_TAGS": "a,b", "RINGLOG_SINKS": sink})
        settings = self.process()["settings"]
        self.assertEqual(settings["group"], {"value": "night", "origin": str(config)})
        self.assertEqual(settings["tags"], {"value": "a,b", "origin": "RINGLOG_TAGS"})
        self.assertEqual(settings["rank"]["value"], "0")
        self.assertNotIn("RINGLOG", settings["rank"]["origin"])
        self.assertEqual(settings["sinks"]["value"], "influx+http://127.0.0.1:1/d")
        self.assertEqual(settings["strict"], {"value": "false", "origin": "default"})
        text = self.sandbox.ringlog("show", RUN).stdout.decode()
        self.assertRegex(text, r"(?m)^ +group +night +/")
        self.assertNotIn("strict", text)
        self.assertIn("strict", self.sandbox.ringlog("show", RUN, "--all").stdout.decode())

    def test_scheduler_and_container(self) -> None:
        """As people know them, and every variable in the JSON."""
        self.train(env={"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "night", "SLURM_PROCID": "0",
                        "APPTAINER_CONTAINER": "/images/train.sif", "NCCL_TOKEN": "secret"})
        shown = self.sandbox.json("show", RUN)
        process = shown["processes"][0]
        self.assertEqual(process["environment"]["SLURM_JOB_ID"], "77")
        self.assertNotIn("NCCL_TOKEN", process["environment"])
        self.assertEqual(process["container"]["image"], "/images/train.sif")
        self.assert_says(self.sandbox.ringlog("show", RUN).stdout.decode(),
                         "job 77 (night), task 0", "apptainer, image /images/train.sif")

    @unittest.skipUnless(shutil.which("git"), "needs git")
    def test_wandb_has_them_where_it_has_a_place(self) -> None:
        """Its environment record: git, program, user, container, Slurm."""
        commit = self.make_repository()
        self.train(env={"SLURM_JOB_ID": "77", "APPTAINER_CONTAINER": "/images/train.sif",
                        "USER": "somebody"})
        folder = self.sandbox.scratch / "wandb"
        self.sandbox.ringlog("export", RUN, "--format", "wandb", "-o", folder)
        environment = wandb_file.read_run(next(folder.iterdir())).environment
        self.assertEqual(environment["git"], {"remote": "https://host/train.git", "commit": commit})
        self.assertEqual(environment["executable"], str(helper("rank").resolve()))
        self.assertEqual((environment["root"], environment["username"], environment["docker"]),
                         (str(self.work.resolve()), "somebody", "/images/train.sif"))
        self.assertEqual(environment["slurm"], {"job_id": "77"})

    def test_ranks_behind_scripts_of_their_own_are_one_run(self) -> None:
        """As `torchrun --no-python wrapper.sh` starts them: the launcher is above the scripts."""
        script = ('for r in 0 1; do RANK=$r sh -c \'"$@" > /dev/null; true\' sh "$@" & done; wait')
        self.sandbox.run("sh", "-c", script, "sh", helper("rank"), "--ledger",
                         self.sandbox.ledger.path, "--rows", "1",
                         env={"WORLD_SIZE": "2", "MASTER_PORT": "29500",
                              "TORCHELASTIC_RUN_ID": "none"})
        run, = self.sandbox.json("ls")
        self.assertEqual([p["rank"] for p in self.sandbox.producers(run["id"])], [0, 1])

    def test_every_process_says_its_own(self) -> None:
        """Ranks and exec, not the children that a rank forks."""
        rank = [helper("rank"), "--ledger", self.sandbox.ledger.path, "--rows", "1000", "--forks",
                "1", "--child-rows", "1"]
        self.sandbox.run(RINGLOG, "exec", "--", *rank, env={"RINGLOG_RUN_ID": RUN, "RANK": "3"})
        processes = self.sandbox.json("show", RUN)["processes"]
        self.assertEqual([(p["rank"], p["worker"], Path(p["executable"]).name) for p in processes],
                         [(3, 0, "e2e_rank"), (3, 65535, "ringlog")])


if __name__ == "__main__":
    unittest.main()
