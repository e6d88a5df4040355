"""The training example, four ranks of which one is killed and comes back, goes to real servers
while it runs; every value and time is asked back and compared with what the store exports."""

import decimal
import json
import math
import unittest
from typing import NamedTuple

from engines import ClickHouse, InfluxDb, VictoriaMetrics, needs_program
from rows import bits_of
from sandbox import BUILD, SandboxTest, until

STEPS = 400
KILLED = 2
FLOAT64, INT64, UINT64, BOOL, TEXT = range(5)
OWN = ("_rank", "_attempt", "_seq", "_step", "_timestamp")


class Cell(NamedTuple):
    """A value that was logged, as the export has it."""

    rank: int
    attempt: int
    seq: int
    step: int
    time_ns: int
    metric: str
    value: object


def leaves(row: dict, before: str = "") -> dict[str, object]:
    """The values of nested objects by their names."""
    found = {}
    for key, value in row.items():
        name = f"{before}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


class TrainTest(SandboxTest):
    """What the tests of all servers do."""

    watchdog_s = 240

    def train(self, url: str) -> list[Cell]:
        """Runs it until the sink has all; what the store has."""
        self.sandbox.environment |= {"RINGLOG_SINKS": url, "RINGLOG_PROJECT": "demo"}
        train = BUILD / "examples" / "train"
        done = self.sandbox.run(train, "--steps", STEPS, "--kill-rank", KILLED)
        run = done.stdout.decode().split()[-1]
        rows = sum(producer["rows"] for producer in self.sandbox.producers(run))
        until(lambda: self.sandbox.json("show", run)["sinks"][0]["sent"] == rows, "all is sent")
        cells = []
        for line in self.sandbox.lines(run):
            row = json.loads(line)
            time_s = json.loads(line, parse_float=decimal.Decimal)["_timestamp"]
            own = [row["_rank"], row["_attempt"], row["_seq"], row["_step"], int(time_s * 10**9)]
            cells += [Cell(*own, name, value) for name, value in leaves(row).items()
                      if name not in OWN]
        self.assertEqual({(cell.rank, cell.attempt) for cell in cells},
                         {(rank, 0) for rank in range(4)} | {(KILLED, 1)})
        self.assertGreater(len({(cell.rank, cell.attempt, cell.seq) for cell in cells}), STEPS)
        return cells


@needs_program("clickhouse-server")
class ClickHouseTrainTest(TrainTest):
    """Every bit, and nanoseconds."""

    @staticmethod
    def bits(cell: Cell) -> tuple:
        """Type, and the bits that say the value."""
        if isinstance(cell.value, bool):
            return BOOL, int(cell.value)
        if isinstance(cell.value, int):
            return INT64, cell.value
        if isinstance(cell.value, str):
            return TEXT, cell.value
        return FLOAT64, bits_of(cell.value)

    def test_every_value_and_time(self) -> None:
        clickhouse = ClickHouse(self.sandbox)
        clickhouse.start()
        cells = self.train(clickhouse.url())
        expected = {(c.rank, c.attempt, c.seq, c.metric): (c.step, c.time_ns, *self.bits(c))
                    for c in cells}
        found = {}
        for point in clickhouse.points():
            key = (point.rank, point.attempt, point.seq, point.metric)
            self.assertNotIn(key, found)
            value = {FLOAT64: point.bits, TEXT: point.text}.get(point.type, point.integer)
            # JSON does not tell a positive int64 from a uint64.
            kind = INT64 if point.type == UINT64 else point.type
            found[key] = (point.step, point.time_ns, kind, value)
        self.assertEqual(len(found), len(expected))
        self.assertEqual({key: value for key, value in found.items() if expected[key] != value}, {})


@needs_program("influxd")
class InfluxDbTrainTest(TrainTest):
    """Every bit of a number, and microseconds; the rest of the time is seq."""

    def test_every_value_and_time(self) -> None:
        influx = InfluxDb(self.sandbox)
        influx.start()
        influx.query("CREATE DATABASE metrics")
        cells = self.train(influx.url())
        (series,) = influx.query("SELECT * FROM ringlog")
        rows = [dict(zip(series["columns"], values)) for values in series["values"]]
        by_key = {(int(row["rank"]), int(row["attempt"]), row["_seq"]): row for row in rows}
        self.assertEqual(len(by_key), len(rows))
        self.assertEqual(set(by_key), {(c.rank, c.attempt, c.seq) for c in cells})
        for cell in cells:
            row = by_key[cell.rank, cell.attempt, cell.seq]
            self.assertEqual((row["_step"], row["time"]),
                             (cell.step, cell.time_ns - cell.time_ns % 1000 + cell.seq % 1000))
            if isinstance(cell.value, str):
                self.assertEqual(row[f"{cell.metric}_text"], cell.value.replace("\n", "\\n"))
            elif math.isfinite(cell.value):
                self.assertEqual(bits_of(float(row[cell.metric])), bits_of(float(cell.value)), cell)


@needs_program("victoria-metrics")
class VictoriaMetricsTrainTest(TrainTest):
    """Twelve digits and milliseconds."""

    def test_every_value_and_time(self) -> None:
        victoria = VictoriaMetrics(self.sandbox)
        victoria.start()
        cells = [cell for cell in self.train(victoria.url()) if not isinstance(cell.value, str)]
        for metric in sorted({cell.metric for cell in cells}):
            sent = sorted((cell.rank, cell.attempt, cell.time_ns // 1_000_000, float(cell.value))
                          for cell in cells
                          if cell.metric == metric and math.isfinite(cell.value))
            # It lists a series a moment after it answered for its rows.
            until(lambda name=metric, count=len(sent): len(self.samples(victoria, name)) == count,
                  f"{metric}: {len(sent)} samples")
            for found, expected in zip(self.samples(victoria, metric), sent):
                self.assertEqual(found[:3], expected[:3], metric)
                self.assertTrue(math.isclose(found[3], expected[3], rel_tol=1e-11),
                                (metric, found, expected))

    @staticmethod
    def samples(victoria: VictoriaMetrics, metric: str) -> list[tuple]:
        """Rank, attempt, time in milliseconds and value of each."""
        return sorted((int(series["metric"]["rank"]), int(series["metric"]["attempt"]), time, value)
                      for series in victoria.export(f"ringlog_{metric}")
                      for time, value in zip(series["timestamps"], series["values"]))


if __name__ == "__main__":
    unittest.main()
