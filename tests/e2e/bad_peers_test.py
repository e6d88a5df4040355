"""Strangers on the control socket: refused with a reason, and nobody else notices."""

import contextlib
import os
import random
import socket
import struct
import unittest

from sandbox import (NOBODY, Program, SandboxTest, freeze, needs_other_user, needs_root, thaw,
                     until)

VERSION = 1
STATUS = 8  # union tag of ControlRequest.status
ERROR = 0  # union tag of ControlReply.error


def status_request(version: int) -> bytes:
    """A framed ControlRequest{version, status}, by hand: one segment of four words."""
    root = 2 << 32 | 1 << 48  # a struct of two data words and one pointer, right here
    return struct.pack("<II", 0, 4) + struct.pack("<QIHHQQ", root, version, STATUS, 0, 0, 0)


class BadPeersTest(SandboxTest):
    """Issue 2, point 6: who may talk to the service, and how."""

    def start(self) -> Program:
        """A rank that logs while the test annoys the service."""
        rank = self.sandbox.rank(0, burst=10, pause_ms=5,
                                 env={"RINGLOG_FULL_RING_WAIT_MS": "60000"})
        rank.expect("logging")
        self.service = self.sandbox.service()
        return rank

    def assert_unharmed(self, rank: Program) -> None:
        """Proves that the rank has logged all the time, to the same service."""
        before = self.sandbox.ledger.committed(0)
        until(lambda: self.sandbox.ledger.committed(0) > before + 100, "more rows")
        self.assertTrue(self.sandbox.verify()["ok"])
        self.sandbox.ledger.stop()
        report = rank.finish()
        self.assertEqual((report["ok"], report["dropped"], rank.stderr), (True, 0, ""))
        self.assertEqual(self.sandbox.services(), [self.service])
        self.sandbox.check_ledger()

    def connect(self) -> socket.socket:
        """A connection to the control socket."""
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.settimeout(20)
        connection.connect(str(self.sandbox.runtime / "service.sock"))
        return connection

    def ask(self, connection: socket.socket, request: bytes) -> bytes:
        """Sends one request and receives one framed reply; empty: the service hung up."""
        connection.sendall(request)
        reply = b""
        while len(reply) < 8 or len(reply) < 8 + 8 * struct.unpack_from("<I", reply, 4)[0]:
            part = connection.recv(65536)
            if not part:
                break
            reply += part
        return reply

    def test_the_hand_made_request_is_one(self) -> None:
        """What the other tests change is a correct request otherwise."""
        rank = self.start()
        reply = self.ask(self.connect(), status_request(VERSION))
        version, tag = struct.unpack_from("<IH", reply, 16)
        self.assertEqual(version, VERSION)
        self.assertNotEqual(tag, ERROR)
        self.assert_says(reply.decode("latin-1"), self.sandbox.runtime)
        self.assert_unharmed(rank)

    def test_a_client_of_another_version(self) -> None:
        """Refused; the answer names both versions and comes in the service's own."""
        rank = self.start()
        for version in (999, 0):
            connection = self.connect()
            reply = self.ask(connection, status_request(version))
            found, tag = struct.unpack_from("<IH", reply, 16)
            self.assertEqual((found, tag), (VERSION, ERROR))
            text = reply.decode("latin-1")
            self.assert_says(text, f"version {version}", f"version {VERSION}")
        self.assert_unharmed(rank)

    def test_garbage_on_the_socket(self) -> None:
        """Nonsense, endless sizes, half messages, connections that come and go."""
        rank = self.start()
        seed = int(os.environ.get("SEED", "20260823"))
        chance = random.Random(seed)
        request = status_request(VERSION)
        texts = [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, b"\xff" * 64, b"", request[:11],
                 struct.pack("<II", 0xFFFFFFFF, 0), struct.pack("<II", 0, 0xFFFFFFFF),
                 struct.pack("<II", 1, 1 << 28) + request, struct.pack("<II", 0, 1 << 27)]
        texts += [chance.randbytes(chance.randrange(1, 4000)) for _ in range(200)]
        for _ in range(300):
            broken = bytearray(request)
            for _ in range(chance.randrange(1, 4)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            texts.append(bytes(broken))
        with self.subTest(seed=seed):
            for text in texts:
                connection = self.connect()
                # A service that hangs up while we still talk is a good answer.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(text)
                    if chance.random() < 0.5:
                        connection.shutdown(socket.SHUT_WR)
                if chance.random() < 0.5:
                    connection.close()
            self.assert_unharmed(rank)

    def test_a_slow_talker_holds_nobody_up(self) -> None:
        """Half a request, and silence: others are served."""
        rank = self.start()
        slow = [self.connect() for _ in range(50)]
        for connection in slow:
            connection.sendall(status_request(VERSION)[:20])
        self.assertTrue(self.ask(self.connect(), status_request(VERSION)))
        report, _ = self.sandbox.train(1, rows=100)
        self.assertEqual(report["stored"], 100)
        self.assert_unharmed(rank)

    def test_a_peer_that_never_reads(self) -> None:
        """Answers pile up in its socket only."""
        rank = self.start()
        deaf = self.connect()
        deaf.settimeout(1)
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            for _ in range(20_000):
                deaf.sendall(status_request(VERSION))
        self.assertTrue(self.ask(self.connect(), status_request(VERSION)))
        self.assert_unharmed(rank)

    @needs_other_user
    def test_another_users_client(self) -> None:
        """The folder was opened by mistake; the service looks who talks to it and refuses."""
        rank = self.start()
        self.sandbox.runtime.chmod(0o777)
        (self.sandbox.runtime / "service.sock").chmod(0o777)
        with self.as_nobody():
            connection = self.connect()
        text = self.ask(connection, status_request(VERSION)).decode("latin-1")
        self.assert_says(text, str(NOBODY), "user")
        # The library refuses on its own, before it talks to anybody.
        self.sandbox.scratch.chmod(0o755)
        os.chmod(self.sandbox.ledger.path, 0o666)
        report, text = self.sandbox.train(1, before_exec=lambda: os.setuid(NOBODY))
        self.assertFalse(report["ok"])
        self.assert_says(text, self.sandbox.runtime)
        self.sandbox.runtime.chmod(0o700)
        self.assert_unharmed(rank)

    @needs_root
    def test_another_users_service(self) -> None:
        """A socket behind which somebody else listens: no row goes there."""
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.sandbox.runtime / "service.sock"))
        with self.as_nobody():  # the kernel keeps who called listen()
            listener.listen()
        report, text = self.sandbox.train(rows=100)
        self.assertEqual((report["ok"], report["code"]), (False, 8), "kPermission")
        self.assert_says(text, self.sandbox.runtime / "service.sock", str(NOBODY))
        done = self.sandbox.ringlog("service", "status", code=1)
        self.assert_says(done.stderr.decode(), str(NOBODY))

    def test_a_socket_nobody_listens_on(self) -> None:
        """What a killed service leaves behind does not stop the next one."""
        leftover = socket.socket(socket.AF_UNIX)
        leftover.bind(str(self.sandbox.runtime / "service.sock"))
        leftover.close()
        self.assert_unharmed(self.start())

    def test_a_service_that_does_not_answer(self) -> None:
        """It is there and stopped: init() gives up in time and says so; training goes on."""
        rank = self.start()
        freeze(self.service)
        report, text = self.sandbox.train(1, rows=100)
        thaw(self.service)
        self.assertFalse(report["ok"])
        self.assert_says(text, "does not answer")
        self.assert_unharmed(rank)

    @contextlib.contextmanager
    def as_nobody(self):
        """Acts as another user for a moment."""
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)


if __name__ == "__main__":
    unittest.main()
