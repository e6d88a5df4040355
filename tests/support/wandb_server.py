"""A W&B server small enough for a test: what a client needs of it, on 127.0.0.1 only.

    with Server() as server:
        …                      # WANDB_BASE_URL=server.url
    server.runs["run"].rows("wandb-history.jsonl")

It records every request as it came and keeps what is uploaded: history, events, console and
summary from file_stream, config from UpsertBucket, files from PUT.  Lines that come a second time
must be the same; others are remembered in `server.conflicts`.  `server.manner` may answer in its
place.
Questions it does not know are answered with nulls and remembered in `server.unknown`.
"""

import base64
import dataclasses
import gzip
import http.server
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

ENTITY = "ecosystem"
WAIT_S = 60 * int(os.environ.get("RINGLOG_TEST_SLOWDOWN", "1"))
SUMMARY = "wandb-summary.json"


class Request(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]  # by name in lower case
    body: object             # JSON of a POST, bytes of a PUT

    @property
    def name(self) -> str:
        """Of the GraphQL operation, or what else it is."""
        if self.method == "PUT":
            return "PUT"
        if self.path.endswith("/file_stream"):
            return "file_stream"
        return self.body.get("operationName") or ""

    @property
    def variables(self) -> dict:
        """Of the GraphQL operation."""
        return self.body.get("variables") or {}


class Answer(NamedTuple):
    """What a manner answers; the request is not taken unless it says so."""

    code: int
    document: object = {}
    headers: dict[str, str] = {}
    takes: bool = False


@dataclasses.dataclass
class Run:
    """What was uploaded of one run."""

    lines: dict[str, dict[int, str]] = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)
    variables: dict = dataclasses.field(default_factory=dict)
    uploaded: list[str] = dataclasses.field(default_factory=list)
    exit_code: int | None = None

    def rows(self, name: str) -> list[dict]:
        """The rows of a stream such as wandb-history.jsonl."""
        return [json.loads(line) for line in self.text(name)]

    def history(self) -> list[dict]:
        """The rows that were logged."""
        return self.rows("wandb-history.jsonl")

    def summary(self) -> dict:
        """The newest one."""
        return self.rows(SUMMARY)[-1]

    def text(self, name: str) -> list[str]:
        """The lines of a stream such as output.log, which must have no gap."""
        lines = self.lines.get(name, {})
        if sorted(lines) != list(range(min(lines, default=0), min(lines, default=0) + len(lines))):
            raise AssertionError(f"{name} has the lines {sorted(lines)}")
        return [lines[i] for i in sorted(lines)]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""

    def body(self) -> bytes:
        """The request's body, unpacked."""
        owner = self.server.owner
        size = int(self.headers.get("Content-Length") or 0)
        pieces = []
        while size > 0:
            pieces.append(self.rfile.read(min(size, owner.bytes_per_read or size)))
            if not pieces[-1]:
                raise ConnectionAbortedError
            size -= len(pieces[-1])
            if owner.bytes_per_read:
                owner.is_over.wait(0.1)
        data = b"".join(pieces)
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def answer(self, document: object, code: int = 200,
               headers: dict[str, str] | None = None) -> None:
        """Sends JSON."""
        data = json.dumps(document).encode()
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def received(self) -> Request:
        """What came."""
        body = self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers,
                       body if self.command == "PUT" else json.loads(body or b"{}"))

    def serve(self) -> None:
        """Records the request, takes it and answers."""
        request = self.received()
        owner = self.server.owner
        manner = owner.manner(request)
        with owner.changed:
            owner.requests.append(request)
            document = {}
            if manner is None or manner.takes:
                document = owner.take(request)
            owner.changed.notify_all()
        if manner is None:
            self.answer(document, headers=owner.headers)
        else:
            self.answer(manner.document, manner.code, manner.headers)

    do_PUT = do_GET = do_POST = serve


