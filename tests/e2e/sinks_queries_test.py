"""The queries of docs/sinks.md, as they stand there, against a real ClickHouse and a real run.

What they answer is compared with what the rows of `ringlog export` say.
"""

import json
import math
import re
import unittest
from collections.abc import Callable
from decimal import Decimal

from engines import ClickHouse, needs_program
from sandbox import SOURCE, SandboxTest, until
from script import Script

RANKS = 3
STEPS = 20
RATES = {"r1": 0.5, "r2": 0.25, "r3": 0.125}
Answer = list[list[str]]


def questions() -> dict[str, list[str]]:
    """The queries of the page by the sentence that stands before them."""
    page = (SOURCE / "docs" / "sinks.md").read_text().partition("\n## ClickHouse\n")[2]
    found: dict[str, list[str]] = {}
    title = ""
    for text, query in re.findall(r"(.*?)\n```sql\n(.*?)\n```", page, re.DOTALL):
        title = text.strip().rpartition("\n\n")[2].rstrip(":") or title
        found.setdefault(title, []).append(query)
    return found


def number(text: str) -> float:
    """A number of an answer."""
    return float(text)


@needs_program("clickhouse-server")
class SinksQueriesTest(SandboxTest):
    """docs/sinks.md, ClickHouse."""

    def setUp(self) -> None:
        super().setUp()
        self.clickhouse = ClickHouse(self.sandbox)
        self.clickhouse.start()
        self.sandbox.environment |= {"RINGLOG_SINKS": self.clickhouse.url(),
                                     "RINGLOG_PROJECT": "demo"}

    # A project of three runs; r1 has three ranks, of which one comes twice.

    def train(self, run: str, rank: int, steps: range, factor: float) -> Script:
        """A process that logs one step after another, and goes on."""
        script = Script(self.sandbox, run, RANK=str(rank))
        script.do(f"config lr=f:{RATES[run]}")
        for step in steps:
            loss = factor * (1 + (7 * step + 3 * rank) % 11)
            if run == "r1" and (rank, step) in ((0, 4), (0, 9)):
                loss = math.nan
            if run == "r1" and (rank, step) == (2, 6):
                loss = -math.inf
            script.do(f"log loss=f:{loss} n=i:{step} step={step}")
        return script

    def log_everything(self) -> Script:
        """All runs have ended but r3, whose process is returned."""
        first = self.train("r1", 1, range(STEPS // 2), 1.0)
        first.program.kill()
        # In turn, so that it is known who logs a step last.
        ranks = [Script(self.sandbox, "r1", RANK=str(rank)) for rank in range(RANKS)]
        for script in ranks:
            script.do(f"config lr=f:{RATES['r1']}")
        ranks[0].do("alert slow disk 1", None)
        for step in range(STEPS):
            for rank in sorted(range(RANKS), key=lambda rank: (rank + step * step) % RANKS):
                loss = str(2.0 * (1 + (7 * step + 3 * rank) % 11))
                if (rank, step) in ((0, 4), (0, 9)):
                    loss = "nan"
                if (rank, step) == (2, 6):
                    loss = "-inf"
                ranks[rank].do(f"log loss=f:{loss} step={step}")
        for rank, script in enumerate(ranks):
            script.finish(3 if rank == 2 else 0)
        self.sandbox.ringlog("--dir", self.sandbox.root, "exec", "--", "sh", "-c",
                             "echo one; echo two",
                             env={"RINGLOG_RUN_ID": "r1", "RANK": "0"})
        self.train("r2", 0, range(STEPS), 0.75).finish()
        return self.train("r3", 0, range(STEPS), 1.25)

    def wait_until_sent(self) -> None:
        """Everything of all runs is at the server."""
        for run in RATES:
            rows = sum(1 for row in self.rows[run])
            until(lambda run=run, rows=rows: [sink["sent"] for sink in self.sandbox.json(
                "show", run)["sinks"]] == [rows], f"{run} is sent")
        ended = "SELECT count() FROM ringlog_ranks FINAL WHERE state != 'running'"
        until(lambda: int(self.clickhouse.lines(ended)[0][0]) >= RANKS + 3, "the ends are sent")
        until(lambda: len(self.clickhouse.lines("SELECT * FROM ringlog_config FINAL")) == 3,
              "the configs are sent")

    def read_rows(self) -> None:
        """The rows of the exports, with exact times."""
        self.rows: dict[str, list[dict]] = {}
        for run in RATES:
            self.rows[run] = [json.loads(line, parse_float=Decimal)
                              for line in self.sandbox.lines(run)]
            for row in self.rows[run]:
                if "loss" in row:
                    row["loss"] = float(row["loss"])

    def losses(self, run: str = "r1", rank: int | None = None) -> list[dict]:
        """The rows that have the metric."""
        return [row for row in self.rows[run]
                if "loss" in row and rank in (None, row["_rank"])]

    def by_step(self, rows: list[dict]) -> dict[int, list[dict]]:
        """Rows of each step."""
        steps: dict[int, list[dict]] = {}
        for row in rows:
            steps.setdefault(row["_step"], []).append(row)
        return steps

    def assert_numbers(self, answer: Answer, expected: list[tuple]) -> None:
        """An answer of numbers, NaN equal to itself."""
        found = [tuple(map(number, line)) for line in answer]
        self.assertEqual(repr(found), repr([tuple(map(float, line)) for line in expected]))

    # One method for each question, which gets its answers.

    def check_loss_curve(self, answer: Answer) -> None:
        rows = sorted(self.losses(rank=0), key=lambda row: (row["_attempt"], row["_step"]))
        self.assertEqual(len(rows), STEPS)
        self.assert_numbers(answer, [(row["_step"], row["loss"]) for row in rows])

    def check_newest_attempt(self, answer: Answer) -> None:
        self.assert_numbers(answer, [
            (step, max(rows, key=lambda row: row["_attempt"])["loss"])
            for step, rows in sorted(self.by_step(self.losses(rank=0)).items())])

    def check_spread(self, answer: Answer) -> None:
        """Ties may stand in any order; NaN and infinities make spreads that are no numbers."""
        rows = self.by_step(self.losses())
        widths = {}
        for step, items in rows.items():
            values = [row["loss"] for row in items]
            if all(map(math.isfinite, values)):
                widths[step] = max(values) - min(values)
        found = {int(step): (number(spread), int(rank)) for step, spread, rank in answer}
        self.assertEqual(len(found), 10)
        for step, (spread, rank) in found.items():
            if step in widths:
                highest = max(row["loss"] for row in rows[step])
                self.assertEqual(spread, widths[step])
                self.assertIn(rank, [row["_rank"] for row in rows[step]
                                     if row["loss"] == highest])
        listed = [found[step][0] for step in found if step in widths]
        self.assertGreater(len(listed), 5)
        self.assertEqual(sorted(widths.values(), reverse=True)[:len(listed)],
                         sorted(listed, reverse=True))

    def check_slowest(self, answer: Answer) -> None:
        counts: dict[int, int] = {}
        for rows in self.by_step(self.losses()).values():
            last = max(rows, key=lambda row: row["_timestamp"])["_rank"]
            counts[last] = counts.get(last, 0) + 1
        self.assertEqual({int(rank): int(count) for rank, count in answer}, counts)
        self.assertEqual([int(count) for _, count in answer],
                         sorted(counts.values(), reverse=True))

    def check_last_values(self, answer: Answer) -> None:
        expected = {run: max(self.losses(run), key=lambda row: row["_timestamp"])["loss"]
                    for run in RATES}
        self.assertEqual({run: number(last) for run, last in answer}, expected)
        self.assertEqual([number(last) for _, last in answer], sorted(expected.values()))

    def check_best_runs(self, answer: Answer) -> None:
        best = {run: min(row["loss"] for row in self.losses(run) if not math.isnan(row["loss"]))
                for run in RATES}
        self.assertEqual([(run, number(value), number(lr)) for run, value, lr in answer],
                         [(run, best[run], RATES[run]) for run in sorted(best, key=best.get)])

    def check_first_nan(self, answer: Answer) -> None:
        first: dict[int, int] = {}
        for row in self.losses():
            if not math.isfinite(row["loss"]):
                first[row["_rank"]] = min(row["_step"], first.get(row["_rank"], row["_step"]))
        self.assertEqual(first, {0: 4, 2: 6})
        self.assertEqual({int(rank): int(step) for rank, step in answer}, first)

    def check_rates(self, answer: Answer) -> None:
        self.assertEqual([int(rank) for rank, _ in answer], list(range(RANKS)))
        for rank, rate in answer:
            times = [row["_timestamp"] for row in self.losses(rank=int(rank))]
            expected = (len(times) - 1) / float(max(times) - min(times))
            self.assertTrue(math.isclose(number(rate), expected, rel_tol=1e-9), (rate, expected))

    def check_what_runs(self, running: Answer, ended: Answer) -> None:
        host = self.sandbox.json("show", "r3")["host"]
        self.assertEqual(running, [["demo", "r3", host]])
        producers = [p for p in self.sandbox.producers("r1") if p["worker"] == 0]
        expected = sorted((p["rank"], p["attempt"], p["state"], p["exit_code"], p["signal"])
                          for p in producers)
        found = sorted((int(rank), int(attempt), state, int(code), int(number))
                       for rank, attempt, state, code, number, _ in ended)
        for one in expected:
            self.assertIn(one, found)
        self.assertIn((1, 0, "crashed"), [one[:3] for one in found])
        self.assertIn((2, 0, "failed", 3, 0), found)

    def check_console_and_alerts(self, console: Answer, alerts: Answer) -> None:
        self.assertEqual("".join(line for (line,) in console), r"one\ntwo\n")
        ((run, rank, *_, name, text),) = alerts
        self.assertEqual((run, rank, name, text), ("r1", "0", "slow", "disk"))

    def test_every_question_of_the_page(self) -> None:
        checks: dict[str, Callable[..., None]] = {
            "A loss curve": self.check_loss_curve,
            "The same where a later attempt replaces the steps it did again":
                self.check_newest_attempt,
            "The spread over ranks, the steps with the widest first": self.check_spread,
            "The slowest rank: who logs a step last, and how often": self.check_slowest,
            "The last value of each run of a project": self.check_last_values,
            "The best runs and what they were made with": self.check_best_runs,
            "The first NaN or infinity of each rank": self.check_first_nan,
            "Rows a second of each rank": self.check_rates,
            "What runs, and how the processes of a run ended": self.check_what_runs,
            "What a rank printed, and the alerts of a day": self.check_console_and_alerts,
        }
        asked = questions()
        self.assertEqual(list(asked), list(checks))
        running = self.log_everything()
        until(lambda: len(list(self.sandbox.lines("r3"))) == STEPS, "all is stored")
        self.read_rows()
        self.wait_until_sent()
        for title, queries in asked.items():
            with self.subTest(title):
                checks[title](*[self.clickhouse.lines(query) for query in queries])
        running.finish()


if __name__ == "__main__":
    unittest.main()
