"""Runs are sent to a real InfluxDB and a real VictoriaMetrics, and read back.

InfluxDB 2 is no package of Debian: a small server speaks for it.
"""

import bisect
import json
import math
import signal
import unittest
from collections.abc import Callable

from engines import Engine, InfluxDb, VictoriaMetrics, needs_program
from influx2 import Influx2
from rows import BOOLEAN, FLOAT, INFINITY, INTEGER, SIGN, UNSIGNED, bits_of, float_bits, signed, \
    word_of
from sandbox import RUN, SandboxTest, kill_and_wait, until
from script import Script

RANKS = 4
ROWS = 500
EXACT_MAX = 1 << 53
# What VictoriaMetrics may lose of what it acknowledged, when it is killed; it flushes each second.
FLUSH_S = 5


class LineProtocolTest(SandboxTest):
    """What the tests of all these servers do."""

    def sink(self) -> dict:
        """What `ringlog show` says about the only sink."""
        (sink,) = self.sandbox.json("show", RUN)["sinks"]
        return sink

    def wait_until_sent(self) -> None:
        """Waits until the sink has all rows."""
        rows = sum(producer["rows"] for producer in self.sandbox.producers())
        until(lambda: self.sink()["sent"] == rows, f"{rows} rows sent")

    def train(self, url: str) -> None:
        """Four ranks, until everything is sent."""
        self.sandbox.environment["RINGLOG_SINKS"] = url
        ranks = [self.sandbox.rank(i, rows=ROWS, kinds="numbers") for i in range(RANKS)]
        for rank in ranks:
            rank.finish()
        self.wait_until_sent()

    def die_in_turn(self, engine: Engine, count: Callable[[], int],
                    end: Callable[[], None]) -> list[int]:
        """Under load the server ends twice as `end` does it, and the service is killed; returns how
        many rows each rank has logged in all."""
        self.sandbox.environment["RINGLOG_SINKS"] = engine.url()
        ranks = [self.sandbox.rank(i, kinds="numbers", burst=20, pause_ms=20)
                 for i in range(RANKS)]
        for rank in ranks:
            rank.expect("logging")

        def wait_for_more() -> None:
            target = count() + 200
            until(lambda: count() >= target, "more rows at the server")

        for _ in range(2):
            wait_for_more()
            end()
            until(lambda: self.sink()["state"] == "retrying", "the sink sees it")
            engine.start()
            wait_for_more()
            gone = self.sandbox.service()
            kill_and_wait(gone)
            until(lambda dead=gone: self.sandbox.services() not in ([], [dead]), "a new service")
        self.sandbox.ledger.stop()
        for rank in ranks:
            rank.finish()
        self.wait_until_sent()
        self.assertTrue(self.sandbox.verify()["ok"])
        return [self.sandbox.ledger.committed(i) for i in range(RANKS)]


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

    def setUp(self) -> None:
        super().setUp()
        self.influx = InfluxDb(self.sandbox)
        self.influx.start()
        self.influx.query("CREATE DATABASE metrics")

    def test_every_value_arrives(self) -> None:
        self.train(self.influx.url())
        self.check_all([ROWS] * RANKS)

    def test_the_server_and_the_service_die_in_turn(self) -> None:
        """What was cut off is sent again, and replaces itself."""
        def count() -> int:
            found = self.influx.query("SELECT count(i) FROM ringlog")
            return found[0]["values"][0][1] if found else 0

        self.check_all(self.die_in_turn(self.influx, count, self.influx.kill))

    def check_all(self, expected: list[int]) -> None:
        """Every row of every rank is there once, with every value."""
        (series,) = self.influx.query("SELECT * FROM ringlog")
        rows = [dict(zip(series["columns"], values)) for values in series["values"]]
        self.assertEqual(len(rows), sum(expected))
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
        self.assertEqual(seen, {(rank, 0, index) for rank, rows in enumerate(expected)
                                for index in range(rows)})


    def test_rows_of_one_given_time_are_all_there(self) -> None:
        """And a service that dies on the way changes no point."""
        rows = 2500
        self.sandbox.environment["RINGLOG_SINKS"] = self.influx.url()
        script = Script(self.sandbox)
        for index in range(rows):
            script.do(f"log i=i:{index} time_ns=1700000000000000000")
            if index == rows // 2:
                until(lambda: self.sink()["sent"] > 0, "some rows are sent")
                kill_and_wait(self.sandbox.service())
        script.finish()
        self.wait_until_sent()
        found = self.influx.query("SELECT i FROM ringlog")
        self.assertEqual(sorted(values[1] for values in found[0]["values"]), list(range(rows)))


