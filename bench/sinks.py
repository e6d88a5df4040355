"""What sinks take end to end, beside what each server takes from its own client, and what a sink
that is away costs the service.

A run of four doubles a row is logged through the C interface while its only sink is away, and then
sent: to a ClickHouse that comes up, and by `ringlog sync` to a ClickHouse and an InfluxDB that have
nothing yet, and to a server that records W&B's protocol.  Their own clients then write the same
points from a file.  The servers are those of the tests (tests/support); one that is not there has
no figures.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

METRICS = ("loss", "grad_norm", "lr", "step_ms")
PACE_ROWS_PER_S = 10_000
LINES_PER_REQUEST = 10_000


class Usage:
    """CPU time and memory of a process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_s(self) -> float:
        """Of all its threads, so far."""
        return sum(int(path.read_text().split()[0])
                   for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat")) / 1e9

    def rss_mb(self) -> float:
        """Its own memory: without files and without the rings."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
        return 0

    def watch(self, is_done: Callable[[], bool], pause_s: float) -> tuple[float, float, float]:
        """Seconds until it is done, CPU seconds of that, and the most memory seen."""
        begin, cpu, most = time.monotonic(), self.cpu_s(), 0.0
        while not is_done():
            most = max(most, self.rss_mb())
            time.sleep(pause_s)
        return time.monotonic() - begin, self.cpu_s() - cpu, max(most, self.rss_mb())


class Logger:
    """A run of this process."""

    def __init__(self, calls: ctypes.CDLL, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        self.calls = calls
        self.run = calls.ringlog_init(None)
        keys = (ctypes.c_char_p * len(METRICS))(*(name.encode() for name in METRICS))
        self.row = calls.ringlog_row_new(self.run, keys, len(METRICS))
        self.values = (ctypes.c_double * len(METRICS))()
        self.step = 0

    def log(self, rows: int) -> None:
        """So many rows, as fast as it goes."""
        log, row, values = self.calls.ringlog_row_log, self.row, self.values
        for step in range(self.step, self.step + rows):
            values[0] = 1.0 / (1 + step)
            values[1] = step * 0.125
            log(row, step, values)
        self.step += rows

    def log_for(self, seconds: float) -> None:
        """At a steady pace."""
        begin, first = time.monotonic(), self.step
        while (passed := time.monotonic() - begin) < seconds:
            due = first + int(passed * PACE_ROWS_PER_S)
            self.log(max(0, due - self.step))
            time.sleep(0.01)

    def flush(self) -> None:
        """Until everything is stored."""
        self.calls.ringlog_flush(self.run, 600_000)

    def finish(self) -> None:
        """Ends the run."""
        self.calls.ringlog_row_free(self.row)
        self.calls.ringlog_finish(self.run, 0, None)
        self.calls.ringlog_free(self.run)


def load_library(build: Path) -> ctypes.CDLL:
    """The library as users have it, with its calls described."""
    library = ctypes.CDLL(str(build / "lib" / "libringlog.so"))
    pointer = ctypes.c_void_p
    library.ringlog_init.restype = pointer
    library.ringlog_row_new.restype = pointer
    library.ringlog_row_new.argtypes = [pointer, ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t]
    library.ringlog_row_log.argtypes = [pointer, ctypes.c_uint64, ctypes.POINTER(ctypes.c_double)]
    library.ringlog_row_free.argtypes = [pointer]
    library.ringlog_flush.argtypes = [pointer, ctypes.c_int64]
    library.ringlog_finish.argtypes = [pointer, ctypes.c_int, pointer]
    library.ringlog_free.argtypes = [pointer]
    return library


class Bench:
    """The measurements, in a sandbox of the tests."""

    def __init__(self, build: Path, rows: int, backlog: int, pace_s: float) -> None:
        # Whoever imports these must have said where the programs are.
        import engines  # pylint: disable=import-outside-toplevel
        import sandbox  # pylint: disable=import-outside-toplevel
        self.engines, self.sandbox = engines, sandbox.Sandbox()
        self.sandbox.environment["WANDB_API_KEY"] = 40 * "0"
        self.ecosystem = build.parent / "ecosystem"  # of scripts/test-ecosystem
        # The library in this process would take what only the tests know for misspelt settings.
        for name in [name for name in os.environ if name.startswith("RINGLOG_")]:
            del os.environ[name]
        self.calls = load_library(build)
        self.rows, self.backlog, self.pace_s = rows, backlog, pace_s
        self.figures: dict[str, float] = {}

    def keep(self, name: str, value: float) -> None:
        """One figure, as the other programs round theirs."""
        self.figures[name] = float(f"{value:.4g}")

    def log(self, name: str, sink: str, rows: int) -> None:
        """A run that is logged at a steady pace and then in a burst; what the service takes."""
        logger = Logger(self.calls, self.sandbox.environment | {
            "RINGLOG_RUN_ID": name, "RINGLOG_SINKS": sink, "RINGLOG_MONITOR": "off",
            "RINGLOG_FULL_RING_WAIT_MS": "600000"})
        usage = Usage(self.sandbox.service())
        logger.log_for(1)  # until it has its pace
        begin, cpu = time.monotonic(), usage.cpu_s()
        logger.log_for(self.pace_s)
        self.keep(f"sinks.{name}_cpu_percent",
                  100 * (usage.cpu_s() - cpu) / (time.monotonic() - begin))
        logger.log(max(0, rows - logger.step))
        logger.flush()
        self.keep(f"sinks.{name}_rss_mb", usage.rss_mb())
        logger.finish()

    def catch_up(self, server, rows: int) -> None:
        """Until the server that came up has everything, from its first batch on."""
        usage = Usage(self.sandbox.service())

        def arrived() -> int:
            sql = "SELECT sum(rows) FROM system.parts WHERE table = 'ringlog_points' AND active"
            return int(server.lines(sql)[0][0]) // len(METRICS)

        usage.watch(lambda: arrived() > 0, 0.05)
        first = arrived()
        took, cpu, rss = usage.watch(lambda: arrived() >= rows, 0.2)
        if first < rows:
            self.keep("sinks.catch_up_rows_per_s", (rows - first) / took)
            self.keep("sinks.catch_up_cpu_percent", 100 * cpu / took)
            self.keep("sinks.catch_up_rss_mb", rss)

    def sync(self, run: str, url: str) -> float:
        """Seconds that `ringlog sync` takes, its start and end included."""
        begin = time.monotonic()
        self.sandbox.ringlog("sync", run, "--sink", url)
        return time.monotonic() - begin

    def clickhouse(self) -> None:
        """Sink and client, the same points."""
        server = self.engines.ClickHouse(self.sandbox)
        self.log("down", server.url(), self.backlog)
        server.start()
        self.catch_up(server, self.backlog)
        # An empty one again, which has nothing to merge.
        server.kill()
        shutil.rmtree(server.folder / "data")
        server.start()
        took = self.sync("none", server.url())
        rows = int(server.lines("SELECT count() FROM ringlog_points")[0][0]) // len(METRICS)
        self.keep("clickhouse.rows_per_s", rows / took)
        client = self.engines.find_program("clickhouse-client")
        if not client:
            return
        points = self.sandbox.scratch / "points"
        points.write_bytes(server.query("SELECT * FROM ringlog_points FORMAT RowBinary"))
        server.query("CREATE TABLE copy AS ringlog_points")
        begin = time.monotonic()
        with open(points, "rb") as file:
            subprocess.run([client, "--host", "127.0.0.1", "--port", str(server.tcp_port),
                            "--query", "INSERT INTO copy FORMAT RowBinary"], stdin=file, check=True,
                           env=self.sandbox.environment)
        self.keep("clickhouse.client_rows_per_s", rows / (time.monotonic() - begin))
        points.unlink()
        server.kill()

    def influx(self) -> None:
        """Sink and curl, as many lines of the same kind."""
        server = self.engines.InfluxDb(self.sandbox)
        server.start()
        server.query("CREATE DATABASE metrics")
        took = self.sync("none", server.url())
        (series,) = server.query("SELECT count(loss) FROM ringlog")
        rows = series["values"][0][1]
        self.keep("influx.points_per_s", rows / took)
        config = self.lines_for_curl(server.port, rows)
        begin = time.monotonic()
        subprocess.run(["curl", "--silent", "--show-error", "--fail", "--config", config],
                       check=True, stdout=subprocess.DEVNULL)
        self.keep("influx.curl_points_per_s", rows / (time.monotonic() - begin))
        server.kill()

    def wandb(self) -> None:
        """Sink and W&B's own uploader, to a server of the tests that records what it is told."""
        import wandb_server  # pylint: disable=import-outside-toplevel
        with wandb_server.Server() as server:
            took = self.sync("none", f"wandb+http://127.0.0.1:{server.port}/bench/sinks")
            rows = len(server.runs["none"].lines["wandb-history.jsonl"])
            self.keep("wandb.rows_per_s", rows / took)
        client = shutil.which("wandb", path=f"{os.environ['PATH']}:{self.ecosystem}/bin")
        if not client:
            return
        folder = self.sandbox.scratch / "wandb"
        self.sandbox.ringlog("export", "none", "--format", "wandb", "-o", folder)
        with wandb_server.Server() as server:
            environment = self.sandbox.environment | {
                "WANDB_BASE_URL": server.url, "HOME": str(self.sandbox.scratch),
                "WANDB_ERROR_REPORTING": "false"}
            begin = time.monotonic()
            subprocess.run([client, "sync", "--yes", next(folder.glob("offline-run-*"))],
                           check=True, env=environment, capture_output=True,
                           cwd=self.sandbox.scratch)  # its logs go to ./wandb
            self.keep("wandb.client_rows_per_s", rows / (time.monotonic() - begin))

    def lines_for_curl(self, port: int, rows: int) -> Path:
        """Files of lines as the sink writes them, and what tells curl to send them in turn."""
        requests = []
        for first in range(0, rows, LINES_PER_REQUEST):
            path = self.sandbox.scratch / f"lines-{first}"
            path.write_text("".join(
                f"ringlog,project=p,run=curl,rank=0,attempt=0 _seq={i}i,_step={i}i,"
                f"loss={1 / (1 + i)},grad_norm={i * 0.125},lr=0,step_ms=0 {10**18 + i * 1000}\n"
                for i in range(first, min(rows, first + LINES_PER_REQUEST))))
            requests.append(f'url = "http://127.0.0.1:{port}/write?db=metrics&precision=ns"\n'
                            f'data-binary = "@{path}"\n')
        config = self.sandbox.scratch / "curl"
        config.write_text("next\n".join(requests))
        return config

    @staticmethod
    def try_part(part: Callable[[], None]) -> None:
        """What goes wrong is said, and costs its own figures only."""
        try:
            part()
        except (OSError, AssertionError, subprocess.CalledProcessError) as error:
            print(f"bench: sinks: {error}", file=sys.stderr)

    def measure(self) -> dict[str, float]:
        """All figures."""
        try:
            self.log("none", "", self.rows)
            for program, part in (("clickhouse-server", self.clickhouse), ("influxd", self.influx)):
                if self.engines.find_program(program):
                    self.try_part(part)
            self.try_part(self.wandb)
        finally:
            self.sandbox.close()
        return self.figures


def measure(build: Path, rows: int, backlog: int, pace_s: float) -> dict[str, float]:
    """The figures, taken in a process of its own: its library and its environment stay there.
    `backlog`: rows that wait for the sink that comes up; `rows`: of the run that is sent whole;
    `pace_s`: seconds of logging at a steady pace."""
    source = Path(__file__).resolve().parent.parent
    environment = os.environ | {
        "RINGLOG_BUILD_DIR": str(build), "RINGLOG_SOURCE_DIR": str(source),
        "PYTHONPATH": str(source / "tests" / "support"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, __file__, str(build), str(rows), str(backlog),
                           str(pace_s)], env=environment, stdout=subprocess.PIPE, check=True)
    lines = (line.split() for line in done.stdout.decode().splitlines())
    return {name: float(value) for name, value in lines}


if __name__ == "__main__":
    FOUND = Bench(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]),
                  float(sys.argv[4])).measure()
    for found_name, found_value in FOUND.items():
        print(found_name, found_value)
