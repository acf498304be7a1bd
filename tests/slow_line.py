"""A slow line: a TCP proxy before a server on this machine, with a delay and a rate in each direction.

The kernel's own means (netem) is missing in most containers. All connections share the line, as they share a real one:
bytes leave one after the other at `bytes_per_s` and arrive half a round trip later, so what they take is arithmetic.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

_PIECE = 4096  # bytes that leave at once: few, so that connections take turns
_LATE_S = 0.01  # a piece is asked for that much before its time: the line does not rest while its program wakes up


class Way:
    """One direction."""

    def __init__(self, bytes_per_s: float, delay_s: float) -> None:
        self.bytes_per_s, self.delay_s = bytes_per_s, delay_s
        self._piece = max(_PIECE, int(bytes_per_s / 500))  # a fast line carries larger ones
        self.carried = 0  # bytes so far, of all connections
        self._free_at = 0.0  # when the last byte so far has left

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Everything from one end to the other, and its end."""
        clock = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(_arrive(under_way, sink))
        with suppress(ConnectionError):
            while piece := await source.read(self._piece):
                self.carried += len(piece)
                self._free_at = max(self._free_at, clock()) + len(piece) / self.bytes_per_s
                await asyncio.sleep(self._free_at - _LATE_S - clock())
                under_way.put_nowait((self._free_at + self.delay_s, piece))
        under_way.put_nowait((clock() + self.delay_s, b""))
        await arriving


async def _arrive(under_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    with suppress(OSError):  # the other end has gone
        while True:
            due, piece = await under_way.get()
            await asyncio.sleep(due - clock())
            if not piece:
                sink.write_eof()
                return
            sink.write(piece)
            await sink.drain()


class Line:
    """The line to one server; its own address is what a browser is given."""

    def __init__(self, host: str, port: int, *, round_trip_s: float, bytes_per_s: float) -> None:
        self._to = host, port
        self.round_trip_s = round_trip_s
        self.up, self.down = Way(bytes_per_s, round_trip_s / 2), Way(bytes_per_s, round_trip_s / 2)
        self.connections = 0
        self.address = ""
        self._ready = threading.Event()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connected(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.CancelledError):  # to both ends it is a line that broke
            await asyncio.sleep(self.round_trip_s)  # of the handshake, which the near end has had already
            far_source, far_sink = await asyncio.open_connection(*self._to)
            try:
                await asyncio.gather(self.up.carry(source, far_sink), self.down.carry(far_source, sink))
            finally:
                far_sink.close()
        sink.close()

    @contextmanager
    def open(self) -> Iterator[Self]:
        """Carry until the end of the block; what is under way then is lost."""
        thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        thread.start()
        self._ready.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()


def slow(address: str, *, round_trip_s: float = 0.3, bytes_per_s: float = 200_000) -> AbstractContextManager[Line]:
    """A slow line to the server at `address` (http://HOST:PORT)."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    assert parts.port is not None
    return Line(parts.hostname, parts.port, round_trip_s=round_trip_s, bytes_per_s=bytes_per_s).open()
