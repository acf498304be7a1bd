"""A run that a person or a container stops: SIGTERM and Ctrl-C."""

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_GRACE_SECONDS: Final = 5.0  # that whatever is at hand has when a run is stopped


@contextmanager
def by_signals(stop: threading.Event, late: Callable[[], None] = lambda: None) -> Iterator[None]:
    """SIGTERM and Ctrl-C set `stop`; a second one ends the process as if nobody had listened.

    `late` is called where the run still goes on five seconds later: it ends what the run waits for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may listen to signals
        return
    # A handler runs in the middle of anything, also of `stop.wait`, whose lock `stop.set` needs: another thread sets
    # it. Putting into a SimpleQueue is allowed there.
    arrived: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def follow() -> None:
        if not arrived.get():
            return
        stop.set()
        try:
            arrived.get(timeout=_GRACE_SECONDS)
        except queue.Empty:
            late()

    def handle(number: int, frame: FrameType | None) -> None:
        for listened in before:
            signal.signal(listened, signal.SIG_DFL)
        arrived.put(True)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    before = {}
    for listened in (signal.SIGINT, signal.SIGTERM):
        before[listened] = signal.getsignal(listened)
    for listened in before:
        signal.signal(listened, handle)
    try:
        yield
    finally:
        for listened, handler in before.items():
            signal.signal(listened, handler)
        arrived.put(False)
        follower.join()
