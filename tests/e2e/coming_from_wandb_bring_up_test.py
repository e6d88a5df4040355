"""Bringing a run up: a test for each row of the first table of docs/coming-from-wandb.md, in its
order, under the name of the row."""

import os
import signal
import socket
import stat
import struct
import unittest

from sandbox import RUN, SandboxTest, freeze, kill_and_wait, thaw, until
from script import Script


class BringUpTest(SandboxTest):
    """Bringing a run up: the first table of the page."""

    def script(self, **options: str) -> Script:
        """A process of the run."""
        return Script(self.sandbox, **options)

    def test_init(self) -> None:
        """A usable run whatever happens: a folder that cannot be made disables it and is said."""
        script = Script(self.sandbox, init=False, RINGLOG_DIR="/proc/nowhere")
        script.do("init", "disabled")
        script.do("log loss=f:1")
        script.finish()
        self.assert_says(script.program.stderr, "logging is disabled", "/proc/nowhere")
        good = self.script()
        good.do("log loss=f:1")
        good.finish()
        self.assertEqual(self.sandbox.json("show", RUN)["state"], "finished")

    def test_setup_singleton(self) -> None:
        """One service for all processes of a user; none of them has a thread for it."""
        scripts = [self.script(RANK=str(rank)) for rank in range(3)]
        self.assertEqual(len(self.sandbox.services()), 1)
        for script in scripts:
            self.assertEqual(len(os.listdir(f"/proc/{script.pid}/task")), 1)
            script.finish()

    def test_settings(self) -> None:
        """File below variables below arguments; what cannot be used is named with its layer."""
        folder = self.sandbox.scratch / "config" / "ringlog"
        folder.mkdir(parents=True)
        (folder / "settings.toml").write_text('project = "of-the-file"\nnotes = "by file"\n')
        layers = {"XDG_CONFIG_HOME": str(folder.parent)}
        script = Script(self.sandbox, RINGLOG_PROJECT="of-the-variable", **layers)
        script.finish()
        shown = self.sandbox.json("show", RUN)
        self.assertEqual((shown["project"], shown["notes"]), ("of-the-variable", "by file"))
        wrong = Script(self.sandbox, run="wrong", init=False, RINGLOG_MODE="sometimes")
        wrong.do("init", "disabled")
        wrong.finish()
        self.assert_says(wrong.program.stderr, "RINGLOG_MODE", "online", "offline", "disabled")

    def test_service_launch(self) -> None:
        """A session of its own: Ctrl-C at the program does not reach it."""
        script = self.script()
        service = self.sandbox.service()
        self.assertNotEqual(os.getsid(service), os.getsid(script.pid))
        os.kill(service, signal.SIGINT)
        script.do("log loss=f:1")
        script.do("flush", "1 1")
        self.assertEqual(self.sandbox.service(), service)
        script.finish()

    def test_port_file(self) -> None:
        """There is none: no port, no file to poll, only a socket in a folder of the user."""
        self.script().finish()
        names = sorted(path.name for path in self.sandbox.runtime.iterdir())
        self.assertIn("service.sock", names)
        self.assertFalse([name for name in names if "port" in name])

    def test_token(self) -> None:
        """No variable has to be inherited: a process that knows the run's name joins it."""
        first = self.script(RANK="0")
        with open(f"/proc/{first.pid}/environ", "rb") as file:
            self.assertNotIn(b"SERVICE", file.read())
        second = self.script(RANK="1")
        for script in (first, second):
            script.do("log loss=f:1")
            script.finish()
        self.assertEqual({row["_rank"] for row in self.sandbox.rows()}, {0, 1})

    def test_connect(self) -> None:
        """A Unix socket in a folder that only the user can enter."""
        self.script().finish()
        self.assertEqual(stat.S_IMODE(self.sandbox.runtime.stat().st_mode), 0o700)
        self.assertTrue(stat.S_ISSOCK((self.sandbox.runtime / "service.sock").stat().st_mode))

    def test_socket_server(self) -> None:
        """Rows do not go through it: a service that stands still stops nobody."""
        script = self.script()
        service = self.sandbox.service()
        freeze(service)
        for i in range(1000):
            script.do(f"log i=i:{i}")
        thaw(service)
        script.finish()
        self.assertEqual([row["i"] for row in self.sandbox.rows()], list(range(1000)))

    def test_dispatch(self) -> None:
        """A control request that nobody knows is refused, and everybody else goes on."""
        script = self.script()
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(self.sandbox.runtime / "service.sock"))
            stranger.sendall(struct.pack("<II", 0, 1) + b"\xff" * 8)
            stranger.settimeout(10)
            stranger.recv(4096)
        script.do("log loss=f:1")
        script.do("flush", "1 1")
        script.finish()

    def test_stream_mux(self) -> None:
        """Many processes in one run at the same time: `run ID is in use` does not exist."""
        scripts = [self.script(RANK=str(rank)) for rank in range(4)]
        for rank, script in enumerate(scripts):
            script.do(f"log loss=f:{rank}")
            script.finish()
        self.assertEqual(sorted((row["_rank"], row["loss"]) for row in self.sandbox.rows()),
                         [(rank, float(rank)) for rank in range(4)])

    def test_inform_init(self) -> None:
        """init() with an id that exists attaches; without ranks the lowest free one is taken."""
        first, second = self.script(), self.script()
        self.assertEqual([s.ask("rank") for s in (first, second)], ["0.0", "1.0"])
        first.finish()
        second.finish()

    def test_inform_attach(self) -> None:
        """A forked child logs into the same run, as a worker of its rank."""
        script = self.script()
        script.do("log loss=f:1")
        script.do("fork child=f:2", "0")
        script.finish()
        rows = self.sandbox.rows()
        self.assertEqual([(row["_rank"], row.get("_worker", 0)) for row in rows], [(0, 0), (0, 1)])

    def test_inform_detach(self) -> None:
        """A child that leaves ends its own part; the run goes on."""
        script = self.script()
        script.do("fork child=f:2", "0")
        until(lambda: [p["state"] for p in self.sandbox.producers()] == ["running", "finished"],
              "the child has left")
        self.assertEqual(self.sandbox.json("show", RUN)["state"], "running")
        script.finish()

    def test_inform_finish(self) -> None:
        """Answered when all is stored: attempted, stored, dropped."""
        script = self.script()
        for i in range(10):
            script.do(f"log i=i:{i}")
        self.assertEqual(script.ask("finish"), "10 10 0")
        self.assertEqual(script.ask("finish"), "10 10 0", "again: the same report")
        script.program.finish()

    def test_inform_teardown(self) -> None:
        """SIGTERM at the service: all is stored, programs go on with the next one.  `ringlog
        service stop`: all is stored, and the runs that were open have ended as killed, unless
        their programs log on: then they go on with the next one, too."""
        script = self.script()
        script.do("log loss=f:1")
        kill_and_wait(self.sandbox.service(), signal.SIGTERM)
        self.assertEqual(len(self.sandbox.rows()), 1)
        script.do("log loss=f:2")
        self.assertEqual(script.ask("finish"), "2 2 0")
        script.program.finish()
        other = self.script(run="other")
        other.do("log loss=f:1")
        self.sandbox.ringlog("service", "stop")
        self.assertEqual(self.sandbox.services(), [])
        self.assertEqual(self.sandbox.json("show", "other")["state"], "killed")
        self.assertEqual(len(self.sandbox.rows("other")), 1)
        other.do("log loss=f:2")
        self.assertEqual(other.ask("finish"), "2 2 0")
        self.assertEqual(self.sandbox.json("show", "other")["state"], "finished")
        other.program.finish()

    def test_orphan_handling(self) -> None:
        """SIGKILL: every committed row is stored, and how the process died is known."""
        script = self.script()
        for i in range(500):
            script.do(f"log i=i:{i}")
        kill_and_wait(script.pid)
        until(lambda: self.sandbox.json("show", RUN)["state"] == "crashed", "the end is known")
        self.assertEqual(len(self.sandbox.rows()), 500)
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_detached_service(self) -> None:
        """By hand, before any program: `ringlog service start`; programs find it."""
        self.sandbox.ringlog("service", "start")
        service = self.sandbox.service()
        self.script().finish()
        self.assertEqual(self.sandbox.service(), service)

    def test_publish_and_deliver(self) -> None:
        """publish returns at once; deliver is answered after what was logged before it."""
        script = self.script()
        script.do("log loss=f:0.5")
        self.assertEqual(script.json("deliver summary"), {"loss": 0.5})
        script.finish()

if __name__ == "__main__":
    unittest.main()
