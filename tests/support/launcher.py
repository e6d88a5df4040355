"""A launcher as torchrun is one, for tests/e2e/story_test.py: `launcher.py RANK_PROGRAM LEDGER`.

Eight ranks with four forked workers each.  Rank 3 is killed while it logs and started again, rank 7
comes when the others are at work.  Prints what happens, and a progress bar on standard error.
"""

import os
import select
import signal
import subprocess
import sys

from ledger import Ledger

WORLD = 8
KILLED = 3
LATE = 7
ROWS = 2000
CHILD_ROWS = 50


class Job:
    """The ranks of one job."""

    def __init__(self, program: str, path: str) -> None:
        self.program = program
        self.path = path
        self.ledger = Ledger(path)  # made anew, where whoever waits for us has it mapped
        self.ledger.reserve(256)

    def start(self, rank: int, process: int, attempt: int = 0) -> subprocess.Popen:
        """A rank with torchrun's variables; `process` is its entry in the ledger."""
        endless = rank == KILLED and attempt == 0
        words = ["--ledger", self.path, "--process", str(process), "--forks", "4", "--child-rows",
                 str(CHILD_ROWS), *([] if endless else ["--rows", str(ROWS)])]
        variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD),
                     "LOCAL_WORLD_SIZE": str(WORLD), "TORCHELASTIC_RUN_ID": "none",
                     "TORCHELASTIC_RESTART_COUNT": str(attempt), "MASTER_ADDR": "127.0.0.1",
                     "MASTER_PORT": "29500"}
        return subprocess.Popen([self.program, *words], env=os.environ | variables,
                                stdout=subprocess.DEVNULL)

    def run(self) -> int:
        """All of it; the number of ranks that did not end well."""
        ranks = {rank: self.start(rank, rank) for rank in range(WORLD) if rank != LATE}
        print(f"{len(ranks)} ranks started", flush=True)
        while self.ledger.committed(KILLED) < ROWS:
            select.select([], [], [], 0.005)
        ranks[KILLED].send_signal(signal.SIGKILL)
        ranks[KILLED].wait()
        print(f"rank {KILLED} was killed", flush=True)
        ranks[LATE] = self.start(LATE, LATE)
        ranks[KILLED] = self.start(KILLED, WORLD, attempt=1)
        failed = 0
        for done, process in enumerate(ranks.values()):
            failed += process.wait() != 0
            print(f"\rranks done: {done + 1}/{WORLD}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        print("the job has ended", flush=True)
        return failed


if __name__ == "__main__":
    sys.exit(Job(*sys.argv[1:]).run())
