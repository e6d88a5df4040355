"""Servers and networks that misbehave: training does not notice, and every row arrives once."""

import json
import ssl
import subprocess
import unittest
from pathlib import Path

from engines import free_port, read_points
from rude_server import (Manner, Request, RudeServer, answer, byte_by_byte, endless, garbage, hang,
                         reset, take, take_and_reset)
from sandbox import RUN, SandboxTest, kill_and_wait, until
from script import Script

ROWS = 300


class BadNetworksTest(SandboxTest):
    """Issue 6, bad networks."""

    def sinks(self, run: str = RUN) -> list[dict]:
        """What `ringlog show` says."""
        return self.sandbox.json("show", run)["sinks"]

    def train(self, *urls: str, rows: int = ROWS, **env: str) -> None:
        """A rank that must not notice anything."""
        report, stderr = self.sandbox.train(rows=rows,
                                            env={"RINGLOG_SINKS": ",".join(urls)} | env)
        self.assertEqual(report["stored"], rows)
        self.assertEqual(stderr, "")

    def wait_for_state(self, state: str, *words: str) -> None:
        """Waits until the first sink is so, and says why."""
        until(lambda: self.sinks()[0]["state"] == state, f"{state}: {self.sinks()}")
        self.assert_says(self.sinks()[0]["error"], *words)

    def wait_until_sent(self, rows: int = ROWS) -> None:
        """Waits until the first sink has everything."""
        until(lambda: self.sinks()[0]["sent"] == rows, f"{rows} rows sent: {self.sinks()}")

    def check_that_it_recovers(self, *manners: Manner, says: str, options: str = "") -> None:
        """A server that misbehaves for a while: the sink says why, and then sends every row."""
        server = RudeServer(self.sandbox)
        server.usual = manners[0]
        self.train(server.url(options))
        self.wait_for_state("retrying", says)
        server.manners = list(manners[1:])
        server.usual = take
        self.wait_until_sent()
        self.assertEqual(server.steps(), list(range(ROWS)))
        self.assertEqual(self.sinks()[0]["state"], "good")

    def test_nobody_listens_for_the_whole_run(self) -> None:
        self.train(f"clickhouse+http://127.0.0.1:{free_port()}/default")
        self.wait_for_state("retrying", "127.0.0.1", "connect")
        self.assertEqual(self.sinks()[0]["lag"], ROWS)

    def test_no_such_name(self) -> None:
        self.train("clickhouse+http://nobody.invalid:1/default")
        self.wait_for_state("retrying", "nobody.invalid")

    def test_it_hangs(self) -> None:
        self.check_that_it_recovers(hang, says="timed out", options="?timeout_s=1")

    def test_whoever_logs_does_not_wait_for_a_sink_that_hangs(self) -> None:
        """A row that would have to wait is dropped here, and none is."""
        server = RudeServer(self.sandbox)
        server.usual = hang
        rank = self.sandbox.rank(0, burst=100, pause_ms=5, kinds="numbers",
                                 env={"RINGLOG_SINKS": server.url(), "RINGLOG_FULL_RING": "drop"})
        rank.expect("logging")
        until(lambda: server.requests, "a request that is not answered")
        before = self.sandbox.ledger.committed(0)
        # More than its ring has room for.
        until(lambda: self.sandbox.ledger.committed(0) >= before + 40_000, "many rows")
        self.sandbox.ledger.stop()
        report = rank.finish()
        self.assertEqual((report["dropped"], report["stored"]), (0, report["attempted"]))
        self.assertEqual(self.sinks()[0]["sent"], 0)

    def test_progress_tells_what_is_sent_meanwhile(self) -> None:
        def takes_a_hundred_slowly(server: RudeServer, connection, request: Request) -> None:
            if request.table != "ringlog_points":
                return take(server, connection, request)
            if len(list(read_points(request.body))) > 100:
                return answer("413 Payload Too Large")(server, connection, request)
            server.is_over.wait(0.3)
            return take(server, connection, request)

        server = RudeServer(self.sandbox)
        server.usual = takes_a_hundred_slowly
        script = Script(self.sandbox, RINGLOG_SINKS=server.url())
        for index in range(ROWS):
            script.do(f"log i=i:{index}")
        told = [int(word) for word in script.ask("progress 60000").split()]
        script.finish()
        self.assertEqual(told, sorted(told))
        self.assertEqual(told[-1], ROWS)
        self.assertGreaterEqual(len(set(told) - {0, ROWS}), 2, told)

    def test_it_answers_byte_by_byte(self) -> None:
        self.check_that_it_recovers(byte_by_byte, says="timed out", options="?timeout_s=1")

    def test_it_resets_connections(self) -> None:
        self.check_that_it_recovers(reset, reset, says="127.0.0.1")

    def test_it_takes_the_rows_and_resets(self) -> None:
        breaks = [take_and_reset] * 2

        def breaks_after_rows(server: RudeServer, connection, request: Request) -> None:
            manner = breaks.pop() if breaks and request.table == "ringlog_points" else take
            manner(server, connection, request)

        server = RudeServer(self.sandbox)
        server.usual = breaks_after_rows
        self.train(server.url())
        self.wait_until_sent()
        self.assertEqual(server.steps(), list(range(ROWS)))
        self.assertGreater(len(server.points), len({point.key() for point in server.points}))

    def test_the_service_dies_while_it_uploads(self) -> None:
        """The server has rows of which the store does not know: they are sent again, same keys."""
        def take_and_hang(server: RudeServer, connection, request: Request) -> None:
            if request.table != "ringlog_points":
                return take(server, connection, request)
            server.keep(request)
            return hang(server, connection, request)

        server = RudeServer(self.sandbox)
        server.usual = take_and_hang
        rank = self.sandbox.rank(0, burst=20, pause_ms=5, env={"RINGLOG_SINKS": server.url()})
        rank.expect("logging")
        until(server.steps, "rows at the server")
        server.usual = take
        kill_and_wait(self.sandbox.service())
        taken = len(server.steps())
        until(lambda: len(server.steps()) > taken, "rows of the next service")
        self.sandbox.ledger.stop()
        rows = rank.finish()["stored"]
        self.wait_until_sent(rows)
        self.assertEqual(server.steps(), list(range(rows)))
        self.assertGreater(len(server.points), len({point.key() for point in server.points}))

    def test_it_asks_to_wait(self) -> None:
        busy = answer("429 Too Many Requests", b"slow down\n", Retry_After="1")
        self.check_that_it_recovers(busy, busy, says="429: slow down")

    def test_it_asks_to_wait_without_saying_how_long(self) -> None:
        self.check_that_it_recovers(answer("429 Too Many Requests"), says="429")

    def test_it_fails_inside(self) -> None:
        self.check_that_it_recovers(answer("503 Service Unavailable", b"restarting"),
                                    answer("500 Internal Server Error"), says="503: restarting")

    def test_it_speaks_no_http(self) -> None:
        self.check_that_it_recovers(garbage, says="is this the address of the server?")

    def test_it_answers_without_end(self) -> None:
        self.check_that_it_recovers(endless, says="bytes; is this the address of the server?")

    def test_it_redirects_for_now(self) -> None:
        other = RudeServer(self.sandbox)
        to = f"http://127.0.0.1:{other.port}/"
        self.check_that_it_recovers(answer("302 Found", Location=to), says="redirects to")
        self.assertEqual(other.requests, [])

    def test_it_redirects_for_good(self) -> None:
        """No password goes to another host."""
        other = RudeServer(self.sandbox)
        to = f"http://127.0.0.1:{other.port}/"
        server = RudeServer(self.sandbox, *[answer("308 Permanent Redirect", Location=to)] * 9)
        self.train(server.url(user="me@"), CLICKHOUSE_PASSWORD="secret")
        self.wait_for_state("refused", to)
        self.assertEqual(other.requests, [])
        self.assertTrue(server.requests[0].headers["authorization"].startswith("Basic "))

    def test_batches_that_are_too_large_are_halved(self) -> None:
        def at_most_4_kib(server: RudeServer, connection, request: Request) -> None:
            is_large = len(request.body) > 4096
            manner = answer("413 Content Too Large") if is_large else take
            manner(server, connection, request)

        server = RudeServer(self.sandbox)
        server.usual = at_most_4_kib
        self.train(server.url())
        self.wait_until_sent()
        self.assertEqual(server.steps(), list(range(ROWS)))

    def test_one_row_that_is_not_taken_is_left_out_alone(self) -> None:
        def all_but_step_7(server: RudeServer, connection, request: Request) -> None:
            is_bad = request.table == "ringlog_points" and any(
                point.step == 7 for point in read_points(request.body))
            manner = answer("400 Bad Request", b"no seventh step") if is_bad else take
            manner(server, connection, request)

        server = RudeServer(self.sandbox)
        server.usual = all_but_step_7
        self.train(server.url())
        self.wait_until_sent(ROWS - 1)
        self.assertEqual(server.steps(), [step for step in range(ROWS) if step != 7])
        self.assert_says(self.sinks()[0]["error"], "1 left out", "no seventh step")
        self.assertEqual(self.sinks()[0]["lag"], 0)

    def test_a_refusal_stops_that_sink_alone(self) -> None:
        refusing = RudeServer(self.sandbox)
        refusing.usual = answer("401 Unauthorized", b"who are you?")
        hanging = RudeServer(self.sandbox)
        hanging.usual = hang
        good = RudeServer(self.sandbox)
        self.train(refusing.url(), hanging.url(), good.url())
        until(lambda: good.steps() == list(range(ROWS)), "all rows at the good server")
        self.wait_for_state("refused", "401: who are you?", "CLICKHOUSE_PASSWORD", ".netrc")
        self.assertEqual(len(refusing.requests), 1)

    def certificate(self, name: str) -> ssl.SSLContext:
        """A server's side of TLS with a certificate for `name`, which is its own authority."""
        folder = self.sandbox.scratch
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-addext", f"subjectAltName=IP:{name}", "-keyout", folder / "key.pem",
                        "-out", folder / "cert.pem"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context

    def test_a_certificate_of_nobody_known(self) -> None:
        server = RudeServer(self.sandbox, context=self.certificate("127.0.0.1"))
        self.train(server.url(user="me@"), CLICKHOUSE_PASSWORD="secret")
        self.wait_for_state("retrying", "certificate", "SSL_CERT_FILE")
        self.assertEqual(server.requests, [])

    def test_a_certificate_of_somebody_else(self) -> None:
        server = RudeServer(self.sandbox, context=self.certificate("127.0.0.2"))
        self.train(server.url(), SSL_CERT_FILE=str(self.sandbox.scratch / "cert.pem"))
        self.wait_for_state("retrying", "127.0.0.1")
        self.assertEqual(server.requests, [])

    def test_a_good_certificate(self) -> None:
        server = RudeServer(self.sandbox, context=self.certificate("127.0.0.1"))
        self.train(server.url("?compress=gzip"),
                   SSL_CERT_FILE=str(self.sandbox.scratch / "cert.pem"))
        self.wait_until_sent()
        self.assertEqual(server.steps(), list(range(ROWS)))

    def test_through_a_proxy(self) -> None:
        proxy = RudeServer(self.sandbox)
        self.train("clickhouse+http://far.invalid:8123/default",
                   http_proxy=f"http://127.0.0.1:{proxy.port}")
        self.wait_until_sent()
        self.assertIn(" http://far.invalid:8123/?database=default&", proxy.requests[0].line)
        self.assertEqual(proxy.steps(), list(range(ROWS)))

    def test_what_no_proxy_names_goes_past_it(self) -> None:
        proxy, server = RudeServer(self.sandbox), RudeServer(self.sandbox)
        self.train(server.url(), http_proxy=f"http://127.0.0.1:{proxy.port}",
                   no_proxy="127.0.0.1")
        self.wait_until_sent()
        self.assertEqual(proxy.requests, [])
        self.assertEqual(server.steps(), list(range(ROWS)))

    def test_a_password_is_nowhere_though_the_server_repeats_it(self) -> None:
        """Not in the store, the log, what is shown, messages, or the list of processes."""
        # Put together here: a run keeps the diff of the work tree it was started in.
        password = "-".join(["open", "sesame"])

        def repeat(server: RudeServer, connection, request: Request) -> None:
            said = f"{request.headers['authorization']} is me:{password}"
            answer("503 Service Unavailable", said.encode())(server, connection, request)

        server = RudeServer(self.sandbox)
        server.usual = repeat
        self.train(server.url(user="me@"), CLICKHOUSE_PASSWORD=password)
        self.wait_for_state("retrying", "503: Basic *** is me:***")
        basic = server.requests[0].headers["authorization"].partition(" ")[2]
        self.assertGreater(len(basic), 8)
        seen = [json.dumps(self.sandbox.json("show", RUN)),
                self.sandbox.ringlog("show", RUN).stdout.decode(),
                json.dumps(self.sandbox.json("service", "status")), self.sandbox.log_of_service(),
                Path(f"/proc/{self.sandbox.service()}/cmdline").read_text()]
        seen += [path.read_bytes().decode(errors="replace")
                 for path in self.sandbox.root.rglob("*") if path.is_file()]
        for text in seen:
            self.assertNotIn(password, text)
            self.assertNotIn(basic, text)

    def test_a_token_and_a_password_of_netrc_are_nowhere_either(self) -> None:
        secret = "-".join(["a", "secret", "of", "ours"])
        (self.sandbox.scratch / ".netrc").write_text(f"machine 127.0.0.1 login me "
                                                     f"password {secret}\n")
        server = RudeServer(self.sandbox)
        server.usual = answer("503 Service Unavailable", f"you said {secret}".encode())
        influx = f"influx+http://127.0.0.1:{server.port}/db"
        for number, (url, env) in enumerate([(server.url(user="me@"), {}),
                                             (influx, {"INFLUX_TOKEN": secret})]):
            self.sandbox.train(number, run=f"run-{number}", rows=1, rank=0,
                               env={"RINGLOG_SINKS": url} | env)
            until(lambda run=f"run-{number}": "you said" in self.sinks(run)[0]["error"],
                  "its answer is shown")
            self.assertIn("you said ***", self.sinks(f"run-{number}")[0]["error"])
            self.assertNotIn(secret, self.sandbox.log_of_service())
            kill_and_wait(self.sandbox.service())

    def test_a_proxy_that_wants_a_password_is_not_taken_for_the_server(self) -> None:
        proxy = RudeServer(self.sandbox)
        proxy.usual = answer("407 Proxy Authentication Required")
        self.train("clickhouse+http://far.invalid:8123/default",
                   http_proxy=f"http://127.0.0.1:{proxy.port}")
        self.wait_for_state("retrying", "407", "the proxy's", "http_proxy")

    def test_who_waits_for_the_sink_waits_as_long_as_they_said(self) -> None:
        """And finish() does not wait for it at all."""
        server = RudeServer(self.sandbox)
        server.usual = hang
        script = Script(self.sandbox, RINGLOG_SINKS=server.url())
        script.do("log loss=f:1")
        self.assert_says(script.ask("sent 200"), "error: ")
        self.assertEqual(script.ask("finish 0"), "1 1 0")
        self.assertEqual(self.sinks()[0]["sent"], 0)
        script.program.finish()

    def test_who_waits_for_the_sink_is_told_when_it_has_all(self) -> None:
        script = Script(self.sandbox, RINGLOG_SINKS=RudeServer(self.sandbox).url())
        script.do("log loss=f:1")
        script.do("sent 60000", "1 1")
        script.finish()

    def test_a_url_with_a_password_is_not_taken(self) -> None:
        """The run is disabled, says why, and repeats no password."""
        done = self.sandbox.rank(0, rows=1,
                                 env={"RINGLOG_SINKS": "clickhouse+http://me:secret@h/db"})
        done.drain()
        self.assert_says(done.stderr, "me@h/db", "CLICKHOUSE_PASSWORD")
        self.assertNotIn("secret", done.stderr + json.dumps(self.sandbox.log_of_service()))


if __name__ == "__main__":
    unittest.main()