@needs_program("victoria-metrics")
class VictoriaMetricsTest(LineProtocolTest):
    """VictoriaMetrics: twelve digits, a millisecond."""

    def values(self, victoria: VictoriaMetrics, rank: int, metric: str = "n") -> list[float]:
        """What it has of a rank; an export gives a series in several pieces."""
        return [value for series in victoria.export(f"ringlog_{metric}")
                if series["metric"]["rank"] == str(rank) and series["metric"]["run"] == RUN
                for value in series["values"]]

    def test_values_arrive_to_twelve_digits(self) -> None:
        victoria = VictoriaMetrics(self.sandbox)
        victoria.start()
        self.train(victoria.url())
        for rank in range(RANKS):
            # It lists a new series a moment after it answered for its rows.
            until(lambda: len(self.values(victoria, rank)) >= ROWS, f"rank {rank} is listed")
            values = self.values(victoria, rank)
            expected = [float(signed(word_of(rank, 0, i, INTEGER))) for i in range(ROWS)]
            self.assertEqual(len(values), ROWS)
            for found, sent in zip(sorted(values), sorted(expected)):
                self.assertTrue(math.isclose(found, sent, rel_tol=1e-11, abs_tol=1e8),
                                (found, sent))

    def all_indices(self, victoria: VictoriaMetrics) -> list[set[int]]:
        """Which rows of each rank it has; one that was sent twice stands there twice."""
        return [set(map(int, self.values(victoria, rank, "i"))) for rank in range(RANKS)]

    def check_integers(self, victoria: VictoriaMetrics, rank: int, indices: set[int]) -> None:
        """Each value that it has is one that was logged, to twelve digits, and none is missing."""
        found = sorted(self.values(victoria, rank))
        expected = sorted(float(signed(word_of(rank, 0, index, INTEGER))) for index in indices)

        def is_among(value: float, others: list[float]) -> bool:
            at = bisect.bisect_left(others, value)
            return any(math.isclose(other, value, rel_tol=1e-11, abs_tol=1e8)
                       for other in others[max(0, at - 1):at + 1])

        self.assertEqual([value for value in expected if not is_among(value, found)], [])
        self.assertEqual([value for value in found if not is_among(value, expected)], [])

    def test_the_server_is_restarted_and_the_service_dies_in_turn(self) -> None:
        """Everything is there, to twelve digits."""
        victoria = VictoriaMetrics(self.sandbox)
        victoria.start()
        count = self.die_in_turn(victoria, lambda: sum(map(len, self.all_indices(victoria))),
                                 lambda: victoria.kill(signal.SIGTERM))
        until(lambda: list(map(len, self.all_indices(victoria))) == count, "all is listed")
        for rank in range(RANKS):
            self.check_integers(victoria, rank, set(range(count[rank])))

    def test_the_server_is_killed(self) -> None:
        """It loses what it says it may: rows of the last seconds before, and no others."""
        victoria = VictoriaMetrics(self.sandbox)
        victoria.start()
        kills_ns: list[int] = []

        def kill() -> None:
            times = [row["_timestamp"] for row in self.sandbox.rows()]
            kills_ns.append(max(times))
            victoria.kill()

        count = self.die_in_turn(victoria, lambda: sum(map(len, self.all_indices(victoria))), kill)
        times = {(row["_rank"], row["i"]): row["_timestamp"] for row in self.sandbox.rows()}
        expected = {key for key, time in times.items()
                    if not any(end - FLUSH_S < time < end + FLUSH_S for end in kills_ns)}
        self.assertEqual(len(times), sum(count))

        def missing() -> set:
            found = self.all_indices(victoria)
            return {key for key in expected if key[1] not in found[key[0]]}

        until(lambda: not missing(), f"all but the last seconds is listed: {len(missing())}")
        for rank, indices in enumerate(self.all_indices(victoria)):
            self.check_integers(victoria, rank, indices)


