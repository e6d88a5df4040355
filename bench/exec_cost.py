"""What `ringlog exec` costs a program that prints a million lines.

The same program runs alone and under exec, in turn, its output read through a pipe each time:
under exec a program writes into a pipe, and into a file it would write at another pace.  The figure
is how much longer it takes, start and end of exec and its service's start in the first round
included.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

LINES = 1_000_000
# Each line is a write of its own, as a program's log is; or the language gathers them.
PROGRAMS = {"exec.overhead_percent": ["-u"], "exec.buffered_overhead_percent": []}


def run_once(words: list[str], environment: dict[str, str]) -> float:
    """Seconds that a program takes whose output somebody reads."""
    size = 0
    begin = time.monotonic()
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as program:
        while part := os.read(program.stdout.fileno(), 1 << 16):
            size += len(part)
    seconds = time.monotonic() - begin
    if program.returncode != 0 or size != sum(len(str(i)) + 1 for i in range(LINES)):
        raise ValueError(f"{words[0]} did not pass all output on")
    return seconds


def measure(ringlog: Path, disk: str, memory: str, rounds: int) -> dict[str, float]:
    """The figures; empty when the command is not there."""
    if not ringlog.exists():
        return {}
    runtime = Path(memory) / "exec"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environment = os.environ | {"RINGLOG_RUNTIME_DIR": str(runtime), "RINGLOG_CONSOLE": "off",
                                "RINGLOG_DIR": f"{disk}/exec-runs"}
    figures = {}
    for name, options in PROGRAMS.items():
        program = [sys.executable, *options, "-c", f"for i in range({LINES}): print(i)"]
        ratios = []
        for _ in range(rounds):
            alone = run_once(program, environment)
            under = run_once([str(ringlog), "exec", "--", *program], environment)
            ratios.append(under / alone)
        figures[name] = float(f"{(statistics.median(ratios) - 1) * 100:.4g}")
    subprocess.run([str(ringlog), "service", "stop"], env=environment, capture_output=True,
                   check=False)
    return figures
