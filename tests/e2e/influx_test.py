"""Runs are sent to a real InfluxDB and a real VictoriaMetrics, and read back."""

import math
import unittest

from engines import Engine, InfluxDb, VictoriaMetrics, needs_program
from rows import BOOLEAN, FLOAT, INFINITY, INTEGER, SIGN, UNSIGNED, bits_of, float_bits, signed, \
    word_of
from sandbox import RUN, SandboxTest, until

RANKS = 4
ROWS = 500
EXACT_MAX = 1 << 53


class LineProtocolTest(SandboxTest):
    """What both servers' tests do."""

    def train(self, engine: Engine) -> None:
        """Four ranks, until everything is sent."""
        self.sandbox.environment["RINGLOG_SINKS"] = engine.url()
        ranks = [self.sandbox.rank(i, rows=ROWS, kinds="numbers") for i in range(RANKS)]
        for rank in ranks:
            rank.finish()

        def is_sent() -> bool:
            (sink,) = self.sandbox.json("show", RUN)["sinks"]
            return sink["sent"] == RANKS * ROWS

        until(is_sent, "all rows sent")


@needs_program("influxd")
class InfluxDbTest(LineProtocolTest):
    """InfluxDB 1: every bit, by the rules of docs/sinks.md."""

    def check_float(self, row: dict, index: int) -> None:
        """A double: its bits, or the name of what it is."""
        bits = float_bits(word_of(int(row["rank"]), 0, index, FLOAT))
        if bits & INFINITY != INFINITY:
            self.assertEqual(bits_of(float(row["f"])), bits)
            return
        name = "nan" if bits & (INFINITY - 1) & ~SIGN & ((1 << 52) - 1) else "inf"
        if name == "inf" and bits & SIGN:
            name = "-inf"
        self.assertIsNone(row["f"])
        self.assertEqual(row["f_nonfinite"], name)

    def test_every_value_arrives(self) -> None:
        influx = InfluxDb(self.sandbox)
        influx.start()
        influx.query("CREATE DATABASE metrics")
        self.train(influx)
        (series,) = influx.query("SELECT * FROM ringlog")
        rows = [dict(zip(series["columns"], values)) for values in series["values"]]
        self.assertEqual(len(rows), RANKS * ROWS)
        seen = set()
        for row in rows:
            index = int(row["i"])
            identity = (int(row["rank"]), 0, index)
            seen.add(identity)
            self.assertEqual((row["_step"], row["_seq"], row["attempt"]), (index, index, "0"))
            number = signed(word_of(*identity, INTEGER))
            unsigned = word_of(*identity, UNSIGNED) | SIGN
            self.assertEqual(float(row["n"]), float(number))
            if abs(number) > EXACT_MAX:
                self.assertEqual(row["n_int"], number)
            self.assertEqual(row["u_uint"], str(unsigned))
            self.assertEqual(row["b"], word_of(*identity, BOOLEAN) & 1)
            self.check_float(row, index)
        self.assertEqual(len(seen), RANKS * ROWS)


@needs_program("victoria-metrics")
class VictoriaMetricsTest(LineProtocolTest):
    """VictoriaMetrics: twelve digits, a millisecond."""

    def values(self, victoria: VictoriaMetrics, rank: int) -> list[float]:
        """What it has of a rank; an export gives a series in several pieces."""
        return [value for series in victoria.export("ringlog_n")
                if series["metric"]["rank"] == str(rank) and series["metric"]["run"] == RUN
                for value in series["values"]]

    def test_values_arrive_to_twelve_digits(self) -> None:
        victoria = VictoriaMetrics(self.sandbox)
        victoria.start()
        self.train(victoria)
        for rank in range(RANKS):
            # It lists a new series a moment after it answered for its rows.
            until(lambda: len(self.values(victoria, rank)) >= ROWS, f"rank {rank} is listed")
            values = self.values(victoria, rank)
            expected = [float(signed(word_of(rank, 0, i, INTEGER))) for i in range(ROWS)]
            self.assertEqual(len(values), ROWS)
            for found, sent in zip(sorted(values), sorted(expected)):
                self.assertTrue(math.isclose(found, sent, rel_tol=1e-11, abs_tol=1e8),
                                (found, sent))


if __name__ == "__main__":
    unittest.main()
