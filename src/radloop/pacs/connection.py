"""Requests to one server, each with an end: of its time, of its answer's size, and of its tries.

A timeout of a socket bounds the silence between two bytes, so a server that drips a byte a second would hold its caller
for ever. Here a timer ends the connection once a request has had its time, wherever it is by then: in the handshake, in
our body, in a header, in the answer.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from radloop.errors import PacsError, TransientPacsError
from radloop.pacs.credentials import Address, Credentials

BACKOFF_SECONDS: Final = 0.25  # doubled with each try
_PIECE: Final = 1 << 20
_LONGEST_PAUSE: Final = 30.0  # that a server may ask for
_PASSING: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_STALE: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)  # closed while it lay idle


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    seconds: float = 60.0  # of the whole request
    tries: int = 4
    most_bytes: int = 256 << 20  # of an answer


@dataclass(frozen=True)
class Reply:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytearray


class Connection:
    """Connections to one server, one for each thread that asks, kept open from request to request."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        limits: Limits,
        *,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Nothing is opened yet. `pause` waits between tries; it may raise, or return early to try at once."""
        self.address, self._limits, self._pause = address, limits, pause
        self._context = credentials.context(address)
        self._authorization = credentials.authorization
        self._mine = threading.local()

    def request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        accept: str,
        body: Sequence[bytes] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to a request that may be sent twice; `what` names it in an error, for a path may name a person.

        Raises TransientPacsError once all tries failed in a way that may pass, PacsError for a redirect, a server that
        cannot be trusted and an answer that is too large. Every other status is the caller's to judge.
        """
        given = {"Accept": accept, "Accept-Encoding": "identity", **(headers or {})}
        if self._authorization:
            given["Authorization"] = self._authorization
        tried = 0
        while True:
            tried += 1
            pause = BACKOFF_SECONDS * 2.0 ** (tried - 1)
            try:
                reply = self._once(method, self.address.path + path, body, given, what)
            except TransientPacsError:
                if tried == self._limits.tries:
                    raise
            else:
                if reply.status not in _PASSING or tried == self._limits.tries:
                    return self._judged(reply, what)
                pause = max(pause, min(_seconds(reply.headers.get("retry-after", "")), _LONGEST_PAUSE))
            self._pause(pause)

    def close(self) -> None:
        """Close the connection of this thread."""
        if channel := getattr(self._mine, "channel", None):
            channel.discard()
            self._mine.channel = None

    def _judged(self, reply: Reply, what: str) -> Reply:
        sentence = f"{self.address} answered {reply.status} to {what}"
        if reply.status in _PASSING:
            raise TransientPacsError(f"{sentence}, {self._limits.tries} times. Is it overloaded?")
        if 300 <= reply.status < 400:
            raise PacsError(f"{sentence}: it is elsewhere. Give the address where it is.", code="redirect")
        if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            way = "These credentials may not" if self._authorization else "Name a file with credentials: --pacs-auth"
            raise PacsError(f"{sentence}. {way}.", code="unauthorized")
        return reply

    def _once(self, method: str, path: str, body: Sequence[bytes], headers: Mapping[str, str], what: str) -> Reply:
        """One try; a connection that the server has closed while it lay idle is opened again."""
        channel: _Channel | None = getattr(self._mine, "channel", None)
        if channel is not None:
            try:
                return self._exchange(channel, method, path, body, headers, what)
            except _StaleError:
                pass
        self._mine.channel = channel = _Channel(self.address, self._context, self._limits.seconds)
        return self._exchange(channel, method, path, body, headers, what)

    def _exchange(
        self, channel: "_Channel", method: str, path: str, body: Sequence[bytes], headers: Mapping[str, str], what: str
    ) -> Reply:
        reused = channel.sock is not None
        timer = threading.Timer(self._limits.seconds, channel.end)
        timer.daemon = True
        timer.start()
        whole = False
        try:
            if not reused:
                channel.connect()
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have said why before it hung up
                channel.request(method, path, body=body or None, headers=dict(headers))
            with channel.getresponse() as answer:
                told = {name.lower(): value for name, value in answer.getheaders()}
                reply = Reply(answer.status, told, self._read(answer, what))
            if channel.ended:
                raise TimeoutError  # what looks like an end was ours
            whole = True
        except (OSError, http.client.HTTPException) as failure:
            raise self._failed(failure, what, ended=channel.ended, reused=reused) from failure
        finally:
            timer.cancel()
            if not whole or channel.ended:
                self.close()
        return reply

    def _failed(self, failure: Exception, what: str, *, ended: bool, reused: bool) -> Exception:
        if ended or isinstance(failure, TimeoutError):
            return TransientPacsError(
                f"{self.address} did not answer {what} within {self._limits.seconds:g} s. Is it overloaded?"
            )
        if isinstance(failure, ssl.SSLCertVerificationError):
            reason = failure.verify_message.rstrip(".")
            way = "A hospital's own CA: ca = FILE in the file of --pacs-auth"
            return PacsError(f"{self.address} cannot be trusted: {reason}. {way}.", code="untrusted")
        if reused and isinstance(failure, _STALE):
            return _StaleError()
        reason = getattr(failure, "strerror", None) or type(failure).__name__
        return TransientPacsError(f"{self.address} cannot be reached: {reason}. Is it running?")

    def _read(self, answer: http.client.HTTPResponse, what: str) -> bytearray:
        """The body, where it is whole and not too large."""
        most, length = self._limits.most_bytes, answer.length
        sentence = f"{self.address} answered {what} with more than {most:,} bytes, which is not taken."
        too_large = PacsError(sentence, code="too-large")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise PacsError(f"{self.address} answered {what} packed, which nobody asked for.", code="answer")
        if (length or 0) > most:
            raise too_large
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
                raise too_large
        if not body and length is None and not answer.chunked and answer.status != HTTPStatus.NO_CONTENT:
            raise http.client.IncompleteRead(b"")  # a head that is cut off looks like this
        return body


class _StaleError(Exception):
    """The server had closed a connection that was kept."""


class _Channel(http.client.HTTPConnection):
    """One connection that another thread can end at any moment, also within its handshake."""

    def __init__(self, address: Address, context: ssl.SSLContext | None, seconds: float) -> None:
        super().__init__(address.host, address.port, timeout=seconds)
        self._context = context
        self._handle: socket.socket | None = None
        self.ended = False

    def connect(self) -> None:
        """Connect, and verify the server."""
        self.discard()
        super().connect()
        self._handle = self.sock.dup()  # wrap_socket takes the socket itself away
        if self.ended:
            raise TimeoutError
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)

    def end(self) -> None:
        """Wake whoever waits for this connection, with an error."""
        self.ended = True
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def discard(self) -> None:
        """Close it for good; `close` alone is what http.client does as soon as a last answer has begun."""
        self.close()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def __del__(self) -> None:
        self.discard()  # a thread that asked ends without telling its connection


def _seconds(text: str) -> float:
    """The seconds of a header `Retry-After`; a date is left out."""
    return float(text) if text.isascii() and text.isdecimal() else 0.0
