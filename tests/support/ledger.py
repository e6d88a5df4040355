"""The ledger of tests/e2e/ledger.h: how far each test process came, whatever killed it."""

import dataclasses
import mmap
import struct
from pathlib import Path

PROCESSES_MAX = 1024
THREADS_MAX = 31
HEADER_SIZE = 64
PROCESS_SIZE = 64 + 16 * THREADS_MAX

HAS_RUN = 1
IS_DISABLED = 2
IS_CHILD = 4
HAS_FINISHED = 8


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one process wrote about itself."""

    pid: int
    flags: int
    rank: int
    attempt: int
    longest_log_ns: int
    begun: list[int]
    committed: list[int]


class Ledger:
    """Creates the file and reads it while others write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "wb") as file:
            file.truncate(HEADER_SIZE + PROCESSES_MAX * PROCESS_SIZE)
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def close(self) -> None:
        """Unmaps the file."""
        self._map.close()

    def stop(self) -> None:
        """Tells everybody who logs without end to finish."""
        struct.pack_into("<Q", self._map, 0, 1)

    def reserve(self, count: int) -> None:
        """Keeps the first `count` entries for processes that are told their number."""
        struct.pack_into("<Q", self._map, 8, count)

    @property
    def process_count(self) -> int:
        """Entries given away so far."""
        return min(struct.unpack_from("<Q", self._map, 8)[0], PROCESSES_MAX)

    def entry(self, process: int) -> Entry:
        """A copy of one process's entry."""
        at = HEADER_SIZE + process * PROCESS_SIZE
        pid, flags, rank, attempt, longest = struct.unpack_from("<QQqqQ", self._map, at)
        words = struct.unpack_from(f"<{2 * THREADS_MAX}Q", self._map, at + 64)
        return Entry(pid, flags, rank, attempt, longest, list(words[::2]), list(words[1::2]))

    def committed(self, process: int) -> int:
        """Rows the process has committed, all threads together."""
        return sum(self.entry(process).committed)
