#!/usr/bin/env python3
"""Torture: ranks and service die, pause, come back at random; no row may be lost, double or torn.

    tests/torture/torture.py [--seed N] [--seconds S] [--build-dir DIR] [--verbose]

Each round starts ranks that log rows of every kind from several threads and forked children, some
of which attach and finish in loops, and does random things to them and to the service: SIGKILL at
random instants and at the named failpoints of both, SIGSTOP, new attempts.  Then every process is
gone, a service has settled the run, and every row is compared with what the processes had committed
(tests/e2e/ledger.h).  Where the policy is to drop what finds the ring full, the rows that are there
and those counted as dropped must add up, process by process.  The same seed makes the same plans
(plan.py); the instants differ from run to run, as they should.
"""

import argparse
import contextlib
import dataclasses
import os
import select
import signal
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
if "--build-dir" in sys.argv:
    os.environ["RINGLOG_BUILD_DIR"] = str(
        Path(sys.argv[sys.argv.index("--build-dir") + 1]).resolve())
os.environ.setdefault("RINGLOG_BUILD_DIR", str(REPOSITORY / "build" / "release"))
os.environ.setdefault("RINGLOG_SOURCE_DIR", str(REPOSITORY))

from ledger import HAS_RUN, Ledger  # noqa: E402
from plan import Plan, RankPlan, draw_plan, pick  # noqa: E402
from sandbox import SLOWDOWN, SOURCE, Program, Sandbox, kill_and_wait, until  # noqa: E402

ROUNDS_PER_SANDBOX = 5
PROCESSES_PER_ROUND = 64  # told their number; forked children take theirs after these
# A ring that is full waits longer than any service is away, so that nothing may be dropped.
WAIT_MS = 120_000
SEED = 20260823


def pause(seconds: float) -> None:
    """Lets a random moment pass: here chance is what is wanted."""
    select.select([], [], [], seconds)


@dataclasses.dataclass
class Counts:
    """What a torture has done so far."""

    rounds: int = 0
    rows: int = 0
    processes: int = 0
    producer_kills: int = 0
    service_kills: int = 0
    failpoint_kills: int = 0
    pauses: int = 0
    dropped_rows: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{value:,} {name.replace('_', ' ')}"
                         for name, value in dataclasses.asdict(self).items())


