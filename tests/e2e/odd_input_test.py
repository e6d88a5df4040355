"""What programs rarely log, read back exactly through both exports."""

import csv
import io
import json
import math
import unittest

from sandbox import RUN, SandboxTest, helper

INT_MAX = 2**63 - 1
STEP_MAX = 2**64 - 1
NAN = math.nan


def nested(levels: int) -> dict:
    """The row that log_deep() in odd_input.cc logs."""
    value: dict = {"leaf": 1}
    for _ in range(levels - 1):
        value = {"n": value}
    return value


def long_text() -> str:
    """The text that log_large() in odd_input.cc logs."""
    piece = 'abcé\n"\\'
    return piece * -(-10_000_000 // len(piece.encode()))


# The rows of odd_input.cc in their order; None: like the row, but checked elsewhere.
ROWS: list[dict] = [
    {"nan": NAN, "inf": math.inf, "ninf": -math.inf, "nzero": -0.0, "tiny": 5e-324,
     "huge": 1.7976931348623157e308, "third": 1 / 3, "whole": 5.0,
     "single": 0.10000000149011612},
    {"odd": 2**53 + 1, "umax": 2**64 - 1, "imin": -(2**63), "imax": INT_MAX, "yes": True,
     "no": False},
    {},
    {"floats": [1.5, -0.0, NAN], "integers": [1, -2, -(2**63)],
     "mixed": [1, "two", None, True, [3.5, -0.0, NAN], {"k": 1}], "empty_list": [],
     "empty_object": {}, "null": None, "empty_text": ""},
    {"a": {"b": {"c": 1, "d": "x"}}, "a.b": 2, "a.b.c": 3.5},
    nested(16),
    {f"key{i}": i / 3 for i in range(10_000)},
    {"long": long_text()},
    {"line\nbreak": 1, 'quo"te': 2, "back\\slash": 3, "d.o.t": 4, "unit\x1fseparator": 5,
     "record\x1eseparator": 6, "🦔": 7, "tab\tand\x01\x7f": 8, " ": 9, "comma,semi;": 10,
     "nul\0inside": 11, "__rank": 12, "__step": 13, "\u2028": 14},
    {"unit\x1fseparator": {"x\x1fy": 1, "x": {"y": 2}}},
    {"text": "nul\0 \x1b[31m € \x7f"},
    {"m": 1.5},
    {"m": 2},
    {"m": True},
    {"m": "text"},
    {"m": {"x": 1}},
    {"m": None},
    {"again": 3, "other": 0},
    {"again": "last"},
    {"s": 0},
    {"s": 1},
    {"s": 2},
    {"s": 3},
    {"s": 4},
]
# Without a step of their own rows count from 0; then come the explicit ones.
STEPS = [*range(len(ROWS) - 5), 100, 101, 50, 50, STEP_MAX]
# Exact, as text: a float of seconds has too few digits for nanoseconds.
TIMESTAMPS = {-5: "1724325791.123456789", -2: "0.000000001", -1: "-1.5"}
REFUSED = [
    ("bad", "not UTF-8"),
    ("bad", "not UTF-8"),
    ("empty",),
    ("nested deeper than 16",),
    ("kkk", "5000 bytes"),
    ("68157568 bytes", "67108864 are allowed"),
]


def same(found: object, expected: object) -> bool:
    """Equal in type and value, NaN and the sign of zero included."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, float):
        return math.isnan(found) and math.isnan(expected) or (
            found == expected and math.copysign(1, found) == math.copysign(1, expected))
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(same(found[k], expected[k]) for k in found)
    return found == expected


class Exact(float):
    """A JSON number that remembers how it was written."""

    def __new__(cls, text: str) -> "Exact":
        number = super().__new__(cls, text)
        number.text = text
        return number


def flat(value: dict, before: str = "") -> dict[str, object]:
    """Nested objects as the CSV export shows them: names with dots."""
    cells: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            cells |= flat(item, f"{before}{key}.")
        else:
            cells[before + key] = item
    return cells


class OddInputTest(SandboxTest):
    """Issue 2, point 7."""

    def setUp(self) -> None:
        super().setUp()
        done = self.sandbox.run(helper("odd_input"), env={"RINGLOG_RUN_ID": RUN})
        *self.reasons, report = done.stdout.decode(errors="replace").splitlines()
        self.report = json.loads(report)
        self.stderr = done.stderr.decode(errors="replace")

    def test_everything_comes_back(self) -> None:
        """The program's report, then what is refused, then both exports."""
        self.assertEqual(self.report, {"attempted": len(ROWS) + len(REFUSED),
                                       "stored": len(ROWS), "dropped": len(REFUSED)})
        self.check_refusals()
        verified = self.sandbox.verify()
        self.assertTrue(verified["ok"])
        self.assertEqual(verified["producers"][0]["dropped"], len(REFUSED))
        self.check_jsonl(list(self.sandbox.lines()))
        self.check_csv(self.sandbox.ringlog("export", RUN, "--format", "csv").stdout)
        self.check_show()

    def check_refusals(self) -> None:
        """Each refusal has its reason in error(); standard error has the first one only."""
        self.assertEqual(len(self.reasons), len(REFUSED), self.reasons)
        for reason, words in zip(self.reasons, REFUSED):
            self.assert_says(reason, *words)
        self.assertEqual(len(self.stderr.splitlines()), 1, self.stderr)
        self.assert_says(self.stderr, "bad", "not UTF-8")

    def check_jsonl(self, lines: list[bytes]) -> None:
        """Every row with every value, in order."""
        self.assertEqual(len(lines), len(ROWS))
        found = [json.loads(line, parse_float=Exact) for line in lines]
        for number, (row, expected) in enumerate(zip(found, ROWS)):
            with self.subTest(row=number):
                fixed = {key: row.pop(key) for key in ("_rank", "_attempt", "_seq", "_step",
                                                       "_timestamp")}
                self.assertEqual((fixed["_rank"], fixed["_attempt"], fixed["_seq"]),
                                 (0, 0, number))
                self.assertEqual(fixed["_step"], STEPS[number])
                if text := TIMESTAMPS.get(number - len(ROWS)):
                    self.assertEqual(fixed["_timestamp"].text, text)
                plain = json.loads(lines[number])
                metrics = {key: plain[key] for key in row}
                if not same(metrics, expected):
                    differing = {k for k in metrics.keys() | expected.keys()
                                 if k not in metrics or k not in expected
                                 or not same(metrics[k], expected[k])}
                    self.fail(f"{sorted(differing)[:10]}: {str(metrics)[:500]}")

    def check_csv(self, text: bytes) -> None:
        """The same through the other export: one column for each metric that any row has."""
        csv.field_size_limit(1 << 30)
        reader = csv.reader(io.StringIO(text.decode(), newline=""), strict=True)
        header = next(reader)
        table = list(reader)
        self.assertEqual(header[:5], ["_rank", "_attempt", "_seq", "_step", "_timestamp"])
        self.assertEqual(len(table), len(ROWS))
        self.assertEqual(len(header), len(set(header)))
        names: dict[str, list[int]] = {}
        for column, name in enumerate(header):
            names.setdefault(name, []).append(column)
        for number, (cells, expected) in enumerate(zip(table, ROWS)):
            with self.subTest(row=number):
                self.assertEqual(len(cells), len(header))
                self.assertEqual(cells[3], str(STEPS[number]))
                for name, value in flat(expected).items():
                    # Two metrics may look the same with dots: "a.b" is `a\.b` beside b in a.
                    columns = names.get(name, []) + names.get(name.replace(".", "\\."), [])
                    written = [cells[column] for column in columns]
                    self.assertTrue(any(self.is_cell(cell, value) for cell in written),
                                    f"{name!r}: {str(written)[:200]}")

    @staticmethod
    def is_cell(cell: str, value: object) -> bool:
        """Whether a CSV cell stands for the value."""
        if value is None:
            return cell == ""
        if isinstance(value, str):
            return cell == value
        return same(json.loads(cell), value) if cell else False

    def check_show(self) -> None:
        """Config and summary hold what was set and what the rows came to; what was refused is not
        in them."""
        shown = self.sandbox.json("show", RUN)
        self.assertEqual(shown["config"], {"lr": 0.1, "net": {"width": 3, "act": "relu"},
                                           "d.o.t": 1})
        self.assertEqual((shown["summary"]["best"], shown["summary"]["note"]), (0.25, "ok"))
        self.assertEqual(shown["summary"]["s"], 4)
        self.assertEqual(shown["rows"], len(ROWS))
        # And as text for people: no control character of a key or value reaches the terminal.
        page = self.sandbox.ringlog("show", RUN, "--all").stdout.decode()
        self.assertFalse([c for c in page if ord(c) < 32 and c != "\n"])
        tail = self.sandbox.ringlog("tail", RUN, "-n", "30").stdout.decode()
        self.assertEqual(tail.count("\n"), len(ROWS))


if __name__ == "__main__":
    unittest.main()
