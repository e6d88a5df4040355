"""The memory of the service under the load of 64 ranks: bounded, and flat however long they log."""

import re
import unittest
from pathlib import Path

from rude_server import RudeServer, hang
from sandbox import SLOWDOWN, SOURCE, SandboxTest, until

RANKS = 64
# Rows after which the rings, the batches and LevelDB's buffers have been full many times, and rows
# at the end.
WARM_ROWS = 8_000_000 // SLOWDOWN
END_ROWS = 24_000_000 // SLOWDOWN
# What the allocator may still add; four bytes that leak for each row are more.
GROWTH_MAX = 64 << 20
# Rows that wait for a sink that hangs: a gigabyte where it takes them.
SINK_ROWS = 3_000_000 // SLOWDOWN
# The batch of a sink (kEngineBatchBytes), its reader, and what the allocator makes of both.
SINK_MEMORY_MAX = 48 << 20


def limit(name: str) -> int:
    """A limit of daemon/limits.h, in bytes."""
    text = (SOURCE / "daemon" / "limits.h").read_text()
    count, shift = re.search(rf"{name} = size_t{{(\d+)}} << (\d+);", text).groups()
    return int(count) << int(shift)


def own_memory(pid: int) -> int:
    """Bytes that only this process has: not its program, nor table files it has mapped, nor the
    rings, which are the ranks'."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Pss_Anon: +(\d+) kB", text)[1]) << 10


class MemoryTest(SandboxTest):
    """Issue 4: the memory of the service is flat while 64 ranks log."""

    watchdog_s = 280

    def peak_until(self, rows: int) -> int:
        """The most that the service takes until the ranks together have committed so many."""
        service = self.sandbox.service()
        peak = 0

        def is_there() -> bool:
            nonlocal peak
            peak = max(peak, own_memory(service))
            return sum(self.sandbox.ledger.committed(i) for i in range(RANKS)) >= rows

        until(is_there, f"{rows} rows", self.watchdog_s * SLOWDOWN)
        return peak

    def test_the_service_stays_as_it_is_while_64_ranks_log(self) -> None:
        """They log faster than it can store, so all that it may keep in memory is full."""
        ranks = [self.sandbox.rank(i, env={"RINGLOG_FULL_RING_WAIT_MS": "120000"})
                 for i in range(RANKS)]
        for rank in ranks:
            rank.expect("logging")
        warm = self.peak_until(WARM_ROWS)
        end = self.peak_until(END_ROWS)
        self.sandbox.ledger.stop()
        attempted = 0
        for rank in ranks:
            report = rank.finish()
            self.assertEqual((report["stored"], report["dropped"]), (report["attempted"], 0))
            attempted += report["attempted"]
        self.assertGreaterEqual(attempted, END_ROWS)
        if SLOWDOWN == 1:  # a sanitizer has a shadow, which grows with all that was touched
            self.assertLess(end - warm, GROWTH_MAX, f"{warm >> 20} MiB, then {end >> 20} MiB")
            self.assertLess(max(warm, end), limit("kRunMemoryMax"))
        # However many rows there are, the ledger of losses is read in bounded memory too.
        self.assertTrue(self.sandbox.verify()["ok"])

    def test_a_sink_that_hangs_costs_no_memory(self) -> None:
        """Beyond one batch of it, however many rows wait for it."""
        server = RudeServer(self.sandbox)
        server.usual = hang
        peaks = {}
        for name, sinks in (("none", ""), ("hanging", server.url())):
            rank = self.sandbox.rank(0, run=name, rows=SINK_ROWS, env={
                "RINGLOG_SINKS": sinks, "RINGLOG_FULL_RING_WAIT_MS": "120000"})
            rank.expect("logging")
            service = self.sandbox.service()
            peaks[name] = 0
            while self.sandbox.ledger.committed(0) < SINK_ROWS:
                peaks[name] = max(peaks[name], own_memory(service))
            report = rank.finish()
            self.assertEqual((report["stored"], report["dropped"]), (SINK_ROWS, 0))
            peaks[name] = max(peaks[name], own_memory(service))
            self.sandbox.ringlog("service", "stop")
        self.assertTrue(server.requests)
        self.assertLess(peaks["hanging"] - peaks["none"], SINK_MEMORY_MAX,
                        {name: peak >> 20 for name, peak in peaks.items()})


if __name__ == "__main__":
    unittest.main()
