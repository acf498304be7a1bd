"""Requests to one server, each with an end: of its time, and of its answer's size.

A timeout of a socket bounds the silence between two bytes, so a server that drips a byte a second would hold its caller
for ever. Here every wait on a socket gets what is left of the time of its request: for the connection, the handshake,
our body, the head of the answer, and the answer. A name server alone has the time that the system gives it.
"""

import errno
import http.client
import io
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from weakref import WeakSet

_PIECE: Final = 1 << 20
_HUNG_UP: Final = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_STALE: Final = (http.client.RemoteDisconnected, *_HUNG_UP)  # closed while it lay idle


@dataclass(frozen=True)
class Server:
    """Where it is; with a TLS `context` also how it is verified."""

    host: str
    port: int
    context: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Reply:
    """An answer, whole; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytearray


class TransportError(Exception):
    """A request without an answer that can be used."""


class LateError(TransportError):
    """There was no whole answer within the time of a request."""


class UnreachableError(TransportError):
    """The server cannot be reached, or has hung up; str() tells why."""


class UntrustedError(TransportError):
    """The server's certificate does not prove who it is; str() tells why."""


class TooLargeError(TransportError):
    """The answer has more bytes than are taken."""


class PackedError(TransportError):
    """The answer is packed (gzip, deflate …), which nobody asked for: a small one may unpack to any size."""


class Transport:
    """Connections to one server, one for each thread that asks, kept open from request to request."""

    def __init__(self, server: Server, *, seconds: float, most_bytes: int) -> None:
        """A request may take `seconds`, and its answer `most_bytes`. Nothing is opened yet."""
        self._server, self._seconds, self._most_bytes = server, seconds, most_bytes
        self._mine = threading.local()
        self._channels: WeakSet[_Channel] = WeakSet()
        self._lock = threading.Lock()  # of the set

    def request(self, method: str, path: str, body: Sequence[bytes], headers: Mapping[str, str]) -> Reply:
        """The answer to a request that may be sent twice. Raises TransportError; every status is an answer.

        A `body` has to come with its Content-Length.
        """
        channel: _Channel | None = getattr(self._mine, "channel", None)
        if channel is not None and channel.is_quiet:
            with suppress(_StaleError):
                return self._exchange(channel, method, path, body, headers)
        self._mine.channel = channel = _Channel(self._server)
        with self._lock:
            self._channels.add(channel)
        return self._exchange(channel, method, path, body, headers)

    def close(self) -> None:
        """Close the connection of this thread."""
        if channel := getattr(self._mine, "channel", None):
            channel.discard()
            self._mine.channel = None

    def give_up(self) -> None:
        """End what all threads wait for: their requests are late."""
        with self._lock:
            channels = list(self._channels)
        for channel in channels:
            channel.give_up()

    def _exchange(
        self, channel: "_Channel", method: str, path: str, body: Sequence[bytes], headers: Mapping[str, str]
    ) -> Reply:
        reused, whole = channel.sock is not None, False
        channel.deadline = time.monotonic() + self._seconds
        try:
            if not reused:
                channel.connect()
            with suppress(*_HUNG_UP):  # it may have said why before it hung up
                channel.request(method, path, body=body or None, headers={"Accept-Encoding": "identity", **headers})
            with channel.getresponse() as answer:
                told = {name.lower(): value for name, value in answer.getheaders()}
                reply = Reply(answer.status, told, self._read(answer))
            if channel.ended:
                raise TimeoutError  # what looks like an end was ours
            whole = True
        except (OSError, http.client.HTTPException) as failure:
            raise _failed(failure, ended=channel.ended, reused=reused) from failure
        finally:
            if not whole:
                self.close()
        return reply

    def _read(self, answer: http.client.HTTPResponse) -> bytearray:
        """The body, where it is whole and not too large."""
        most, length = self._most_bytes, answer.length
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise PackedError
        if (length or 0) > most:
            raise TooLargeError
        if length:
            body, filled = bytearray(length), 0
            with memoryview(body) as view:
                while filled < length and (count := answer.readinto(view[filled : filled + _PIECE])):
                    filled += count
            if filled < length:
                raise http.client.IncompleteRead(b"", length - filled)
            return body
        body = bytearray()
        while piece := answer.read1(_PIECE):
            body += piece
            if len(body) > most:
                raise TooLargeError
        if not body and length is None and not answer.chunked and answer.status != HTTPStatus.NO_CONTENT:
            self._mine.channel.require_whole_head()
        return body


