"""Runs the benchmark programs in interleaved rounds, merges what they found, prints one table.

scripts/bench calls this.  Every program prints one flat JSON object of figures; their names end
with the unit.  Of several rounds the median counts, the lowest and the highest are the spread; of a
maximum the highest counts.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import exec_cost
import sinks
import table


class Plan:
    """How long everything takes."""

    def __init__(self, rounds: int, transport_s: float, log_s: float, service_s: float,
                 rows: int, ranks: int, piece_s: float, read_rows: int, read_s: float,
                 train_steps: int, sink_rows: int) -> None:
        self.rounds = rounds
        self.transport_s = transport_s  # per peer and size
        self.log_s = log_s  # per kind of call
        self.service_s = service_s  # of idling; a quarter per round trip
        self.rows = rows  # per producer of store_8x4; an eighth of it in rings at `recovery`
        self.ranks = ranks
        self.piece_s = piece_s  # per case of ring_bench
        self.read_rows = read_rows  # of the run of a hundred metrics
        self.read_s = read_s  # per range
        self.train_steps = train_steps
        self.sink_rows = sink_rows  # of the run that is sent whole; a backlog has ten times as many


PLANS = {
    "full": Plan(7, 0.3, 2.0, 4.0, 1_000_000, 64, 0.1, 10_000_000, 0.3, 12_000, 1_000_000),
    "quick": Plan(2, 0.06, 0.5, 2.0, 250_000, 64, 0.03, 1_000_000, 0.05, 12_000, 100_000),
    # Shows that everything still works.
    "smoke": Plan(1, 0.002, 0.02, 0.02, 2_000, 4, 0.0001, 5_000, 0.01, 60, 2_000),
}


def progress(text: str) -> None:
    """Says what is being done."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run_program(argv: list[str]) -> dict:
    """The JSON that a program prints; what goes wrong is said, and costs its figures only."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        progress(f"{Path(argv[0]).name} {' '.join(argv[1:])} failed ({done.returncode})")
        return {}
    return json.loads(done.stdout)


def run_pieces(program: Path, seconds: float) -> dict:
    """CPU time per item of each case of a Google Benchmark program."""
    if not program.exists():
        return {"piece.missing": "Google Benchmark was not there at build time"}
    found = run_program([str(program), f"--benchmark_min_time={seconds}",
                         "--benchmark_format=json"])
    figures = {}
    for case in found.get("benchmarks", []):
        name = case["name"].replace("/", "_")
        if case.get("items_per_second"):
            figures[f"piece.{name}.ns"] = float(f"{1e9 / case['items_per_second']:.4g}")
    return figures


def make_runs(folder: Path, plan: Plan, disk: str, failed: set[str]) -> dict:
    """Writes what read_bench reads: a run of a hundred metrics, and one of four with fewer rows."""
    needed = plan.read_rows * 800  # twice what a hundred metrics take, and room to compact
    if shutil.disk_usage(disk).free < needed:
        failed.add(f"make_run: {disk} has less than {needed / 1e9:.1f} GB")
        return {}
    figures = run_program([str(folder / "make_run"), "--rows", str(plan.read_rows), "--metrics",
                           "100", "--run", f"{disk}/wide"])
    few = min(plan.read_rows, 1_000_000)
    if not figures or not run_program([str(folder / "make_run"), "--rows", str(few), "--metrics",
                                       "4", "--run", f"{disk}/narrow"]):
        failed.add("make_run")
    return figures


def reading(disk: str, plan: Plan) -> list:
    """What reads the runs of make_runs(), as programs with arguments."""
    parts = [("points", "wide"), ("scan", "wide"), ("open", "narrow")]
    return [("read_bench", ["--part", part, "--run", f"{disk}/{run}", "--seconds", plan.read_s])
            for part, run in parts if os.path.isdir(f"{disk}/{run}")]


def one_round(folder: Path, plan: Plan, scratch: list[str], failed: set[str],
              is_first: bool) -> dict:
    """Every program once; what takes long and does not vary only in the first round."""
    common = ["--folder", scratch[0], "--shm", scratch[1]]
    runs = [
        ("transport_bench", ["--seconds", plan.transport_s]),
        ("log_bench", ["--part", "calls", "--seconds", plan.log_s]),
        ("service_bench", ["--part", "cold"]),
        ("service_bench", ["--part", "attach", "--seconds", plan.service_s,
                           "--ranks", plan.ranks]),
        ("service_bench", ["--part", "monitor", "--seconds", plan.service_s]),
        ("service_bench", ["--part", "children", "--children", 20 * plan.ranks]),
        ("log_bench", ["--part", "words", "--seconds", plan.log_s]),
        ("log_bench", ["--part", "threads", "--seconds", plan.log_s]),
        ("service_bench", ["--part", "rtt", "--seconds", plan.service_s]),
        ("log_bench", ["--part", "full", "--seconds", plan.log_s]),
        ("store_bench", ["--part", "rates", "--rows", plan.rows, "--closes", int(is_first)]),
        ("log_bench", ["--part", "syscalls", "--seconds", plan.log_s]),
        ("store_bench", ["--part", "recovery", "--rows", min(4 * plan.rows, 1_000_000)]),
    ]
    if is_first:
        runs.append(("size_bench", ["--steps", plan.train_steps]))
    readers = reading(scratch[0], plan)
    figures = run_pieces(folder / "ring_bench", plan.piece_s)
    for name, arguments in [(name, [*arguments, *common]) for name, arguments in runs] + readers:
        found = run_program([str(folder / name), *map(str, arguments)])
        if not found:
            failed.add(f"{name} {' '.join(map(str, arguments[:2]))}")
        figures |= found
    if is_first:
        try:
            ringlog = folder.parent / "bin" / "ringlog"
            figures |= exec_cost.measure(ringlog, *scratch, rounds=plan.rounds)
        except (subprocess.CalledProcessError, ValueError) as error:
            failed.add(f"exec: {error}")
        try:
            figures |= sinks.measure(folder.parent, plan.sink_rows, 10 * plan.sink_rows,
                                     plan.service_s)
        except (subprocess.CalledProcessError, ValueError) as error:
            failed.add(f"sinks: {error}")
    return figures


def merge(rounds: list[dict]) -> dict:
    """One flat object: each figure's median, and its spread when there was more than one round."""
    merged = {}
    for name in sorted({name for figures in rounds for name in figures}):
        values = [figures[name] for figures in rounds if name in figures]
        if isinstance(values[0], str):
            merged[name] = values[-1]
            continue
        is_maximum = ".max_" in name
        merged[name] = max(values) if is_maximum else float(f"{statistics.median(values):.6g}")
        if len(values) > 1 and not is_maximum:
            merged[f"{name}.lowest"] = min(values)
            merged[f"{name}.highest"] = max(values)
    return merged


