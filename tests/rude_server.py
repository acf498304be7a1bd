"""A server on 127.0.0.1 that answers each connection by a function: for answers that no honest server gives.

    with rude_server(lambda request: b"HTTP/1.1 200 OK\r\n…") as server: server.port, server.requests
    with rude_server(sending) as server:                           `sending(connection, request)` sends itself

A request is its head and what came with its length, as bytes; with a header X-Deaf the body is not read.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class RudeServer:
    """One listening port, and a thread for each connection."""

    def __init__(self, answer: Callable[..., bytes | None], context: ssl.SSLContext | None = None) -> None:
        self._answer, self._context = answer, context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        for connection in self._open:
            connection.close()

    @property
    def connections(self) -> int:
        return len(self._open)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._open.append(connection.dup())
                thread = threading.Thread(target=self._guarded, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _guarded(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                try:
                    self._converse(connection)
                finally:
                    connection.shutdown(socket.SHUT_RDWR)  # `_open` holds it, too

    def _converse(self, connection: socket.socket) -> None:
        while request := _request(connection):
            self.requests.append(request)
            if self._answer.__code__.co_argcount == 2:
                self._answer(connection, request)
                return
            connection.sendall(self._answer(request))


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    length = re.search(rb"content-length: *(\d+)", data.lower())
    whole = data.index(b"\r\n\r\n") + 4 + (int(length[1]) if length and b"X-Deaf" not in data else 0)
    while len(data) < whole and (piece := connection.recv(65536)):
        data += piece
    return data


def reply(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """An honest answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def drip(connection: socket.socket, begin: bytes, drop: bytes = b"x") -> None:
    """Send the begin of an answer, and then a drop now and then, until the other hangs up."""
    connection.sendall(begin)
    while True:
        connection.sendall(drop)
        time.sleep(0.02)  # the pace of a slow server; no test waits by it


@contextmanager
def rude_server(answer: Callable[..., bytes | None], context: ssl.SSLContext | None = None) -> Iterator[RudeServer]:
    server = RudeServer(answer, context)
    try:
        yield server
    finally:
        server.close()
