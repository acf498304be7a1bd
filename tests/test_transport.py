"""What a request may take, whatever the server does; tests/test_pacs_connection.py has more of it, and TLS."""

import itertools
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from radloop.transport import LateError, PackedError, Server, TooLargeError, Transport, UnreachableError, _Channel
from rude_server import drip, reply, rude_server

MOST = 1 << 20


def transport(server, *, seconds=30.0):
    return Transport(Server("127.0.0.1", server.port), seconds=seconds, most_bytes=MOST)


def ask(asking, body=()):
    headers = {"Content-Length": str(sum(map(len, body)))} if body else {}
    return asking.request("POST" if body else "GET", "/x", body, headers)


BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        pytest.param(b"", b"x", id="status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", b"x", id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="headers"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="nothing but continue"),
        pytest.param(BODY, b"x", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b"x", id="body without a length"),
        pytest.param(CHUNKED + b"FFFFF\r\n", b"x", id="chunk"),
        pytest.param(CHUNKED, b"1\r\nx\r\n", id="chunks"),
    ],
)
def test_server_that_drips_has_no_more_than_the_time_of_a_request(begin, drop):
    with rude_server(lambda connection, request: drip(connection, begin, drop)) as server:
        started = time.monotonic()
        with pytest.raises(LateError):
            ask(transport(server, seconds=0.3))
        assert time.monotonic() - started < 5


def test_body_without_an_end_is_not_taken():
    def endless(connection, request):
        connection.sendall(CHUNKED)
        for _ in itertools.count():
            connection.sendall(b"10000\r\n" + bytes(1 << 16) + b"\r\n")

    with rude_server(endless) as server, pytest.raises(TooLargeError):
        ask(transport(server))


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br"])
def test_packed_body_is_not_unpacked(packing):
    with rude_server(lambda request: reply(b"x", content_encoding=packing)) as server, pytest.raises(PackedError):
        ask(transport(server))


def test_who_hangs_up_early_cannot_be_reached():
    def hang_up(connection, request):
        connection.sendall(BODY)

    with rude_server(hang_up) as server, pytest.raises(UnreachableError):
        ask(transport(server))


@pytest.mark.parametrize("begin", [b"", BODY, b"HTTP/1.1 200 OK\r\n\r\nx"], ids=["head", "body", "no length"])
def test_who_gives_up_wakes_all_who_wait(begin):
    waiting, over = threading.Semaphore(0), threading.Event()

    def silent(connection, request):
        connection.sendall(begin)
        waiting.release()
        over.wait(60)

    with rude_server(silent) as server, ThreadPoolExecutor(3) as pool:
        asking = transport(server, seconds=600)
        asked = [pool.submit(ask, asking) for _ in range(3)]
        for _ in asked:
            waiting.acquire()
        asking.give_up()
        assert {type(one.exception(30)) for one in asked} == {LateError}
        over.set()


def test_after_giving_up_it_may_be_asked_again():
    with rude_server(lambda request: reply(b"there")) as server:
        asking = transport(server)
        ask(asking)
        asking.give_up()
        answers = []
        for _ in range(2):
            try:
                answers.append(bytes(ask(asking).body))
            except LateError:
                answers.append(b"late")
        assert answers[-1] == b"there"


def test_each_thread_keeps_a_connection():
    together = threading.Barrier(3)

    def twice(asking):
        bodies = []
        for _ in range(2):
            together.wait(60)
            bodies.append(bytes(ask(asking, [b"a", b"bc"]).body))
        return bodies

    with rude_server(lambda request: reply(request[-3:])) as server, ThreadPoolExecutor(3) as pool:
        asking = transport(server)
        assert list(pool.map(twice, [asking] * 3)) == [[b"abc", b"abc"]] * 3
        assert server.connections == 3


def test_server_that_reads_nothing_is_left_after_the_time_of_a_request():
    over = threading.Event()
    with rude_server(lambda connection, request: over.wait(60)) as server:
        started = time.monotonic()
        with pytest.raises(LateError):
            transport(server, seconds=0.3).request(
                "POST", "/x", [bytes(1 << 20)] * 64, {"Content-Length": str(64 << 20), "X-Deaf": "yes"}
            )
        assert time.monotonic() - started < 5
        over.set()


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"])
def test_answer_without_a_body_needs_no_length(head):
    with rude_server(lambda connection, request: connection.sendall(head)) as server:
        assert ask(transport(server)).body == b""


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 200 OK\r\nX: y"])
def test_head_that_is_cut_off_is_no_answer(head):
    with (
        rude_server(lambda connection, request: connection.sendall(head)) as server,
        pytest.raises(UnreachableError, match="IncompleteRead"),
    ):
        ask(transport(server))


def test_address_of_a_kind_that_the_system_does_not_know_is_passed_over(monkeypatch):
    known = socket.getaddrinfo
    unknown = (socket.AF_APPLETALK, socket.SOCK_STREAM, 0, "", ("::1", 0))
    monkeypatch.setattr("socket.getaddrinfo", lambda *given, **named: [unknown, *known(*given, **named)])
    with rude_server(lambda request: reply(b"there")) as server:
        assert ask(transport(server)).body == b"there"


@pytest.mark.parametrize("name", ["..", "a" * 70])
def test_name_that_no_server_can_have_cannot_be_reached(name):
    with pytest.raises(UnreachableError, match="no server can have this name"):
        Transport(Server(name, 80), seconds=30, most_bytes=MOST).request("GET", "/", (), {})


def test_port_where_nobody_listens_cannot_be_reached():
    with rude_server(lambda request: reply()) as server:
        port = server.port
    with pytest.raises(UnreachableError, match="Connection refused"):
        Transport(Server("localhost", port), seconds=30, most_bytes=MOST).request("GET", "/", (), {})


def test_header_host_leaves_out_the_port_that_everybody_knows():
    hosts = {443: ssl.create_default_context(), 80: None, 8000: None}
    asked = {port: _Channel(Server("localhost", port, context)) for port, context in hosts.items()}
    for channel in asked.values():
        channel.putrequest("GET", "/")
    told = [line for channel in asked.values() for line in channel._buffer if line.startswith(b"Host")]
    assert told == [b"Host: localhost", b"Host: localhost", b"Host: localhost:8000"]
