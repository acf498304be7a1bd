"""The slow line of the tests says the truth: what it carries, and how long that takes."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from slow_line import slow

BODY = bytes(range(256)) * 80  # 20,480 bytes
RATE = 200_000


@pytest.fixture
def server() -> Iterator[str]:
    """Answers every connection with BODY once it has been asked one byte."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(1):
                        connection.sendall(BODY)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def ask(address: str) -> tuple[bytes, float]:
    """What came, and how long it took."""
    port = int(address.rpartition(":")[2])
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"?")
        parts = iter(lambda: connection.recv(65536), b"")
        return b"".join(parts), time.monotonic() - began


def test_bytes_come_whole_and_no_sooner_than_delay_and_rate_let_them(server):
    with slow(server, round_trip_s=0.1, bytes_per_s=RATE) as line:
        body, seconds = ask(line.address)

    assert body == BODY
    assert seconds >= 2 * 0.1 + len(BODY) / RATE  # handshake, request and answer
    assert (line.up.carried, line.down.carried, line.connections) == (1, len(BODY), 1)


def test_connections_share_the_line(server):
    with slow(server, round_trip_s=0, bytes_per_s=RATE) as line, ThreadPoolExecutor(4) as pool:
        began = time.monotonic()
        answers = list(pool.map(ask, [line.address] * 4))

        assert [body for body, _ in answers] == [BODY] * 4
        assert time.monotonic() - began >= 4 * len(BODY) / RATE


def test_line_that_ends_breaks_what_is_under_way(server):
    with slow(server, round_trip_s=0.01, bytes_per_s=RATE) as line:
        connection = socket.create_connection(("127.0.0.1", int(line.address.rpartition(":")[2])))
        connection.sendall(b"?")
        came = len(connection.recv(1024))
    with connection, contextlib.suppress(ConnectionResetError):
        came += sum(len(part) for part in iter(lambda: connection.recv(65536), b""))
    assert 0 < came < len(BODY)
