"""What `ringlog exec` costs a program that prints a million lines.

The same program runs alone and under exec, in turn, with its output in a file; the figure is how
much longer it takes, start and end of exec and its service's start in the first round included.
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


def run_once(words: list[str], environment: dict[str, str], output: Path) -> float:
    """Seconds that a program takes."""
    with open(output, "wb") as file:
        begin = time.monotonic()
        subprocess.run(words, env=environment, stdout=file, stderr=subprocess.DEVNULL, check=True)
        seconds = time.monotonic() - begin
    if output.stat().st_size != sum(len(str(i)) + 1 for i in range(LINES)):
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
    output = Path(disk) / "exec-output"
    figures = {}
    for name, options in PROGRAMS.items():
        program = [sys.executable, *options, "-c", f"for i in range({LINES}): print(i)"]
        ratios = []
        for _ in range(rounds):
            alone = run_once(program, environment, output)
            under = run_once([str(ringlog), "exec", "--", *program], environment, output)
            ratios.append(under / alone)
        figures[name] = float(f"{(statistics.median(ratios) - 1) * 100:.4g}")
    subprocess.run([str(ringlog), "service", "stop"], env=environment, capture_output=True,
                   check=False)
    return figures