class _StaleError(Exception):
    """The server had closed a connection that was kept."""


def _failed(failure: Exception, *, ended: bool, reused: bool) -> Exception:
    if ended or isinstance(failure, TimeoutError):
        return LateError()
    if isinstance(failure, ssl.SSLCertVerificationError):
        return UntrustedError(failure.verify_message.rstrip("."))
    if reused and isinstance(failure, _STALE):
        return _StaleError()
    return UnreachableError(getattr(failure, "strerror", None) or type(failure).__name__)


class _Channel(http.client.HTTPConnection):
    """One connection whose every wait ends at `deadline`, of the monotonic clock."""

    def __init__(self, server: Server) -> None:
        if server.context is not None:
            self.default_port = http.client.HTTPS_PORT  # which the header Host leaves out: gateways compare it
        super().__init__(server.host, server.port)
        self._context = server.context
        self.last = b""  # bytes that were read
        self._handle: socket.socket | None = None  # TLS takes the socket itself away, and so does a last answer
        self.deadline = 0.0
        self.ended = False

    @property
    def is_quiet(self) -> bool:
        """Whether it is open, and nothing came that nobody asked for, such as the server's farewell."""
        if self.sock is None:
            return False
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        return not waiting.poll(0)

    def connect(self) -> None:
        """Connect, and verify the server; each of its addresses has what the one before has left of the time."""
        refused: OSError | None = None
        try:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise OSError(errno.EINVAL, "no server can have this name") from None
        for family, kind, protocol, _, address in addresses:
            self.discard()
            try:
                reached = socket.socket(family, kind, protocol)
            except OSError as unknown:  # an address of IPv6, where the system has none
                refused = unknown
                continue
            self._handle = reached.dup()
            try:
                self._bound(reached)
                reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                reached.connect(address)
                if self._context is not None:
                    self._bound(reached)
                    reached = self._context.wrap_socket(reached, server_hostname=self.host)
            except OSError as failure:
                reached.close()
                refused = failure
                if isinstance(failure, ssl.SSLError):
                    raise
            else:
                self.sock = reached
                return
        raise refused or OSError("no address")

    def send(self, data: Any) -> None:
        """Send bytes; each call of the system has what is left of the time."""
        with memoryview(data) as whole:
            sent = 0
            while sent < len(whole):
                self._bound(self.sock)
                sent += self.sock.send(whole[sent:])

    def response_class(self, sock: socket.socket, **told: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        """The answer, read through `_Reader`."""
        return http.client.HTTPResponse(_Readable(sock, self), **told)  # type: ignore[arg-type]

    def require_whole_head(self) -> None:
        """Raise IncompleteRead where the head of an answer without a body was cut off: `http.client` does not tell."""
        if not self.last.endswith((b"\r\n\r\n", b"\n\n")):
            raise http.client.IncompleteRead(b"")

    def give_up(self) -> None:
        """Wake whoever waits for this connection, with an error."""
        self.ended = True
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def discard(self) -> None:
        """Close it for good; `close` alone is what `http.client` does as soon as a last answer has begun."""
        self.close()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _bound(self, sock: socket.socket) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0 or self.ended:
            raise TimeoutError
        sock.settimeout(left)

    def __del__(self) -> None:
        self.discard()  # a thread that asked ends without telling its connection


class _Readable:
    """What `http.client` wants of a socket for an answer."""

    def __init__(self, sock: socket.socket, channel: _Channel) -> None:
        self._sock, self._channel = sock, channel

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._channel))


class _Reader(io.RawIOBase):
    """Reads a socket; each read has what is left of the time."""

    def __init__(self, sock: socket.socket, channel: _Channel) -> None:
        self._sock, self._channel = sock, channel
        self._raw = sock.makefile("rb", buffering=0)  # holds the socket open where `http.client` has closed it

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._channel._bound(self._sock)
        count = self._raw.readinto(buffer)
        if count:
            self._channel.last = (self._channel.last + bytes(buffer[max(count - 4, 0) : count]))[-4:]
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
