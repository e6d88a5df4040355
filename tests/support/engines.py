"""Real database servers for tests, on loopback, and what they and their stand-ins are asked.

The programs come from Debian's packages: scripts/test unpacks them and names their folder in
RINGLOG_SERVERS_DIR.  Without them the tests that need them are skipped, unless RINGLOG_NEED_SERVERS
is set, as scripts/test does.
"""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sandbox import Sandbox, die_with_parent, until

SERVERS = Path(os.environ.get("RINGLOG_SERVERS_DIR", "/nonexistent"))


def find_program(name: str) -> str | None:
    """The path of a server's program."""
    folders = [str(SERVERS / folder) for folder in ("usr/bin", "usr/sbin")]
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ["PATH"], "/usr/sbin"]))


def needs_program(name: str):
    """Skips a test, or fails it, where a server is not there."""
    is_needed = bool(os.environ.get("RINGLOG_NEED_SERVERS"))
    return unittest.skipUnless(is_needed or find_program(name), f"needs {name}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Engine:
    """A server that is started, killed and started again on the same port and files."""

    program = ""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.port = free_port()
        self.folder = sandbox.scratch / self.program
        self.folder.mkdir()
        self.process: subprocess.Popen | None = None
        sandbox.undo(self.kill)

    def argv(self) -> list[str]:
        """The command line, without the program."""
        raise NotImplementedError

    def ping(self) -> None:
        """Raises OSError while the server does not answer."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts it and waits until it answers."""
        program = find_program(self.program)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([program, *self.argv()], cwd=self.folder, stdout=log,
                                            stderr=log, preexec_fn=die_with_parent)

        def is_up() -> bool:
            if self.process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text(errors="replace")[-4000:])
            try:
                self.ping()
            except OSError:
                return False
            return True

        until(is_up, f"{self.program} answers")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Ends it, and waits for that."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def post(self, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """What the server answers to a POST."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{target}", data=body,
                                         headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{target}: {error.code} {error.read()[:500]!r}") from error


class Point(NamedTuple):
    """A row of ringlog_points."""

    project: str
    run: str
    metric: str
    rank: int
    attempt: int
    seq: int
    step: int
    time_ns: int
    bits: int
    type: int
    integer: int
    text: str
    source: int

    def key(self) -> tuple:
        """What makes it one point, however often it was sent."""
        return (self.project, self.run, self.metric, self.rank, self.attempt, self.seq, self.source)


POINT_COLUMNS = ("project, run, metric, rank, attempt, seq, step, time_ns, value, type, integer, "
                 "text, source")


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """A String of RowBinary and where it ends."""
    size = shift = 0
    while True:
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return data[at:at + size].decode(), at + size


def read_points(data: bytes) -> Iterator[Point]:
    """Rows of POINT_COLUMNS in the format RowBinary."""
    at = 0
    while at < len(data):
        project, at = read_text(data, at)
        run, at = read_text(data, at)
        metric, at = read_text(data, at)
        numbers = struct.unpack_from("<iiQQqQbq", data, at)
        at += struct.calcsize("<iiQQqQbq")
        text, at = read_text(data, at)
        (source,) = struct.unpack_from("<Q", data, at)
        at += 8
        yield Point(project, run, metric, *numbers, text, source)


CLICKHOUSE_CONFIG = """<yandex>
<logger><level>warning</level><console>1</console></logger>
<http_port>{port}</http_port><tcp_port>{tcp_port}</tcp_port><listen_host>{address}</listen_host>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
<users_config>{folder}/users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database>
<mark_cache_size>67108864</mark_cache_size>
</yandex>"""
CLICKHOUSE_USERS = """<yandex><profiles><default/></profiles><users>
<default><password></password><networks><ip>::/0</ip></networks>
<profile>default</profile><quota>default</quota></default>
<trainer><password>open sesame</password><networks><ip>::/0</ip></networks>
<profile>default</profile><quota>default</quota></trainer>
</users><quotas><default/></quotas></yandex>"""


class ClickHouse(Engine):
    """clickhouse-server."""

    program = "clickhouse-server"
    address = "127.0.0.1"  # that it listens on; 0.0.0.0: all

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.tcp_port = free_port()  # of its own client

    def argv(self) -> list[str]:
        for name, text in (("config", CLICKHOUSE_CONFIG), ("users", CLICKHOUSE_USERS)):
            filled = text.format(port=self.port, folder=self.folder, address=self.address,
                                 tcp_port=self.tcp_port)
            (self.folder / f"{name}.xml").write_text(filled)
        return [f"--config-file={self.folder}/config.xml"]

    def ping(self) -> None:
        self.query("SELECT 1")

    def url(self, user: str = "") -> str:
        """For RINGLOG_SINKS."""
        return f"clickhouse+http://{user}{'@' if user else ''}127.0.0.1:{self.port}/default"

    def query(self, sql: str) -> bytes:
        """What a query answers."""
        return self.post("/?" + urllib.parse.urlencode({"query": sql}))

    def lines(self, sql: str) -> list[list[str]]:
        """The rows of a query, as text."""
        return [line.split("\t") for line in self.query(sql).decode().splitlines()]

    def points(self, where: str = "1") -> list[Point]:
        """All points once."""
        return list(read_points(self.query(
            f"SELECT {POINT_COLUMNS} FROM ringlog_points FINAL WHERE {where} FORMAT RowBinary")))


class InfluxDb(Engine):
    """influxd."""

    program = "influxd"

    def argv(self) -> list[str]:
        (self.folder / "config").write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
            f'[meta]\ndir = "{self.folder}/meta"\n'
            f'[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\n'
            f'[http]\nbind-address = "127.0.0.1:{self.port}"\nmax-row-limit = 0\n')
        return ["-config", str(self.folder / "config")]

    def ping(self) -> None:
        self.query("SHOW DATABASES")

    def url(self) -> str:
        """For RINGLOG_SINKS."""
        return f"influx+http://127.0.0.1:{self.port}/metrics"

    def query(self, sql: str) -> list[dict]:
        """The series that a query answers."""
        text = self.post("/query?" + urllib.parse.urlencode(
            {"db": "metrics", "epoch": "ns", "q": sql}))
        # Python would read -0 as the integer 0.
        found = json.loads(text, parse_int=lambda n: -0.0 if n == "-0" else int(n))
        return found["results"][0].get("series", [])


class VictoriaMetrics(Engine):
    """victoria-metrics."""

    program = "victoria-metrics"

    def argv(self) -> list[str]:
        return [f"-httpListenAddr=127.0.0.1:{self.port}", f"-storageDataPath={self.folder}/data",
                "-retentionPeriod=100y", "-memory.allowedBytes=256MB"]

    def ping(self) -> None:
        self.post("/metrics")

    def url(self) -> str:
        """For RINGLOG_SINKS."""
        return f"influx+http://127.0.0.1:{self.port}/metrics"

    def export(self, name: str) -> list[dict]:
        """All samples of the metrics of a name."""
        self.post("/internal/force_flush")
        text = self.post("/api/v1/export", urllib.parse.urlencode(
            {"match[]": f'{{__name__="{name}"}}', "reduce_mem_usage": "1"}).encode(),
            {"Content-Type": "application/x-www-form-urlencoded"})
        return [json.loads(line) for line in text.splitlines()]