class Influx2Test(LineProtocolTest):
    """InfluxDB 2: a token, a bucket, answers in JSON.

    Secrets are put together here, because a run keeps the diff of the work tree it was started in.
    """

    def setUp(self) -> None:
        super().setUp()
        self.influx = Influx2(self.sandbox, "-".join(["token", "of", "the", "lab"]), "metrics")
        self.sandbox.environment["INFLUX_TOKEN"] = self.influx.token

    def check_all(self) -> None:
        """Every row of every rank is there once."""
        steps = sorted((key[0].partition("rank=")[2].partition(",")[0], int(fields["_step"][:-1]))
                       for key, fields in self.influx.points.items())
        self.assertEqual(steps, [(str(rank), step) for rank in range(RANKS)
                                 for step in range(ROWS)])

    def refuse(self, url: str, state: str, *words: str) -> None:
        """A run whose sink ends in a state, and says why."""
        self.sandbox.environment["RINGLOG_SINKS"] = url
        self.sandbox.rank(0, rows=10, kinds="numbers").finish()
        # It may first have to wait for the run's description.
        until(lambda: self.sink()["state"] == state and words[0] in self.sink()["error"],
              f"{state}, {words[0]}: {self.sink()}")
        self.assert_says(self.sink()["error"], *words)
        for path in [*self.sandbox.root.rglob("*"), *self.sandbox.runtime.rglob("*.log")]:
            if path.is_file():
                self.assertNotIn(self.sandbox.environment["INFLUX_TOKEN"].encode(),
                                 path.read_bytes(), path)
        self.assertNotIn(self.sandbox.environment["INFLUX_TOKEN"],
                         json.dumps(self.sandbox.json("show", RUN)))

    def test_every_row_arrives(self) -> None:
        self.train(self.influx.url())
        self.check_all()
        self.assertEqual(set(self.influx.paths), {"/api/v2/write"})

    def test_every_row_arrives_as_from_a_client_of_version_1(self) -> None:
        self.train(self.influx.url_of_1())
        self.check_all()
        self.assertEqual(set(self.influx.paths), {"/write"})

    def test_its_troubles_pass(self) -> None:
        self.influx.failures = [
            (429, "too many requests", "slow down"), (503, "unavailable", "try again"),
            (500, "internal error", "oops"), (413, "request too large", "too many bytes")]
        self.train(self.influx.url())
        self.check_all()

    def test_names_that_are_the_same_there_are_two_fields(self) -> None:
        self.sandbox.environment["RINGLOG_SINKS"] = self.influx.url()
        script = Script(self.sandbox)
        script.do("log a.b=f:1 a>b=f:2")
        script.finish()
        self.wait_until_sent()
        (fields,) = self.influx.points.values()
        found = {name: fields[name] for name in fields if name.startswith("a")}
        self.assertEqual(sorted(found), ["a.b", "a.b_"])
        self.assertEqual(sorted(found.values()), ["1", "2"])

    def test_a_wrong_token_is_refused_and_never_shown(self) -> None:
        self.sandbox.environment["INFLUX_TOKEN"] = "-".join(["another", "token"])
        self.refuse(self.influx.url(), "refused", "401", "unauthorized access", "INFLUX_TOKEN")

    def test_a_token_that_may_not_write_is_refused(self) -> None:
        self.influx.failures = [(403, "forbidden", "insufficient permissions for write")] * 9
        self.refuse(self.influx.url(), "refused", "403", "insufficient permissions")

    def test_a_bucket_that_is_not_there_is_named(self) -> None:
        self.refuse(self.influx.url("nothing"), "retrying", "404", "make the bucket nothing")


if __name__ == "__main__":
    unittest.main()
