"""Kaggle as kaggle 2.2.4 sees it: the calls of its API that a download makes, and the storage they redirect to."""

import json
import select
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

SITE = Path(__file__).parent / "site"
SIGNATURE = "X-Goog-Signature=5369676e656441646472657373"
REFUSAL = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"


@dataclass
class Kaggle:
    """What the stub serves, how it misbehaves, and what it was asked."""

    dataset: bytes = b""
    annotations: bytes = b""
    annotations_name: str = "train.csv"
    redirects: bool = True  # the dataset comes from the storage's address, else with the answer itself
    resumable: bool = True  # the storage sends Accept-Ranges, an ETag, Last-Modified
    tells_length: bool = True
    refusals: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)  # call: status, content type, body
    stops_at: int | None = None  # the body of the dataset ends at this byte: once, and without a word
    holds_at: int | None = None  # the body stands still at this byte until the client goes away
    after_stop: tuple[int, str, bytes] | None = None  # what the storage answers from then on
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # call, headers
    client_gone: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def calls(self) -> list[str]:
        return [call for call, _ in self.asked]

    def serve(self) -> ThreadingHTTPServer:
        """Listen on 127.0.0.1; the caller shuts it down."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"kaggle": self}))
        self.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    kaggle: Kaggle
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        kaggle = self.kaggle
        call = urlsplit(self.path).path.rsplit("/", 1)[-1]
        kaggle.asked.append((call, dict(self.headers)))
        if call in kaggle.refusals:
            self._send(*kaggle.refusals[call])
        elif call == "GetDatasetMetadata":
            self._send(200, "application/json", json.dumps({"info": {"licenses": [{"name": "CC0-1.0"}]}}).encode())
        elif call == "IntrospectToken":
            self._send(200, "application/json", b'{"active": true, "username": "someone"}')
        elif call == "DownloadDataFile":
            self._redirect(f"/storage/{kaggle.annotations_name}")
        elif call == "DownloadDataset" and kaggle.redirects:
            self._redirect("/storage/bundle.zip")
        elif call in ("DownloadDataset", "bundle.zip"):
            self._serve(kaggle.dataset)
        elif call == kaggle.annotations_name:
            self._send(200, "text/csv", kaggle.annotations)
        else:
            self._send(404, "text/plain", b"")

    def _redirect(self, path):
        self.send_response(302)
        self.send_header("Location", f"{self.kaggle.address}{path}?{SIGNATURE}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self, body):
        kaggle = self.kaggle
        first = 0
        if kaggle.resumable and self.headers.get("If-Range") == '"v1"' and "Range" in self.headers:
            first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if kaggle.resumable:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", '"v1"')
            self.send_header("Last-Modified", "Mon, 04 Jan 2021 10:00:00 GMT")
        if kaggle.tells_length:
            self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        if kaggle.holds_at is not None:
            self.wfile.write(body[first : kaggle.holds_at])
            select.select([self.connection], [], [], 60)  # readable when the client closes
            kaggle.client_gone.set()
            self.close_connection = True
        elif kaggle.stops_at is not None:
            self.wfile.write(body[first : kaggle.stops_at])
            kaggle.stops_at = None
            if kaggle.after_stop:
                kaggle.refusals["bundle.zip"] = kaggle.after_stop
            self.close_connection = True
        else:
            self.wfile.write(body[first:])
            self.close_connection = not kaggle.tells_length
