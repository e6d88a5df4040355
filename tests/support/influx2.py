"""Influx2: the part of InfluxDB 2's HTTP interface that takes rows, for tests.

Debian has no package of InfluxDB 2.  This answers /api/v2/write, and /write as 2.x does for clients
of 1.x, with the statuses and bodies of its reference: a token is needed, a bucket must be there, a
line that cannot be read refuses its request.
"""

import gzip
import http.server
import json
import re
import threading
import urllib.parse

from sandbox import Sandbox

# measurement,tag=value field=value[,field=value…] time
LINE = re.compile(r"ringlog((?:,(?:[^ =,]|\\.)+=(?:[^ ,]|\\.)+)*) (\S.*) (\d+)")
FIELD = re.compile(r'((?:[^=,\\]|\\.)+)=("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')


def read_line(line: str) -> tuple[tuple, dict[str, str]]:
    """What makes a line one point, and its fields as text."""
    found = LINE.fullmatch(line)
    if not found:
        raise ValueError(f"unable to parse '{line[:100]}'")
    fields = {name: value for name, value in FIELD.findall(found[2])}
    return (found[1], found[3]), fields


class Influx2:
    """Listens on 127.0.0.1 until the sandbox is closed."""

    def __init__(self, sandbox: Sandbox, token: str, bucket: str) -> None:
        self.token, self.bucket = token, bucket
        self.points: dict[tuple, dict[str, str]] = {}
        self.paths: list[str] = []
        self.failures: list[tuple[int, str, str]] = []  # of the next requests: status, code, words
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Takes rows."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status, code, words = server.take(self.path, self.headers, body.decode())
                answer = json.dumps({"code": code, "message": words}).encode() if code else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        sandbox.undo(self._end)

    def _end(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def url(self, bucket: str | None = None) -> str:
        """For RINGLOG_SINKS."""
        return f"influx+http://127.0.0.1:{self.port}/?org=lab&bucket={bucket or self.bucket}"

    def url_of_1(self) -> str:
        """The same for clients of InfluxDB 1."""
        return f"influx+http://127.0.0.1:{self.port}/{self.bucket}"

    def take(self, path: str, headers, body: str) -> tuple[int, str, str]:
        """Status, code and words of the answer to a request."""
        parts = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        self.paths.append(parts.path)
        if headers.get("Authorization") != f"Token {self.token}":
            return 401, "unauthorized", "unauthorized access"
        if self.failures:
            return self.failures.pop(0)
        bucket = query.get("bucket") if parts.path == "/api/v2/write" else query.get("db")
        if parts.path not in ("/api/v2/write", "/write"):
            return 404, "not found", "path not found"
        if bucket != self.bucket:
            return 404, "not found", f'bucket "{bucket}" not found'
        try:
            points = [read_line(line) for line in body.splitlines()]
        except ValueError as error:
            return 400, "invalid", str(error)
        for key, fields in points:
            self.points.setdefault(key, {}).update(fields)
        return 204, "", ""
