"""Runs are sent to a real ClickHouse, and every value is read back and compared bit by bit."""

import json
import unittest

from engines import ClickHouse, Point, needs_program
from rows import BOOLEAN, FLOAT, INTEGER, SIGN, UNSIGNED, bits_of, float_bits, signed, word_of
from sandbox import RUN, SandboxTest, helper, kill_and_wait, until

FLOAT64, INT64, UINT64, BOOL, TEXT, JSON = range(6)
RANKS = 4


@needs_program("clickhouse-server")
class ClickHouseTest(SandboxTest):
    """A sink clickhouse+http://."""

    def setUp(self) -> None:
        super().setUp()
        self.clickhouse = ClickHouse(self.sandbox)
        self.clickhouse.start()
        self.sandbox.environment["RINGLOG_SINKS"] = self.clickhouse.url()

    def sink(self, run: str = RUN) -> dict:
        """What `ringlog show` says about the only sink."""
        (sink,) = self.sandbox.json("show", run)["sinks"]
        return sink

    def stored(self) -> int:
        """Rows of the run."""
        return sum(producer["rows"] for producer in self.sandbox.producers())

    def wait_until_sent(self) -> None:
        """Waits until the sink has all rows, and what the run is."""
        rows = self.stored()
        until(lambda: self.sink()["sent"] == rows, f"{rows} rows sent: {self.sink()}")
        states = "SELECT DISTINCT state FROM ringlog_ranks FINAL"
        until(lambda: self.clickhouse.lines(states) == [["finished"]], "the ends of the ranks")

    def by_row(self) -> dict[tuple, dict[str, Point]]:
        """The points of each row."""
        rows: dict[tuple, dict[str, Point]] = {}
        for point in self.clickhouse.points():
            metrics = rows.setdefault((point.rank, point.attempt, point.seq), {})
            self.assertNotIn(point.metric, metrics)
            metrics[point.metric] = point
        return rows

    def check_numbers(self, row: dict[str, Point]) -> tuple[int, int]:
        """One row of kind `numbers`: every bit as it was logged."""
        process, thread, index = (row[name].integer for name in "pti")
        identity = (process, thread, index)
        truth = word_of(*identity, BOOLEAN) & 1
        unsigned = word_of(*identity, UNSIGNED) | SIGN
        number = signed(word_of(*identity, INTEGER))
        found = {name: (point.bits, point.type, point.integer) for name, point in row.items()
                 if name in "fnbu"}
        self.assertEqual(found, {
            "f": (float_bits(word_of(*identity, FLOAT)), FLOAT64, 0),
            "n": (bits_of(float(number)), INT64, number),
            "b": (bits_of(float(truth)), BOOL, truth),
            "u": (bits_of(float(unsigned)), UINT64, signed(unsigned))})
        self.assertEqual({point.step for point in row.values()}, {index})
        return process, index

    def check_all_numbers(self) -> None:
        """Every row that was committed is there once, and nothing else."""
        indices: dict[int, list[int]] = {}
        for row in self.by_row().values():
            process, index = self.check_numbers(row)
            indices.setdefault(process, []).append(index)
        for process in range(RANKS):
            rows = self.sandbox.ledger.committed(process)
            self.assertEqual(sorted(indices[process]), list(range(rows)), f"process {process}")

    def test_every_bit_of_every_value_arrives(self) -> None:
        ranks = [self.sandbox.rank(i, rows=1500, kinds="numbers") for i in range(RANKS)]
        for rank in ranks:
            rank.finish()
        self.sandbox.rank(0, rows=1, kinds="numbers", rank=1).finish()
        self.wait_until_sent()
        rows = self.by_row()
        self.assertEqual(len(rows), RANKS * 1500 + 1)
        self.assertEqual({attempt for rank, attempt, _ in rows if rank == 1}, {0, 1})
        for row in rows.values():
            self.check_numbers(row)
        exported = {(row["_rank"], row["_attempt"], row["_seq"]): row["_timestamp"]
                    for row in self.sandbox.rows()}
        for key, row in rows.items():
            times = {point.time_ns for point in row.values()}
            self.assertEqual(len(times), 1)
            self.assertAlmostEqual(times.pop() / 1e9, exported[key], places=6)

    def test_text_lists_and_objects_arrive(self) -> None:
        self.sandbox.rank(0, rows=300, kinds="mixed").finish()
        self.wait_until_sent()
        exported = {row["_seq"]: row for row in self.sandbox.rows()}
        texts = lists = 0
        for point in self.clickhouse.points("type >= 4"):
            value = exported[point.seq]
            for key in point.metric.split("."):
                value = value[key]
            texts += point.type == TEXT
            lists += point.type == JSON
            found = point.text if point.type == TEXT else json.loads(point.text)
            self.assertEqual(json.dumps(found), json.dumps(value))
        self.assertTrue(texts and lists)

    def test_config_summary_console_and_events_arrive(self) -> None:
        self.sandbox.run(helper("everything"), env={"RINGLOG_RUN_ID": RUN})
        self.wait_until_sent()
        shown = self.sandbox.json("show", RUN)
        for table in ("config", "summary"):
            # A request each, one after another, behind that of the ends.
            until(lambda table=table: self.clickhouse.lines(
                f"SELECT key FROM ringlog_{table}"), f"the {table} is sent")
            found = dict(self.clickhouse.lines(f"SELECT key, text FROM ringlog_{table} FINAL"))
            for key, value in shown[table].items():
                if isinstance(value, str):
                    self.assertEqual(found[key], value)
                else:
                    self.assertTrue(any(f"{name}.".startswith(f"{key}.") for name in found), key)
        kinds = {kind for (kind,) in self.clickhouse.lines("SELECT kind FROM ringlog_events FINAL")}
        self.assertIn("alert", kinds)
        (run,) = self.clickhouse.lines("SELECT project, run, state FROM ringlog_runs FINAL")
        self.assertEqual(run[1:], [RUN, "finished"])


    def test_the_server_and_the_service_die_in_turn(self) -> None:
        """Under load; whatever was cut off is sent again, and counts once."""
        ranks = [self.sandbox.rank(i, kinds="numbers", burst=50, pause_ms=20)
                 for i in range(RANKS)]
        for rank in ranks:
            rank.expect("logging")

        def wait_for_more(count: int) -> None:
            target = int(self.clickhouse.lines("SELECT count() FROM ringlog_points")[0][0]) + count
            until(lambda: int(self.clickhouse.lines("SELECT count() FROM ringlog_points")[0][0])
                  >= target, f"{count} more points")

        until(lambda: self.clickhouse.lines("EXISTS TABLE ringlog_points") == [["1"]], "tables")
        for _ in range(2):
            wait_for_more(2000)
            self.clickhouse.kill()
            until(lambda: self.sink()["state"] == "retrying", "the sink sees it")
            self.clickhouse.start()
            wait_for_more(2000)
            gone = self.sandbox.service()
            kill_and_wait(gone)
            until(lambda dead=gone: self.sandbox.services() not in ([], [dead]), "a new service")
        self.sandbox.ledger.stop()
        for rank in ranks:
            rank.finish()
        self.wait_until_sent()
        self.check_all_numbers()
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_a_dropped_table_is_made_again(self) -> None:
        rank = self.sandbox.rank(0, kinds="numbers", burst=10, pause_ms=5)
        rank.expect("logging")
        until(lambda: self.sink()["sent"] > 0, "something is sent")
        self.clickhouse.query("DROP TABLE ringlog_points")
        until(lambda: self.clickhouse.lines("EXISTS TABLE ringlog_points") == [["1"]],
              "the table is there again")
        self.sandbox.ledger.stop()
        rank.finish()
        self.wait_until_sent()

    def test_a_password_is_used_and_never_shown(self) -> None:
        """A wrong one refuses the sink with advice; the right one comes from ~/.netrc."""
        self.sandbox.environment["RINGLOG_SINKS"] = self.clickhouse.url("trainer")
        self.sandbox.environment["CLICKHOUSE_PASSWORD"] = "not that one"
        self.sandbox.rank(0, rows=10, kinds="numbers").finish()
        until(lambda: self.sink()["state"] == "refused", "the refusal")
        self.assert_says(self.sink()["error"], "CLICKHOUSE_PASSWORD", ".netrc")
        self.sandbox.ringlog("service", "stop")
        del self.sandbox.environment["CLICKHOUSE_PASSWORD"]
        netrc = self.sandbox.scratch / ".netrc"
        netrc.write_text('machine 127.0.0.1 login trainer password "open sesame"\n')
        netrc.chmod(0o600)
        self.sandbox.rank(0, rows=10, kinds="numbers", rank=1).finish()
        self.wait_until_sent()
        self.assertEqual(len(self.by_row()), 20)
        for secret in (b"not that one", b"open sesame"):
            for path in [*self.sandbox.root.rglob("*"), *self.sandbox.runtime.rglob("*.log")]:
                if path.is_file():
                    self.assertNotIn(secret, path.read_bytes(), path)
            self.assertNotIn(secret.decode(), json.dumps(self.sandbox.json("show", RUN)))


if __name__ == "__main__":
    unittest.main()