class HttpServer(http.server.ThreadingHTTPServer):
    """A client that goes away is no error."""

    daemon_threads = True

    def server_bind(self) -> None:
        """What is not read soon stays with who sends it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """The server and what it was told."""

    def __init__(self, files_url: str = "") -> None:
        self.changed = threading.Condition()
        self.runs: dict[str, Run] = {}
        self.files: dict[str, bytes] = {}  # by name
        self.requests: list[Request] = []
        self.conflicts: list[str] = []
        self.unknown: list[str] = []
        self.upload_headers: list[str] = []
        self.headers: dict[str, str] = {}  # of every answer
        self.is_stopping = False           # every file_stream is told to stop
        self.bytes_per_read = 0            # of a body, ten times a second; 0: all
        self.is_over = threading.Event()
        self.manner: Callable[[Request], Answer | None] = lambda request: None
        self.http = HttpServer(("127.0.0.1", 0), Handler)
        self.http.owner = self
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.files_url = files_url or self.url
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    def __enter__(self) -> "Server":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def wait_for(self, condition: Callable[[], object], what: str,
                 timeout_s: float = WAIT_S) -> None:
        """Waits until what came makes the condition true."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout_s):
                raise AssertionError(f"waited {timeout_s} s in vain: {what}; {self.names()}")

    def names(self) -> list[str]:
        """Of the requests so far."""
        return [request.name for request in self.requests]

    def streams(self) -> list[dict]:
        """Bodies of the file_stream requests so far."""
        return [request.body for request in self.requests if request.name == "file_stream"]

    def take(self, request: Request) -> dict:
        """The document of the answer."""
        if request.name == "PUT":
            self.files[request.path.partition("/put/")[2].partition("/")[2]] = request.body
            return {}
        if request.name == "file_stream":
            self.add_rows(request.path.split("/")[-2], request.body)
            return {"stopped": True} if self.is_stopping else {}
        return {"data": self.graphql(request.body)} if request.method == "POST" else {}

    def run(self, name: str) -> Run:
        """The run of that id."""
        return self.runs.setdefault(name, Run())

    def add_rows(self, name: str, request: dict) -> None:
        """One file_stream request."""
        run = self.run(name)
        for file, part in (request.get("files") or {}).items():
            lines = run.lines.setdefault(file, {})
            for i, line in enumerate(part["content"]):
                before = lines.setdefault(part["offset"] + i, line)
                if before == line:
                    continue
                lines[part["offset"] + i] = line
                if file != SUMMARY:
                    self.conflicts.append(f"{file} {part['offset'] + i}: {before} | {line}")
        run.uploaded += request.get("uploaded") or []
        if request.get("complete"):
            run.exit_code = request.get("exitcode")

    def graphql(self, request: dict) -> dict:
        """The data of an answer."""
        query, variables = request.get("query", ""), request.get("variables") or {}
        name = request.get("operationName") or query.split("(")[0].split("{")[0].strip()
        if "upsertBucket" in query:
            return self.upsert(variables)
        if "createRunFiles" in query:
            return {"createRunFiles": {
                "runID": base64.b64encode(variables["run"].encode()).decode(),
                "uploadHeaders": self.upload_headers,
                "files": [{"name": file, "uploadUrl": f"{self.files_url}/put/{i}/{file}"}
                          for i, file in enumerate(variables["files"])]}}
        if "notifyScriptableRunAlert" in query:
            return {"notifyScriptableRunAlert": {"success": True}}
        if name == "RunResumeStatus":
            return {"model": {"bucket": self.counts(variables["name"])}}
        if "viewer" in query:
            return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "flags": "{}",
                               "admin": False, "email": "nobody@example.org", "name": ENTITY,
                               "teams": {"edges": []}}}
        if "serverInfo" in query:
            return {"serverInfo": {"features": []}}
        self.unknown.append(name)
        return {"model": {"bucket": None}, "project": None, "entity": None}

    def counts(self, name: str) -> dict | None:
        """How much of a run there is."""
        if name not in self.runs:
            return None
        lines = self.runs[name].lines
        return {"id": "1", "name": name,
                "historyLineCount": len(lines.get("wandb-history.jsonl", {})),
                "eventsLineCount": len(lines.get("wandb-events.jsonl", {})),
                "logLineCount": len(lines.get("output.log", {}))}

    def upsert(self, variables: dict) -> dict:
        """A run is created or changed."""
        is_new = variables["name"] not in self.runs
        run = self.run(variables["name"])
        run.variables.update({k: v for k, v in variables.items() if v is not None})
        if variables.get("config"):
            run.config = json.loads(variables["config"])
        return {"upsertBucket": {"inserted": is_new, "bucket": {
            "id": base64.b64encode(variables["name"].encode()).decode(), "name": variables["name"],
            "displayName": variables.get("displayName") or variables["name"],
            "description": None, "config": "{}", "sweepName": None,
            "historyLineCount": len(run.lines.get("wandb-history.jsonl", {})),
            "project": {"id": "1", "name": variables.get("project"),
                        "entity": {"id": "1", "name": variables.get("entity") or ENTITY}}}}}
