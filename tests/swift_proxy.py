"""A proxy in front of the Swift of the tests that does what Ceph's RADOSGW was seen to do.

It returns listing pages shorter than asked for, and answers 403 to a token that has expired.
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from swift_server import Swift

_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


class SwiftProxy:
    """`shortened_by` names fewer than asked for in each page; a login is good for `token_requests` requests."""

    def __init__(self, port: int, *, shortened_by: int = 0, token_requests: int | None = None) -> None:
        self.shortened_by, self.token_requests = shortened_by, token_requests
        self.pages = self.logins = self.forbidden = 0
        self._left, self._lock = token_requests, threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self.behind = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

            def finish(self) -> None:
                self.behind.close()
                super().finish()

            def serve(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if proxy._expired(self.path):
                    self.send_response(403)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                self.behind.request(self.command, proxy._asked(self.command, self.path), data, headers)
                answer = self.behind.getresponse()
                body = answer.read()
                self.send_response(answer.status)
                length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(body))
                for name, value in answer.getheaders():
                    if name.lower() not in {*_HOP, "content-length"}:
                        here = name.lower() == "x-storage-url"
                        self.send_header(name, value.replace(f":{port}", f":{proxy.port}") if here else value)
                if length is not None and answer.status != 204:
                    self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                pass

        for method in ("GET", "PUT", "POST", "HEAD", "DELETE", "COPY"):
            setattr(Handler, f"do_{method}", Handler.serve)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *words: object) -> None:
                pass  # rclone hangs up at its end

        self._http = Server(("127.0.0.1", 0), Handler)
        self.port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _expired(self, path: str) -> bool:
        with self._lock:
            if path.startswith("/auth/"):
                self.logins += 1
                self._left = self.token_requests
            elif self._left is not None:
                self._left -= 1
                self.forbidden += self._left < 0
                return self._left < 0
        return False

    def _asked(self, method: str, path: str) -> str:
        """The request as it goes on: of a listing with a smaller limit."""
        parts = urlsplit(path)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        if method != "GET" or "limit" not in asked:
            return path
        with self._lock:
            self.pages += 1
        asked["limit"] = str(max(int(asked["limit"]) - self.shortened_by, 1))
        return f"{parts.path}?{urlencode(asked)}"


@contextmanager
def through(swift: "Swift", folder: Path, **options: int) -> Iterator[SwiftProxy]:
    """A proxy of `swift`, and in `folder`/rclone.conf the remote `chi_tacc` that goes through it."""
    proxy = SwiftProxy(swift.state["ports"]["proxy"], **options)
    try:
        config = swift.config.read_text().replace(f":{swift.state['ports']['proxy']}/", f":{proxy.port}/")
        (folder / "rclone.conf").write_text(config)
        yield proxy
    finally:
        with suppress(OSError):
            proxy.stop()
