"""RudeServer: a server that does to a sink what bad servers and networks do.

It speaks enough of ClickHouse's HTTP interface to take a run: each request is answered by the next
of its `manners`, a list of functions; when they are used up, it behaves.  What it took is in
`points`, as often as it came.
"""

import gzip
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

from engines import Point, read_points
from sandbox import Sandbox


class Request(NamedTuple):
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def table(self) -> str:
        """Where its rows go; empty: it has none."""
        query = urllib.parse.unquote_plus(self.line)
        return query.partition("INSERT INTO ")[2].partition(" ")[0]


# Answers a request, or does something else to the connection.
Manner = Callable[["RudeServer", socket.socket, Request], None]


def answer(status: str, body: bytes = b"", **headers: str) -> Manner:
    """An ordinary answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    message = "\r\n".join([*lines, "", ""]).encode() + body
    return lambda server, connection, request: connection.sendall(message)


def take(server: "RudeServer", connection: socket.socket, request: Request) -> None:
    """Takes the rows and says so."""
    server.keep(request)
    answer("200 OK")(server, connection, request)


def take_and_reset(server: "RudeServer", connection: socket.socket, request: Request) -> None:
    """Takes the rows, and the connection breaks before anybody is told."""
    server.keep(request)
    reset(server, connection, request)


def hang(server: "RudeServer", _connection: socket.socket, _request: Request) -> None:
    """Says nothing until the test ends."""
    server.is_over.wait()


def reset(_server: "RudeServer", connection: socket.socket, _request: Request) -> None:
    """The connection breaks, with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    raise ConnectionAbortedError


def byte_by_byte(server: "RudeServer", connection: socket.socket, _request: Request) -> None:
    """An answer that would take hours."""
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000:
        connection.sendall(bytes([byte]))
        if server.is_over.wait(0.1):
            return


def garbage(_server: "RudeServer", connection: socket.socket, _request: Request) -> None:
    """Something that is no HTTP."""
    connection.sendall(bytes(range(256)) * 16)
    raise ConnectionAbortedError


def endless(server: "RudeServer", connection: socket.socket, _request: Request) -> None:
    """An answer without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not server.is_over.is_set():
        connection.sendall(b"x" * 65536)


class RudeServer:
    """Listens on 127.0.0.1 until the sandbox is closed."""

    def __init__(self, sandbox: Sandbox, *manners: Manner,
                 context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.manners = list(manners)
        self.usual: Manner = take
        self.is_over = threading.Event()
        self.requests: list[Request] = []
        self.points: list[Point] = []
        self._context = context
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()
        sandbox.undo(self._end)

    def url(self, options: str = "", user: str = "") -> str:
        """For RINGLOG_SINKS."""
        scheme = "https" if self._context else "http"
        return f"clickhouse+{scheme}://{user}127.0.0.1:{self.port}/default{options}"

    def keep(self, request: Request) -> None:
        """Remembers the rows of a request."""
        if request.table == "ringlog_points":
            body = request.body
            if request.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            points = list(read_points(body))
            with self._lock:
                self.points += points

    def steps(self, rank: int = 0) -> list[int]:
        """The steps of a rank that were taken, those taken twice once."""
        with self._lock:
            keys = {point.key(): point.step for point in self.points}
        return sorted({step for key, step in keys.items() if key[3] == rank})

    def _end(self) -> None:
        self.is_over.set()
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection.makefile("rb") as file:
                while request := self._read(file):
                    with self._lock:
                        self.requests.append(request)
                        manner = self.manners.pop(0) if self.manners else self.usual
                    manner(self, connection, request)
        except OSError:
            pass
        finally:
            connection.close()

    @staticmethod
    def _read(file) -> Request | None:
        line = file.readline().decode()
        if not line:
            return None
        headers = {}
        while (header := file.readline().decode().strip()):
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return Request(line, headers, file.read(int(headers.get("content-length", "0"))))
