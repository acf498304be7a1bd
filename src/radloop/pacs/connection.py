"""Requests to a PACS: each with an end of its time and of its answer's size (`radloop.transport`), and of its tries."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from radloop import transport
from radloop.errors import PacsError, TransientPacsError
from radloop.pacs.credentials import Address, Credentials
from radloop.transport import Reply, Server, Transport

BACKOFF_SECONDS: Final = 0.25  # doubled with each try
_LONGEST_PAUSE: Final = 30.0  # that a server may ask for
_PASSING: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    seconds: float = 60.0  # of the whole request
    tries: int = 4
    most_bytes: int = 256 << 20  # of an answer


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
        server = Server(address.host, address.port, credentials.context(address))
        self._transport = Transport(server, seconds=limits.seconds, most_bytes=limits.most_bytes)
        self._authorization = credentials.authorization

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
        given = {"Accept": accept, **(headers or {})}
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
        self._transport.close()

    def give_up(self) -> None:
        """End what all threads wait for: their requests are late."""
        self._transport.give_up()

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
        """One try."""
        most = self._limits.most_bytes
        try:
            return self._transport.request(method, path, body, headers)
        except transport.LateError as late:
            raise TransientPacsError(
                f"{self.address} did not answer {what} within {self._limits.seconds:g} s. Is it overloaded?"
            ) from late
        except transport.UnreachableError as gone:
            raise TransientPacsError(f"{self.address} cannot be reached: {gone}. Is it running?") from gone
        except transport.UntrustedError as unproven:
            way = "A hospital's own CA: ca = FILE in the file of --pacs-auth"
            raise PacsError(f"{self.address} cannot be trusted: {unproven}. {way}.", code="untrusted") from unproven
        except transport.TooLargeError as large:
            sentence = f"{self.address} answered {what} with more than {most:,} bytes, which is not taken."
            raise PacsError(sentence, code="too-large") from large
        except transport.PackedError as packed:
            sentence = f"{self.address} answered {what} packed, which nobody asked for."
            raise PacsError(sentence, code="answer") from packed


def _seconds(text: str) -> float:
    """The seconds of a header `Retry-After`; a date is left out."""
    return float(text) if text.isascii() and text.isdecimal() else 0.0
