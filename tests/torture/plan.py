"""What a round of torture does, drawn whole before it begins.

Everything that chance decides is here and depends on the seed alone, so that the same seed makes
the same plan whatever the machine does.  Who of those that are alive is meant is a fraction of
their list, because who is alive depends on the instant.
"""

import dataclasses
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

# The smallest ring there may be: it is full at every pause of the service.
SMALL_RING_BYTES = 131_072
ACTIONS = ("kill_service", "kill_service", "kill_rank", "kill_rank", "start_rank", "start_rank",
           "pause_somebody", "kill_child", "terminate_service", "kill_all")
# The first time that a place is reached, mostly.
FAILPOINT_COUNTS = (1, 1, 2, 5, 20)

Thing = TypeVar("Thing")


def failpoints(source: Path, *folders: str) -> list[str]:
    """The places in the code of these folders where a process can be made to die."""
    found = set()
    for folder in folders:
        for path in (source / folder).rglob("*.cc"):
            found |= set(re.findall(r'RINGLOG_FAILPOINT\("([^"]+)"\)', path.read_text()))
    return sorted(found)


def service_failpoints(source: Path) -> list[str]:
    """Where the service dies."""
    return failpoints(source, "daemon", "lib/store")


def rank_failpoints(source: Path) -> list[str]:
    """Where a process that logs dies."""
    return failpoints(source, "lib/client", "lib/shm")


def pick(things: Sequence[Thing], fraction: float) -> Thing:
    """The one at this fraction of a list."""
    return things[int(fraction * len(things))]


@dataclasses.dataclass(frozen=True)
class RankPlan:
    """A rank, or the next attempt of one."""

    options: dict[str, object]  # of e2e_rank
    failpoint: str  # as in RINGLOG_FAILPOINT; empty: none
    again: float | None  # which of the ranks before it is started again; None: a new one


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that happens after a while."""

    delay_s: float
    action: str  # one of ACTIONS
    whom: tuple[float, ...]  # fractions, as many as are needed
    pause_s: float  # how long a pause of somebody lasts
    rank: RankPlan  # whom an action that starts somebody starts


@dataclasses.dataclass(frozen=True)
class Plan:
    """One round."""

    policy: str  # what becomes of a row that finds its ring full
    ring_bytes: int  # 0: as it comes
    service_failpoint: str  # empty: none
    ranks: tuple[RankPlan, ...]  # at the begin
    steps: tuple[Step, ...]
    last_delay_s: float


def draw_failpoint(chance: random.Random, points: list[str], likely: float) -> str:
    """A place and how often it must be reached; empty: none."""
    if not points or chance.random() >= likely:
        return ""
    return f"{chance.choice(points)}:{chance.choice(FAILPOINT_COUNTS)}"


def draw_rank(chance: random.Random, points: list[str]) -> RankPlan:
    """Threads, children, an end, and perhaps a place to die at."""
    options: dict[str, object] = {
        "kinds": "mixed",
        "threads": chance.choice((1, 1, 2, 3, 12)),
        "burst": chance.choice((1, 50, 500, 2000)),
        "pause_ms": chance.choice((1, 2, 5)),
        "end": chance.choice(("finish:0", "main", "exit:3", "_exit:0", "abort")),
    }
    if chance.random() < 0.4:
        options["rows"] = chance.choice((0, 1, 10, 1000, 20_000))
    if chance.random() < 0.4:
        options |= {"forks": chance.choice((1, 2)), "child_rows": chance.choice((1, 300))}
    if chance.random() < 0.2:
        options |= {"loops": chance.choice((2, 10)), "loop_rows": chance.choice((0, 1, 200))}
    again = chance.random() if chance.random() < 0.3 else None
    return RankPlan(options, draw_failpoint(chance, points, 0.25), again)


def draw_step(chance: random.Random, points: list[str]) -> Step:
    """One of the actions, with all that it might need."""
    return Step(delay_s=chance.uniform(0, 0.3), action=chance.choice(ACTIONS),
                whom=tuple(chance.random() for _ in range(8)), pause_s=chance.uniform(0, 0.8),
                rank=draw_rank(chance, points))


def draw_plan(seed: object, source: Path) -> Plan:
    """The plan of this seed, for the code in `source`."""
    chance = random.Random(str(seed))
    points = rank_failpoints(source)
    return Plan(
        policy=chance.choice(("wait", "wait", "wait", "drop", "coalesce")),
        ring_bytes=chance.choice((0, SMALL_RING_BYTES)),
        service_failpoint=draw_failpoint(chance, service_failpoints(source), 0.5),
        ranks=tuple(draw_rank(chance, points) for _ in range(chance.randint(1, 3))),
        steps=tuple(draw_step(chance, points) for _ in range(chance.randint(1, 6))),
        last_delay_s=chance.uniform(0, 0.3))
