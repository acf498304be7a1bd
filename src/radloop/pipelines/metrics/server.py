"""Answers Prometheus: /metrics, and /healthz for whoever only asks whether all is well."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from radloop.errors import UsageError

_SECONDS: Final = 10.0  # that a client may be silent,
_WHOLE_SECONDS: Final = 30.0  # and take for all of it, however it drips
_PLAIN: Final = "text/plain; charset=utf-8"


class _Server(ThreadingHTTPServer):
    """One that is not kept by who drips, and says nothing of who leaves."""

    daemon_threads = True

    def __init__(self, *told: Any) -> None:
        self._until: dict[Any, float] = {}  # when each connection ends, by the monotonic clock
        super().__init__(*told)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._until[request] = time.monotonic() + _WHOLE_SECONDS
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._until.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second: cut off who takes too long."""
        for connection, end in list(self._until.items()):
            if end <= time.monotonic():
                self._until.pop(connection, None)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of who has left in the middle; of all else what the library says."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(host: str, port: int, registry: CollectorRegistry, is_well: Callable[[], bool]) -> Iterator[str]:
    """Answer on threads of their own until the end of the block, which is given the address."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS
        server_version, sys_version = "radloop", ""

        def do_GET(self) -> None:
            place = self.path.partition("?")[0]
            if place == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(registry), kind)
            elif place == "/healthz":
                well = is_well()
                told = b"ok\n" if well else b"the loop cannot be read; the log says why\n"
                self._answer(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, told, _PLAIN)
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"there is /metrics and /healthz\n", _PLAIN)

        def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # who asked has left
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            """Say nothing: a scrape is no event."""

    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = Server((host, port), Handler)
    except OSError as refused:
        raise UsageError(
            f"{host}:{port} cannot be listened on ({refused.strerror or refused}). Choose another --port, or --host."
        ) from refused
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
