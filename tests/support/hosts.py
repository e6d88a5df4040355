"""Hosts: machines of their own on one network, made of network and UTS namespaces of this kernel.

A host has a name, an address and a cable that can be pulled; what its programs share with the rest
is the file system and the processes.  The test itself stands on the switch, whose address servers
listen on.  Needs root and a kernel that allows it.
"""

import itertools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sandbox import Sandbox


def run_ip(*words: str) -> None:
    """The command `ip`, which must succeed."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Switch:
    """A network 10.99.N.0/24; this process is its first address."""

    numbers = itertools.count()

    def __init__(self, sandbox: Sandbox) -> None:
        number = os.getpid() * 10 + next(self.numbers)
        self.name = f"rl{number % 10_000_000}"  # names of interfaces have fifteen letters
        self.net = f"10.99.{number % 250}"
        self.address = f"{self.net}.1"
        self.count = 0
        run_ip("link", "add", self.name, "type", "bridge")
        sandbox.undo(lambda: run_ip("link", "del", self.name))
        run_ip("addr", "add", f"{self.address}/24", "dev", self.name)
        run_ip("link", "set", self.name, "up")


class Host:
    """A machine on a switch, with a service and runs of its own in `sandbox`."""

    def __init__(self, sandbox: Sandbox, switch: Switch, name: str) -> None:
        switch.count += 1
        self.name = name
        self.sandbox = sandbox
        self.namespace = f"{switch.name}-{switch.count}"
        self.cable = f"{switch.name}p{switch.count}"  # its end at the switch
        run_ip("netns", "add", self.namespace)
        sandbox.undo(lambda: run_ip("netns", "del", self.namespace))
        run_ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns",
               self.namespace)
        sandbox.undo(lambda: run_ip("link", "del", self.cable))
        run_ip("link", "set", self.cable, "master", switch.name, "up")
        for words in (("addr", "add", f"{switch.net}.{switch.count + 1}/24", "dev", "eth0"),
                      ("link", "set", "eth0", "up"), ("link", "set", "lo", "up")):
            run_ip("-n", self.namespace, *words)

    def plug(self, is_in: bool) -> None:
        """Pulls the cable, or puts it back."""
        run_ip("link", "set", self.cable, "up" if is_in else "down")

    def wrapper(self) -> Path:
        """A program that runs its arguments on this host."""
        path = self.sandbox.scratch / f"on-{self.name}"
        path.write_text(f'#!/bin/sh\nexec ip netns exec {self.namespace} unshare --uts sh -c '
                        f'\'hostname {self.name}; exec "$@"\' sh "$@"\n')
        path.chmod(0o755)
        return path

    def start(self, *argv: str | Path, env: dict[str, str] | None = None):
        """Starts a program on this host."""
        return self.sandbox.start(self.wrapper(), *argv, env=env)


def why_not(commands: Sequence[Sequence[str]] = (
        ("ip", "netns", "add", "ringlog-probe"),
        ("ip", "netns", "exec", "ringlog-probe", "unshare", "--uts", "hostname", "probe"),
        ("ip", "link", "add", "ringlog-probe", "type", "bridge"))) -> str:
    """Why hosts cannot be made here; empty: they can."""
    try:
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return f"{' '.join(command)}: {done.stderr.strip()}"
    except OSError as error:
        return str(error)
    finally:
        for command in (("netns", "del"), ("link", "del")):
            subprocess.run(["ip", *command, "ringlog-probe"], capture_output=True, check=False)
    return ""
