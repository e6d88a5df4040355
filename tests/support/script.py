"""Script: a program that logs what a test tells it, line by line (tests/e2e/script.cc)."""

import json
from collections.abc import Sequence
from pathlib import Path

from sandbox import RUN, Program, Sandbox, helper


class Script:
    """One process of a run, under the hands of the test."""

    def __init__(self, sandbox: Sandbox, run: str | None = RUN, init: bool = True,
                 around: Sequence[str | Path] = (), **env: str) -> None:
        names = {} if run is None else {"RINGLOG_RUN_ID": run}
        self.program: Program = sandbox.start(*around, helper("script"), env=names | env)
        if init:
            self.do("init", run or None)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.program.pid

    def tell(self, line: str) -> None:
        """A line whose answer is read later, or never."""
        self.program.process.stdin.write(f"{line}\n".encode())
        self.program.process.stdin.flush()

    def answer(self) -> str:
        """The answer to the next line; empty when the program has ended."""
        return self.program.process.stdout.readline().decode().rstrip("\n")

    def ask(self, line: str) -> str:
        """What the program answers to a line."""
        self.tell(line)
        return self.answer()

    def do(self, line: str, expected: str | None = "ok") -> str:
        """A line whose answer must be this one; None: any."""
        found = self.ask(line)
        if expected is not None and found != expected:
            raise AssertionError(f"{line!r}: {found!r}, not {expected!r}; {self.program.stderr}")
        return found

    def json(self, line: str) -> object:
        """An answer that is JSON."""
        return json.loads(self.ask(line))

    def finish(self, code: int = 0) -> None:
        """Ends run and process."""
        self.do(f"finish {code}", None)
        self.program.finish()