def describe(plan_name: str, rounds: int, load: float, source: Path) -> dict:
    """What is needed to make sense of the figures later."""
    commit = subprocess.run(
        ["git", "-c", f"safe.directory={source}", "-C", str(source), "describe", "--always",
         "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "bench.commit": commit or "unknown",
        "bench.plan": plan_name,
        "bench.rounds": rounds,
        "bench.date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        "machine.arch": platform.machine(),
        "machine.load": load,
    }


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Runs ringlog's benchmarks.")
    parser.add_argument("--programs", type=Path, required=True, help="folder of the programs")
    parser.add_argument("--plan", choices=PLANS, default="full")
    parser.add_argument("--rounds", type=int, help="instead of the plan's")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    plan = PLANS[options.plan]
    count = options.rounds or plan.rounds
    load = os.getloadavg()[0]
    failed: set[str] = set()
    rounds = []
    # Programs clean up behind themselves; these folders also go when one of them is killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with (tempfile.TemporaryDirectory(prefix="ringlog-bench-") as disk,
          tempfile.TemporaryDirectory(prefix="ringlog-bench-", dir=shared) as memory):
        programs = options.programs.absolute()
        progress(f"writing a run of {plan.read_rows:,} rows of 100 metrics")
        made = make_runs(programs, plan, disk, failed)
        for number in range(count):
            progress(f"round {number + 1} of {count}")
            rounds.append(one_round(programs, plan, [disk, memory], failed, number == 0))
    figures = merge(rounds) | made | describe(
        options.plan, count, load, Path(__file__).resolve().parent.parent)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n",
                                encoding="utf-8")
    print(table.render(figures))
    if failed:
        progress(f"without figures: {', '.join(sorted(failed))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
