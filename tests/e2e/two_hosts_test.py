"""One job on two hosts, each with a service of its own, in one ClickHouse: one query over both."""

import sys
import unittest

from engines import ClickHouse, find_program
from hosts import Host, Switch, why_not
from rows import INTEGER, signed, word_of
from sandbox import RUN, Sandbox, SandboxTest, helper, until

ROWS = 400
RANKS_PER_HOST = 2
HOSTS = ("node-a", "node-b")

ROWS_BY_HOST = """
SELECT host, rank, count() AS rows, sum(integer) AS total FROM
  (SELECT rank, integer, source FROM ringlog_points FINAL
   WHERE run = 'run' AND metric = 'n')
  ANY LEFT JOIN
  (SELECT source, host FROM ringlog_runs FINAL WHERE run = 'run')
  USING source
GROUP BY host, rank ORDER BY rank"""
MEAN_BY_STEP = """
SELECT step, uniqExact(rank), avg(value) FROM ringlog_points FINAL
WHERE run = 'run' AND metric = 'i' GROUP BY step ORDER BY step"""


class TwoHostsTest(SandboxTest):
    """Beyond one machine."""

    def setUp(self) -> None:
        super().setUp()
        switch = Switch(self.sandbox)
        self.clickhouse = ClickHouse(self.sandbox)
        self.clickhouse.address = "0.0.0.0"
        self.clickhouse.start()
        url = f"clickhouse+http://{switch.address}:{self.clickhouse.port}/default?timeout_s=2"
        self.hosts = []
        for name in HOSTS:
            sandbox = Sandbox()
            self.addCleanup(sandbox.close)
            sandbox.environment["RINGLOG_SINKS"] = url
            self.hosts.append(Host(sandbox, switch, name))

    def train(self, rows: int) -> list:
        """The ranks of the job, started on their hosts."""
        programs = []
        for index, host in enumerate(self.hosts):
            for rank in range(index * RANKS_PER_HOST, (index + 1) * RANKS_PER_HOST):
                programs.append(host.start(
                    helper("rank"), "--ledger", host.sandbox.ledger.path, "--process", str(rank),
                    "--rows", str(rows), "--kinds", "numbers",
                    env={"RINGLOG_RUN_ID": RUN, "RANK": str(rank)}))
        return programs

    def sink(self, host: Host) -> dict:
        """What `ringlog show` says on a host."""
        (sink,) = host.sandbox.json("show", RUN)["sinks"]
        return sink

    def check(self, rows: int) -> None:
        """What one query says of both hosts is what their programs logged."""
        expected = []
        for rank in range(len(HOSTS) * RANKS_PER_HOST):
            total = sum(signed(word_of(rank, 0, index, INTEGER)) for index in range(rows))
            wrapped = (total + 2**63) % 2**64 - 2**63
            expected.append([HOSTS[rank // RANKS_PER_HOST], str(rank), str(rows), str(wrapped)])

        def has_all() -> bool:
            try:
                return self.clickhouse.lines(ROWS_BY_HOST) == expected
            except AssertionError:
                return False  # nobody has made the tables yet

        until(has_all, f"all rows: {expected}")
        ranks = str(len(expected))
        self.assertEqual(self.clickhouse.lines(MEAN_BY_STEP),
                         [[str(step), ranks, str(step)] for step in range(rows)])

    def test_one_query_over_both(self) -> None:
        for program in self.train(ROWS):
            program.finish()
        self.check(ROWS)

    def test_a_host_whose_cable_is_pulled_sends_the_rest_later(self) -> None:
        self.hosts[1].plug(False)
        for program in self.train(ROWS):
            program.finish()
        until(lambda: self.sink(self.hosts[1])["state"] == "retrying", "it sees that")
        self.assertEqual(self.sink(self.hosts[1])["sent"], 0)
        until(lambda: self.sink(self.hosts[0])["lag"] == 0, "the other one does not wait")
        self.hosts[1].plug(True)
        self.check(ROWS)


if __name__ == "__main__":
    REASON = why_not() or ("" if find_program("clickhouse-server") else "no clickhouse-server")
    if REASON:
        print(f"skipped: this needs network and UTS namespaces and ClickHouse: {REASON}")
        sys.exit(77)
    unittest.main()
