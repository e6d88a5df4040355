"""A W&B server small enough for a test: what `wandb sync` needs, on 127.0.0.1 only.

    with Server() as server:
        …                      # WANDB_BASE_URL=server.url
    server.runs["entity/project/run"].history

It keeps what is uploaded: history, events, console and summary from file_stream, config from
UpsertBucket, files from PUT.  Questions it does not know are answered with nulls and remembered in
`server.unknown`.
"""

import base64
import dataclasses
import gzip
import http.server
import json
import sys
import threading

ENTITY = "ecosystem"


@dataclasses.dataclass
class Run:
    """What was uploaded of one run."""

    lines: dict[str, dict[int, str]] = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)
    variables: dict = dataclasses.field(default_factory=dict)
    exit_code: int | None = None

    def rows(self, name: str) -> list[dict]:
        """The rows of a stream such as wandb-history.jsonl."""
        lines = self.lines.get(name, {})
        return [json.loads(lines[i]) for i in sorted(lines)]

    def text(self, name: str) -> list[str]:
        """The lines of a stream such as output.log."""
        lines = self.lines.get(name, {})
        return [lines[i] for i in sorted(lines)]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""

    def body(self) -> bytes:
        """The request's body, unpacked."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def answer(self, document: object, code: int = 200) -> None:
        """Sends JSON."""
        data = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self) -> None:
        """A file; its bytes are counted and forgotten."""
        self.server.owner.files[self.path] = self.body()
        self.answer({})

    def do_GET(self) -> None:
        """Nothing is asked for that way."""
        self.answer({})

    def do_POST(self) -> None:
        """A question in GraphQL, or rows."""
        request = json.loads(self.body() or b"{}")
        owner = self.server.owner
        with owner.lock:
            if self.path.endswith("/file_stream"):
                owner.add_rows(self.path.split("/")[-2], request)
                self.answer({})
            else:
                self.answer({"data": owner.graphql(request)})


class HttpServer(http.server.ThreadingHTTPServer):
    """A client that goes away is no error."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Server:
    """The server and what it was told."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs: dict[str, Run] = {}
        self.files: dict[str, bytes] = {}
        self.unknown: list[str] = []
        self.http = HttpServer(("127.0.0.1", 0), Handler)
        self.http.owner = self
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)

    def __enter__(self) -> "Server":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def run(self, name: str) -> Run:
        """The run of that id."""
        return self.runs.setdefault(name, Run())

    def add_rows(self, name: str, request: dict) -> None:
        """One file_stream request."""
        run = self.run(name)
        for file, part in (request.get("files") or {}).items():
            lines = run.lines.setdefault(file, {})
            for i, line in enumerate(part["content"]):
                lines[part["offset"] + i] = line
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
                "runID": base64.b64encode(variables["run"].encode()).decode(), "uploadHeaders": [],
                "files": [{"name": file, "uploadUrl": f"{self.url}/put/{i}/{file}"}
                          for i, file in enumerate(variables["files"])]}}
        if "viewer" in query:
            return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "flags": "{}",
                               "admin": False, "email": "nobody@example.org", "name": ENTITY,
                               "teams": {"edges": []}}}
        if "serverInfo" in query:
            return {"serverInfo": {"features": []}}
        self.unknown.append(name)
        return {"model": {"bucket": None}, "project": None, "entity": None}

    def upsert(self, variables: dict) -> dict:
        """A run is created or changed."""
        run = self.run(variables["name"])
        run.variables.update({k: v for k, v in variables.items() if v is not None})
        if variables.get("config"):
            run.config = json.loads(variables["config"])
        return {"upsertBucket": {"inserted": True, "bucket": {
            "id": base64.b64encode(variables["name"].encode()).decode(), "name": variables["name"],
            "displayName": variables.get("displayName") or variables["name"],
            "description": None, "config": "{}", "sweepName": None, "historyLineCount": 0,
            "project": {"id": "1", "name": variables.get("project"),
                        "entity": {"id": "1", "name": ENTITY}}}}}