class Round:
    """One run: ranks, what is done to them, and the proof."""

    def __init__(self, sandbox: Sandbox, counts: Counts, name: str, *, policy: str = "wait",
                 ring_bytes: int = 0) -> None:
        self.sandbox = sandbox
        self.counts = counts
        self.name = name
        self.ranks: list[Program] = []
        self.killed: set[Program] = set()
        self.policy = policy
        self.ring_bytes = ring_bytes
        self.steps: list[str] = []
        sandbox.ledger.close()
        sandbox.ledger = Ledger(sandbox.scratch / f"ledger-{name}")
        sandbox.ledger.reserve(PROCESSES_PER_ROUND)

    def note(self, step: str) -> None:
        """Keeps what was done, for the report of a failure."""
        self.steps.append(step)

    # What may happen.

    def start_service_with(self, failpoint: str) -> None:
        """A service that will kill itself at this place."""
        for pid in self.sandbox.services():
            kill_and_wait(pid)
        self.note(f"service with {failpoint}")
        # It may die before it is ready; the first rank then starts another one.
        self.sandbox.ringlog("service", "start", env={"RINGLOG_FAILPOINT": failpoint}, code=None)

    def start_rank(self, plan: RankPlan) -> None:
        """A rank, or the next attempt of one."""
        process = len(self.ranks)
        if process == PROCESSES_PER_ROUND:
            return
        options = dict(plan.options)
        # The sanitizers' allocator, unlike the C library's, stays locked in a child that was forked
        # while another thread allocated.
        if SLOWDOWN > 1 and "forks" in options:
            options["threads"] = 1
        environment = self.rank_environment()
        if plan.failpoint:
            environment["RINGLOG_FAILPOINT"] = plan.failpoint
        rank = process if plan.again is None or process == 0 else pick(range(process), plan.again)
        self.note(f"start process {process}, rank {rank}: {options} {environment}")
        self.counts.processes += 1
        self.ranks.append(self.sandbox.rank(process, rank=rank, run=self.name, env=environment,
                                            **options))

    def rank_environment(self) -> dict[str, str]:
        """What every rank of the round is told."""
        environment = {"RINGLOG_FULL_RING": self.policy, "RINGLOG_FULL_RING_WAIT_MS": str(WAIT_MS)}
        if self.ring_bytes:
            environment["RINGLOG_RING_BYTES"] = str(self.ring_bytes)
        return environment

    def kill_service(self) -> None:
        """SIGKILL at a random instant."""
        for pid in self.sandbox.services():
            self.note("kill the service")
            self.counts.service_kills += 1
            kill_and_wait(pid)

    def terminate_service(self) -> None:
        """SIGTERM: it drains and goes while everybody logs."""
        for pid in self.sandbox.services():
            self.note("terminate the service")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill_rank(self, whom: float) -> None:
        """SIGKILL of a rank; its forked children live on."""
        if alive := [rank for rank in self.ranks if rank.process.poll() is None]:
            victim = pick(alive, whom)
            self.note(f"kill process {self.ranks.index(victim)}")
            self.counts.producer_kills += 1
            self.killed.add(victim)
            victim.kill()

    def kill_child(self, whom: float) -> None:
        """SIGKILL of a forked child."""
        ledger = self.sandbox.ledger
        children = range(PROCESSES_PER_ROUND, ledger.process_count)
        pid = ledger.entry(pick(children, whom)).pid if children else 0
        if pid and Path(f"/proc/{pid}").exists():
            self.note(f"kill child {pid}")
            self.counts.producer_kills += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_all(self, whom: tuple[float, ...]) -> None:
        """Everybody at once."""
        self.kill_service()
        for fraction in whom:
            self.kill_rank(fraction)

    def pause_somebody(self, whom: float, seconds: float) -> None:
        """SIGSTOP and, a moment later, SIGCONT."""
        pids = self.sandbox.services() + [r.pid for r in self.ranks if r.process.poll() is None]
        if not pids:
            return
        pid = pick(pids, whom)
        self.note(f"pause {pid}")
        self.counts.pauses += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            pause(seconds)
            os.kill(pid, signal.SIGCONT)

    # The round.

    def run(self, plan: Plan) -> None:
        """Torments, then proves."""
        if plan.service_failpoint:
            self.start_service_with(plan.service_failpoint)
        before = set(self.sandbox.services())
        for rank in plan.ranks:
            self.start_rank(rank)
        for step in plan.steps:
            pause(step.delay_s)
            {
                "kill_service": self.kill_service,
                "terminate_service": self.terminate_service,
                "start_rank": lambda step=step: self.start_rank(step.rank),
                "kill_rank": lambda step=step: self.kill_rank(step.whom[0]),
                "kill_child": lambda step=step: self.kill_child(step.whom[0]),
                "kill_all": lambda step=step: self.kill_all(step.whom),
                "pause_somebody": lambda step=step: self.pause_somebody(step.whom[0], step.pause_s),
            }[step.action]()
        pause(plan.last_delay_s)
        if plan.service_failpoint and before and before.isdisjoint(self.sandbox.services()):
            self.counts.failpoint_kills += 1
        self.settle()
        self.prove()

    def settle(self) -> None:
        """Ends the ranks and waits until a service has seen the end of everybody."""
        self.sandbox.ledger.stop()
        for rank in self.ranks:
            rank.drain()
            is_own = rank.process.returncode == -signal.SIGKILL and rank not in self.killed
            self.counts.failpoint_kills += is_own
        self.sandbox.ringlog("service", "start")
        if self.has_run():
            until(lambda: all(p["state"] != "running" for p in self.sandbox.producers(self.name)),
                  "every end is known")
        segments = self.sandbox.runtime / "segments"
        until(lambda: not list(segments.iterdir()), "every segment is settled and removed")

    def has_run(self) -> bool:
        """Whether the run came to exist: all ranks may have died before."""
        return self.name in [run["id"] for run in self.sandbox.json("ls")]

    def prove(self) -> None:
        """Everything committed is stored once, in order, bit for bit."""
        self.counts.rounds += 1
        if not self.has_run():
            ledger = self.sandbox.ledger
            if any(ledger.entry(i).flags & HAS_RUN for i in range(ledger.process_count)):
                raise AssertionError("a process had a run, and there is none")
            return
        verified = self.sandbox.verify(self.name)
        lossy = [p for p in verified["producers"] if p["dropped"] or p["missing"]]
        may_drop = self.policy != "wait"
        if not verified["ok"] or (lossy and not may_drop) or verified["damage"]:
            raise AssertionError(f"verify: {verified | {'producers': lossy}}")
        if not may_drop:
            self.counts.rows += self.sandbox.check_ledger(run=self.name, kinds="mixed")
            return
        self.counts.rows += self.sandbox.check_counts(verified, run=self.name, kinds="mixed")
        self.counts.dropped_rows += sum(p["dropped"] for p in lossy)


def torture(seed: int, seconds: float, verbose: bool = False, first_round: int = 0) -> Counts:
    """Rounds for so long.  Raises what went wrong after printing how to repeat it."""
    counts = Counts()
    deadline = time.monotonic() + seconds
    group = first_round
    while time.monotonic() < deadline:
        sandbox = Sandbox()
        failed = True
        number, current = 0, None
        try:
            for number in range(group, group + ROUNDS_PER_SANDBOX):
                plan = draw_plan(f"{seed}/{number}", SOURCE)
                current = Round(sandbox, counts, f"r{number}", policy=plan.policy,
                                ring_bytes=plan.ring_bytes)
                current.run(plan)
                if verbose:
                    print(f"round {number}: {counts}", flush=True)
                if time.monotonic() > deadline:
                    break
            failed = False
        finally:
            if failed:
                steps = "\n  ".join(current.steps) if current else ""
                print(f"torture: --seed {seed} --round {number}:\n  {steps}", file=sys.stderr)
            sandbox.close(failed)
        group += ROUNDS_PER_SANDBOX
    return counts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", SEED)))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--round", type=int, default=0, help="the first round to do")
    parser.add_argument("--build-dir", help="default: build/release")
    parser.add_argument("--verbose", action="store_true", help="a line for each round")
    arguments = parser.parse_args()
    print(f"torture: seed {arguments.seed}, {arguments.seconds:g} s", flush=True)
    counts = torture(arguments.seed, arguments.seconds, arguments.verbose, arguments.round)
    print(f"ok: {counts}")


if __name__ == "__main__":
    main()
